"""A symmetry sector: a space of functions f that a rotation, a reflection or an exchange turns into themselves up to a sign."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.spectrum.growth import Growth
from fkflow.spectrum.images import Functions, SectorFunctions
from fkflow.spectrum.jets import Jet, coordinates
from fkflow.spectrum.operations import Operation


@dataclass(frozen=True)
class Sector:
    """Functions of one symmetry. `ground` tells whether the ground state ψ itself (f = 1) has it.

    Sectors of one `family` differ in the factors of their operations alone. So many levels, the `degeneracy`, have each energy
    that this sector finds once.
    """

    name: str
    ground: bool
    make: Callable[[Jet, torch.Generator], Functions]
    operations: tuple[Operation, ...]
    centre: Tensor
    growth: Growth | None = None
    details: Callable[[Jet, torch.Generator], Functions] | None = None
    #: no later sector has a lower level than the lowest of this one
    rising: bool = False
    family: str = ""
    degeneracy: int = 1

    def functions(self, sample: Tensor, seed: int) -> SectorFunctions:
        """Its functions, random ones by `seed`, for configurations like the `sample` (B, N, D)."""
        return functions_of([self], sample, seed)[0]


def functions_of(family: Sequence[Sector], sample: Tensor, seed: int) -> list[SectorFunctions]:
    """The functions of each sector of a family, random ones by `seed`, for configurations like the `sample` (B, N, D)."""
    first = family[0]
    # the generator takes 32 bits
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {first.family or first.name}".encode()))
    places = coordinates(sample)
    functions = first.make(places, generator)
    details = None if first.details is None else first.details(places, generator)
    return [SectorFunctions(functions, one.operations, one.centre, one.growth, details) for one in family]
