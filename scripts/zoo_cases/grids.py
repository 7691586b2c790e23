"""Ground states on deterministic grids: spectral elements for one variable, sine functions for up to four.

Every solver takes V as a NumPy function in the units hbar = 1, returns (energy, error), and takes as error the difference of
two grids that differ in fineness, and in the box where that is not a wall of V.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh

Array = np.ndarray
Potential = Callable[[Array], Array]

#: smallest relative error that is claimed
ROUNDING = 1e-10


def graded(outer: float, inner: float = 1e-4, parts: int = 20) -> Array:
    """Edges from 0 to `outer`: doubling from `inner`, then equal; for a singular point at 0."""
    step = outer / parts
    count = int(np.ceil(np.log2(step / inner)))
    return np.concatenate([[0.0], np.geomspace(inner, step, count + 1), step * np.arange(2, parts + 1)])


def levels(
    potential: Potential,
    edges: Array,
    dimensions: int = 1,
    mass: float = 1.0,
    degree: int = 12,
    count: int = 1,
    rank: int = 0,
) -> Array:
    """Lowest `count` levels of −(1/2m) (u'' + (D−1)/r u' − l(l+D−2)/r² u) + V(r) u by spectral elements between `edges`.

    u vanishes at the last edge and, unless it is the origin of D > 1 dimensions and the `rank` l is 0, at the first. V may jump
    at edges, where it is not called.
    """
    points, weights = np.polynomial.legendre.leggauss(degree + 6)
    values, slopes = _shape_functions(degree, points)
    size = degree * (len(edges) - 1) + 1
    energy, overlap = np.zeros((size, size)), np.zeros((size, size))
    for element, (left, right) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        half = (right - left) / 2
        r = left + half * (points + 1)
        measure = weights * half * r ** (dimensions - 1)
        block = slice(degree * element, degree * (element + 1) + 1)
        energy[block, block] += (slopes * (measure / (2 * mass * half**2))) @ slopes.T
        turning = rank * (rank + dimensions - 2) / (2 * mass * r**2) if rank else 0.0
        energy[block, block] += (values * (measure * (potential(r) + turning))) @ values.T
        overlap[block, block] += (values * measure) @ values.T
    keep = slice(0 if dimensions > 1 and edges[0] == 0 and not rank else 1, size - 1)
    energy, overlap = energy[keep, keep], overlap[keep, keep]
    first = _lowest(energy, overlap, 1)[0]
    # small elements cost that many digits; the inverse above a shift has them all
    shift = first - max(abs(first), 1e-3)
    inverse = _lowest(-overlap, energy - shift * overlap, count)
    return shift - 1 / inverse


def _lowest(matrix: Array, metric: Array, count: int) -> Array:
    scale = 1 / np.sqrt(np.diag(metric))
    scaled = (each * np.outer(scale, scale) for each in (matrix, metric))
    return eigh(*scaled, eigvals_only=True, subset_by_index=(0, count - 1))


def _shape_functions(degree: int, points: Array) -> tuple[Array, Array]:
    """Two linear functions and the integrals of Legendre polynomials between them, with their derivatives; on [−1, 1]."""
    legendre = np.polynomial.legendre.legvander(points, degree).T
    k = np.arange(1, degree)[:, None]
    bubbles = (legendre[2:] - legendre[:-2]) / np.sqrt(4 * k + 2)
    slopes = legendre[1:-1] * np.sqrt(k + 0.5)
    half = np.full((1, len(points)), 0.5)
    values = np.concatenate([[(1 - points) / 2], bubbles, [(1 + points) / 2]])
    return values, np.concatenate([-half, slopes, half])


def split(edges: Sequence[float] | Array, parts: int) -> Array:
    """Every element of `edges` in so many equal parts."""
    edges = np.asarray(edges, dtype=float)
    fractions = np.arange(parts) / parts
    inner = (edges[:-1, None] + np.diff(edges)[:, None] * fractions).ravel()
    return np.append(inner, edges[-1])


def radius(
    potential: Potential, edges: Sequence[float] | Array, dimensions: int = 1, mass: float = 1.0, parts: int = 1
) -> tuple[float, float]:
    """Ground state in one variable, see `levels`; the second grid has twice the elements and a higher degree."""
    coarse = levels(potential, split(edges, parts), dimensions, mass, 10)[0]
    fine = levels(potential, split(edges, 2 * parts), dimensions, mass, 13)[0]
    return float(fine), float(abs(fine - coarse) + ROUNDING * abs(fine))


def box(
    potential: Potential, sides: Sequence[tuple[float, float]], points: Sequence[int], masses: Sequence[float] = ()
) -> float:
    """Lowest level between walls at the `sides` of each coordinate, see `box_levels`."""
    return float(box_levels(potential, sides, points, masses)[0])


def box_levels(
    potential: Potential,
    sides: Sequence[tuple[float, float]],
    points: Sequence[int],
    masses: Sequence[float] = (),
    count: int = 1,
) -> Array:
    """Lowest `count` levels between walls at the `sides`, on a product of sine functions (Colbert and Miller 1992).

    `potential` takes coordinates (n, d). Where it is +inf, ψ is held at 0.
    """
    masses = tuple(masses) or (1.0,) * len(sides)
    axes, kinetic = [], []
    for (left, right), n, mass in zip(sides, points, masses, strict=True):
        k = np.arange(1, n)
        axes.append(left + (right - left) * k / n)
        waves = np.sqrt(2 / n) * np.sin(np.pi * np.outer(k, k) / n)
        kinetic.append(waves * (np.pi * k / (right - left)) ** 2 / (2 * mass) @ waves)
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    shape = mesh.shape[:-1]
    height = potential(mesh.reshape(-1, len(sides))).reshape(shape)
    allowed = np.isfinite(height)
    height = np.where(allowed, height, 0.0)

    def apply(vector: Array) -> Array:
        psi = np.where(allowed, vector.reshape(shape), 0.0)
        out = height * psi
        for axis, matrix in enumerate(kinetic):
            out = out + np.moveaxis(np.tensordot(matrix, psi, (1, axis)), 0, axis)
        return np.where(allowed, out, 0.0).ravel()

    if height.size <= 900:
        keep = np.flatnonzero(allowed)
        matrix = np.stack([apply(row) for row in np.eye(height.size)[keep]])[:, keep]
        return np.asarray(eigh(matrix, eigvals_only=True, subset_by_index=(0, count - 1)))
    # the error of a level is the square of that of its vector
    start = np.where(allowed, np.exp(-(height - height[allowed].min())), 0.0).ravel()
    if count > 1:
        # of no symmetry
        start *= 1 + np.random.default_rng(0).random(start.shape)
    operator = LinearOperator((height.size, height.size), matvec=apply, dtype=float)
    options = {"which": "SA", "v0": start, "ncv": 40 + 4 * count, "tol": 1e-6, "maxiter": 4000}
    found = eigsh(operator, k=count + 1, return_eigenvectors=False, **options)
    return np.sort(found)[:count]


def grid(
    potential: Potential, sides: Sequence[tuple[float, float]], points: int, masses: Sequence[float] = ()
) -> tuple[float, float]:
    """Ground state in up to four coordinates, see `box`; the second box is a tenth wider with a fifth more points."""
    coarse = box(potential, sides, [points] * len(sides), masses)
    wider = [(left - 0.05 * (right - left), right + 0.05 * (right - left)) for left, right in sides]
    fine = box(potential, wider, [int(1.2 * points)] * len(sides), masses)
    return fine, abs(fine - coarse) + ROUNDING * abs(fine)
