"""Products of coordinates up to a degree."""

from __future__ import annotations

from fkflow.spectrum.jets import Jet, constant, join

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
    parts, count = [one], y.value.shape[-1]
    # products of each degree by their last factor, which no earlier factor comes after
    last: list[Jet] = []
    for _ in range(degree):
        shorter = [join(last[: a + 1]) if last else one for a in range(count)]
        last = [shorter[a] * y[slice(a, a + 1)] for a in range(count)]
        parts += last
    return join(parts)
