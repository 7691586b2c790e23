"""Functions of symmetry sectors: averages over operations, whose images the sectors of a family share.

A sector's functions are Σ_g χ(g) F(g x)/|G| with its own factors χ. Other sectors of the same group have the same F with other
factors: the images F(g x), which cost far more than their sums, are computed once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.spectrum.growth import POWERS, Growth
from fkflow.spectrum.jets import Jet, coordinates, join
from fkflow.spectrum.operations import Operation

Functions = Callable[[Jet], Jet]

#: mean square of a sum of images, by that of the images, below which it is rounding
VANISHING = 1e-24


@dataclass(frozen=True)
class SectorFunctions:
    """Functions averaged over operations; called with configurations x (B, N, D) it gives a jet of (B, n).

    With a `growth` they come again times each of its powers. The `details`, if any, come last, and times these powers too.
    """

    functions: Functions
    operations: tuple[Operation, ...]
    centre: Tensor
    growth: Growth | None = None
    details: Functions | None = None

    def __call__(self, x: Tensor) -> Jet:
        return Family([self]).jets(x)[0]

    def values(self, x: Tensor) -> Tensor:
        """Their values (B, n) alone, for a small part of the price."""
        return Family([self]).jets(x, flat=True)[0].value


class Family:
    """One or more sectors with the same functions and operations, and their own factors."""

    def __init__(self, sectors: Sequence[SectorFunctions]) -> None:
        first = sectors[0]
        self.known, self.centre, self.growth, self.sectors = sectors, first.centre, first.growth, len(sectors)
        self.parts = [first.functions, *([] if first.details is None else [first.details])]
        self.moves = [(operation.signs, operation.order) for operation in first.operations]
        factors = [[operation.factor for operation in sector.operations] for sector in sectors]
        self.factors = torch.tensor(factors, dtype=torch.float64) / len(self.moves)
        self.powers = 1 if first.growth is None else 1 + len(POWERS)

    def of(self, numbers: Sequence[int]) -> Family:
        """Some of its sectors."""
        return Family([self.known[k] for k in numbers])

    def widths(self, x: Tensor) -> list[int]:
        """How many functions there are without growth, and how many details; any configurations x (B, N, D) will do."""
        return [functions(coordinates(x[:1]).flat()).value.shape[-1] for functions in self.parts]

    def sizes(self, x: Tensor) -> list[int]:
        """How many of the functions, from the first on, make a basis: without growth, with more powers of it, with details."""
        plain, *details = self.widths(x)
        return [plain * count for count in range(1, self.powers + 1)] + [self.powers * (plain + n) for n in details]

    def present(self, x: Tensor) -> list[Tensor]:
        """Which functions (n,) of each sector do not vanish by symmetry, by their values at configurations x (B, N, D)."""
        found: list[list[Tensor]] = [[] for _ in range(self.sectors)]
        for functions in self.parts:
            images = torch.stack([image.value for image in self._images(functions, x, flat=True)])
            least = VANISHING * images.square().mean((0, 1))
            there = torch.tensordot(self.factors.to(images), images, 1).square().mean(1) > least
            for one, parts in zip(there, found, strict=True):
                parts += [one] * self.powers
        return [torch.cat(parts) for parts in found]

    def jets(self, x: Tensor, flat: bool = False, chosen: Sequence[Tensor] = ()) -> list[Jet]:
        """The functions (B, n) of each sector at configurations x (B, N, D), of which some may be `chosen` (n,).

        With `flat` their values alone.
        """
        growths, found, start = self._growths(x, flat), [list[Jet]() for _ in range(self.sectors)], 0
        for functions in self.parts:
            images = list(self._images(functions, x, flat))
            parts = [torch.stack([getattr(image, name) for image in images]) for name in Jet.__slots__]
            sums = [torch.tensordot(self.factors.to(part), part, 1) for part in parts]
            width = parts[0].shape[-1]
            for s, jets in enumerate(found):
                averaged = Jet(*(part[s] for part in sums))
                if chosen:
                    rows = chosen[s][start : start + width].nonzero()[:, 0]
                    averaged = averaged.each(lambda t, rows=rows: t.index_select(-1, rows))  # type: ignore[misc]
                jets += [averaged, *(averaged * growth for growth in growths)]
            start += width * self.powers
        return [join(jets) for jets in found]

    def states(self, x: Tensor, coefficients: Sequence[Tensor], flat: bool = False) -> list[Jet]:
        """Combinations (B, k) of the functions of each sector, by `coefficients` (n, k); with `flat` their values alone.

        They are combined before they are summed and grow: no function is made for itself.
        """
        growths, counts, start = self._growths(x, flat), [c.shape[1] for c in coefficients], 0
        repeats = torch.tensor([self.powers * count for count in counts])
        factors = self.factors.repeat_interleave(repeats, 0).to(x)
        found: list[Jet | None] = [None] * self.sectors
        for functions, width in zip(self.parts, self.widths(x), strict=True):
            rows = [slice(start + p * width, start + (p + 1) * width) for p in range(self.powers)]
            weights = torch.cat([c[some] for c in coefficients for some in rows], 1)
            total: Jet | None = None
            for places, factor in zip(self._moved(x, flat), factors.T, strict=True):
                # what is made of factors knows a shorter way
                combine = getattr(functions, "combine", lambda p, w, f=functions: f(p) @ w)
                term = combine(places, weights * factor)
                total = term if total is None else total + term
            assert total is not None
            start, column = start + width * self.powers, 0
            for s, count in enumerate(counts):
                for growth in (None, *growths):
                    part = total[slice(column, column + count)]
                    part, column = part if growth is None else part * growth, column + count
                    known = found[s]
                    found[s] = part if known is None else known + part
        return [one for one in found if one is not None]

    def _growths(self, x: Tensor, flat: bool) -> list[Jet]:
        growths = [] if self.growth is None else self.growth(x)
        return [(growth.flat() if flat else growth).each(lambda t: t[..., None]) for growth in growths]

    def _images(self, functions: Functions, x: Tensor, flat: bool) -> Iterator[Jet]:
        return (functions(places) for places in self._moved(x, flat))

    def _moved(self, x: Tensor, flat: bool) -> Iterator[Jet]:
        """The configurations that the operations make of x."""
        places = coordinates(x).flat() if flat else coordinates(x)
        for signs, order in self.moves:
            moved = places.each(lambda t, o=order: t[..., list(o), :]) - self.centre  # type: ignore[misc]
            yield moved * x.new_tensor(signs) + self.centre


def families_of(sectors: Sequence[SectorFunctions]) -> list[list[int]]:
    """The numbers of the sectors of each family: those that share their functions."""
    found: dict[int, list[int]] = {}
    for number, sector in enumerate(sectors):
        found.setdefault(id(sector.functions), []).append(number)
    return list(found.values())
