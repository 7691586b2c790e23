"""Hard rods as points: the exact ψ, its derivatives, images and overlaps; rods with other energies stay rods."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from landscapes import explore

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.periodic import PeriodicNet
from fkflow.networks.rods import as_points, rod_length
from fkflow.networks.two_body_factor import two_body_factor
from fkflow.sampling.local_energy import analytic_local_energy


def rods(particles: int, box: float) -> System:
    return find_system("hard_rods")(particles=particles, box=box)


def places(system: System, walkers: int = 200) -> torch.Tensor:
    return explore(system).start(walkers, torch.Generator().manual_seed(0))


@functools.cache
def of_points(system: System) -> LogPsi:
    """The network as it starts, made once."""
    return build(system, explore(system), "auto", 4, 2, 0)


@functools.cache
def of_an_earlier_version(system: System) -> PeriodicNet:
    """The network that takes nothing out of the rods."""
    land = explore(system)
    factor = two_body_factor(system, land.length, land.diameter)
    return PeriodicNet(land, 4, 2, even=True, apart=system.box / system.particles, two_body_factor=factor).double()


def energies(net: LogPsi, system: System, x: torch.Tensor) -> torch.Tensor:
    return analytic_local_energy(net, system, x)


@pytest.mark.parametrize(("particles", "box"), [(4, 7.0), (10, 20.0)])
def test_psi_is_exact_from_the_start(particles: int, box: float) -> None:
    """Local energies are those of free fermions on what is left of the ring; the twin: rods that keep their length."""
    system = rods(particles, box)
    x, exact = places(system), system.reference().energy
    net = of_points(system)
    assert float((energies(net, system, x) / exact - 1).abs().median()) < 1e-5
    assert float((energies(of_an_earlier_version(system), system, x) / exact - 1).abs().median()) > 0.01


def test_derivatives_and_images(perturbed) -> None:
    """Of a network that has learned something, against automatic differentiation, and where a rod goes around the ring."""
    system = rods(4, 7.0)
    x, net = places(system, 40), perturbed(copy.deepcopy(of_points(system)))
    value, drift, laplacian = net.value_drift_and_laplacian(x)
    found, slope = net.differentiated(x)
    assert torch.allclose(value, found) and torch.allclose(drift, slope, rtol=1e-6, atol=1e-6)
    step = 1e-5 * torch.eye(4, dtype=x.dtype)[:, None, :, None]
    second = (net(x + step[0]) + net(x - step[0]) - 2 * net(x)) / 1e-10
    for one in step[1:]:
        second = second + (net(x + one) + net(x - one) - 2 * net(x)) / 1e-10
    # away from touching rods, where differences are good
    gaps = torch.cat([x[..., 0].remainder(7.0).sort(1)[0].diff(dim=1) - 1], 1).amin(1)
    far = gaps > 0.05
    assert torch.allclose(laplacian[far], second.detach()[far], rtol=1e-3, atol=1e-2)
    moved = x.clone()
    moved[:, 2] += 7.0
    moved[:, 0] -= 14.0
    assert torch.allclose(net(moved), net(x), atol=1e-8)
    assert torch.allclose(net(x[:, [2, 0, 3, 1]]), net(x), atol=1e-8)
    # the twin: another place
    moved[:, 2] += 0.01
    assert not torch.allclose(net(moved), net(x), atol=1e-3)


@pytest.mark.parametrize("apart", [0.0, 0.4, 0.999])
def test_rods_that_overlap_have_no_psi(apart: float) -> None:
    system = rods(4, 7.0)
    x, net = places(system, 40), of_points(system)
    assert bool(net(x).isfinite().all())
    x[:, 1] = x[:, 3] + apart
    assert bool(net(x).isneginf().all())


def test_gaps_stay() -> None:
    """The gaps between neighbours of points on the shorter ring are those between the ends of the rods."""
    x = torch.tensor([[[0.1], [9.5], [3.0]]], dtype=torch.float64)
    # behind the largest gap, 6, comes the rod at 9.5
    assert as_points(x, 10.0, 0.5)[0, :, 0].tolist() == pytest.approx([0.1, 0.0, 2.5])


class Sticky(System):
    """Rods with an energy beyond their core."""

    particles = 3
    dimensions = 1
    depth: float = 1.0

    def pair(self, r: torch.Tensor) -> torch.Tensor:
        return (self.depth * (-r).exp()).masked_fill(r < 1, torch.inf)


def test_other_rods_stay_as_they_are() -> None:
    """Those with an energy beyond their core, in a lattice, so short that nothing would stay, or in a plane."""
    alone, box = Sticky(depth=0.0), (6.0,)
    assert rod_length(alone, 0.5, 1.0, box, even=True) == pytest.approx(1.0, abs=1e-6)
    assert rod_length(Sticky(), 0.5, 1.0, box, even=True) == 0
    assert rod_length(alone, 0.5, 1.0, box, even=False) == 0
    assert rod_length(alone, 0.5, 1e-9, box, even=True) == 0
    assert rod_length(alone, 0.5, None, box, even=True) == 0
    assert rod_length(alone, 0.5, 1.0, (6.0, 6.0), even=True) == 0


def test_networks_of_earlier_versions_mean_the_same() -> None:
    """A stored state without the length of rods is that of a network that takes none out."""
    system = rods(4, 7.0)
    before, x = of_an_earlier_version(system), places(system)
    state = {name: value for name, value in before.state_dict().items() if name != "rod"}
    net = copy.deepcopy(of_points(system))
    assert not torch.allclose(net(x), before(x))
    net.load_state_dict(state)
    assert torch.allclose(net(x), before(x)) and torch.allclose(net.drift(x), before.drift(x))
