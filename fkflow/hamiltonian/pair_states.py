"""Two charges that attract each other: the energy of their lowest bound state, without the motion of their centre of mass."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from fkflow.hamiltonian.interactions import Interaction

#: functions of the basis, and exponents that are tried, from strong to weak binding and about the best of them
FUNCTIONS, TRIED, AGAIN = 48, 49, 21
#: log of the smallest point of the quadrature in units of half a length, the largest point, and the step in the logarithm
SMALLEST, LARGEST, STEP = -30.0, 300.0, 0.01


@lru_cache(maxsize=256)
def pair_energy(mass: float, strength: float, dimensions: int, interaction: Interaction) -> float | None:
    """The lowest level of −Δ/(2 `mass`) + `strength` w(r) in D dimensions, `mass` the reduced one; None if nothing is bound.

    Closed form for Coulomb's law, −m s²/2 in 3D and −2 m s² in 2D; else by Rayleigh and Ritz, an upper bound, in the functions
    r^n exp(−r/b), the length b chosen to give the least energy.
    """
    if strength >= 0:
        return None
    if interaction.kind == "coulomb":
        return -2 * mass * strength**2 / (dimensions - 1) ** 2
    # neither a sheet nor a screened charge attracts more strongly than the bare charge
    strongest = 1 / (mass * -strength)
    lengths = strongest * np.geomspace(0.05, 1e4, TRIED)
    levels = [_level(mass, strength, dimensions, interaction, float(b)) for b in lengths]
    best = float(lengths[int(np.argmin(levels))])
    levels = [_level(mass, strength, dimensions, interaction, float(b)) for b in best * np.geomspace(0.8, 1.25, AGAIN)]
    lowest = min(levels)
    return lowest if lowest < -1e-12 * mass * strength**2 else None


def _level(mass: float, strength: float, dimensions: int, interaction: Interaction, b: float) -> float:
    """The lowest level in FUNCTIONS Laguerre functions of s = 2r/b, orthonormal with the weight s^(D−1) e^(−s)."""
    s, weights, values, slopes = _functions(dimensions)
    v = strength * interaction.energy(0.5 * b * s)
    kinetic = (2 / b) ** 2 / (2 * mass) * (slopes * weights) @ slopes.T
    return float(np.linalg.eigvalsh(kinetic + (values * (weights * v)) @ values.T)[0])


@lru_cache(maxsize=4)
def _functions(dimensions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points s and weights of a quadrature for s^(D−1), FUNCTIONS orthonormal functions there, and their derivatives.

    The trapezoidal rule in log s, whose error falls exponentially, also for 1/s and log s at 0.
    """
    s = np.exp(np.arange(SMALLEST, math.log(LARGEST), STEP))
    alpha = dimensions - 1
    values, degree = _laguerre(s, alpha, FUNCTIONS), np.arange(FUNCTIONS)[:, None]
    below = np.sqrt(degree * (degree + alpha)) * np.vstack([np.zeros_like(s), values[:-1]])
    return s, STEP * s**dimensions, values, (degree * values - below) / s - 0.5 * values


def _laguerre(s: np.ndarray, alpha: int, count: int) -> np.ndarray:
    """Laguerre polynomials times e^(−s/2) (count, points), orthonormal with the weight s^alpha."""
    found = [np.exp(-s / 2) / math.sqrt(math.gamma(alpha + 1))]
    before = np.zeros_like(s)
    for n in range(count - 1):
        left = math.sqrt(n * (n + alpha)) * before
        before = found[n]
        found.append(((2 * n + alpha + 1 - s) * before - left) / math.sqrt((n + 1) * (n + 1 + alpha)))
    return np.array(found)
