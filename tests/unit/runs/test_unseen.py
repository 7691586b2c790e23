"""Runs of potentials that mislead a solver: a tilted double well, and a logarithm whose length V does not tell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import fkflow
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.system import System
from fkflow.projection import slow_modes
from fkflow.recipe.config import load
from fkflow.results.checkpoints import load_checkpoint, save_checkpoint
from fkflow.runs import renewal
from fkflow.runs.context import RunContext
from fkflow.runs.session import Session

#: lowest level of `WeaklyBound`, by spectral elements in r (`systems.solvers`), to the digits on which two grids agree
BOUND = -0.00235275


class Tilted(System):
    """Two deep wells, one a little lower: tunnelling takes 500 natural times."""

    particles = 1
    dimensions = 1

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        q = x[:, 0, 0]
        return 14.0 * ((q / 2) ** 2 - 1) ** 2 + 0.03 * q


class WeaklyBound(System):
    """A logarithm near the origin that falls off as 1/r: the state reaches twenty times as far as V alone suggests."""

    particles = 1
    dimensions = 2
    isotropic = True

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        r = x.square().sum((1, 2)).sqrt()
        return 0.04 * ((r + 1e-3) / (r + 1)).log()


def solve(system: System, target: float, iterations: int = 120, **project: Any) -> fkflow.Solution:
    """A run without progress; `project` replaces settings of the projection."""
    return fkflow.solve(
        system,
        seed=0,
        threads=1,
        progress=False,
        train={"walkers": 256, "iterations": iterations},
        measure={"target_error": target},
        project={"target_error": target, "seconds": 60.0} | project,
    )


def test_a_slow_mode_is_put_into_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The energy is right, and the gap that of the wells; without the fit and the longer projection it is 8 errors too high."""
    found = solve(Tilted(), 3e-3, 60)
    reference = grid_energies(Tilted())
    assert abs(found.energy.value - reference[0]) < 4 * found.energy.error
    assert found.status == "converged"
    assert found.gap == pytest.approx(reference[1] - reference[0], rel=0.3)
    monkeypatch.setattr(renewal, "ABSORBED", 0)
    monkeypatch.setattr(slow_modes, "LONGEST", 1.0)
    # the shortest projection: it could not reach its target anyway
    worse = solve(Tilted(), 3e-3, 60, target_error=1.0, walkers=256)
    assert worse.energy.value - reference[0] > 0.01
    # what the slow mode may leave is in the error
    assert abs(worse.energy.value - reference[0]) < 3 * worse.energy.error
    assert worse.energy.error > 5 * found.energy.error


def test_the_scale_of_a_weakly_bound_state() -> None:
    """The radial level within 4σ, from walkers whose natural length is many times the one of the potential alone."""
    found = solve(WeaklyBound(), 1.2e-4)
    assert abs(found.energy.value - BOUND) < 4 * found.energy.error
    assert found.status == "converged"
    corrected = float(found.result.model["landscape.length"])
    assert corrected > 3 * explore(WeaklyBound()).length
    # sqrt(d / 2<v^2>) with the virial theorem's kinetic energy, which is between a tenth and all of |E|
    assert 0.7 / math.sqrt(-2 * BOUND) < corrected < 3 / math.sqrt(-2 * BOUND)


def test_a_run_with_a_corrected_scale_continues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A checkpoint after the correction goes on to the same bits."""
    monkeypatch.setattr(renewal, "CHECK", 3)
    monkeypatch.setattr(renewal.scale, "WRONG", 1.05)
    loaded = load("double_well", ["train.walkers=256", "train.iterations=12"])
    whole = Session(RunContext(loaded, seed=3, device="cpu", threads=1))
    while whole.state.iteration < 5 or not whole.renewals.corrections:
        assert renewal.step(whole) is not None
    save_checkpoint(tmp_path / "c.pt", whole.checkpoint())
    context = RunContext(loaded, seed=3, device="cpu", threads=1)
    context.saved = load_checkpoint(tmp_path / "c.pt")
    again = Session(context)
    assert again.model.landscape.length == whole.model.landscape.length
    for each in (whole, again):
        for _ in range(4):
            renewal.step(each)
    first, second = (each.checkpoint()["state"] for each in (whole, again))
    assert torch.equal(first["x"], second["x"])
    assert all(torch.equal(tensor, second["net"][name]) for name, tensor in first["net"].items())


def grid_energies(system: System) -> tuple[float, float]:
    """The two lowest levels by finite differences of the fourth order on 800 points."""
    x = torch.linspace(-4, 4, 800, dtype=torch.float64)
    h = float(x[1] - x[0])
    n = len(x)
    hamiltonian = torch.diag(system.potential(x.view(-1, 1, 1)) + 30 / 24 / h**2)
    for apart, weight in ((1, -16 / 24), (2, 1 / 24)):
        side = torch.full((n - apart,), weight / h**2, dtype=torch.float64)
        hamiltonian += torch.diag(side, apart) + torch.diag(side, -apart)
    levels = torch.linalg.eigvalsh(hamiltonian)
    return float(levels[0]), float(levels[1])
