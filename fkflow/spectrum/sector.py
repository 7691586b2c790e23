"""A symmetry sector: a space of functions f that a rotation, a reflection or an exchange turns into themselves up to a sign.

Functions that are not made so are averaged over the operations of the group with these signs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.spectrum.growth import POWERS, Growth
from fkflow.spectrum.jets import Jet, coordinates, join
from fkflow.spectrum.operations import Operation

Functions = Callable[[Jet], Jet]


@dataclass(frozen=True)
class Sector:
    """Functions of one symmetry. `ground` tells whether the ground state ψ itself (f = 1) has it."""

    name: str
    ground: bool
    make: Callable[[Jet, torch.Generator], Functions]
    operations: tuple[Operation, ...]
    centre: Tensor
    growth: Growth | None = None
    details: Callable[[Jet, torch.Generator], Functions] | None = None
    #: no later sector has a lower level than the lowest of this one
    rising: bool = False

    def functions(self, sample: Tensor, seed: int) -> SectorFunctions:
        """The functions of the sector, random ones by `seed`, for configurations like the `sample` (B, N, D)."""
        # the generator takes 32 bits
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {self.name}".encode()))
        places = coordinates(sample)
        functions = self.make(places, generator)
        details = None if self.details is None else self.details(places, generator)
        return SectorFunctions(functions, self.operations, self.centre, self.growth, details)


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
        return self._jet(x, flat=False)

    def values(self, x: Tensor) -> Tensor:
        """Their values (B, n) alone, for a small part of the price."""
        return self._jet(x, flat=True).value

    def sizes(self, x: Tensor) -> list[int]:
        """How many of the functions, from the first on, make a basis: without growth, with more powers of it, with details.

        Any configurations x (B, N, D) will do.
        """
        some = coordinates(x[:1]).flat()
        plain = self.functions(some).value.shape[-1]
        powers = 1 if self.growth is None else 1 + len(POWERS)
        sizes = [plain * count for count in range(1, powers + 1)]
        return sizes if self.details is None else [*sizes, sizes[-1] + powers * self.details(some).value.shape[-1]]

    def _jet(self, x: Tensor, flat: bool) -> Jet:
        growths = [] if self.growth is None else [one.flat() if flat else one for one in self.growth(x)]
        found = []
        for functions in (self.functions, *([] if self.details is None else [self.details])):
            averaged = self._averaged(functions, x, flat)
            found += [averaged, *(averaged * growth.each(lambda t: t[..., None]) for growth in growths)]
        return join(found)

    def _averaged(self, functions: Functions, x: Tensor, flat: bool) -> Jet:
        """Functions averaged over the operations."""
        places = coordinates(x).flat() if flat else coordinates(x)
        found: Jet | None = None
        for operation in self.operations:
            signs = x.new_tensor(operation.signs)
            moved = places.each(lambda t, o=operation: t[..., list(o.order), :]) - self.centre  # type: ignore[misc]
            term = functions(moved * signs + self.centre) * (operation.factor / len(self.operations))
            found = term if found is None else found + term
        assert found is not None
        return found
