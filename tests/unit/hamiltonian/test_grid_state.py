"""The ground state of one particle on a coarse grid."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.hamiltonian import grid_state as module
from fkflow.hamiltonian.grid_state import grid_state


class Walled(fkflow.System):
    """A box, or a half of it on each side of a wall, with sides of 3 in each direction."""

    particles: ClassVar[int] = 1
    dimensions: int = 2
    wall: float = 0.0

    def potential(self, x: Tensor) -> Tensor:
        return torch.where(x[:, 0, 0].abs() < self.wall, math.inf, 0.0).to(x.dtype)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_box_in_closed_form(dimensions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a sine along each axis, by sparse matrices and by full ones; the twin: a box that is a cell wider."""
    x, high = torch.zeros(1, 1, dimensions, dtype=torch.float64), torch.full((dimensions,), 1.5, dtype=torch.float64)
    count = module.POINTS[dimensions - 1]
    exact, twin = (dimensions * (1 - math.cos(math.pi / (count + n))) * (count / 3) ** 2 for n in (1, 2))
    for few in (0, 100):
        monkeypatch.setattr(module, "FEW", few)
        found = grid_state(Walled(dimensions=dimensions), x, -high, high)
        assert found is not None
        places, density, kinetic = found
        assert kinetic == pytest.approx(exact, rel=1e-9) and kinetic != pytest.approx(twin, rel=1e-3)
        shape = (math.pi * places / (3 * (1 + 1 / count))).cos().prod(1).square()
        assert torch.allclose(density, shape / shape.sum(), rtol=1e-6, atol=1e-12)


def test_two_wells_that_no_path_joins_hold_half_each() -> None:
    x, high = torch.zeros(1, 1, 2, dtype=torch.float64), torch.full((2,), 1.5, dtype=torch.float64)
    found = grid_state(Walled(wall=0.3), x, -high, high)
    assert found is not None
    places, density, _ = found
    assert float(density[places[:, 0] > 0].sum()) == pytest.approx(0.5, abs=1e-6)
