"""The factor of ψ that vanishes on hard walls: an eigenfunction of flat regions, and -inf beyond them."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from fkflow import System
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.walls import Ball, HalfLine, Walls
from fkflow.networks.choice import LogPsi, build
from fkflow.networks.single_precision import value_and_drift
from fkflow.networks.walls import WallFactor
from fkflow.sampling.local_energy import fastest_local_energy, local_energy, prefers_laplacian

DOUBLE = torch.float64
#: first zeros of cos(r), J0, sin(r)/r and J1(r)/r
ZEROS = {1: math.pi / 2, 2: 2.404825557695773, 3: math.pi, 4: 3.831705970207512}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


@pytest.mark.parametrize("axes", ZEROS)
def test_the_state_of_a_flat_ball(axes: int) -> None:
    """−½Δψ/ψ is the energy k²/2 everywhere, next to the wall too; with a wall in the wrong place it is not."""
    factor = WallFactor(
        Walls(((Ball(tuple(range(axes)), (0.5,) * axes, 2.0),),)), torch.zeros(1, axes, dtype=DOUBLE), 1.0
    )
    direction = torch.randn(200, axes, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    radius = torch.cat([2 * random(100, 1), 2 - 10 ** (-6 * random(100, 1))])
    y = (0.5 + radius * direction / direction.norm(dim=1, keepdim=True)).mT[:, None]
    _, (gradient, laplacian) = factor.evaluate(y, derivatives=True)
    energy = -0.5 * (laplacian + gradient.square().sum((0, 1)))
    exact = 0.5 * (ZEROS[axes] / 2) ** 2
    # what cancels next to the wall goes as 1/distance²
    assert torch.allclose(energy[:100], torch.full((100,), exact, dtype=DOUBLE), rtol=1e-6)
    assert torch.allclose(energy[100:], torch.full((100,), exact, dtype=DOUBLE), rtol=1e-2)
    assert not math.isclose(0.5 * (ZEROS[axes] / 2.01) ** 2, exact, rel_tol=1e-3)


def test_outside_is_never() -> None:
    pieces = (Ball((0,), (1.0,), 1.0), HalfLine((1,), 3.0, -1.0))
    factor = WallFactor(Walls((pieces,)), torch.zeros(1, 2, dtype=DOUBLE), 1.0)
    y = torch.tensor([[0.5, 0.0], [-0.1, 0.0], [2.1, 0.0], [0.5, 3.0], [0.5, 2.9], [2.0, 0.0]], dtype=DOUBLE).mT[
        :, None
    ]
    value, (gradient, laplacian) = factor.evaluate(y, derivatives=True)
    assert value.isneginf().tolist() == [False, True, True, True, False, True]
    assert bool(gradient.isfinite().all()) and bool(laplacian.isfinite().all())
    assert torch.equal(value, factor(y))


class Tube(System):
    """Two particles between walls, held along the other axis."""

    particles: ClassVar[int] = 2
    dimensions: ClassVar[int] = 2
    identical: ClassVar[bool] = True
    isotropic: ClassVar[bool] = False

    def potential(self, x: Tensor) -> Tensor:
        trap = 0.5 * x[..., 1].square().sum(1)
        return trap.masked_fill(((x[..., 0] < 0.3) | (x[..., 0] > 2.3)).any(1), math.inf)


class Apart(Tube):
    identical: ClassVar[bool] = False


class Ellipse(Tube):
    """The same walls, stated, and a little bent."""

    def boundary(self, x: Tensor) -> Tensor:
        return 1 - (x[..., 0] - 1.3).square() - 0.01 * x[..., 1].square()

    def potential(self, x: Tensor) -> Tensor:
        trap = 0.5 * x[..., 1].square().sum(1)
        return trap.masked_fill((self.boundary(x) <= 0).any(1), math.inf)


@pytest.mark.parametrize("kind", [Tube, Apart, Ellipse])
def test_networks_vanish_on_walls(kind: type[System]) -> None:
    """log ψ falls as the logarithm of the distance from a wall, in single precision too, and is −∞ behind it."""
    system = kind()
    landscape = explore(system)
    net = build(system, landscape, "auto", 8, 2, 0)
    assert isinstance(net, LogPsi) and len(net.edges) == 1
    x = landscape.start(64, torch.Generator().manual_seed(3))
    assert bool(net(x).isfinite().all()) and bool(system.potential(x).isfinite().all())
    near = x[:3].clone()
    near[:, 0, 1] = 0.0
    distance = torch.tensor([1e-3, 1e-6, 1e-9], dtype=DOUBLE)
    near[:, 0, 0] = 0.3 + distance
    near[1:, 1] = near[0, 1]
    value, drift = value_and_drift(net, near)
    assert torch.allclose(value.diff(), value.new_full((2,), math.log(1e-3)), atol=5e-3)
    assert torch.allclose(drift[:, 0, 0] * distance, torch.ones(3, dtype=DOUBLE), atol=5e-3)
    behind = x.clone()
    behind[:, 1, 0] = 0.3 - random(64)
    assert bool(value_and_drift(net, behind)[0].isneginf().all()) and bool(net.value(behind).isneginf().all())
    # energies come from the Laplacian: short paths would not see the wall
    assert prefers_laplacian(net, 1)
    energies = fastest_local_energy(net, system, x, torch.Generator(), 1.0)
    assert torch.allclose(energies, local_energy(net, system, x), rtol=1e-5, atol=1e-5)
    assert all(key.startswith("wall_factor.") for key in net.state_dict() if "particles" in key or "series" in key)
