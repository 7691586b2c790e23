"""Antisymmetric functions of spin-polarised fermions: determinants of low powers of the coordinates."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from itertools import combinations, combinations_with_replacement

from torch import Tensor

from fkflow.spectrum.jets import Jet, join, stack

#: most fermions off the line, and most determinants
MOST, DETERMINANTS = 4, 6

#: the coordinates in a product, by their numbers
Powers = tuple[int, ...]


class Antisymmetric:
    """Determinants times symmetric functions."""

    def __init__(self, symmetric: Callable[[Jet], Jet]) -> None:
        self.symmetric = symmetric

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        factors, terms = determinants(places), self.symmetric(places)
        return join([terms * factors[slice(k, k + 1)] for k in range(factors.value.shape[-1])])

    def combine(self, places: Jet, weights: Tensor) -> Jet:
        """Combinations (B, k) of them by `weights` (n, k); the symmetric functions are combined first, which costs less."""
        factors, terms = determinants(places), self.symmetric(places)
        parts = weights.chunk(factors.value.shape[-1])
        return reduce(operator.add, ((terms @ part) * factors[slice(k, k + 1)] for k, part in enumerate(parts)))


def determinants(places: Jet) -> Jet:
    """The lowest determinants |p_k(x_i)| (B, n) of powers p_k of the coordinates at places (B, N, D); one on a line.

    On a line the lowest is Π_{i<j} (x_i − x_j). In more dimensions orbitals that are not full are chosen in several ways.
    """
    n, dim = places.value.shape[1:]
    axes = [places[a] for a in range(dim)]
    if dim == 1:
        product = reduce(operator.mul, (axes[0][i] - axes[0][j] for i, j in combinations(range(n), 2)))
        return stack([product])
    full: list[Powers] = []
    for degree in range(n):
        shell = list(combinations_with_replacement(range(dim), degree))
        if len(full) + len(shell) > n:
            break
        full += shell
    choices = list(combinations(shell, n - len(full)))[:DETERMINANTS] if len(full) < n else [()]
    particles = list(range(n))
    found = [_determinant([_power(axes, key) for key in (*full, *choice)], particles) for choice in choices]
    return stack(found)


def _power(axes: list[Jet], key: Powers) -> Jet:
    return reduce(operator.mul, (axes[axis] for axis in key), axes[0] * 0.0 + 1.0)


def _determinant(orbitals: list[Jet], columns: list[int]) -> Jet:
    """The determinant of orbitals (B, N) at these particles, by the first orbital."""
    if len(orbitals) == 1:
        return orbitals[0][columns[0]]
    minors = (_determinant(orbitals[1:], [c for c in columns if c != column]) for column in columns)
    terms = [orbitals[0][c] * minor * (-1.0) ** k for k, (c, minor) in enumerate(zip(columns, minors, strict=True))]
    return reduce(operator.add, terms)
