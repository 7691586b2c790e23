"""Densities of ground states that are known exactly, for `System.exact_density`; each integrates to 1 over its measure."""

from __future__ import annotations

import math

import numpy as np

from .solvers import Level

Array = np.ndarray

#: angles of the average over a circle: exact to rounding where the Gaussian's exponent stays below a few hundred
ANGLES = 128
#: degree of the polynomial fit to the logarithm of a density (right to 1e-9), and the distance beyond which it is below 1e-33
DEGREE, FAR = 64, 9.0


def gaussian(square: Array, variance: float | Array, dimensions: int) -> Array:
    """(2π variance)^(−D/2) exp(−square/(2 variance)): a density over dx^D of squared distances."""
    return np.exp(-square / (2 * variance)) / (2 * math.pi * variance) ** (dimensions / 2)


def trap(frequencies: tuple[float, ...], group: str, name: str, points: tuple[Array, ...]) -> Array | None:
    """Densities without interaction in a harmonic trap: of one particle along any axes, or of the distance of two.

    |φ0|² of one particle has the variance 1/(2ω) along each axis, the difference of two twice that. None for distances in
    a trap that is not round: they have no closed form.
    """
    if name != "r":
        variances = [0.5 / frequencies["xyz".index(axis)] for axis in name]
        factors = [gaussian(x**2, variance, 1) for x, variance in zip(points, variances, strict=True)]
        return np.asarray(math.prod(factors))
    if len(set(frequencies)) > 1:
        return None
    (r,), dim = points, len(frequencies)
    density = gaussian(r**2, (1.0 if group == "pair" else 0.5) / frequencies[0], dim)
    # a distance on a line is reached from both sides
    return 2 * density if dim == 1 else density


def coupled(covariance: Array, group: str, points: Array) -> Array:
    """Densities of oscillators on a line whose |φ0|² is a Gaussian of that covariance (N, N): of one or two."""
    own = np.diag(covariance)
    if group == "density":
        return np.asarray(np.mean([gaussian(points**2, variance, 1) for variance in own], 0))
    total, pairs = np.zeros_like(points), 0
    for i in range(len(own) - 1):
        # oscillators far apart in the row have nearly the same few variances
        variances = own[i] + own[i + 1 :] - 2 * covariance[i, i + 1 :]
        total += 2 * gaussian(points[..., None] ** 2, variances, 1).sum(-1)
        pairs += len(variances)
    return total / pairs


def two_in_a_trap(relative: Level, group: str, name: str, points: tuple[Array, ...]) -> Array:
    """Two particles in a round trap of frequency 1 in two or three dimensions, the ground state of ρ = r_12/√2 given.

    x_1 = (R + ρ)/√2 with R the centre of mass, a Gaussian: the density of one is an average over ρ and its direction.
    """
    dim = relative.dimensions
    if group == "pair":
        return math.pow(0.5, dim / 2) * relative.density(points[0] / math.sqrt(2))
    r = points[0] if name == "r" else np.hypot(*points)
    rho, shares = relative.quadrature()
    around = {2: _around_a_circle, 3: _around_a_sphere}[dim]

    def logarithm(distances: Array) -> Array:
        averages = [shares @ around(one, rho) for one in distances]
        return np.log(averages) + dim / 2 * math.log(2 / math.pi)

    # smooth: a map is interpolated from few places
    far = min(float(np.max(r)), FAR)
    fit = np.polynomial.Chebyshev.interpolate(logarithm, DEGREE, domain=[0.0, far] if far > 0 else [0.0, 1.0])
    return np.where(r <= FAR, np.exp(fit(np.minimum(r, FAR))), 0.0)


def _around_a_circle(r: float, rho: Array) -> Array:
    """exp(−|√2 r − ρ|²) averaged over the directions of ρ in a plane, for its lengths (n,)."""
    cosines = np.cos(2 * math.pi * (np.arange(ANGLES) + 0.5) / ANGLES)
    exponents = 2 * r**2 + rho[:, None] ** 2 - 2 * math.sqrt(2) * r * rho[:, None] * cosines
    return np.asarray(np.exp(-exponents).mean(1))


def _around_a_sphere(r: float, rho: Array) -> Array:
    """The same in space: exp(−2r² − ρ²) sinh(z)/z with z = 2√2 r ρ, without overflow."""
    twice = 4 * math.sqrt(2) * r * rho
    flattened = np.divide(-np.expm1(-twice), twice, out=np.ones_like(twice), where=twice > 0)
    return np.asarray(np.exp(-((math.sqrt(2) * r - rho) ** 2)) * flattened)
