"""Pair potentials against published depths, places and zeros; two particles against published levels; clusters as systems."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp

from fkflow.errors import RecipeError
from fkflow.hamiltonian.free import break_up_energy
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.networks.choice import build
from fkflow.networks.symmetric import SymmetricNet
from fkflow.recipe.config import compose, make_system
from fkflow.sampling.local_energy import local_energy
from fkflow.systems import pair_potentials
from fkflow.systems.clusters import Argon, Cluster, Helium, Neon, Parahydrogen
from fkflow.systems.pair_potentials import PairPotential
from fkflow.systems.solvers import bound_pair

#: potential, published depth (K), place of the minimum and zero (Å), and energy of two (K) with a tolerance. Helium: Kolganova,
#: Motovilov and Sandhas, Phys. Part. Nucl. 40, 206 (2009); the level of TTY moves by 0.2 % with the fifth digit of the hartree.
#: Neon and argon: Aziz and Slaman; argon's level is the measured one, Herman, LaRocque and Stoicheff, J. Chem. Phys. 89, 4535.
PUBLISHED: dict[str, tuple[PairPotential, float, float, float | None, float, float]] = {
    "LM2M2": (pair_potentials.LM2M2, 10.97, 2.9695, 2.6417, -1.30348e-3, 1e-8),
    "HFDHE2": (pair_potentials.HFDHE2, 10.80, 2.9673, 2.6385, -0.83012e-3, 1e-8),
    "HFD-B": (pair_potentials.HFD_B, 10.948, 2.963, 2.6369, -1.68541e-3, 1e-8),
    "TTY": (pair_potentials.TTY, 10.985, 2.9721, 2.6457, -1.30962e-3, 4e-6),
    "neon": (pair_potentials.NEON, 42.25, 3.091, 2.759, -24.44, 0.01),
    "neon, LJ": (pair_potentials.NEON_LENNARD_JONES, 35.6, 2.749 * 2 ** (1 / 6), 2.749, -20.178, 1e-3),
    "argon": (pair_potentials.ARGON, 143.25, 3.761, 3.3560, -121.8, 0.2),
    "parahydrogen": (pair_potentials.PARAHYDROGEN, 31.76, 3.451, None, -3.708, 1e-3),
}
DEFAULTS = [Helium(), Neon(), Argon(), Parahydrogen()]


def values(model: PairPotential, r: Any) -> np.ndarray:
    found: np.ndarray = model.energy(torch.from_numpy(np.asarray(r, dtype=float))).numpy()
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_depth_minimum_and_zero(name: str) -> None:
    model, depth, minimum, zero, *_ = PUBLISHED[name]
    r = np.linspace(0.9 * minimum, 1.1 * minimum, 200001)
    v = values(model, r)
    assert -v.min() == pytest.approx(depth, rel=5e-4)
    assert r[v.argmin()] == pytest.approx(minimum, rel=2e-4)
    if zero is not None:
        below, above = values(model, [0.9995 * zero, 1.0005 * zero])
        assert below > 0 > above
    # it repels all the way in, and falls as r⁻⁶ far out
    inside = values(model, np.linspace(0.5, 0.85, 50) * minimum)
    assert (np.diff(inside) < 0).all() and inside.min() > 0
    far = values(model, [100.0, 200.0])
    assert far[0] / far[1] == pytest.approx(64, rel=2e-2) and far[0] < 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_two_particles(name: str) -> None:
    model, *_, energy, tolerance = PUBLISHED[name]
    found = bound_pair(lambda r: values(model, r), model.hbar2_over_mass)
    assert found is not None and found[1] < 1e-8 * abs(model.energy(torch.tensor(3.0)))
    assert found[0] == pytest.approx(energy, abs=tolerance)
    # the twin: a mass that is a tenth off
    twin = bound_pair(lambda r: values(model, r), 0.9 * model.hbar2_over_mass)
    assert twin is not None and abs(twin[0] - energy) > 3 * tolerance


def mismatch(strength: float, energy: float) -> float:
    """That of the logarithmic derivative at 60 Å, for two helium atoms of that energy and LM2M2 this much stronger."""
    hbar2 = pair_potentials.HELIUM
    kappa = math.sqrt(-energy / hbar2)

    def potential(r: float) -> float:
        return strength * float(values(pair_potentials.LM2M2, r))

    def riccati(r: float, u: np.ndarray) -> np.ndarray:
        return np.array([potential(r) / hbar2 + kappa**2 - u[0] ** 2])

    start = [math.sqrt(potential(1.6) / hbar2)]
    found = solve_ivp(
        riccati, (1.6, 60.0), start, method="Radau", rtol=1e-7, atol=1e-10, jac=lambda r, u: np.array([-2 * u])
    )
    return float(found.y[0, -1]) / kappa + 1


def test_the_level_by_another_method() -> None:
    """Riccati's equation for u'/u, which is −κ outside: 1.30348 mK as in the literature."""
    level = Helium(particles=2).reference()
    assert level is not None and abs(mismatch(1.0, level.energy)) < 2e-3
    # the twin: a potential that is a thousandth too strong
    assert abs(mismatch(1.001, level.energy)) > 0.02


def test_a_pair_in_closed_form() -> None:
    """A Morse potential for ħ²/m = 1: E = −(√D − ½)²."""

    def morse(r: np.ndarray) -> np.ndarray:
        z = np.exp(-(r - 8.0))
        return np.asarray(12.25 * (z**2 - 2 * z))

    found = bound_pair(morse, 1.0)
    # the wall at r = 0 is e^16 high
    assert found is not None and found[0] == pytest.approx(-9.0, abs=1e-6) and found[1] < 1e-6
    # a quarter of a quantum: none is bound
    assert bound_pair(lambda r: 0.015 * morse(r), 1.0) is None


def test_damping() -> None:
    """1 − e^(−z) Σ z^k/k! = ∫₀^z t^n e^(−t) dt/n!"""
    z = torch.tensor([0.3, 4.0, 20.0], dtype=torch.float64)
    found = pair_potentials.damping(6, z)
    known = [quad(lambda t: t**6 * math.exp(-t) / math.factorial(6), 0, float(one))[0] for one in z]
    assert found.tolist() == pytest.approx(known, rel=1e-10)


@pytest.mark.parametrize("system", DEFAULTS, ids=lambda system: system.key)
def test_clusters_are_free(system: Cluster) -> None:
    x = torch.randn(5, system.particles, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    moved = system.potential(x + torch.tensor([3.0, -1.0, 2.0]))
    assert torch.allclose(system.potential(x), moved, rtol=1e-12)
    assert system.potential(1e6 * x).abs().max() < 1e-20
    # the search for minima is the same code for all
    free = explore(to_unit_masses(system)).free if system.key in ("helium", "parahydrogen") else 0.0
    assert free == pytest.approx(0.0, abs=1e-9)
    threshold = break_up_energy(system, free)
    pair = system.known(2)
    # a pair and what is left, or two pairs
    assert pair is not None and threshold is not None
    assert threshold == pytest.approx(pair.energy * (system.particles // 2), rel=1e-12)


def test_thresholds_of_larger_clusters() -> None:
    """Five atoms part into four and one; six into four and two; eight into four and four."""
    four, two = -0.55898, -1.30348e-3
    assert [Helium(particles=n).threshold for n in (5, 6, 8)] == pytest.approx([four, four + two, 2 * four], abs=1e-7)


def test_masses_that_do_not_bind() -> None:
    heavy, light = (Helium(particles=2, atomic_mass=mass).reference() for mass in (4.5, 4.002602))
    assert heavy is not None and light is not None and heavy.energy < 3 * light.energy
    with pytest.raises(RecipeError, match="atomic_mass.*two atoms of this mass are not bound by LM2M2"):
        make_system(Helium, {"particles": 2, "atomic_mass": 3.01603})


def test_two_are_exact_from_the_start() -> None:
    """The network of two bound particles is their ground state: the local energy is the level wherever they are."""
    system = Helium(particles=2)
    unit = to_unit_masses(system)
    land = explore(unit)
    net = build(unit, land, "auto", 6, 1, 0)
    minimum = PUBLISHED["LM2M2"][2]
    x = torch.zeros(40, 2, 3, dtype=torch.float64)
    x[:, 1, 0] = minimum * torch.logspace(-0.08, 1.3, 40, dtype=torch.float64)
    level = system.known(2)
    assert level is not None
    depth = float(-system.pair(torch.tensor(minimum)))
    found = local_energy(net, unit, x * math.sqrt(system.mass))
    assert (found - level.energy).abs().max() < 1e-5 * depth
    # the twin: another potential
    other = Helium(particles=2, potential="HFD-B")
    assert (local_energy(net, to_unit_masses(other), x * math.sqrt(system.mass)) - level.energy).abs().max() > 0.1


def test_atoms_send_vectors() -> None:
    """With any weights ψ stays symmetric and free. Twin: a cluster that is stretched along an axis has another ψ."""
    system = to_unit_masses(Helium(particles=4))
    net = build(system, explore(system), "auto", 6, 1, 0)
    assert isinstance(net, SymmetricNet) and net.vector_messages is not None
    generator = torch.Generator().manual_seed(0)
    x = 3.0 * torch.randn(6, 4, 3, generator=generator, dtype=torch.float64)
    start = net(x)
    with torch.no_grad():
        for one in (net.vector_messages.weights, net.vector_messages.jastrow):
            one.normal_(generator=generator)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    moved = (x @ turn + torch.tensor([1.0, -2.0, 0.5]))[:, [2, 0, 3, 1]]
    assert torch.allclose(net(moved), net(x), rtol=1e-9) and not torch.allclose(net(x), start, rtol=1e-3)
    assert not torch.allclose(net(x * torch.tensor([1.01, 1.0, 1.0])), net(x), rtol=1e-6)


def test_recipes() -> None:
    loaded = compose(Helium(particles=2, potential="TTY"), {})
    assert loaded.recipe.resolved()["system"] == {
        "name": "helium",
        "particles": 2,
        "potential": "TTY",
        "trap": False,
        "atomic_mass": 4.002602,
    }
