"""Common mistakes in the class of a user: each message names what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fkflow.errors import PotentialError, RecipeError
from fkflow.hamiltonian.checks import check
from fkflow.recipe import config

HEAD = """
import math
import numpy as np
import torch
import fkflow


class Trap(fkflow.System):
    particles = 1
    dimensions = 3
"""

#: what stands in the class, and what the message says
MISTAKES = {
    "an __init__": (
        "def __init__(self):\n        self.omega = 2.0\n    def potential(self, x): return x.square().sum((1, 2))",
        r"Trap has an __init__, .* fields with a type in the class, such as omega: float = 1.0",
    ),
    "no type": (
        "omega = 2.0\n    def potential(self, x): return self.omega * x.square().sum((1, 2))",
        r"omega = 2.0 has no type: write omega: float = 2.0",
    ),
    "no type of a whole number": ("charge = 2", "charge = 2 has no type: write charge: int = 2"),
    "a name that is nearly known": (
        "masses = 2.0",
        r"write mass = 2.0 if that is meant, or masses: float = 2.0 for a parameter",
    ),
    "a short name": ("dim = 2", r"write dimensions = 2 if that is meant, or dim: int = 2"),
    "walls that V does not have": (
        "def potential(self, x): return 0 * x[:, 0, 0]\n    def boundary(self, x): return 1 - x.square().sum(-1)",
        r"boundary\(x\) says where walls are, and V must be inf beyond them",
    ),
    "a boundary of another shape": (
        "def potential(self, x): return torch.where(x.square().sum((1, 2)) < 1, 0.0, math.inf)\n"
        "    def boundary(self, x): return 1 - x.square().sum(-1, keepdim=True)",
        r"boundary\(x\) of x \(\d+, 1, 3\) has the shape \(\d+, 1, 1\): it must be \(\d+, 1\)",
    ),
    "a tensor": (
        "centre: torch.Tensor = torch.zeros(3)",
        r"cannot be a Tensor: write a list.*x.new_tensor\(self.centres\)",
    ),
    "an array": ("centre: np.ndarray = np.zeros(3)", r"cannot be a ndarray: write a list of numbers"),
    "no mass": (
        "def potential(self, x): return self.mass * x.square().sum((1, 2))",
        r"leaves the mass out, which counts as 1: write mass = 1.0",
    ),
    "no field": (
        "def potential(self, x): return self.omega * x.square().sum((1, 2))",
        r"a parameter is a field with a type, such as omega: float = 1.0",
    ),
    "float32 constants": (
        "def potential(self, x): return ((x[:, 0] @ torch.eye(3)) ** 2).sum(1)",
        r"constants must have the type of x, float64: make them by x.new_tensor",
    ),
    "functions of math": ("def potential(self, x): return math.cosh(x[:, 0, 0])", r"torch.cosh or np.cosh"),
    "an if": (
        "def potential(self, x):\n        return x[:, 0, 0] if x[:, 0, 0] > 0 else 0 * x[:, 0, 0]",
        r"torch.where\(condition, a, b\) chooses for each",
    ),
    "a parameter that is set": (
        "omega: float = 1.0\n    def potential(self, x):\n        self.omega = 3.0\n        return x[:, 0, 0]",
        r"omega: Instance is frozen; parameters are fields",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_what_mends_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body, words = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    Path("trap.py").write_text(f"{HEAD}    {body}\n")
    with pytest.raises((RecipeError, PotentialError), match=words) as caught:
        check(config.parse('[system]\nfile = "trap.py:Trap"', "trap.toml").recipe.system)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 320


def test_the_mended_class_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the messages ask for is right."""
    monkeypatch.chdir(tmp_path)
    body = """
    mass: float = 2.0
    omega: float = 2.0
    centres: list[float] = [0.0, 1.0, 0.0]

    def potential(self, x):
        y = (x[:, 0] - x.new_tensor(self.centres)) @ x.new_tensor(np.eye(3))
        return self.mass * self.omega * torch.where(y > 0, y.cosh(), 1 + 0.5 * y**2).sum(1)
"""
    Path("trap.py").write_text(HEAD + body)
    found = check(config.parse('[system]\nfile = "trap.py:Trap"', "trap.toml").recipe.system)
    assert found.warnings == found.notes == ()
    assert found.landscape.minima.flatten().tolist() == pytest.approx([0, 2**0.5, 0], abs=1e-6)
    assert torch.float64 == found.landscape.minima.dtype


def test_masses_that_only_v_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinetic energy would be that of mass 1 without a word."""
    monkeypatch.chdir(tmp_path)
    Path("trap.py").write_text(
        f"{HEAD}    masses: float = 2.0\n    def potential(self, x): return self.masses * x.square().sum((1, 2))\n"
    )
    found = check(config.parse('[system]\nfile = "trap.py:Trap"', "trap.toml").recipe.system)
    assert [text[:40] for text in found.warnings] == ["masses is a parameter that V alone sees,"]
