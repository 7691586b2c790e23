"""The kernel of two charges for a short time: exact, from the motion with no angular momentum.

In units where the mass is 1 and the time is 1, H = −½ Δ + g/r. The kernel of e^(−H) in space depends on r, r′ and their
distance s through a = (r + r′ + s)/2 and b = (r + r′ − s)/2 alone (Hostler, J. Math. Phys. 5, 591 (1964)): with K(a, b) that of
−½ d²/dr² + g/r on r > 0 it is −(∂_a − ∂_b) K/(4π s), and its ratio to the free one e^(−u) (Pollock, Comput. Phys. Commun. 52,
49 (1988)). K comes from polynomials on 0 < r < L.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

#: size L of the box, functions in it, nodes of their integrals, and levels above which e^(−E) is nothing
BOX, FUNCTIONS, NODES, HIGHEST = 22.0, 220, 260, 60.0
#: largest b and s of the table, Chebyshev nodes of each, and points of each in the table
FARTHEST, LONGEST, ORDERS, POINTS = 10.0, 5.0, (22, 14), (320, 200)
#: smallest ratio of the kernels
LEAST = 1e-9


def action(strength: float, time: float, r: Tensor, after: Tensor, between: Tensor) -> Tensor:
    """u (…) of the step in the `time` from the distance r to the distance `after`, the ends `between` from each other.

    The interaction is `strength`/r, for the mass 1.
    """
    unit = 1 / math.sqrt(time)
    s = between * unit
    b = (0.5 * (r + after - between) * unit).clamp_min(0)
    g = strength * math.sqrt(time)
    inside = s.clamp_max(LONGEST)
    rows = 2 * (b.clamp_max(FARTHEST) / (1 + b.clamp_max(FARTHEST))) * (1 + FARTHEST) / FARTHEST - 1
    columns = 2 * inside / LONGEST - 1
    where = torch.stack([columns, rows], -1).view(1, 1, -1, 2)
    near = torch.nn.functional.grid_sample(table(g)[None, None], where, align_corners=True).view(b.shape)
    # far from the centre, and far more so for steps that hardly occur, the mean of g/r along the line is enough
    line = g * _along_line(b, s)
    far = torch.where(b > FARTHEST, line, near)
    return torch.where((s > LONGEST) & (b <= FARTHEST), near * line / (g * _along_line(b, inside)), far)


def _along_line(b: Tensor, s: Tensor) -> Tensor:
    """The mean of 1/r (…) along a line from b to b + s through no centre; for small b that of a smeared charge, about."""
    start = (b.square() + 0.1).sqrt()
    s = s.clamp_min(1e-6)
    return (s / start).log1p() / s


@lru_cache(maxsize=64)
def table(g: float) -> Tensor:
    """u at equal steps of b/(1 + b) from 0 to that of the largest b, and of s from 0 to the largest."""
    rows, columns = (np.cos((np.arange(n) + 0.5) * math.pi / n) for n in ORDERS)
    share = 0.5 * (rows + 1) * FARTHEST / (1 + FARTHEST)
    b, s = (share / (1 - share))[:, None], (0.5 * (columns + 1) * LONGEST)[None]
    u = -np.log(np.maximum(_ratio(g, b, s), LEAST))
    to_rows, to_columns = (_interpolation(n, m) for n, m in zip(ORDERS, POINTS, strict=True))
    return torch.as_tensor(to_rows @ u @ to_columns.T)


def _interpolation(nodes: int, points: int) -> np.ndarray:
    """(points, nodes): from values at Chebyshev nodes to those at equal steps from −1 to 1."""
    at = np.cos((np.arange(nodes) + 0.5) * math.pi / nodes)
    to = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, points), nodes - 1)
    return np.asarray(to @ np.linalg.inv(np.polynomial.chebyshev.chebvander(at, nodes - 1)))


def _ratio(g: float, b: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The kernel over the free one at b (rows, 1) and a = b + s, s (1, columns) > 0."""
    kinetic, overlap, inverse = _matrices()
    lower = np.linalg.cholesky(overlap)
    whitened = np.linalg.solve(lower, np.linalg.solve(lower, kinetic + g * inverse).T)
    levels, mix = np.linalg.eigh(0.5 * (whitened + whitened.T))
    mix = np.linalg.solve(lower.T, mix[:, levels < HIGHEST])
    (near, near_slope), (far, far_slope) = ([part @ mix for part in _functions(r)] for r in (b, b + s))
    slope = ((far_slope * near - far * near_slope) * np.exp(-levels[levels < HIGHEST])).sum(-1)
    return np.asarray(-math.sqrt(2 * math.pi) / (2 * s) * np.exp(0.5 * s**2) * slope)


def _functions(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The functions (…, n) and their slopes at r (…): differences of Legendre polynomials, 0 at both ends of the box.

    What a kernel is made of is analytic in r on both sides of 0, but no odd function: sines would converge slowly.
    """
    x = 2 * r / BOX - 1
    legendre = np.polynomial.legendre.legvander(x, FUNCTIONS + 1)
    size = np.sqrt(2 * (2 * np.arange(1, FUNCTIONS + 1) + 1))
    # the slope of P_(n+1) − P_(n−1) is (2n + 1) P_n
    return (legendre[..., 2:] - legendre[..., :-2]) / size, legendre[..., 1:-1] * (0.5 * size**2) / size * (2 / BOX)


@lru_cache(maxsize=1)
def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of the kinetic energy, of 1 and of 1/r."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    r, weights = 0.5 * BOX * (nodes + 1), 0.5 * BOX * weights
    functions, slopes = _functions(r)
    parts = ((slopes, 0.5 * weights), (functions, weights), (functions, weights / r))
    kinetic, overlap, inverse = ((f * w[:, None]).T @ f for f, w in parts)
    return kinetic, overlap, inverse
