"""The network of liquids: lists of near pairs, derivatives, cost, and what older runs of boxes have."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.hamiltonian.geometry import near_pairs, pair_squares, pairs
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks import liquid, tangents
from fkflow.networks.choice import build
from fkflow.networks.liquid import LiquidNet
from fkflow.networks.periodic import PeriodicNet


class Gas(System):
    """Soft particles at one density in a rectangle, or in a box."""

    particles: int = 20
    dimensions: int = 2

    @property
    def box(self) -> tuple[float, ...]:
        side = float(self.particles ** (1 / self.dimensions))
        return (0.8 * side, side / 0.8, side)[: self.dimensions]

    def pair(self, r: Tensor) -> Tensor:
        return 20 * (-(2 * r).square()).exp()

    def potential(self, x: Tensor) -> Tensor:
        return self.pair(pair_squares(x, self.box).sqrt()).sum(0)


@pytest.fixture(autouse=True)
def lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists from 17 particles on."""
    monkeypatch.setattr(liquid, "MOST", 16)


@cache
def landscape(particles: int, dimensions: int = 2) -> Landscape:
    return explore(Gas(particles=particles, dimensions=dimensions))


def network(system: System, perturbed) -> LiquidNet:
    net = perturbed(build(system, landscape(system.particles, system.dimensions), "auto", 6, 2, 0))
    assert isinstance(net, LiquidNet)
    return net


def configurations(system: System, batch: int) -> Tensor:
    sides = torch.tensor(system.box, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    return sides * torch.rand(batch, system.particles, system.dimensions, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_lists_have_the_pairs_that_are_near(dimensions: int) -> None:
    system, reach = Gas(dimensions=dimensions), 1.3
    x = configurations(system, 4)
    squares = pair_squares(x, system.box)
    first, second = near_pairs(x.movedim((-1, -2), (0, 1)), system.box, reach)
    numbers = {pair: k for k, pair in enumerate(zip(*(one.tolist() for one in pairs(20, x.device)), strict=True))}
    for one in range(4):
        listed = [numbers[pair] for pair in zip(first[:, one].tolist(), second[:, one].tolist(), strict=True)]
        near = set(torch.nonzero(squares[:, one] < reach**2).flatten().tolist())
        assert near <= set(listed)
        # each once, and beside them one pair that is far
        assert sorted(k for k in listed if k in near) == sorted(near)
        assert len(set(listed) - near) <= 1


def test_pairs_that_are_far_do_not_matter(perturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """log ψ, drift and Laplacian are those of all pairs; the twin: a list that ends before the functions do."""
    monkeypatch.setattr(tangents, "PRECISION", torch.float64)
    system = Gas()
    net, x = network(system, perturbed), configurations(system, 5)
    found = net.value_drift_and_laplacian(x)
    with monkeypatch.context() as patch:
        patch.setattr(liquid, "MOST", system.particles)
        for one, other in zip(found, net.value_drift_and_laplacian(x), strict=True):
            assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)
    net.reach *= 0.5
    for one, other in zip(found, net.value_drift_and_laplacian(x), strict=True):
        assert not torch.allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("particles", [12, 20])
def test_derivatives(particles: int, perturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift by automatic differentiation, Laplacian by differences of drifts along random directions of all coordinates."""
    monkeypatch.setattr(tangents, "PRECISION", torch.float64)
    system = Gas(particles=particles)
    net, x = network(system, perturbed), configurations(system, 1)
    value, drift, laplacian = net.value_drift_and_laplacian(x)
    by_autograd = net.differentiated(x)
    assert torch.allclose(value, by_autograd[0], rtol=1e-12)
    assert torch.allclose(drift, by_autograd[1], rtol=1e-8, atol=1e-9)
    step = 1e-5
    moves = step * torch.eye(2 * particles, dtype=torch.float64).view(-1, particles, 2)
    change = (net.drift(x + moves) - net.drift(x - moves)).flatten(1).diagonal().sum() / (2 * step)
    assert float(laplacian) == pytest.approx(float(change), rel=1e-5)


def test_pairs_grow_as_particles_do(perturbed) -> None:
    """Twice as many particles have twice as many pairs, four times as many without lists."""
    counts = []
    for particles in (40, 80):
        system = Gas(particles=particles)
        net = network(system, perturbed)
        y = net.coordinates(configurations(system, 2))
        counts.append((len(near_pairs(y, net.sides, net.reach)[0]), len(pairs(particles, y.device)[0]), net.width))
    listed, every, width = (after / before for before, after in zip(*counts, strict=True))
    assert 1.7 < listed < 2.3 and 1.7 < width < 2.3
    assert every > 4


def test_which_systems_have_it() -> None:
    """Few particles, fields and open axes have the other network; asked for by name, a sentence says why not."""

    class Field(Gas):
        def potential(self, x: Tensor) -> Tensor:
            return super().potential(x) + torch.cos(2 * torch.pi * x[..., 0] / self.box[0]).sum(1)

    class Slab(Gas):
        box = (4.0, None)

        def potential(self, x: Tensor) -> Tensor:
            return super().potential(x) + 0.5 * x[..., 1].square().sum(1)

    for system in (Gas(particles=4), Field(particles=16), Slab(particles=16)):
        assert isinstance(build(system, explore(system), "auto", 6, 2, 0), PeriodicNet)
    with pytest.raises(UsageError, match=r'network.kind = "liquid" is for'):
        build(Field(particles=16), explore(Field(particles=16)), "liquid", 6, 2, 0)
