"""Lattices that fill a periodic box: face-centred cubic, hexagonal close-packed, triangular."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

#: relative difference of sides that are the same, and how much longer than the shortest side the longest may be
SAME, OBLONG = 1e-3, 1.5


class Crystal(NamedTuple):
    """A right-angled cell with these `sides`, in distances of neighbours, and `sites` in it, in shares of the sides."""

    sides: tuple[float, ...]
    sites: tuple[tuple[float, ...], ...]


CRYSTALS = {
    "fcc": Crystal((math.sqrt(2),) * 3, ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))),
    "hcp": Crystal(
        (1.0, math.sqrt(3), math.sqrt(8 / 3)), ((0, 0, 0), (0.5, 0.5, 0), (0.5, 5 / 6, 0.5), (0, 1 / 3, 0.5))
    ),
    "triangular": Crystal((1.0, math.sqrt(3)), ((0, 0), (0.5, 0.5))),
}


def cells(name: str, particles: int, box: Sequence[float] | None) -> tuple[int, ...]:
    """Cells along each side with which so many `particles` fill a `box` with these sides, or without one the most even box.

    Raises ValueError, with words that follow the name of a key, where none do.
    """
    crystal = CRYSTALS[name]
    in_a_cell, dim = len(crystal.sites), len(crystal.sides)
    found = []
    if particles % in_a_cell == 0:
        counts = _factors(particles // in_a_cell, dim)
        found = [(_stretch(crystal, one, box), one) for one in counts]
    most = OBLONG if box is None else 1 + SAME
    stretch, best = min(found, default=(math.inf, ()))
    if stretch > most:
        if box is not None:
            raise ValueError(
                f"{particles} particles do not fill a box of {' × '.join(f'{s:g}' for s in box)} with that lattice"
            )
        shape = "cube" if dim == 3 else "square"
        raise ValueError(
            f"{particles} particles do not fill a box that is nearly a {shape} with that lattice; "
            f"{_examples(crystal, particles)} do"
        )
    return best


def sides_of(name: str, counts: Sequence[int], volume: float) -> tuple[float, ...]:
    """The sides (D,) of the box that so many cells fill, of this volume."""
    relative = [side * count for side, count in zip(CRYSTALS[name].sides, counts, strict=True)]
    scale = (volume / math.prod(relative)) ** (1 / len(relative))
    return tuple(scale * side for side in relative)


def places(name: str, counts: Sequence[int], box: Sequence[float]) -> list[tuple[float, ...]]:
    """The sites in a box with these sides, about the origin."""
    found = []
    for cell in itertools.product(*map(range, counts)):
        for site in CRYSTALS[name].sites:
            share = [(c + s + 0.25) / count for c, s, count in zip(cell, site, counts, strict=True)]
            found.append(tuple((one - 0.5) * side for one, side in zip(share, box, strict=True)))
    return found


def _stretch(crystal: Crystal, counts: Sequence[int], box: Sequence[float] | None) -> float:
    """How much longer than the shortest side the longest is, in units of those of the box if there is one."""
    sides = [side * count for side, count in zip(crystal.sides, counts, strict=True)]
    if box is not None:
        sides = [one / side for one, side in zip(sides, box, strict=True)]
    return max(sides) / min(sides)


def _factors(number: int, parts: int) -> list[tuple[int, ...]]:
    """All ways to write a number as a product of so many whole numbers."""
    if parts == 1:
        return [(number,)]
    return [
        (first, *rest)
        for first in range(1, number + 1)
        if number % first == 0
        for rest in _factors(number // first, parts - 1)
    ]


def _examples(crystal: Crystal, particles: int) -> str:
    """The nearest numbers of particles that fill a nearly even box."""
    step, dim = len(crystal.sites), len(crystal.sides)
    fitting = [
        step * number
        for number in range(1, 2 * particles // step + 12)
        if min(_stretch(crystal, one, None) for one in _factors(number, dim)) <= OBLONG
    ]
    fitting.sort(key=lambda number: abs(number - particles))
    return " or ".join(map(str, sorted(fitting[:2])))
