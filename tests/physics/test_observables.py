"""Observables of a drift that is off: the projected averages are exact, the variational ones are not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from landscapes import explore

from fkflow.api.functions import solve
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.system import System
from fkflow.measurement.variational import VariationalEstimator
from fkflow.projection import forward_walking
from fkflow.projection.project import Projector
from fkflow.recipe.sections import MeasureConfig, ProjectConfig
from fkflow.results.records import Observable, components
from fkflow.statistics import z_score

#: frequency and mass of the trap: ⟨x²⟩ = 1/(2mω) for each coordinate
OMEGA, MASS = 1.0, 2.0


class Trap(System):
    """One particle of mass 2 in a harmonic trap."""

    particles = 1
    dimensions = 1
    mass = MASS
    observable_units = {"x2": "a^2"}

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        """½ m ω² x²."""
        return 0.5 * MASS * OMEGA**2 * x.square().sum((1, 2))

    def observables(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """⟨x²⟩, and ⟨V⟩ and ⟨x⟩ as two numbers of one name."""
        return {"x2": x.square().sum((1, 2)), "both": torch.stack([self.potential(x), x[:, 0, 0]], 1)}


#: half the energy is potential, by the virial theorem
EXACT = {"x2": (1 / (2 * MASS * OMEGA),), "both": (OMEGA / 4, 0.0)}


def averages(psi: Any, seed: int, **changes: Any) -> dict[str, tuple[Observable, ...]]:
    """The observables of a trial function of the trap, measured and projected."""
    system = to_unit_masses(Trap())
    start = psi.sample(1024, (1, 1), seed)
    settings = MeasureConfig(walkers=1024, target_error=1e-3, observable_error=0.03)
    measuring = VariationalEstimator(psi, system, explore(system), settings, start, seed, dt=1e-8)
    measuring.run(2e-3, 60.0, lambda *_: None)
    measuring.find_relaxation()
    config = ProjectConfig(**{"walkers": 1024, "target_error": 4e-3, "seconds": 60.0} | changes)
    projecting = Projector(measuring, config, seed)
    found = projecting.run(lambda *_: None)
    results = measuring.result(*found, projecting.observables()).observables
    return {name: components(one) for name, one in results.items()}


def z(observable: Observable, exact: float, kind: str = "projected") -> float:
    found = getattr(observable, kind)
    return z_score(found.value, found.error, exact)


@pytest.mark.parametrize(("alpha", "weights"), [(0.75, "local_energy"), (1.35, "local_energy"), (1.35, "girsanov")])
def test_averages_of_a_gaussian_that_is_off(alpha: float, weights: str, gaussian: Any) -> None:
    """Walkers that stay independent, resampled ones and Girsanov weights; the variational averages are far off."""
    found = averages(gaussian(alpha), 1, weights=weights)
    for name, parts in found.items():
        for part, exact in zip(parts, EXACT[name], strict=True):
            assert part.projected is not None and part.value == part.projected.value
            assert abs(z(part, exact)) < 4, name
    spread = 1 / (2 * MASS * alpha)
    (square,) = found["x2"]
    assert abs(z(square, spread, "variational")) < 4 and abs(z(square, EXACT["x2"][0], "variational")) > 15
    assert square.projected is not None and square.projected.error < 0.2 * abs(spread - EXACT["x2"][0])


def test_walkers_at_the_end_of_a_window_are_not_enough(gaussian: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin averages at the end of the window, over ψφ0, whose value lies half way."""
    store = forward_walking.ForwardWalking.add

    def newest(self: Any, window: int, place: int, weights: torch.Tensor) -> None:
        # later by half the window, in sixteenths of the longest: the place stored last
        store(self, window, (place + (2, 4, 6, 8)[window]) % len(self.values), weights)

    monkeypatch.setattr(forward_walking.ForwardWalking, "add", newest)
    (square,) = averages(gaussian(0.75), 1)["x2"]
    mixed = 1 / (MASS * (0.75 + OMEGA))
    assert abs(z(square, EXACT["x2"][0])) > 4 and abs(z(square, mixed)) < 4


class Hydrogen(System):
    """One electron about a centre that the class does not name."""

    particles = 1
    dimensions = 3
    isotropic = True

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        """−1/r."""
        return -1 / x[:, 0].norm(dim=-1)

    def observables(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """⟨r⟩ = 3/2 and ⟨1/r⟩ = 1."""
        r = x[:, 0].norm(dim=-1)
        return {"r": r, "inverse": 1 / r}


def test_hydrogen() -> None:
    found = solve(Hydrogen(), seed=1, threads=1, progress=False, target_error=6e-3)
    r, inverse = found.observables["r"], found.observables["inverse"]
    assert isinstance(r, Observable) and isinstance(inverse, Observable)
    for one, exact in ((r, 1.5), (inverse, 1.0)):
        assert one.projected is not None and abs(z(one, exact)) < 4 and abs(z(one, exact, "variational")) < 4
        assert one.error < 0.03 * exact
    # the virial theorem: E = −½⟨1/r⟩; an average of 1/r of a wrong width would break it
    assert abs(found.energy.value + 0.5 * inverse.value) < 4 * math.hypot(found.energy.error, 0.5 * inverse.error)
    assert "variational" in str(found) and f"inverse              {inverse}" in str(found)
