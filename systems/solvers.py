"""Deterministic ground states of one radial variable: references for wells without a closed form.

−½ u'' − (D−1)/(2r) u' + V(r) u = E u on r ≥ 0 with u'(0) = 0 is the ground state of a radial potential in D
dimensions; D = 1 gives the even ground state of an even one-dimensional well. Spectral elements (integrated
Legendre shape functions) are laid out by the WKB phase, so no scale of length or energy has to be given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

Array = np.ndarray
Potential = Callable[[Array], Array]

#: largest difference between the two grids, relative to the energy (or its height above the well's floor)
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Level:
    """An energy level and its error, estimated from two grids that differ in box, elements and degree; and its state.

    `coefficients` are those of the shape functions of `degree` on elements between `edges`, normalised over `dimensions`.
    """

    energy: float
    error: float
    dimensions: int = field(repr=False)
    edges: Array = field(repr=False, compare=False)
    degree: int = field(repr=False)
    coefficients: Array = field(repr=False, compare=False)

    def density(self, r: Array) -> Array:
        """|u|² at radii r (any shape), which integrates to 1 over S_D r^(D−1) dr; 0 beyond the mesh."""
        flat = np.ravel(np.abs(np.asarray(r, dtype=float)))
        element = np.clip(np.searchsorted(self.edges, flat, side="right") - 1, 0, len(self.edges) - 2)
        left, right = self.edges[element], self.edges[element + 1]
        values, _ = _shape_functions(self.degree, 2 * (flat - left) / (right - left) - 1)
        own = self.coefficients[self.degree * element + np.arange(self.degree + 1)[:, None]]
        inside = (flat >= self.edges[0]) & (flat <= self.edges[-1])
        return np.where(inside, (own * values).sum(0) ** 2, 0.0).reshape(np.shape(r))

    def quadrature(self) -> tuple[Array, Array]:
        """Radii (n,) and the weights (n,) of the density at them: averages over the state are weighted sums."""
        points, weights, _, _ = _shapes(self.degree)
        left, right = self.edges[:-1, None], self.edges[1:, None]
        r = (left + (right - left) * (points + 1) / 2).ravel()
        measure = (weights * (right - left) / 2).ravel() * r ** (self.dimensions - 1) * _sphere(self.dimensions)
        return r, measure * self.density(r)


def _sphere(dimensions: int) -> float:
    """S_D: the surface of the unit sphere, 2, 2π, 4π, …"""
    return float(2 * math.pi ** (dimensions / 2) / math.gamma(dimensions / 2))


def radial_ground_state(potential: Potential, dimensions: int, feature: float | None = None) -> Level:
    """Lowest level of a radial potential V(r), r (n,) → (n,), in `dimensions` D (hbar = m = 1).

    `feature` is the radius of a structure of V about the origin that may be smaller than the wave function.
    Raises ArithmeticError where V does not confine or the two grids differ by more than `TOLERANCE`.
    """
    radii, values, floor = _probe(potential)
    guess = _wkb_energy(radii, values, floor)
    levels = []
    for decay, phase_per_element, degree in ((20.0, 3.0, 16), (26.0, 2.4, 20)):
        edges = _mesh(radii, values, guess, floor, decay, phase_per_element, feature)
        level, state = _lowest(potential, floor, edges, dimensions, degree)
        levels.append(level)
    coarse, fine = levels
    error = max(abs(fine - coarse), 1e-12 * abs(fine), 1e-12 * abs(floor))
    if not error <= TOLERANCE * max(abs(fine), fine - floor):
        raise ArithmeticError(f"two grids give {coarse!r} and {fine!r}")
    return Level(fine, error, dimensions, edges, degree, state)


def _probe(potential: Potential) -> tuple[Array, Array, float]:
    """Radii dense about the origin and about the minimum of V, V there, and that minimum."""
    distances = np.geomspace(1e-9, 1e9, 4001)
    radii = np.concatenate([[0.0], distances])
    for _ in range(6):
        values = potential(radii)
        lowest = int(np.argmin(values))
        left, right = radii[max(lowest - 1, 0)], radii[min(lowest + 1, len(radii) - 1)]
        radii = np.unique(np.concatenate([radii, np.linspace(left, right, 33)]))
    minimum = radii[int(np.argmin(potential(radii)))]
    around = np.concatenate([radii, minimum + distances, minimum - distances])
    radii = np.unique(around[around >= 0])
    values = potential(radii)
    return radii, values, float(values.min())


def _wkb_energy(radii: Array, values: Array, floor: float) -> float:
    """Energy whose phase ∫ √(2(E−V)) dr is π/2: close enough to the ground state to lay out a mesh."""
    steps = np.diff(radii)

    def phase(energy: float) -> float:
        wave_number = np.sqrt(2 * np.clip(energy - values, 0.0, None))
        return float(np.sum(0.5 * (wave_number[1:] + wave_number[:-1]) * steps))

    low, high = -40.0, 40.0  # decimal exponents of the energy above the floor
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if phase(floor + 10.0**middle) < np.pi / 2 else (low, middle)
    energy: float = floor + 10.0**high
    if not energy < values[-1]:
        raise ArithmeticError("the potential does not confine")
    return energy


def _mesh(
    radii: Array, values: Array, energy: float, floor: float, decay: float, phase: float, feature: float | None
) -> Array:
    """Edges of elements of equal WKB phase, out to where the wave function has fallen by e^−decay.

    The first edge is 0 unless a barrier of the same exponent shuts the origin off.
    """
    steps = np.diff(radii)
    gap = energy - values
    wave_number = np.sqrt(2 * np.abs(gap))
    barrier = np.where(gap < 0, wave_number, 0.0)
    exponent = np.concatenate([[0.0], np.cumsum(0.5 * (barrier[1:] + barrier[:-1]) * steps)])
    allowed = np.flatnonzero(gap > 0)
    inner, outer = exponent[allowed[0]], exponent[allowed[-1]]
    inside = (exponent >= inner - decay) & (exponent <= outer + decay)
    density = wave_number + np.sqrt(energy - floor)
    if feature is not None:
        density = density + 4 / (radii + feature)
    count = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * steps)])
    first, last = count[inside][[0, -1]]
    elements = int(np.ceil((last - first) / phase)) + 1
    edges: Array = np.interp(np.linspace(first, last, elements + 1), count, radii)
    return edges


@cache
def _shapes(degree: int) -> tuple[Array, Array, Array, Array]:
    """Gauss points and weights on [−1, 1] with shape functions and derivatives there, (degree + 1, points).

    The first and last shape are the linear ones of the two ends; between them ∫ P_k, which vanish at both.
    """
    points, weights = np.polynomial.legendre.leggauss(degree + 4)
    return points, weights, *_shape_functions(degree, points)


def _shape_functions(degree: int, points: Array) -> tuple[Array, Array]:
    """Shape functions and their derivatives at points (n,) of [−1, 1], (degree + 1, n) each."""
    legendre = np.polynomial.legendre.legvander(points, degree).T
    k = np.arange(1, degree)[:, None]
    norm = np.sqrt(k + 0.5)
    bubbles = norm * (legendre[2:] - legendre[:-2]) / (2 * k + 1)
    values = np.concatenate([[(1 - points) / 2], bubbles, [(1 + points) / 2]])
    half = np.full((1, len(points)), 0.5)
    slopes = np.concatenate([-half, norm * legendre[1:-1], half])
    return values, slopes


def _lowest(potential: Potential, floor: float, edges: Array, dimensions: int, degree: int) -> tuple[float, Array]:
    """Lowest level on a mesh and its normalised coefficients.

    Rayleigh–Ritz, with u = 0 at the far edge and at a first edge that is not 0.
    """
    points, weights, values, slopes = _shapes(degree)
    size = degree * (len(edges) - 1) + 1
    energy, overlap = np.zeros((size, size)), np.zeros((size, size))
    elements = []
    for e, (left, right) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        r = left + (right - left) * (points + 1) / 2
        measure = weights * (right - left) / 2 * r ** (dimensions - 1)
        slope = slopes * 2 / (right - left)
        height = potential(r) - floor
        block = slice(degree * e, degree * (e + 1) + 1)
        energy[block, block] += (slope * (0.5 * measure)) @ slope.T + (values * (measure * height)) @ values.T
        overlap[block, block] += (values * measure) @ values.T
        elements.append((block, measure, slope, height))
    keep = slice(1 if edges[0] > 0 else 0, size - 1)
    energy, overlap = energy[keep, keep], overlap[keep, keep]
    scale = 1 / np.sqrt(np.diag(overlap))
    factor = np.linalg.cholesky(overlap * np.outer(scale, scale))
    reduced = np.linalg.solve(factor, np.linalg.solve(factor, energy * np.outer(scale, scale)).T)
    vector = np.zeros(size)
    vector[keep] = scale * np.linalg.solve(factor.T, np.linalg.eigh(reduced)[1][:, 0])
    # the quotient of the found state loses far fewer digits than the eigenvalue of a stiff matrix
    above, norm = 0.0, 0.0
    for block, measure, slope, height in elements:
        u, du = vector[block] @ values, vector[block] @ slope
        above += float(measure @ (0.5 * du**2 + height * u**2))
        norm += float(measure @ u**2)
    return floor + above / norm, vector / math.sqrt(norm * _sphere(dimensions))


#: steps per factor e of the distance of two particles, for a level and for its error; places beyond which r²|V − E| is cut off
STEPS, MOST = (500, 1000), 1e5
#: shortest and longest distance, in those at which V is lowest, and halvings of the interval of energies
CLOSE, AWAY, HALVINGS = 0.1, 3e3, 80


def bound_pair(potential: Potential, hbar2_over_mass: float) -> tuple[float, float] | None:
    """Energy and its error of the lowest bound state of two equal particles in space; None if there is none.

    u'' = (V(r) − E) u · m/ħ² for V(r), r (n,) → (n,), that repels at short distances, attracts farther out and vanishes far
    away. Numerov's method for u/√r on an even grid of log r; the error is the difference of two grids.
    """
    distances = np.geomspace(1e-9, 1e9, 40001)
    values = potential(distances)
    at = int(np.nanargmin(values))
    coarse, fine = (_lowest_bound(potential, float(distances[at]), hbar2_over_mass, 1 / steps) for steps in STEPS)
    if coarse is None or fine is None:
        return None
    return fine, max(abs(fine - coarse), 1e-12 * float(-values[at]))


def _lowest_bound(potential: Potential, minimum: float, hbar2_over_mass: float, step: float) -> float | None:
    t = math.log(CLOSE * minimum) + step * np.arange(round(math.log(AWAY / CLOSE) / step))
    r = np.exp(t)
    v, square = potential(r) / hbar2_over_mass, r * r
    # inside the core, where no particle comes
    begin = int((square[:-1] * v[:-1] <= 0.1 * MOST).argmax())
    v, square = v[begin:], square[begin:]

    def nodeless(energy: float) -> bool:
        w = 1 - step**2 / 12 * (np.minimum(square * (v - energy), MOST) + 0.25)
        factors = ((12 - 10 * w[1:-1]) / w[1:-1]).tolist()
        # of w y, from one place to the next
        ratio = math.exp(step * math.sqrt(max(12 * (1 - float(w[0])) / step**2, 0.0)))
        for factor in factors:
            ratio = factor - 1 / ratio
            if ratio <= 0:
                return False
        return True

    if nodeless(0.0):
        return None
    low, high = float(v.min()), 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if nodeless(middle) else (low, middle)
    return hbar2_over_mass * low
