"""Free energies that are known: oscillators in closed form, one particle on a line by its levels on grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray

#: temperatures and ground-state energies up to which levels are kept, and most points of a grid
HEIGHT, POINTS = 45.0, 1600
#: most angular momenta of levels
MOMENTA = 60
#: points of the second grid over those of the first, and largest difference of F in units of 1 + |F|
FINER, TOLERANCE = 1.2, 1e-7


def oscillators(frequencies: Sequence[float], particles: int, beta: float, bosons: bool) -> float:
    """F of particles in a harmonic trap: Z_N = 1/N Σ_k z(kβ) Z_(N−k) for bosons, z^N for others."""

    def log_z(time: float) -> float:
        return -math.fsum(0.5 * w * time + math.log(-math.expm1(-w * time)) for w in frequencies)

    if not bosons:
        return -particles * log_z(beta) / beta
    one = [log_z(k * beta) for k in range(1, particles + 1)]
    logs = [0.0]
    for n in range(1, particles + 1):
        terms = [one[k - 1] + logs[n - k] for k in range(1, n + 1)]
        top = max(terms)
        logs.append(top + math.log(math.fsum(math.exp(t - top) for t in terms) / n))
    return -logs[particles] / beta


def relative_oscillators(frequencies: Sequence[float], particles: int, beta: float, bosons: bool) -> float:
    """F of the motion about the centre of mass, which permutations leave where it is."""
    return oscillators(frequencies, particles, beta, bosons) - oscillators(frequencies, 1, beta, False)


def on_a_line(potential: Callable[[Array], Array], beta: float, ground: float) -> tuple[float, float] | None:
    """F and its error of a particle of mass 1 in a well V(x) ≥ 0 with the ground-state energy `ground`, from two grids.

    None if they disagree. Levels are those of sinc functions (Colbert & Miller, J. Chem. Phys. 96, 1982 (1992)).
    """
    most = HEIGHT * (1 / beta + max(ground, 1e-3))
    half = 1e-3
    while float(potential(np.array([half]))[0]) < most or float(potential(np.array([-half]))[0]) < most:
        half *= 1.1
        if half > 1e6:
            return None
    points = math.ceil(2 * half * 1.3 * math.sqrt(2 * most) / math.pi)
    if FINER * points > POINTS:
        return None
    found = []
    for count in (points, math.ceil(FINER * points)):
        x = np.linspace(-half, half, count)
        step, i = x[1] - x[0], np.arange(count)
        apart = i[:, None] - i
        kinetic = np.where(apart == 0, math.pi**2 / 6, (-1.0) ** apart / np.where(apart == 0, 1, apart) ** 2) / step**2
        levels = np.linalg.eigvalsh(kinetic + np.diag(potential(x)))
        found.append(float(levels[0] - math.log(np.exp(-beta * (levels - levels[0])).sum()) / beta))
    error = abs(found[1] - found[0])
    return (found[1], error) if error < TOLERANCE * (1 + abs(found[1])) else None


def about_a_nucleus(charge: float, omega: float, beta: float | None, even: bool = False) -> tuple[float, float] | None:
    """F and its error of an electron about a nucleus in a trap of the frequency `omega`, or E0 without β, from two bases.

    With `even` there are even angular momenta alone, as in the relative motion of two bosons. None if the bases disagree, as
    they do for many levels or lengths that are far apart.
    """
    found = []
    for functions, larger in ((120, 1.0), (160, 1.15)):
        if beta is None:
            found.append(float(_radial_levels(charge, omega, 0, HEIGHT * omega, functions, larger)[0]))
            continue
        lowest, total = math.nan, 0.0
        for angular in range(0, MOMENTA, 2 if even else 1):
            levels = _radial_levels(charge, omega, angular, HEIGHT / beta, functions, larger)
            lowest = float(levels[0]) if angular == 0 else lowest
            part = (2 * angular + 1) * float(np.exp(-beta * (levels - lowest)).sum())
            total += part
            if part < 1e-12 * total:
                break
        else:
            return None
        found.append(lowest - math.log(total) / beta)
    error = abs(found[1] - found[0])
    return (found[1], error) if error < 10 * TOLERANCE * (1 + abs(found[1])) else None


def _radial_levels(
    charge: float, omega: float, angular: int, height: float, functions: int, larger: float
) -> np.ndarray:
    """Levels of −½ d²/dr² + l(l + 1)/2r² − charge/r + ½ omega² r², in differences of Legendre polynomials, 0 at the ends."""
    box = larger * math.sqrt(2 * (height + HEIGHT * omega)) / omega
    nodes, weights = np.polynomial.legendre.leggauss(functions + 60)
    r, weights = 0.5 * box * (nodes + 1), 0.5 * box * weights
    legendre, k = np.polynomial.legendre.legvander(nodes, functions + 1), np.arange(1, functions + 1)
    size = np.sqrt(2 * (2 * k + 1))
    values, slopes = (legendre[:, 2:] - legendre[:, :-2]) / size, legendre[:, 1:-1] * size / box
    potential = 0.5 * angular * (angular + 1) / r**2 - charge / r + 0.5 * omega**2 * r**2
    energy = 0.5 * (slopes.T * weights) @ slopes + (values.T * (weights * potential)) @ values
    lower = np.linalg.inv(np.linalg.cholesky((values.T * weights) @ values))
    return np.linalg.eigvalsh(lower @ energy @ lower.T)
