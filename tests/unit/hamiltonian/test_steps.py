"""Round wells of finite height: the surfaces on which V jumps, and the factor whose second derivative jumps with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.hamiltonian import landscape
from fkflow.networks.choice import LogPsi, build
from fkflow.networks.step_factor import StepFactor

DOUBLE = torch.float64
#: the search for surfaces takes seconds
explore = lru_cache(landscape.explore)


def system(potential: Callable[[Tensor], Tensor], dimensions: int = 3) -> fkflow.System:
    """One particle in this potential of its coordinates (B, D)."""
    names: dict[str, Any] = {"particles": 1, "dimensions": dimensions}
    body = {
        "__annotations__": dict.fromkeys(names, ClassVar[int]),
        "__module__": __name__,
        "potential": lambda self, x: potential(x[:, 0]).to(x.dtype),
        **names,
    }
    return type("Test", (fkflow.System,), body)()


BALL = system(lambda x: torch.where(x.norm(dim=1) < 1, 0.0, 1e4))
SHELL = system(lambda x: torch.where(x.norm(dim=1) < 1, 30.0, torch.where(x.norm(dim=1) < 1.6, 0.0, 12.0)), 2)
LAYERS = system(lambda x: torch.where(x.norm(dim=1) < 1, 0.0, torch.where(x.norm(dim=1) < 2, 1.5, 10.0)), 2)
SQUARE = system(lambda x: torch.where(x.abs().amax(1) < 1, 0.0, 20.0), 2)
SMOOTH = system(lambda x: x.square().sum(1) + 5 * torch.tanh(20 * (x.norm(dim=1) - 1)), 2)


@pytest.mark.parametrize(
    ("one", "heights"),
    [(BALL, [[1e4]]), (SHELL, [[12.0, 30.0]]), (LAYERS, [[1.5], [8.5]]), (SQUARE, []), (SMOOTH, [])],
    ids=["ball", "shell", "layers", "square", "smooth"],
)
def test_steps(one: fkflow.System, heights: list[list[float]]) -> None:
    found = sorted((sorted(step.heights.tolist()) for step in explore(one).steps), key=lambda each: each[0])
    assert len(found) == len(heights)
    assert all(each == pytest.approx(wanted) for each, wanted in zip(found, heights, strict=True))


def test_scale_of_a_round_well() -> None:
    """The state in a ball has the deviation 0.307 R; that of a ball of radius 1.1 is another."""
    deviation = explore(BALL).covariance.diagonal().sqrt()
    assert torch.allclose(deviation, torch.full((3,), 0.307, dtype=DOUBLE), rtol=0.1)


@pytest.mark.parametrize("one", [BALL, SHELL, LAYERS], ids=["ball", "shell", "layers"])
def test_the_local_energy_does_not_jump(one: fkflow.System) -> None:
    """Across each surface -½ (log psi)'' changes as V does, to a millionth of the step; without the factor by all of it."""
    net = build(one, explore(one), "auto", 8, 2, 0)
    assert isinstance(net, LogPsi)
    (factor,) = net.edges
    assert isinstance(factor, StepFactor)
    direction = torch.randn(1, one.dimensions, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    direction = direction / direction.norm()
    for radius in (1.0, 1.6, 2.0):
        x = radius * torch.tensor([1 - 1e-8, 1 + 1e-8], dtype=DOUBLE)[:, None, None] * direction
        step = float(one.potential(x).diff())
        if step:
            _, drift, laplacian = net.value_drift_and_laplacian(x)
            local = one.potential(x) - 0.5 * (laplacian + drift.square().sum((1, 2)))
            assert abs(float(local.diff())) < 1e-3 * abs(step)
