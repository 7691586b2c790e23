"""Potentials against expressions written another way, and their symmetries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from some_systems import DEFAULTS, KEYS, THREE_CENTRES

from fkflow.hamiltonian.box import lattice, spacing
from fkflow.hamiltonian.species import particle_masses
from fkflow.hamiltonian.system import System
from fkflow.systems.bosons import Bosons, Bosons3D
from fkflow.systems.clusters import HOLD, Helium
from fkflow.systems.harmonic import Chain, Harmonic, Moshinsky
from fkflow.systems.liquids import Charges2D, Dipoles2D, HardSpheres, Liquid, LiquidHelium, SoftDisks
from fkflow.systems.mixture import Mixture
from fkflow.systems.molecules import H2, H2Plus, HeHPlus
from fkflow.systems.pairs import Calogero, Dipoles, Hooke, Ions
from fkflow.systems.rings import HardRods, Lattice, LiebLiniger, Rotor, Sutherland
from fkflow.systems.trapped import TrappedMolecule
from fkflow.systems.wells import DoubleWell, MexicanHat, Morse, PoschlTeller, Quartic


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
