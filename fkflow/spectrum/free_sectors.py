"""The sectors of particles that nothing holds: motion without rotation."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.hamiltonian.masses import to_user_coordinates
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.shape import find_shape
from fkflow.hamiltonian.species import declared_species
from fkflow.hamiltonian.system import System
from fkflow.spectrum.distances import DistanceFunctions
from fkflow.spectrum.images import Functions
from fkflow.spectrum.jets import Jet
from fkflow.spectrum.operations import Operation, exchanged, exchanges_of
from fkflow.spectrum.sector import Sector
from fkflow.spectrum.vibrations import VibrationFunctions


def free_sectors(system: System, landscape: Landscape, x: Tensor, functions: int, fermi: bool) -> list[Sector]:
    """Motion without rotation of particles that nothing holds; two of one declared species may also be antisymmetric."""
    n, dim = x.shape[1:]
    if fermi:
        raise UsageError(f"{system.key} is free in space: levels of fermions are for systems that are held")
    inverse_roots = to_user_coordinates(system, torch.ones(n, 1, dtype=x.dtype))
    declared = declared_species(system)
    twofold = [one.name for one in declared or () if one.count == 2]
    shape = find_shape(system, landscape)
    found = []
    for odd in [None, *twofold]:
        still = (Operation((1.0,) * dim, tuple(range(n)), 1.0),)
        operations = exchanged(still, exchanges_of(system, n, odd))

        def make(places: Jet, generator: torch.Generator) -> Functions:
            if shape is not None:
                return VibrationFunctions(places, shape, functions, generator)
            return DistanceFunctions(places, inverse_roots, functions, generator)

        name = f"{odd} antisymmetric" if odd else "symmetric" if twofold else "no rotation"
        found.append(Sector(name, odd is None, make, operations, torch.zeros(dim, dtype=x.dtype), family="free"))
    return found
