"""Products of coordinates up to a degree."""

from __future__ import annotations

from itertools import combinations_with_replacement

from fkflow.spectrum.jets import Jet, constant, join, stack

#: highest degree
DEGREE = 7


def highest_degree(coordinates: int, most: int) -> int:
    """The highest degree of which there are at most so many products of the coordinates; 1 at least."""
    count, total, degree = 1, 1, 0
    while degree < DEGREE and (total <= most or degree < 1):
        degree += 1
        count = count * (coordinates + degree - 1) // degree
        total += count
    return degree if total <= most or degree == 1 else degree - 1


def products(y: Jet, degree: int) -> Jet:
    """1 and all products of up to so many of the functions y (B, d)."""
    one = constant(y)
    parts = [one]
    known: dict[tuple[int, ...], Jet] = {(): one[0]}
    axes = [y[a] for a in range(y.value.shape[-1])]
    for count in range(1, degree + 1):
        chosen = list(combinations_with_replacement(range(len(axes)), count))
        known = {key: known[key[:-1]] * axes[key[-1]] for key in chosen}
        parts.append(stack([known[key] for key in chosen]))
    return join(parts)
