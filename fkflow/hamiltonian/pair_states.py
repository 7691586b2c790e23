"""Two charges that attract each other: the energy of their lowest bound state, without the motion of their centre of mass."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from fkflow.hamiltonian.interactions import Interaction

#: functions of the basis, points of the quadrature, and exponents that are tried, from weak to strong binding
FUNCTIONS, POINTS, TRIED = 48, 160, 61
#: relative distance of neighbouring exponents in the second search
FINE = 0.02


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
    levels = [
        _level(mass, strength, dimensions, interaction, float(b))
        for b in best * np.geomspace(0.8, 1.25, round(1 / FINE))
    ]
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

    The points are those of Gauss and Laguerre (Golub and Welsch 1969); with the weights that e^(−s) has been taken out of,
    1/Σ f_n², no number is too large.
    """
    alpha = dimensions - 1
    k = np.arange(POINTS)
    side = np.sqrt(k[1:] * (k[1:] + alpha))
    s = np.linalg.eigvalsh(np.diag(2.0 * k + alpha + 1) + np.diag(side, 1) + np.diag(side, -1))
    found = [np.exp(-s / 2) / math.sqrt(math.gamma(alpha + 1))]
    before = np.zeros_like(s)
    for n in range(POINTS - 1):
        left = math.sqrt(n * (n + alpha)) * before
        before = found[n]
        found.append(((2 * n + alpha + 1 - s) * before - left) / math.sqrt((n + 1) * (n + 1 + alpha)))
    table = np.array(found)
    weights = 1 / np.square(table).sum(0)
    values, degree = table[:FUNCTIONS], np.arange(FUNCTIONS)[:, None]
    below = np.sqrt(degree * (degree + alpha)) * np.vstack([np.zeros_like(s), values[:-1]])
    return s, weights, values, (degree * values - below) / s - 0.5 * values
