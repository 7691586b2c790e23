"""Potentials against expressions written another way, symmetries, reference energies against the tables."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import fkflow.systems
from fkflow.cli.entry import main
from fkflow.hamiltonian import registry
from fkflow.hamiltonian.box import lattice, spacing
from fkflow.hamiltonian.registry import built_in_systems, find_system
from fkflow.hamiltonian.species import particle_masses
from fkflow.hamiltonian.system import System
from fkflow.systems import wells
from fkflow.systems.bosons import Bosons, Bosons3D
from fkflow.systems.clusters import HOLD, Helium
from fkflow.systems.harmonic import Chain, Harmonic, Moshinsky
from fkflow.systems.liquids import Charges2D, Dipoles2D, HardSpheres, Liquid, LiquidHelium, SoftDisks
from fkflow.systems.mixture import Mixture
from fkflow.systems.molecules import H2, H2Plus, HeHPlus, Molecule
from fkflow.systems.pairs import Calogero, Dipoles, Hooke, Ions
from fkflow.systems.rings import HardRods, Lattice, LiebLiniger, Rotor, Sutherland
from fkflow.systems.trapped import TrappedMolecule
from fkflow.systems.wells import DoubleWell, MexicanHat, Morse, PoschlTeller, Quartic

DEFAULTS = [system() for system in built_in_systems().values()]
KEYS = [system.key for system in DEFAULTS]


def configurations(system: System, batch: int = 7, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(system, Liquid):
        noise = torch.randn(batch, system.particles, system.dimensions, generator=generator, dtype=torch.float64)
        return lattice(system.particles, system.box) + 0.05 * spacing(system, system.box) * noise
    return torch.randn(batch, system.particles, system.dimensions, generator=generator, dtype=torch.float64)


def harmonic(system: Harmonic, x: np.ndarray) -> float:
    omega = system.omega if isinstance(system.omega, tuple) else [system.omega] * system.dimensions
    return sum(0.5 * omega[d] ** 2 * x[i, d] ** 2 for i in range(len(x)) for d in range(system.dimensions))


def chain(system: Chain, x: np.ndarray) -> float:
    n = system.particles
    matrix = np.diag(np.full(n, system.omega0**2))
    for i in range(n - 1):
        matrix[i : i + 2, i : i + 2] += system.k * np.array([[1, -1], [-1, 1]])
    return 0.5 * x[:, 0] @ matrix @ x[:, 0]


def bosons(system: Bosons, x: np.ndarray) -> float:
    trap = 0.5 * system.omega**2 * np.sum(x**2)
    strength = system.g / (math.sqrt(math.pi) * system.s) ** x.shape[1]
    pairs = itertools.combinations(x, 2)
    return trap + sum(strength * math.exp(-(math.dist(a, b) ** 2) / system.s**2) for a, b in pairs)


def moshinsky(system: Moshinsky, x: np.ndarray) -> float:
    springs = sum(0.5 * system.kappa * math.dist(a, b) ** 2 for a, b in itertools.combinations(x, 2))
    return 0.5 * system.omega**2 * np.sum(x**2) + springs


def repelling(system: System, x: np.ndarray, energy) -> float:
    return 0.5 * system.omega**2 * np.sum(x**2) + sum(energy(math.dist(a, b)) for a, b in itertools.combinations(x, 2))


def aziz_slaman(r: float) -> float:
    """LM2M2 for one distance, line by line as printed."""
    x = r / 2.9695
    damping = math.exp(-((1.4088 / x - 1) ** 2)) if x < 1.4088 else 1.0
    v = 189635.353 * math.exp(-10.70203539 * x - 1.90740649 * x * x)
    v -= damping * (1.34687065 / x**6 + 0.41308398 / x**8 + 0.17060159 / x**10)
    first, last = 1.003535949, 1.454790369
    if first <= x <= last:
        v += 0.0026 * (math.sin(2 * math.pi * (x - first) / (last - first) - math.pi / 2) + 1)
    return 10.97 * v


def helium(system: Helium, x: np.ndarray) -> float:
    held = 0.5 * len(x) / 12.12 * 0.2**2 * np.sum(x.mean(0) ** 2) - 0.3 if system.trap else 0.0
    return held + sum(aziz_slaman(math.dist(a, b)) for a, b in itertools.combinations(x, 2))


def aziz(r: float) -> float:
    """HFDHE2 (K) at r (Å)."""
    x = r / 2.9673
    damping = math.exp(-((1.241314 / x - 1) ** 2)) if x < 1.241314 else 1.0
    attraction = 1.3732412 / x**6 + 0.4253785 / x**8 + 0.1781 / x**10
    return 10.8 * (544850.4 * math.exp(-13.353384 * x) - damping * attraction)


def of_liquid(system: Liquid, x: np.ndarray, energy, cutoff: float | None = None) -> float:
    """The energies of all pairs whose nearest images are within the cut-off, half the shortest side if none is given."""
    total, box = 0.0, system.box
    for a, b in itertools.combinations(x, 2):
        images = itertools.product(*([d - side, d, d + side] for d, side in zip(a - b, box, strict=True)))
        r = min(math.hypot(*image) for image in images)
        total += energy(r) if r <= (cutoff or min(box) / 2) else 0.0
    return total


def of_charges(system: Liquid, x: np.ndarray) -> float:
    """Σ 1/r over all images of equal charges on a plane, in a background: half in space, half in waves, split at 3/(a side)."""
    (a, b), n, split = system.box, len(x), 3 / max(system.box)
    total = -split / math.sqrt(math.pi) * n - math.sqrt(math.pi) / (split * a * b) * n**2
    for i, j in itertools.product(range(-9, 10), repeat=2):
        for first, second in itertools.product(x, x):
            r = math.hypot(*(first - second + (i * a, j * b)))
            total += 0.5 * math.erfc(split * r) / r if r > 0 else 0.0
        if i or j:
            wave = 2 * math.pi * np.array([i / a, j / b])
            k = math.hypot(*wave)
            total += math.pi / (a * b * k) * math.erfc(k / (2 * split)) * abs(np.exp(1j * x @ wave).sum()) ** 2
    return total


def coulomb(system: System, x: np.ndarray) -> float:
    nuclei = system.nuclei()
    charges = [*zip(nuclei.positions, nuclei.charges, strict=True), *((r, -1.0) for r in x)]
    return sum(z * w / math.dist(p, q) for (p, z), (q, w) in itertools.combinations(charges, 2))


THREE_CENTRES = Molecule(
    electrons=2,
    nuclei=[
        {"position": [0, 0, 0], "charge": 1},
        {"position": [1.5, 0.2, 0], "charge": 0.5},
        {"position": [0, -1, 2.0], "charge": 2},
    ],
)


def mixture(system: Mixture, x: np.ndarray) -> float:
    mass = [system.mass_a] * system.count_a + [system.mass_b] * system.count_b
    omega = [system.omega_a] * system.count_a + [system.omega_b] * system.count_b
    energy = sum(0.5 * m * w**2 * np.sum(place**2) for m, w, place in zip(mass, omega, x, strict=True))
    for i, j in itertools.combinations(range(len(x)), 2):
        last = int(i >= system.count_a) + int(j >= system.count_a)
        g, r = (system.g_aa, system.g_ab, system.g_bb)[last], math.dist(x[i], x[j])
        height = g * (math.pi * system.s**2) ** (-system.dimensions / 2)
        energy += {
            "gaussian": height * math.exp(-(r**2) / system.s**2),
            "hard_core": math.inf if r < g else 0.0,
            "dipolar": g / r**3,
            "spring": 0.5 * g * r**2,
        }[system.interaction]
    return energy


def along_ring(system: System, a: float, b: float) -> float:
    """The distance of two places on a ring."""
    apart = abs(a - b) % system.box
    return min(apart, system.box - apart)


def of_ring(system: System, x: np.ndarray, energy) -> float:
    return sum(energy(along_ring(system, a, b)) for a, b in itertools.combinations(x[:, 0], 2))


STRENGTHS = {"g_aa": 0.3, "g_bb": 0.7, "g_ab": 0.2}


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (Mixture(), mixture),
        (Mixture(dimensions=3, count_a=1, count_b=4, mass_b=0.5, omega_a=2.0, g_ab=5.0, s=0.8), mixture),
        (Mixture(interaction="hard_core", **STRENGTHS), mixture),
        (Mixture(interaction="dipolar", mass_a=3.0, **STRENGTHS), mixture),
        (Mixture(interaction="spring", dimensions=1, omega_b=0.5, **STRENGTHS), mixture),
        (Harmonic(), harmonic),
        (Harmonic(particles=2, dimensions=3, omega=[0.5, 2.0, 3]), harmonic),
        (Chain(), chain),
        (Chain(particles=1), chain),
        (Chain(particles=5, omega0=0.7, k=3.0), chain),
        (Quartic(a=-2.0, b=0.5), lambda s, x: -(x[0, 0] ** 2) + 0.5 * x[0, 0] ** 4),
        (DoubleWell(height=3.0, a=1.5), lambda s, x: 3 * ((x[0, 0] / 1.5) ** 2 - 1) ** 2),
        (Morse(), lambda s, x: 10 * (1 - math.exp(-x[0, 0])) ** 2),
        (PoschlTeller(), lambda s, x: -6 / math.cosh(x[0, 0]) ** 2),
        (MexicanHat(), lambda s, x: 2 * ((x[0, 0] ** 2 + x[0, 1] ** 2) / 4 - 1) ** 2),
        (Bosons(), bosons),
        (Bosons(particles=3, g=2.0, s=1.3, omega=0.4), bosons),
        (Bosons3D(particles=3, g=2.0, s=1.3, omega=0.4), bosons),
        (Moshinsky(), moshinsky),
        (Moshinsky(particles=3, dimensions=2, omega=0.7, kappa=-0.1), moshinsky),
        (Hooke(omega=0.3), lambda s, x: repelling(s, x, lambda r: 1 / r)),
        (Ions(charge=3.0), lambda s, x: repelling(s, x, lambda r: 9 / r)),
        (Ions(particles=3, dimensions=3, omega=2.0), lambda s, x: repelling(s, x, lambda r: 100 / r)),
        (Calogero(lambda_=1.5), lambda s, x: repelling(s, x, lambda r: 0.75 / r**2)),
        (Dipoles(particles=4, dipole=3.0), lambda s, x: repelling(s, x, lambda r: 9 / r**3)),
        (Helium(particles=4), helium),
        (Helium(particles=4, trap=True), helium),
        (Rotor(depth=3.0, periods=2), lambda s, x: 1.5 * (1 - math.cos(2 * x[0, 0]))),
        (Lattice(particles=3, sites=4), lambda s, x: 4 * sum(math.sin(math.pi * 4 * a / 5) ** 2 for a in x[:, 0])),
        (HardRods(particles=3, a=0.4), lambda s, x: of_ring(s, x, lambda r: math.inf if r < 0.4 else 0.0)),
        (
            Sutherland(box=3.0, lambda_=3.5),
            lambda s, x: of_ring(s, x, lambda r: 8.75 * (math.pi / 3 / math.sin(math.pi * r / 3)) ** 2),
        ),
        (LiebLiniger(), lambda s, x: 0.0),
        (LiquidHelium(particles=8), lambda s, x: of_liquid(s, x, aziz)),
        (LiquidHelium(particles=6, dimensions=2, box_=(9.0, 8.0), cutoff=3.5), lambda s, x: of_liquid(s, x, aziz, 3.5)),
        (HardSpheres(particles=5, a=4.0), lambda s, x: of_liquid(s, x, lambda r: math.inf if r < 4 else 0.0)),
        (SoftDisks(particles=9, box_=3.0), lambda s, x: of_liquid(s, x, lambda r: 20.0 if r < 1 else 0.0)),
        (Dipoles2D(particles=9, g=2.0), lambda s, x: of_liquid(s, x, lambda r: 2 / r**3)),
        (Charges2D(particles=3, box_=(2.0, 3.0), g=0.7), lambda s, x: 0.7 * of_charges(s, x)),
        (H2(), coulomb),
        (H2Plus(), coulomb),
        (HeHPlus(), coulomb),
        (THREE_CENTRES, coulomb),
        (
            TrappedMolecule(omega=0.7, **THREE_CENTRES.parameters()),
            lambda s, x: coulomb(s, x) + 0.5 * 0.49 * np.sum(x**2),
        ),
    ],
    ids=lambda value: value.key if isinstance(value, System) else "",
)
def test_potential(system: System, expected) -> None:
    x = configurations(system)
    values = system.potential(x)
    assert values.shape == (7,)
    # Ewald's sum ends after seven digits
    digits = 1e-7 if system.key == "charges2d" else 1e-12
    np.testing.assert_allclose(values.numpy(), [expected(system, each) for each in x.numpy()], rtol=digits)


@pytest.mark.parametrize("system", DEFAULTS, ids=KEYS)
def test_potential_keeps_dtype_and_differentiates(system: System) -> None:
    x = configurations(system)
    if system.key == "hard_rods":
        x = 2.0 * torch.arange(5, dtype=x.dtype)[:, None] + 0.1 * x
    x = x[:2].requires_grad_()
    assert torch.autograd.gradcheck(system.potential, x, atol=1e-4, rtol=1e-4)
    single = system.potential(x.detach().float())
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), system.potential(x.detach()), rtol=1e-4)


IN_OPEN_SPACE = [system for system in DEFAULTS if getattr(system, "box", None) is None]


@pytest.mark.parametrize("system", IN_OPEN_SPACE, ids=lambda system: system.key)
def test_potential_far_away_has_finite_gradients(system: System) -> None:
    x = (100 * configurations(system).abs() + 10).requires_grad_()
    (gradient,) = torch.autograd.grad(system.potential(x).sum(), x)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("system", [s for s in DEFAULTS if s.particles > 1], ids=lambda s: s.key)
def test_exchange_symmetry(system: System) -> None:
    x = configurations(system)
    order = [*range(1, system.particles), 0]
    same = torch.allclose(system.potential(x), system.potential(x[:, order]), rtol=1e-12)
    assert same is system.identical


@pytest.mark.parametrize("system", [*IN_OPEN_SPACE, Harmonic(omega=[1.0, 1.0, 2.0])])
def test_isotropy(system: System) -> None:
    x = configurations(system)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(system.dimensions, system.dimensions)))
    turned = -x @ torch.as_tensor(rotation)
    same = torch.allclose(system.potential(x), system.potential(turned), rtol=1e-12)
    # the chain is even, which in one dimension is all a rotation can do, but its particles are not alike
    assert (same and system.key != "chain") is system.isotropic


@pytest.mark.parametrize("system", [*DEFAULTS, Helium(trap=True)], ids=[*KEYS, "helium in a trap"])
def test_separable_traps_have_a_harmonic_centre_of_mass(system: System) -> None:
    if not system.separable:
        plain = ("harmonic", "bosons", "bosons3d", "moshinsky", "hooke", "ions", "calogero", "dipoles")
        assert system.key not in plain
        return
    x = configurations(system)
    shift = torch.full((1, 1, system.dimensions), 0.3, dtype=x.dtype)
    work = system.potential(x + shift) - system.potential(x)
    if isinstance(system, Harmonic):
        omega = np.array(system.frequencies())
    elif isinstance(system, Helium):
        omega = np.full(3, HOLD * system.mass**0.5)
    else:
        omega = np.full(system.dimensions, 1.0 if isinstance(system, Mixture) else system.omega)
    mass = np.array(particle_masses(system) if isinstance(system, Mixture) else [1.0] * system.particles)[:, None]
    expected = (((mass * x.numpy()).sum(1) * 0.3 + 0.5 * mass.sum() * 0.09) * omega**2).sum(-1)
    rounding = 1e-14 * float(system.potential(x).abs().max())
    np.testing.assert_allclose(work.numpy(), expected, rtol=1e-10, atol=rounding)


def test_the_curvature_at_the_poschl_teller_minimum() -> None:
    hessian = torch.func.hessian(lambda x: PoschlTeller().potential(x.reshape(1, 1, 1))[0])
    assert hessian(torch.zeros(1, dtype=torch.float64)).item() == pytest.approx(12.0)


ATOM = {"position": [3.0, 1.0, 0.0], "charge": 2.0}


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


@pytest.mark.parametrize("system", [*DEFAULTS, THREE_CENTRES, Harmonic(omega=[1.0, 2.0, 3.0])])
def test_parameters_make_the_same_system(system: System) -> None:
    assert type(system)(**system.parameters()) == system
    assert hash(system) == hash(type(system)(**system.parameters()))


@pytest.mark.parametrize(
    ("system", "parameters"),
    [
        (Harmonic, {"omega": [1.0, 2.0]}),
        (Harmonic, {"omega": -1.0}),
        (Harmonic, {"particles": 0}),
        (Harmonic, {"omega": [1.0, 2.0, 0.0]}),
        (Chain, {"k": -1.0}),
        (Quartic, {"b": 0.0}),
        (Morse, {"depth": 0.1, "a": 1.0}),
        (Bosons, {"g": -1.0}),
        (Bosons, {"s": 0.0}),
        (Bosons3D, {"g": -1.0}),
        (Moshinsky, {"kappa": -0.25}),
        (Moshinsky, {"kappa": -0.0625, "particles": 16}),
        (Moshinsky, {"kappa": -0.5, "omega": 1.0}),
        (Moshinsky, {"kappa": 1e7}),
        (Moshinsky, {"kappa": True}),
        (Moshinsky, {"omega": [1.0, 1.0, 1.0]}),
        (H2, {"R": 0.0}),
        (Molecule, {"electrons": 3}),
        (Molecule, {"nuclei": []}),
        (Molecule, {"nuclei": [ATOM, ATOM]}),
        (Molecule, {"nuclei": [{"position": [0, 0], "charge": 1.0}]}),
        (Molecule, {"nuclei": [{"position": [0, 0, 0], "charge": -1.0}]}),
        (H2, {"R": "1.4"}),
        (Bosons, {"particles": 2.0}),
        (Bosons, {"extra": 1}),
        (Ions, {"dimensions": 1}),
        (Ions, {"charge": -1.0}),
        (Calogero, {"lambda": 0.5}),
        (Dipoles, {"dipole": -1.0}),
        (Helium, {"particles": 1}),
        (Helium, {"particles": 2, "atomic_mass": 3.01603}),
    ],
)
def test_impossible_parameters(system: type[System], parameters: dict) -> None:
    with pytest.raises(ValidationError):
        system(**parameters)


def test_a_new_system_is_a_class_and_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines and a name in SYSTEMS are enough for list, check and run."""

    class Sextic(wells.Well):
        def potential(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2)) ** 3

    monkeypatch.setattr(wells, "Sextic", Sextic, raising=False)
    monkeypatch.setattr(fkflow.systems, "SYSTEMS", (*fkflow.systems.SYSTEMS, "wells:Sextic"))
    monkeypatch.chdir(tmp_path)
    registry._built_in.cache_clear()
    try:
        assert main(["list"]) == 0 and "Sextic" in capsys.readouterr().out
        (tmp_path / "sextic.toml").write_text('[system]\nname = "Sextic"\n')
        assert main(["check", "sextic"]) == 0 and "no fault found" in capsys.readouterr().out
        brief = ["train.walkers=128", "train.iterations=15", "measure.target_error=0.003", "project.seconds=0"]
        options = [part for setting in brief for part in ("--set", setting)]
        assert main(["run", "sextic", "--seed", "1", "--threads", "1", "--json", *options]) == 0
        energy = json.loads(capsys.readouterr().out)["variational"]
    finally:
        registry._built_in.cache_clear()
    assert abs(energy["energy"] - 0.680703611) < 5 * energy["error"] + 2e-3
