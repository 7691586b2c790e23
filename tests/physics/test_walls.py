"""Ground states between hard walls and in wells with steps, against closed forms; a wall in another place is seen."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import fkflow

QUICK = {"seconds": 600.0}


class Box(fkflow.System):
    """A box from `low` to `high`."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1
    low: float = 100.0
    high: float = 101.0

    def potential(self, x: Tensor) -> Tensor:
        q = x[:, 0, 0]
        return torch.where((q < self.low) | (q > self.high), torch.inf, 0.0).to(x.dtype)


class Half(fkflow.System):
    """Half an oscillator."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1

    def potential(self, x: Tensor) -> Tensor:
        q = x[:, 0, 0]
        return torch.where(q < 0, torch.inf, 0.5 * q**2)


class Disc(fkflow.System):
    """A disc of radius 2."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 2

    def potential(self, x: Tensor) -> Tensor:
        return torch.where(x.square().sum((1, 2)) > 4, torch.inf, 0.0).to(x.dtype)


class Well(fkflow.System):
    """A well of width 1 between very high walls: k tan(k/2) = √(2·10⁶ − k²)."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1

    def potential(self, x: Tensor) -> Tensor:
        return torch.where(x[:, 0, 0].abs() > 0.5, 1e6, 0.0).to(x.dtype)


@pytest.mark.parametrize(
    ("system", "exact", "wrong"),
    [
        (Box(), 0.5 * math.pi**2, 0.5 * (math.pi / 1.002) ** 2),
        (Disc(), 0.5 * (2.404825557695773 / 2) ** 2, 0.5 * (2.404825557695773 / 2.01) ** 2),
        (Well(), 4.9208740138272535, 0.5 * math.pi**2),
    ],
    ids=["box", "disc", "high walls"],
)
def test_energies(system: fkflow.System, exact: float, wrong: float) -> None:
    found = fkflow.solve(system, target_error=1e-3, measure=QUICK, project=QUICK, seed=1, threads=1, progress=False)
    energy = found.energy
    assert found.status == "converged"
    assert abs(energy.value - exact) < 4 * energy.error and energy.error < 1e-3
    # the energy of a wall two thousandths farther out, or of a harder one
    assert abs(energy.value - wrong) > 8 * energy.error
    assert bool(system.potential(torch.as_tensor(found.samples)).isfinite().all())
    paths = found.result.measurement.trajectories
    assert paths is not None and bool(system.potential(torch.as_tensor(paths.positions).flatten(0, 1)).isfinite().all())


def test_a_poor_network_is_projected_to_the_truth() -> None:
    """Walkers that meet the wall in finite time steps leave no bias: the energy of a network without training is repaired."""
    found = fkflow.solve(
        Half(),
        train={"iterations": 0},
        measure={"target_error": 4e-3, "seconds": 10.0, "walkers": 1024},
        project={"target_error": 6e-3, "seconds": 20.0, "walkers": 1024},
        seed=4,
        threads=1,
        progress=False,
    )
    measured, projection = found.result.measurement, found.result.measurement.projection
    assert projection is not None
    variational, projected = measured.variational.estimate, projection.estimate
    assert variational.value - 1.5 > 4 * variational.error
    assert abs(projected.value - 1.5) < 4 * found.energy.error and found.energy.error < 0.012
