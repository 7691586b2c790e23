"""The sectors of one or two electrons about nuclei: spin, rank about one nucleus, reflections about several."""

from __future__ import annotations

from torch import Tensor

from fkflow.hamiltonian.system import System
from fkflow.spectrum.electrons import ElectronFunctions
from fkflow.spectrum.mirrors import find_parities
from fkflow.spectrum.operations import Operation, exchanged, group_of, reflection_name
from fkflow.spectrum.sector import Sector

LETTERS = "SP"


def electron_sectors(system: System, x: Tensor, functions: int, decay: float, fermi: bool) -> list[Sector]:
    """Singlets and triplets of two electrons, or levels of one, by rank for an atom and by reflections for a molecule."""
    nuclei = system.nuclei()
    assert nuclei is not None
    n = x.shape[1]
    charges = x.new_tensor(nuclei.charges)
    centre = (charges[:, None] * x.new_tensor(nuclei.positions)).sum(0) / charges.sum()
    exchanges = [1.0] if n == 1 else [-1.0] if fermi else [1.0, -1.0]
    found = []
    atom = len(nuclei.charges) == 1
    reflections, parities = ([], {}) if atom else find_parities(system, centre, x)
    for exchange in exchanges:
        spin = "" if n == 1 else "singlet " if exchange > 0 else "triplet "
        swap = [(tuple(range(n)), 1.0)] + ([((1, 0), exchange)] if n == 2 else [])
        if atom:
            for rank in (0, 1):
                still = tuple(Operation((1.0,) * 3, order, factor) for order, factor in swap)
                make = lambda p, g, r=rank: ElectronFunctions(p, nuclei, decay, functions, g, 2 if r else None)  # noqa: E731
                letter, ground = LETTERS[rank], exchange > 0 and rank == 0
                found.append(
                    Sector(f"{spin}{letter}", ground, make, still, centre, family=letter, degeneracy=2 * rank + 1)
                )
            continue
        for signs, degeneracy in parities.items():
            if sum(sign < 0 for sign in signs) > 1:
                continue
            operations = exchanged(group_of(reflections, signs, n), swap)
            odd = next((i for i, sign in enumerate(signs) if sign < 0), None)
            axis = None if odd is None else next((a for a in range(3) if reflections[odd][a] < 0), None)
            make = lambda p, g, a=axis: ElectronFunctions(p, nuclei, decay, functions, g, a)  # noqa: E731
            name, ground = spin + (reflection_name(reflections, signs, 3) or "all"), exchange > 0 and odd is None
            found.append(Sector(name, ground, make, operations, centre, family=f"axis {axis}", degeneracy=degeneracy))
    return found
