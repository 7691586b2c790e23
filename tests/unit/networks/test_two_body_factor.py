"""The factor of ψ for particles that meet: the two-particle equation, what it leaves of the local energy, its checks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from landscapes import explore
from scipy.special import iv, ivp, k0, k1
from torch import Tensor

from fkflow.errors import NumericalError, PotentialError
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.masses import to_solver_coordinates, to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build
from fkflow.networks.parts import Tape
from fkflow.networks.two_body_equation import TwoBodyEquation
from fkflow.networks.two_body_factor import HEALING, TwoBodyFactor, factor_of, two_body_factor
from fkflow.sampling.local_energy import local_energy

MEETING: dict[str, System] = {
    "hooke": find_system("hooke")(),
    "ions in a plane": find_system("ions")(particles=3, charge=1.5),
    "calogero": find_system("calogero")(particles=3, lambda_=1.7),
    "dipoles": find_system("dipoles")(particles=3),
    "helium": find_system("helium")(),
}


def pairs(energy: Any, dimensions: int, particles: int = 2, **more: Any) -> System:
    """Particles in a trap with this energy of a pair."""

    def potential(self: System, x: Tensor) -> Tensor:
        first, second = torch.triu_indices(particles, particles, 1)
        apart = (x[:, first] - x[:, second]).norm(dim=-1)
        return 0.5 * x.square().sum((1, 2)) + energy(apart).sum(-1)

    body = {"__module__": __name__, "particles": particles, "dimensions": dimensions, **more}
    own = {"potential": potential, "pair": lambda self, r: energy(r)}
    return type("Pairs", (System,), own | body)()


def total(factor: TwoBodyFactor, x: Tensor) -> Tensor:
    """log of the factor (B,) of configurations x (B, N, D)."""
    return factor(pair_squares(x), 1.0)


def derivatives(factor: TwoBodyFactor, dimensions: int, r: Tensor) -> tuple[Tensor, Tensor]:
    """f' and f'' at distances r of two particles."""

    def value(r: Tensor) -> Tensor:
        x = torch.zeros(len(r), 2, dimensions, dtype=r.dtype)
        return total(
            factor, torch.cat([x[:, :1], x[:, 1:] + r[:, None, None] * torch.eye(dimensions, dtype=r.dtype)[0]], 1)
        )

    r = r.clone().requires_grad_()
    (first,) = torch.autograd.grad(value(r).sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    return first.detach(), second


@pytest.mark.parametrize("name", MEETING)
def test_derivatives_against_automatic_differentiation(name: str) -> None:
    """At distances below the table, on it and beyond it: the value, the pull back and the Laplacian term."""
    factor = two_body_factor(to_unit_masses(MEETING[name]), 1.0)
    assert factor is not None
    square = torch.logspace(-20, 8, 400, dtype=torch.float64).reshape(2, 200).requires_grad_()
    value = factor(square, 2.0)
    (first,) = torch.autograd.grad(value.sum(), square, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), square)
    tape = Tape(derivatives=True)
    start = tape.start(square.detach())
    found, term = factor(start, 2.0), torch.zeros(200, dtype=torch.float64)
    tape.differentiate(term)
    assert torch.allclose(found.value, value.detach(), rtol=1e-12, atol=1e-12)
    assert torch.allclose(start.gradient, first.detach(), rtol=1e-10, atol=1e-14)
    assert (first[0, :9] != 0).all() and (first[1, -9:] == 0).all()
    assert torch.allclose(term, (8 * square * second).sum(0).detach(), rtol=1e-9, atol=1e-14)


def bessel(order: int, z: np.ndarray) -> np.ndarray:
    """I'/I."""
    return ivp(order, z) / iv(order, z)


#: energy of a pair, dimensions, d log u/dr of the state of energy 0, written by hand
EXACT = {
    "charges in a plane": (lambda r: 3 / r, 2, lambda r: np.sqrt(3 / r) * bessel(0, 2 * np.sqrt(3 * r))),
    "charges in space": (lambda r: 3 / r, 3, lambda r: np.sqrt(3 / r) * bessel(1, 2 * np.sqrt(3 * r)) - 0.5 / r),
    "1/r² on a line": (lambda r: 1.7 * 0.7 / r**2, 1, lambda r: 1.7 / r),
    "1/r² in space": (lambda r: 6 / r**2, 3, lambda r: 2 / r),
    "dipoles": (lambda r: 4 / r**3, 2, lambda r: 2 * r**-1.5 * k1(4 / np.sqrt(r)) / k0(4 / np.sqrt(r))),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_equation_of_two(name: str) -> None:
    """f' is that of the two-particle state times the healing, and f'' is what its equation says."""
    energy, dimensions, exact = EXACT[name]
    r = torch.logspace(-3, 0.5, 41, dtype=torch.float64)
    factor = two_body_factor(pairs(energy, dimensions), 1.0)
    assert factor is not None
    heal = torch.exp(-0.5 * (r / HEALING) ** 2)
    first, second = derivatives(factor, dimensions, r)
    slope = first / heal
    curvature = second / heal + slope * r / HEALING**2
    np.testing.assert_allclose(slope.numpy(), exact(r.numpy()), rtol=1e-6)
    scale = energy(r).abs() + slope.square()
    assert ((curvature + slope.square() + (dimensions - 1) / r * slope - energy(r)).abs() < 1e-5 * scale).all()
    # the twin: another strength
    assert (
        (curvature + slope.square() + (dimensions - 1) / r * slope - 1.1 * energy(r)).abs() > 0.02 * energy(r).abs()
    ).all()


def test_lengths_are_those_of_the_system() -> None:
    """The same physics in another unit: e^f is the same number, whatever the natural length is called."""
    small, large = pairs(lambda r: 3 / r, 3), pairs(lambda r: 3e-3 / r, 3)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, two = two_body_factor(small, 1.0), two_body_factor(large, 1e3)
    assert one is not None and two is not None
    assert torch.allclose(total(one, x), total(two, 1e3 * x), atol=1e-12)


def test_pieces_join_twice_differentiably() -> None:
    factor = two_body_factor(MEETING["dipoles"], 1.0)
    assert factor is not None
    nodes = torch.exp(factor.start + factor.step * torch.arange(5, 1500, 97, dtype=torch.float64))
    pair = two_body_factor(find_system("dipoles")(), 1.0)
    assert pair is not None
    for below, above in zip(
        derivatives(pair, 2, nodes * (1 - 1e-12)), derivatives(pair, 2, nodes * (1 + 1e-12)), strict=True
    ):
        assert torch.allclose(below, above, rtol=1e-7, atol=1e-12)


def test_atoms_that_bind_each_other_have_no_node() -> None:
    """Two helium atoms at energy 0 have a node near 100 Å: f has healed to a constant before."""
    system = to_unit_masses(MEETING["helium"])
    factor = two_body_factor(system, explore(system).length)
    assert factor is not None

    def at(*distances: float) -> Tensor:
        """f where two atoms are so many Å apart and the third is far away."""
        x = torch.zeros(len(distances), 3, 3, dtype=torch.float64)
        x[:, 1, 0], x[:, 2, 1] = torch.tensor(distances, dtype=torch.float64), 1e9
        value = total(factor, to_solver_coordinates(system, x))
        return value

    assert at(60.0, 99.0, 101.0, 1e6).abs().max() < 1e-4
    near = at(1.0, 2.0, 4.0)
    assert near[0] < -20 and near[1] < -1 and near[2] > 0.5


@pytest.mark.parametrize(
    "system",
    [find_system("bosons")(g=0.0), find_system("harmonic")(), find_system("chain")(), find_system("ions")(particles=1)],
)
def test_particles_that_meet_smoothly_have_no_factor(system: System) -> None:
    assert two_body_factor(system, 1.0) is None
    assert not any("meeting" in name for name in build(system, explore(system), "auto", 4, 1, 0).state_dict())


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_pair_without_energy_near_contact_does_not_part(dimensions: int) -> None:
    """No factor vanishes where v does: bosons on a line without energies would be fermions. The twin: λ(λ − 1)/r², λ = 2."""
    near = torch.tensor([[1e-12]], dtype=torch.float64)
    for pair in (torch.zeros_like, lambda r: (r - 1).clamp(min=0) * (-r).exp()):
        assert abs(float(factor_of(pair, 1.0, dimensions)(near, 1.0))) < 0.5
    assert float(factor_of(lambda r: 2 / r**2, 1.0, 1)(near, 1.0)) < -10


@pytest.mark.parametrize("end", [0.25, 2.0, 15.0])
def test_particles_that_attract_each_other_at_contact(end: float) -> None:
    """The energy −κ² with κ tanh(κ end) = −g/2 in a ring of 2 end; the twin: −g²/4 in open space."""
    closed = TwoBodyEquation(torch.zeros_like, 1.0, 1, end, contact=-2.0)
    slopes, energy = closed.solve_closed()
    kappa = math.sqrt(-energy)
    assert kappa * math.tanh(kappa * end) == pytest.approx(1.0, rel=1e-6) and len(slopes) == len(closed.t)
    assert slopes[-1] == pytest.approx(0.0, abs=0.02)
    slopes, energy = TwoBodyEquation(torch.zeros_like, 1.0, 1, contact=-2.0).solve()
    assert energy == pytest.approx(-1.0, rel=1e-6) and slopes[-1] < -900
    assert end > 10 or abs(kappa - 1) > 0.01


def test_a_distance_that_is_no_number_has_no_value() -> None:
    """Such a proposal is rejected; the table must not be left for it."""
    square = torch.tensor([[1.0, math.nan]], dtype=torch.float64)
    value = factor_of(lambda r: 2 / r**2, 1.0, 1)(square, 1.0)
    assert value.isnan().tolist() == [False, True]


def test_energies_that_are_not_finite_are_told() -> None:
    with pytest.raises(NumericalError, match=r"pair\(r\) is not finite at r = "):
        two_body_factor(pairs(lambda r: torch.log(r - 1.0), 2), 1.0)


# -------------------------------------------------------------------------------------------- in networks


def approach(system: System, r: float) -> Tensor:
    """Configurations in which the first two particles are at r from each other, about a fixed place; the rest is apart."""
    land = explore(system)
    x = land.start(1, torch.Generator().manual_seed(4)).repeat(32, 1, 1)
    direction = torch.randn(32, system.dimensions, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    half = 0.5 * r * direction / direction.norm(dim=1, keepdim=True)
    middle = x[:, :2].mean(1)
    others = x[:, 2:] - middle[:, None]
    x[:, 0], x[:, 1] = middle - half, middle + half
    x[:, 2:] = middle[:, None] + 2 * land.length * others / others.norm(dim=2, keepdim=True)
    return x


@pytest.mark.parametrize("name", ["hooke", "ions in a plane", "calogero", "dipoles"])
def test_the_local_energy_stays_finite_where_particles_meet(name: str, perturbed: Any) -> None:
    system = MEETING[name]
    net = perturbed(build(system, explore(system), "auto", 12, 2, 0), 0.1)
    r = 0.02 if name == "dipoles" else 1e-3  # V of dipoles loses its digits sooner

    def change() -> Tensor:
        """How E_L changes from 2r to r, in units of how V does."""
        near, far = approach(system, r), approach(system, 2 * r)
        rise = system.potential(near) - system.potential(far)
        return (local_energy(net, system, near) - local_energy(net, system, far)) / rise

    assert change().abs().max() < 2e-3
    # the twin: a strength that is 5 % off
    net.two_body_factor.pieces *= 1.05
    assert change().abs().min() > 0.02


@pytest.mark.parametrize("name", ["hooke", "ions in a plane", "calogero", "dipoles"])
def test_every_network_has_it(name: str) -> None:
    """log ψ of any kind falls with the factor as two particles approach each other."""
    system = MEETING[name]
    land = explore(system)
    for kind in ("symmetric", "generic"):
        net = build(system, land, kind, 4, 1, 0)
        near, far = approach(system, 0.2 * land.length), approach(system, 0.4 * land.length)
        expected = total(net.two_body_factor, near) - total(net.two_body_factor, far)
        rest = net(near) - net(far) - expected
        assert (expected < -0.03).all() and rest.std() < 0.3


def test_masses_count() -> None:
    """Heavier particles repel each other more: the cusp is q m/(D − 1)."""
    heavy = to_unit_masses(pairs(lambda r: 1 / r, 3, mass=2.5))
    factor = two_body_factor(heavy, 1.0)
    assert factor is not None
    z = torch.tensor([1e-4], dtype=torch.float64)
    # z = √m r
    assert float(derivatives(factor, 3, z)[0]) == pytest.approx(0.5 * 2.5 / math.sqrt(2.5), rel=1e-3)


# ------------------------------------------------------------------------------------------------ checks


@pytest.mark.parametrize("name", MEETING)
def test_systems_that_meet_pass(name: str) -> None:
    assert not [warning for warning in check(MEETING[name]).warnings if "two particles meet" in warning]


def told(pair: Any, energy: Any = lambda r: 1 / r, **more: Any) -> System:
    """A system that tells another pair(r) than its V has."""
    return pairs(energy, 3, **{"pair": lambda self, r: pair(r)} | more)


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (told(lambda r: 2 / r), r"V changes by .* not by .* as pair\(r\) says"),
        (told(lambda r: 0 * r), r"V changes by .* not by 0 as pair"),
        (told(lambda r: 1.0), r"pair\(r\) must give a torch tensor"),
        (told(lambda r: 1 / r.sum()), r"pair\(r\) must give a torch tensor of the shape of r"),
        (told(lambda r: r.nope), r"pair\(r\) of r \(2, 3\) raises AttributeError in line"),
        (told(lambda r: 1 / r, mass=[1.0, 2.0], identical=False), "for particles of one mass"),
    ],
)
def test_wrong_pairs_are_told(system: System, message: str) -> None:
    with pytest.raises(PotentialError, match=message):
        check(system)
