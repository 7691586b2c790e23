"""Reference energies of systems: tables, closed forms, perturbation theory, other solvers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from some_systems import ATOM, DEFAULTS, THREE_CENTRES

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.systems.bosons import Bosons, Bosons3D
from fkflow.systems.clusters import Helium
from fkflow.systems.harmonic import Chain, Harmonic, Moshinsky
from fkflow.systems.molecules import H2, H2Plus, HeHPlus, Molecule
from fkflow.systems.pairs import Calogero, Dipoles, Hooke, Ions
from fkflow.systems.rings import HardRods, Lattice, LiebLiniger, Rotor, Sutherland
from fkflow.systems.wells import DoubleWell, MexicanHat, Morse, PoschlTeller, Quartic


def protons(*separation: float, charge: float = 1.0) -> list[dict]:
    return [
        {"position": [1.0, 1.0, 1.0], "charge": charge},
        {"position": [1.0 + d for d in separation], "charge": charge},
    ]


@pytest.mark.parametrize(
    ("system", "energy", "error"),
    [
        (Harmonic(), 6.0, 0),
        (Harmonic(particles=3, dimensions=2, omega=[1.0, 2.5]), 5.25, 0),
        (Chain(), 6.401422881903136, 0),
        (Chain(particles=64), 53.374502105215385, 0),
        (Chain(particles=2, omega0=1.0, k=4.0), 2.0, 0),
        (Quartic(a=0.0), 0.6679862591558, 1e-12),
        (Quartic(), 0.8037706512343, 1e-12),
        (Quartic(a=2.0, b=2.0**1.5), math.sqrt(2) * 0.8037706512343, 1e-11),
        (DoubleWell(), 0.9004067473103, 1e-12),
        (Morse(), 2.1110679774998, 1e-12),
        (PoschlTeller(lambda_=3.0), -4.5, 0),
        (MexicanHat(), 0.8694654093058, 1e-12),
        (H2(), -1.17447593, 3e-9),
        (H2(R=4), -1.0163902529, 1e-9),
        (H2Plus(), -0.602634214495, 1e-11),
        (HeHPlus(), -2.9787083, 3e-7),
        (find_system("h")(), -0.5, 0),
        (find_system("he")(), -2.903724377034, 1e-12),
        (find_system("h_minus")(), -0.527751016544, 1e-12),
        (Molecule(electrons=2, nuclei=[ATOM]), -2.903724377034, 1e-12),
        (Molecule(electrons=1, nuclei=[ATOM]), -2.0, 0),
        (Molecule(electrons=2, nuclei=protons(0, 1.4 * 0.6, 1.4 * 0.8)), -1.1744757142, 1e-9),
        # H2+ with charges 2 at R = 1 is H2+ at R = 2: E_el(Z, R) = Z² E_el(1, ZR)
        (Molecule(electrons=1, nuclei=protons(1, 0, 0, charge=2.0)), 4 * (-0.602634214495 - 0.5) + 4, 4e-11),
        (Bosons(), 7.6272098, 1e-7),
        (Bosons(particles=6), 14.170426, 2e-5),
        (Bosons(particles=5, g=0), 5.0, 0),
        (Bosons(particles=1, omega=3.0), 3.0, 0),
        (Bosons(particles=2), 2.715321216, 1e-9),
        (Bosons(particles=4, omega=4.0, s=0.25), 4 * 7.6272098, 4e-7),
        (Bosons(particles=2, omega=0.25, s=1.0), 0.25 * 2.715321216, 1e-9),
        # lengths double at a quarter of the frequency: g = 15 there is 30 here
        (Bosons3D(particles=3, g=30.0, omega=0.25, s=1.0), 0.25 * 5.49847868, 3e-9),
        (Bosons3D(), 7.8642716, 4e-7),
        (Bosons3D(particles=5, g=0, omega=2.0), 15.0, 0),
        (Bosons3D(particles=1), 1.5, 0),
        (Moshinsky(particles=1, omega=3.0), 4.5, 0),
        (Moshinsky(particles=5, dimensions=2, omega=2.0, kappa=1.0), 2.0 + 4 * 3.0, 0),
        (Moshinsky(particles=3, omega=1.0, kappa=-0.25), 1.5 * (1 + 2 * 0.5), 0),
        # two in one dimension: the relative motion has the force constant omega² + 2 kappa
        (Moshinsky(particles=2, dimensions=1, kappa=4.0), 0.5 * (1.0 + 3.0), 0),
        (Hooke(omega=0.5), 2.0, 1e-11),
        (Hooke(omega=0.1), 0.5, 1e-11),
        (Hooke(), 3.7301209543, 1e-10),
        # Taut: ψ = (1 + r) e^(−…) in a plane
        (Ions(particles=2, charge=1.0), 3.0, 1e-11),
        (Ions(particles=1, dimensions=3, omega=2.0), 3.0, 0),
        (Calogero(), 22.5, 0),
        (Calogero(particles=3, lambda_=1.5, omega=2.0), 12.0, 0),
        # impenetrable bosons: the fermions of Girardeau
        (Calogero(particles=4, lambda_=1.0), 8.0, 0),
        (Dipoles(dipole=2.0), 3.6092724251, 1e-9),
        (Helium(), -0.1264, 1e-5),
        (Rotor(depth=0.0), 0.0, 0),
        # Mathieu's equation y'' + (a − 2q cos 2v) y = 0 in a weak field, with E = depth/2 + a/8 and q = 2 depth
        (Rotor(depth=0.02), 0.01 + (-0.5 * 0.04**2 + 7 / 128 * 0.04**4) / 8, 1e-11),
        (Lattice(particles=2, c=0.0, sites=3, box=3.0, depth=0.0), 0.0, 0),
        (HardRods(), 7.895683520871486, 1e-12),
        (Sutherland(), 51.815423, 1e-6),
        # E/N = ½ n² e with e from the Bethe equations
        (LiebLiniger(), 2.5 * 0.60135651, 1e-7),
        (LiebLiniger(particles=2, box=2.0), 0.42676324, 1e-7),
        (LiebLiniger(particles=10, box=10.0), 5 * 0.62958512, 1e-7),
        # impenetrable bosons: free fermions on the ring
        (LiebLiniger(particles=3, box=2.0, c=1e4), math.pi**2 * (1 - 12 / 1e4 * 3 / 6), 2e-3),
    ],
)
def test_reference(system: System, energy: float, error: float) -> None:
    reference = system.reference()
    assert reference is not None
    assert reference.energy == pytest.approx(energy, abs=max(error, 1e-12 * abs(energy)))
    assert reference.error <= max(error, 1e-12 * abs(energy))
    assert len(reference.source) > 8 and "same" not in reference.source


@pytest.mark.parametrize(
    "system",
    [H2(R=1.7), Bosons(particles=8), Bosons(g=15.1), Bosons3D(particles=8), Bosons3D(g=15.1), THREE_CENTRES],
)
def test_unknown_energies_have_no_reference(system: System) -> None:
    assert system.reference() is None


@pytest.mark.parametrize(
    "system",
    [
        Bosons(particles=2, g=7.3, s=0.31, omega=2.2),
        Bosons3D(particles=2, g=7.3, s=0.31, omega=2.2),
        Quartic(a=-3.0),
        DoubleWell(height=5.0),
        MexicanHat(height=0.3, a=3.0),
    ],
)
def test_other_parameters_are_solved(system: System) -> None:
    reference = system.reference()
    assert reference is not None and reference.error < 1e-8 * abs(reference.energy)
    assert "spectral grid" in reference.source


def test_solved_pairs_scale() -> None:
    """Off the table as on it: E(omega, g, s) = omega E(1, g, s √omega), solved twice at the same g."""
    one = Bosons(particles=2, g=3.3, s=0.9, omega=1.0).reference()
    two = Bosons(particles=2, g=3.3, s=0.9 / 2, omega=4.0).reference()
    assert one is not None and two is not None
    assert two.energy == pytest.approx(4 * one.energy, rel=1e-12)


def test_weak_repulsion_in_space_is_perturbation_theory() -> None:
    """E = N D/2 + g N(N−1)/2 (π (s² + 2))^(−3/2) + O(g²): two from the radial equation, three from correlated Gaussians."""
    s = 0.5

    def first_order(particles: int, g: float) -> float:
        return 1.5 * particles + g * particles * (particles - 1) / 2 * (math.pi * (s**2 + 2)) ** -1.5

    shifts = {}
    for g in (1e-3, 1e-2):
        reference = Bosons3D(particles=2, g=g, s=s).reference()
        assert reference is not None
        shifts[g] = reference.energy - first_order(2, g)
    assert shifts[1e-3] < 0 and abs(shifts[1e-3]) < 1e-3 * (first_order(2, 1e-3) - 3)
    # what is left is of second order
    assert shifts[1e-2] == pytest.approx(100 * shifts[1e-3], rel=0.01)
    three, two = (Bosons3D(particles=n, g=1.0, s=s).reference() for n in (3, 2))
    assert three is not None and two is not None
    assert two.energy < first_order(2, 1.0) and three.energy < first_order(3, 1.0)
    # three pairs, each screened a little by the third
    assert 3 * (two.energy - 3) > three.energy - 4.5 > 0.97 * 3 * (two.energy - 3)


def test_two_ions_become_a_crystal() -> None:
    """The table of crystals is made as these two lines: what the series leaves of the exact energy is its next term."""
    left = []
    for charge in (8.0, 32.0):
        scale = charge ** (4 / 3)
        exact = Ions(particles=2, charge=charge).reference()
        assert exact is not None
        series = 1.190550789 * scale + (1 + math.sqrt(3) + 1) / 2 - 0.034997807 / scale
        left.append((exact.energy - series) * scale**2)
    np.testing.assert_allclose(left, [-0.019, -0.018], atol=6e-4)


def test_crystals_have_references() -> None:
    found = Ions(particles=8, charge=10.0).reference()
    assert found is not None and 501.9 + 9.8 < found.energy + 0.005 < 501.9 + 9.81 and 1e-3 < found.error < 1e-2
    slow = Ions(particles=8, charge=10.0 * 0.25**0.25, omega=0.25).reference()
    assert slow is not None and slow.energy == pytest.approx(0.25 * found.energy, rel=1e-12)
    assert Ions(particles=8, charge=4.0).reference() is None and Ions(particles=20, charge=10.0).reference() is None


def test_molecules_have_nuclei_and_units() -> None:
    nuclei = H2(R=2.0).nuclei()
    assert nuclei.positions == ((0.0, 0.0, -1.0), (0.0, 0.0, 1.0)) and nuclei.charges == (1.0, 1.0)
    assert (H2.energy_unit, H2.length_unit) == ("hartree", "bohr")
    for system in DEFAULTS:
        # Hooke's atom has a trap in place of its nucleus, point charges need none
        assert (system.nuclei() is None) == (system.energy_unit != "hartree" or system.key in ("hooke", "coulomb"))
