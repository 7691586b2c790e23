"""The network of several species: symmetric within each, exact for springs of any masses, the same after storing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses, user_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.species import groups_of
from fkflow.networks.choice import GenericNet, SpeciesNet, build, default_float64
from fkflow.networks.species_net import pair_kinds
from fkflow.sampling.local_energy import laplacian, local_energy
from fkflow.training.gradients import jacobian

SPRINGS = {"interaction": "spring", "count_a": 2, "count_b": 3, "mass_b": 7.0, "g_aa": 0.3, "g_bb": -0.1, "g_ab": 0.9}


class Oval(fkflow.System):
    """Two species in oval traps at different places, with springs."""

    dimensions = 2
    species = [("light", 2), ("heavy", 3, {"mass": 5.0})]

    def potential(self, x: Tensor) -> Tensor:
        light, heavy = x[:, :2], x[:, 2:]
        trap = (light.square() * light.new_tensor([1.0, 2.0])).sum((1, 2)) + (heavy[..., 0] - 1).square().sum(1)
        trap = trap + 3 * heavy[..., 1].square().sum(1)
        return trap + 0.2 * (light[:, :, None] - heavy[:, None]).square().sum((1, 2, 3))


def made(own: fkflow.System, masses: tuple[float, ...] | None = None, seed: int = 0):
    """System in unit masses, network and walkers; `masses` are others than those of the system."""
    system = to_unit_masses(own)
    land = explore(system)
    with default_float64(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = {"isotropic": system.isotropic, "separable": system.separable}
        net = SpeciesNet(land, groups_of(system), masses or user_masses(system), 6, 2, **options)
    return system, net, land.start(60, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("relative", [True, False])
def test_springs_are_exact_from_the_start(relative: bool) -> None:
    own = find_system("mixture")(**SPRINGS, omega_b=1.0 if relative else 2.0)
    system, net, x = made(own)
    assert (net.com_root is not None) is relative and net.analytic
    exact = own.reference().energy
    energies = local_energy(net, system, x)
    torch.testing.assert_close(energies, torch.full_like(energies, exact), rtol=1e-10, atol=0)
    # the twin: springs as a particle of another mass would have them
    assert abs(find_system("mixture")(**SPRINGS | {"mass_b": 7.7}).reference().energy - exact) > 0.01
    if relative:
        # the centre of mass of other masses is not that which moves apart
        wrong = local_energy(made(own, (1.0, 1.0, 2.0, 2.0, 2.0))[1], system, x)
        assert float(wrong.std()) > 0.1


def test_traps_of_any_shape_at_any_place() -> None:
    system, net, x = made(Oval())
    hessian = torch.func.hessian(lambda z: system.potential(z.view(1, 5, 2))[0])(torch.zeros(10, dtype=torch.float64))
    lowest = float(system.potential(explore(system).minima[:1])[0])
    exact = lowest + 0.5 * float(torch.linalg.eigvalsh(hessian).sqrt().sum())
    energies = local_energy(net, system, x)
    torch.testing.assert_close(energies, torch.full_like(energies, exact), rtol=1e-9, atol=0)


@pytest.mark.parametrize("own", [find_system("mixture")(**SPRINGS, dimensions=3), Oval()], ids=["round", "oval"])
def test_symmetric_within_species_and_not_across(own: fkflow.System, perturbed) -> None:
    _, net, x = made(own)
    net = perturbed(net)
    value = net.value(x)
    torch.testing.assert_close(net.value(x[:, [1, 0, 4, 2, 3]]), value, rtol=1e-12, atol=1e-12)
    assert float((net.value(x[:, [2, 1, 0, 3, 4]]) - value).abs().max()) > 1e-2
    expected = net.differentiated(x)[1]
    torch.testing.assert_close(net.drift(x), expected, rtol=1e-9, atol=1e-10)
    found, wanted = net.value_drift_and_laplacian(x)[2], laplacian(net, x)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))


def test_nothing_moves_with_the_centre_of_mass_but_its_gaussian(perturbed) -> None:
    """Along √m the drift of a separable system is −ω times the distance; the twin: along another direction it is not."""
    own = find_system("mixture")(count_a=2, count_b=2, mass_b=3.0)
    _, net, x = made(own)
    net = perturbed(net)
    with torch.no_grad():
        net.com_root.fill_(net.length)  # √ω ℓ
    along = torch.tensor(user_masses(to_unit_masses(own)), dtype=torch.float64).sqrt()[:, None]
    drift = net.drift(x)
    torch.testing.assert_close((along * drift).sum(1), -(along * x).sum(1), rtol=1e-9, atol=1e-9)
    assert float((drift.sum(1) + x.sum(1)).abs().max()) > 1e-2


def test_gradients_by_the_parameters(perturbed) -> None:
    """One backward pass for all walkers gives those of each."""
    _, net, x = made(Oval())
    net = perturbed(net)
    found = jacobian(net, x[:3])
    for row, one in zip(found, x[:3], strict=True):
        single = torch.autograd.grad(net(one[None])[0], list(net.parameters()))
        torch.testing.assert_close(row, torch.cat([g.flatten() for g in single]), rtol=1e-9, atol=1e-11)


def test_the_kinds_of_pairs() -> None:
    assert pair_kinds(((0, 1), (2,))) == {(0, 0): [0], (0, 1): [1, 2]}
    assert pair_kinds(((0,), (1, 2))) == {(0, 1): [0, 1], (1, 1): [2]}


def test_which_systems_get_it() -> None:
    def kind(**values) -> type:
        system = to_unit_masses(find_system("mixture")(**values))
        return type(build(system, explore(system), "auto", 4, 1, 0))

    assert kind(count_a=2, count_b=1) is kind(count_a=1, count_b=1, interaction="dipolar") is SpeciesNet

    class Alone(Oval):
        species = [("light", 1), ("heavy", 1, {"mass": 5.0})]

        def potential(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2))

    system = to_unit_masses(Alone())
    assert type(build(system, explore(system), "auto", 4, 1, 0)) is GenericNet


def test_contact_of_unequal_masses() -> None:
    """Where dipoles of two species meet, log ψ is that of their reduced mass: −2 √(2μ g/r) to leading order."""
    own = find_system("mixture")(count_a=1, count_b=2, mass_a=0.5, mass_b=8.0, interaction="dipolar", g_ab=1.3)
    system = to_unit_masses(own)
    net = build(system, explore(system), "auto", 4, 1, 0)
    r = torch.tensor([1e-3, 0.5e-3], dtype=torch.float64)
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 1.0]], dtype=torch.float64).repeat(2, 1, 1)
    x[:, 1, 0] += r
    rise = float(net.value(x * system.root(x)).diff())
    expected = {mass: -2 * math.sqrt(2 * mass * 1.3) * float((r**-0.5).diff()) for mass in (0.5 * 8 / 8.5, 0.5)}
    assert rise == pytest.approx(expected[0.5 * 8 / 8.5], rel=0.01)
    assert rise != pytest.approx(expected[0.5], rel=0.01), "the twin: the lighter mass in the place of the reduced one"
