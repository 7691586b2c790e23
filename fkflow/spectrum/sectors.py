"""The symmetry sectors of a system, and the functions of each."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.spectrum.antisymmetry import MOST, Antisymmetric
from fkflow.spectrum.box_sectors import sectors_in_box
from fkflow.spectrum.cloud import CloudFunctions
from fkflow.spectrum.configuration import ConfigurationFunctions, DetailFunctions, RoundFunctions
from fkflow.spectrum.electron_sectors import electron_sectors
from fkflow.spectrum.free_sectors import free_sectors
from fkflow.spectrum.growth import Growth
from fkflow.spectrum.images import Functions
from fkflow.spectrum.jets import Jet
from fkflow.spectrum.mirrors import find_centre, find_parities, is_round
from fkflow.spectrum.operations import Operation, exchanged, exchanges_of, group_of, reflection_name
from fkflow.spectrum.sector import Sector

#: ranks under rotations that have a sector, of several particles and of one
RANKS, RANKS_OF_ONE = (0, 1, 2), (0, 1, 2, 3, 4, 5)


def sectors_of(
    system: System,
    landscape: Landscape,
    x: Tensor,
    functions: int,
    decay: float,
    fermi: bool,
    growth: Growth | None = None,
) -> list[Sector]:
    """The sectors of a system (in coordinates of unit mass), for walkers x (B, N, D) of its ground state.

    `functions` random ones each are of one kind; `decay` is that of ψ far out. `fermi`: those that change sign with every
    exchange of identical particles. Raises UsageError if there are none.
    """
    n, dim = x.shape[1:]
    if (box := sides(system)) is not None:
        return sectors_in_box(system, box, x, functions, fermi)
    if system.free:
        return free_sectors(system, landscape, x, functions, fermi)
    if fermi and (not system.identical or n < 2):
        raise UsageError(f"{system.key} has no fermions: that takes two or more identical particles")
    nuclei = system.nuclei()
    if nuclei is not None:
        return electron_sectors(system, x, functions, decay, fermi)
    if fermi and dim > 1 and n > MOST:
        raise UsageError(f"spin-polarised fermions are at most {MOST} off the line; {system.key} has {n} particles")
    centre = find_centre(system, landscape, x)
    # particles of several species have functions of each
    alike = n == 1 or system.identical
    if dim > 1 and not fermi and alike and (system.isotropic or is_round(system, centre, x)):
        kind = RoundFunctions if n == 1 else CloudFunctions
        still = (Operation((1.0,) * dim, tuple(range(n)), 1.0),)
        letter = "m" if dim == 2 else "l"
        return [
            Sector(
                f"{letter} = {rank}",
                rank == 0,
                lambda p, g, r=rank: kind(p, centre, r, functions, g),  # type: ignore[misc]
                still,
                centre,
                growth,
                rising=n == 1,
                degeneracy=1 if rank == 0 else 2 if dim == 2 else 2 * rank + 1,
            )
            for rank in (RANKS_OF_ONE if n == 1 else RANKS)
        ]
    identical = system.identical and n > 1
    exchanges = [(tuple(range(n)), 1.0)] if identical else exchanges_of(system, n)

    def make(places: Jet, generator: torch.Generator) -> Functions:
        if not identical:
            return ConfigurationFunctions(places, functions, generator, mirrors, centre)
        symmetric = CloudFunctions(places, centre, None, functions, generator)
        return Antisymmetric(symmetric) if fermi else symmetric

    details = (lambda p, g: DetailFunctions(p, functions, g)) if n * dim == 1 else None
    found = []
    reflections, parities = find_parities(system, centre, x)
    mirrors = [one.signs for one in group_of(reflections, (1.0,) * len(reflections), n)] if reflections else []
    for signs, degeneracy in parities.items():
        operations = exchanged(group_of(reflections, signs, n), exchanges)
        name = reflection_name(reflections, signs, dim)
        if fermi:
            name = "antisymmetric" + (f", {name}" if reflections else "")
        ground = not fermi and min(signs, default=1.0) > 0
        found.append(
            Sector(
                name or "all",
                ground,
                make,
                operations,
                centre,
                growth,
                details,
                family="reflections",
                degeneracy=degeneracy,
            )
        )
    return found
