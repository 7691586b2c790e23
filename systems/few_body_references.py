"""Energies of few charges: closed forms of two, published ones of three and four."""

from __future__ import annotations

import math

from fkflow.hamiltonian.charged_scale import scale_of_charges
from fkflow.hamiltonian.charges import PointCharges
from fkflow.hamiltonian.system import Reference

from .references import CLOSED_FORM

#: error of the radial equation of screened charges, relative to the energy
RADIAL = 1e-6
#: the proton and the alpha particle in electron masses (CODATA 2018)
PROTON, ALPHA = 1836.15267343, 7294.29954142
#: how near a mass must be to that of a published energy, relative
SAME_MASS = 1e-6

#: no author is named where the paper itself was not seen: those energies were found in other programs, or in several papers.
#: In three dimensions: species that move (count, mass, charge), those that are pinned (count, charge); energy and error in
#: hartree, and the source
PUBLISHED: tuple[tuple[tuple[tuple[int, float, float], ...], tuple[tuple[int, float], ...], float, float, str], ...] = (
    (((2, 1.0, -1.0), (1, 1.0, 1.0)), (), -0.2620050702, 1e-10, "Grigorescu and Drake, arXiv:physics/0303095"),
    (((2, 1.0, -1.0), (2, 1.0, 1.0)), (), -0.5160037905, 1e-10, "variational energies of the literature"),
    (((2, 1.0, -1.0), (1, 1.0, 1.0)), ((1, 1.0),), -0.7891967, 1e-7, "variational energies of the literature"),
    (((1, 1.0, -1.0), (2, 1836.15267, 1.0)), (), -0.5971390631, 1e-9, "variational energies of the literature"),
    (((2, 1.0, -1.0),), ((1, 2.0),), -2.903724377, 1e-9, "Korobov, Phys. Rev. A 66, 024501 (2002)"),
    (
        ((2, 1.0, -1.0), (1, 7294.2995, 2.0)),
        (),
        -2.903304557,
        1e-9,
        "Drake, variational energies",
    ),
)


def few_body(charges: PointCharges) -> Reference | None:
    """The known energy of charges: of a pair, or a published one, by its masses, charges and numbers; else None."""
    if charges.omega:
        return None
    if len(charges.bodies) == 2:
        (energy,) = scale_of_charges(charges).energies
        if charges.interaction.kind == "coulomb":
            return Reference(energy, 1e-12 * abs(energy), CLOSED_FORM)
        return Reference(energy, RADIAL * abs(energy), "radial equation")
    if charges.dimensions != 3 or charges.interaction.kind != "coulomb":
        return None
    for moving, pinned, energy, error, source in PUBLISHED:
        if _fits(charges, moving, pinned):
            return Reference(energy, error, source)
    return None


def _fits(
    charges: PointCharges, moving: tuple[tuple[int, float, float], ...], pinned: tuple[tuple[int, float], ...]
) -> bool:
    found = sorted((one.count, one.charge, one.mass) for one in charges.species if one.mass is not None)
    still = sorted((one.count, one.charge) for one in charges.species if one.mass is None)
    wanted = sorted((count, charge, mass) for count, mass, charge in moving)
    return (
        still == sorted(pinned)
        and len(found) == len(wanted)
        and all(
            a[:2] == b[:2] and math.isclose(a[2], b[2], rel_tol=SAME_MASS) for a, b in zip(found, wanted, strict=True)
        )
    )
