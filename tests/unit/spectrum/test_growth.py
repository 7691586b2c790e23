"""Growth, powers of ψ without its walls, and ψ with the symmetries of V."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from landscapes import explore
from places import FEW, generator, walkers
from torch import Tensor

import fkflow
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.walls import Ball, Walls
from fkflow.networks.generic import GenericNet
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.walls import WallFactor
from fkflow.sampling.local_energy import laplacian
from fkflow.spectrum.growth import POWERS, Growth, growth_of, state_of, without_edges
from fkflow.spectrum.pool import Pool
from fkflow.spectrum.sectors import sectors_of


class Narrow(LogPsi):
    """log ψ = −x² of one particle, with a factor x for a wall at 0 if there is to be one."""

    def __init__(self, walled: bool) -> None:
        super().__init__()
        self.walled = walled

    def forward(self, x: Tensor) -> Tensor:
        r = x.flatten(1)
        return -r.square().sum(1) + (r[:, 0].log() if self.walled else 0.0)

    @property
    def edges(self) -> list:
        return [lambda y: y[0, 0].log()] if self.walled else []


@pytest.mark.parametrize("walled", [False, True])
@pytest.mark.parametrize("smooth", [False, True])
def test_growth_is_a_power_of_psi_without_its_walls(walled: bool, smooth: bool) -> None:
    x = walkers(40, 1, 2).abs()
    growth = Growth(without_edges(Narrow(walled)), x, smooth)
    lowest = x.square().sum((1, 2)).min()

    def expected(power: float, flat: Tensor) -> Tensor:
        below = flat.square().sum() - lowest
        return (power * ((1 + below.square()).sqrt() - 1 if smooth else below)).exp()

    first = x[0].flatten()
    for power, jet in zip(POWERS, growth(x[:1]), strict=True):
        of_first = partial(expected, power)
        gradient = torch.autograd.functional.jacobian(of_first, first)
        laplacian = torch.autograd.functional.hessian(of_first, first).trace()
        torch.testing.assert_close(jet.value[0], of_first(first), rtol=1e-9, atol=0)
        torch.testing.assert_close(jet.gradient[:, 0], gradient, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(jet.laplacian[0], laplacian, rtol=1e-7, atol=1e-9)


class Leaning(LogPsi):
    """log ψ = −x² + 0.3 x_1, without the symmetries of V."""

    def forward(self, x: Tensor) -> Tensor:
        return -x.square().sum((1, 2)) + 0.3 * x[:, 0, 0]


def test_levels_are_made_of_a_psi_with_the_symmetries_of_v() -> None:
    """Even functions would otherwise make no even states; the twin is ψ as it comes."""

    class Even(fkflow.System):
        """It does not say that it is even."""

        particles, dimensions = 1, 1

        def potential(self, x: Tensor) -> Tensor:
            return x[:, 0, 0] ** 4

    system, net = Even(), Leaning()
    x = walkers(64, 1, 1)
    psi = state_of(net, system, explore(system), x)
    assert psi is not None
    value, drift = psi.value_and_drift(x)
    torch.testing.assert_close(psi(x), value)
    torch.testing.assert_close(psi.value(-x), value)
    torch.testing.assert_close(psi.value_and_drift(-x)[1], -drift)
    torch.testing.assert_close(drift, psi.differentiated(x)[1])
    torch.testing.assert_close(value, -x.square().sum((1, 2)))
    assert not torch.allclose(net.value(-x), net.value(x))
    growth = growth_of(net, psi, explore(system), x)
    even, _ = sectors_of(system, explore(system), x, FEW, 0.0, False, growth)
    functions = even.functions(x, 0)
    here, there = functions(x), functions(-x)
    torch.testing.assert_close(there.value, here.value, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(there.gradient, -here.gradient, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.laplacian, here.laplacian, rtol=1e-9, atol=1e-9)


def network(walled: bool) -> GenericNet:
    """Of one particle on a line, with a factor for walls at 0 and 1 if there are to be any."""
    net = GenericNet(explore(find_system("quartic")()), 5, 2).double()
    if walled:
        net.add_edges(
            WallFactor(Walls(((Ball((0,), (0.5,), 0.5),),)), torch.zeros(1, 1, dtype=torch.float64), net.length), None
        )
    return net


def within() -> Tensor:
    return 0.2 + 0.6 * torch.rand(12, 1, 1, dtype=torch.float64, generator=generator())


@pytest.mark.parametrize("walled", [False, True])
def test_what_growth_remembers_is_what_it_computes(walled: bool) -> None:
    """A pool knows ψ, growth is a power of ψ without the factors of walls. The twin: with them it is another."""
    net, x = network(walled), within()
    value, drift, curvature = net.value_drift_and_laplacian(x)
    none = torch.zeros_like(value)
    pool = Pool(x, none, drift.flatten(1), none, none, value, curvature)
    plain, knowing, walls = (growth_of(net, net, explore(find_system("quartic")()), x) for _ in range(3))
    knowing.remember(pool)
    assert knowing._remembered(x[5:9]) is not None and knowing._remembered(1.1 * x) is None
    for some in (x[[3, 10, 7]], 1.1 * x):
        for one, known in zip(plain(some), knowing(some), strict=True):
            torch.testing.assert_close(known.value, one.value)
            torch.testing.assert_close(known.gradient, one.gradient)
            torch.testing.assert_close(known.laplacian, one.laplacian)
    walls.edges = None
    walls.remember(pool)
    assert torch.allclose(walls(x)[0].laplacian, plain(x)[0].laplacian) != walled


def test_a_network_without_its_walls_states_its_derivatives_too() -> None:
    """The same as log ψ minus the logarithm of the factor, which is none of it."""
    net, x = network(True), within()
    bare = without_edges(net)
    assert net.edges and not bare.edges and bare.analytic
    value, drift, curvature = bare.value_drift_and_laplacian(x)
    expected = net(x) - net.edges[0](net.coordinates(x))
    torch.testing.assert_close(value, expected.detach())
    assert not torch.allclose(value, net(x).detach())
    torch.testing.assert_close(drift, bare.differentiated(x)[1])
    torch.testing.assert_close(curvature, laplacian(bare, x)[0])
