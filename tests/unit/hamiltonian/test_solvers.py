"""The deterministic solver against closed forms, the tables and an independent finite-difference matrix."""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from fkflow.hamiltonian.registry import find_system
from fkflow.systems.references import _BOSONS, _BOSONS_3D
from fkflow.systems.solvers import radial_ground_state


def two_bosons(g: float, s: float, omega: float = 1.0):
    """Relative motion of two bosons in ρ = r_12/√2."""
    return lambda rho: 0.5 * (omega * rho) ** 2 + g / (math.pi * s**2) * np.exp(-2 * (rho / s) ** 2)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("omega", [1e-5, 0.2, 1.0, 5.0, 1e5])
def test_harmonic_wells_of_any_size(dimensions: int, omega: float) -> None:
    level = radial_ground_state(lambda r: 0.5 * (omega * r) ** 2, dimensions)
    assert level.energy == pytest.approx(dimensions * omega / 2, rel=1e-11)
    assert level.error < 1e-9 * omega


@pytest.mark.parametrize("strength", [2.0, 3.0, 10.0])
def test_poschl_teller(strength: float) -> None:
    depth = 0.5 * strength * (strength + 1)
    level = radial_ground_state(lambda x: -depth / np.cosh(np.minimum(x, 300)) ** 2, 1)
    assert level.energy == pytest.approx(-0.5 * strength**2, rel=1e-11)


@pytest.mark.parametrize(
    ("well", "dimensions", "energy"),
    [
        (lambda x: x**4, 1, 0.6679862591558),
        (lambda x: 0.5 * x**2 + x**4, 1, 0.8037706512343),
        (lambda x: 2 * ((x / 2) ** 2 - 1) ** 2, 1, 0.9004067473103),
        (lambda r: 2 * ((r / 2) ** 2 - 1) ** 2, 2, 0.8694654093058),
    ],
)
def test_wells_of_the_table(well, dimensions: int, energy: float) -> None:
    assert radial_ground_state(well, dimensions).energy == pytest.approx(energy, abs=2e-12)


@pytest.mark.parametrize(("g", "s"), [key[1:] for key in _BOSONS if key[0] == 2])
def test_two_bosons_of_the_table(g: float, s: float) -> None:
    level = radial_ground_state(two_bosons(g, s), 2, feature=s)
    assert 1 + level.energy == pytest.approx(_BOSONS[2, g, s][0], abs=1e-9)


@pytest.mark.parametrize(
    ("well", "extent"),
    [
        (lambda x: 6 * ((x / 3) ** 2 - 1) ** 2, 8.0),
        (lambda x: -5 * x**2 + 0.3 * x**4, 8.0),
        (lambda x: 1e3 * ((x / 0.3) ** 2 - 1) ** 2, 1.0),
    ],
)
def test_finite_differences_on_the_whole_line(well, extent: float) -> None:
    """The even half-line problem is that of the whole line (second-order differences, extrapolated)."""

    def differences(n: int) -> float:
        x, h = np.linspace(-extent, extent, n, retstep=True)
        hops = np.full(n - 1, -0.5 / h**2)
        return float(eigh_tridiagonal(1 / h**2 + well(x), hops, select="i", select_range=(0, 0))[0][0])

    coarse, fine = differences(2001), differences(4001)
    assert radial_ground_state(well, 1).energy == pytest.approx(fine + (fine - coarse) / 3, rel=3e-8)


@pytest.mark.parametrize("s", [1e-3, 0.05, 1.0, 1e3])
@pytest.mark.parametrize("g", [1e-6, 1.0, 1e3, 1e6])
def test_extreme_pairs_converge(g: float, s: float) -> None:
    level = radial_ground_state(two_bosons(g, s), 2, feature=s)
    assert level.error <= 1e-8 * level.energy
    assert level.energy > 1.0


def test_weak_coupling_is_perturbation_theory() -> None:
    """First order in g for two bosons in the trap's ground state: <U> = g/(π (s² + 2/omega))."""
    g = 1e-6
    level = radial_ground_state(two_bosons(g, 1.0), 2, feature=1.0)
    assert level.energy - 1 == pytest.approx(g / (3 * math.pi), rel=1e-5)


def test_an_unconfining_potential_is_refused() -> None:
    with pytest.raises(ArithmeticError):
        radial_ground_state(lambda r: 0.0 * r, 2)


def test_it_is_fast() -> None:
    radial_ground_state(two_bosons(15, 0.5), 2, feature=0.5)
    seconds = []
    for g in (16, 17, 18):  # the machine may be busy with something else
        start = time.thread_time()
        radial_ground_state(two_bosons(g, 0.5), 2, feature=0.5)
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.5


def correlated_gaussians():
    """The script that made the table of bosons in space."""
    path = Path(__file__).resolve().parents[3] / "scripts" / "correlated_gaussians.py"
    spec = importlib.util.spec_from_file_location("correlated_gaussians", path)
    assert spec is not None and spec.loader is not None
    sys.modules["correlated_gaussians"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("particles", "dimensions", "energy", "functions", "above"),
    [
        (2, 2, _BOSONS[2, 15.0, 0.5][0], 24, 2e-8),
        (2, 3, find_system("bosons3d")(particles=2).reference().energy, 24, 2e-8),
        # exact diagonalisation, another method
        (3, 2, _BOSONS[3, 15.0, 0.5][0], 60, 2e-4),
        (3, 3, _BOSONS_3D[3, 15.0, 0.5][0], 60, 1e-5),
    ],
)
def test_correlated_gaussians_come_down_to_the_energy(
    particles: int, dimensions: int, energy: float, functions: int, above: float
) -> None:
    script = correlated_gaussians()
    found = script.solve(script.Problem(particles, dimensions, 15.0, 0.5), functions, 0, 24, 0)
    assert -2e-9 < found - energy < above
    # the twin: another range is another energy
    other = script.solve(script.Problem(particles, dimensions, 15.0, 0.45), 12, 0, 24, 0)
    assert abs(other - energy) > 5e-3
