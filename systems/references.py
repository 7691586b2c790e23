"""Tabulated ground-state energies, each with its absolute error and its source (hbar = m = 1).

Molecules are in hartree with clamped nuclei and include the nuclear repulsion; lengths are in bohr. Bosons
are in units of the trap quantum (omega = 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fkflow.hamiltonian.system import Nuclei, Reference

#: parameters agree with a table's entry when they differ by no more than this (relative, absolute below 1)
MATCH = 1e-9

CLOSED_FORM = "closed form"
SPECTRAL_GRID = "spectral grid"
RADIAL_GRID = "radial spectral grid"

_TWO_BOSONS = "radial equation after separating the centre of mass, spectral elements, checked by shooting"
_JACOBI = "exact diagonalisation in Jacobi oscillator products (converged to 1e-9); correlated Gaussians agree"
_DIAGONALISED = (
    "exact diagonalisation with an effective pair interaction and with the bare one, which "
    "agree; correlated Gaussians give an upper bound just above"
)

#: (particles, g, s) → (energy, error, source) at omega = 1
_BOSONS = {
    (2, 15.0, 0.25): (2.51320519, 1e-9, _TWO_BOSONS),
    (2, 1.0, 0.5): (2.126967011, 1e-9, _TWO_BOSONS),
    (2, 5.0, 0.5): (2.436426923, 1e-9, _TWO_BOSONS),
    (2, 10.0, 0.5): (2.616866745, 1e-9, _TWO_BOSONS),
    (2, 15.0, 0.5): (2.715321216, 1e-9, _TWO_BOSONS),
    (2, 20.0, 0.5): (2.779569226, 1e-9, _TWO_BOSONS),
    (2, 50.0, 0.5): (2.95737581, 1e-9, _TWO_BOSONS),
    (3, 1.0, 0.5): (3.370971009, 1e-8, _JACOBI),
    (3, 10.0, 0.5): (4.691343917, 1e-8, _JACOBI),
    (3, 15.0, 0.5): (4.945447461, 1e-8, _JACOBI),
    (3, 20.0, 0.5): (5.108794904, 1e-8, _JACOBI),
    (4, 1.0, 0.5): (4.723787713, 1e-8, _DIAGONALISED),
    (4, 10.0, 0.5): (7.1600245, 3e-7, _DIAGONALISED),
    (4, 15.0, 0.5): (7.6272098, 1e-7, _DIAGONALISED),
    (4, 20.0, 0.5): (7.9285898, 3e-7, _DIAGONALISED),
    (5, 15.0, 0.5): (10.71374, 4e-6, _DIAGONALISED),
    (6, 15.0, 0.5): (14.170426, 2e-5, _DIAGONALISED),
}

_GAUSSIANS = "correlated Gaussians, an upper bound converged to its error: scripts/correlated_gaussians.py"

#: the same in three dimensions; that of two bosons is solved when asked for
_BOSONS_3D = {
    (3, 1.0, 0.5): (4.64545451, 1e-8, _GAUSSIANS),
    (3, 5.0, 0.5): (5.03908181, 1e-8, _GAUSSIANS),
    (3, 15.0, 0.5): (5.49847868, 1e-8, _GAUSSIANS),
    (3, 50.0, 0.5): (6.00509971, 2e-8, _GAUSSIANS),
    (4, 1.0, 0.5): (6.28650544, 1e-8, _GAUSSIANS),
    (4, 5.0, 0.5): (7.02961102, 5e-8, _GAUSSIANS),
    (4, 15.0, 0.5): (7.8642716, 4e-7, _GAUSSIANS),
}

MUJAL = "Mujal et al., PRA 96 043614 (2017): diagonalisation, an upper bound that is not converged for N > 2"
#: particles → (g/2, energy) at s = 1/2, omega = 1, in the digits printed
_MUJAL = {
    2: (
        (0.5, 2.1270298), (1.0, 2.22929013), (1.5, 2.31223089), (2.0, 2.38024308),
        (3.0, 2.48424506), (4.0, 2.55968231), (5.0, 2.61702041), (8.0, 2.73037628),
    ),
    3: (
        (0.5, 3.37160356), (1.0, 3.65899328), (1.5, 3.88644023), (2.0, 4.07020004),
        (3.0, 4.34758908), (4.0, 4.5463124), (5.0, 4.69580089), (8.0, 4.98660874),
    ),
    4: (
        (0.5, 4.72648116), (1.0, 5.27050307), (1.5, 5.69459725), (2.0, 6.03514291),
        (3.0, 6.54814724), (4.0, 6.91559696), (5.0, 7.1916805), (8.0, 7.72579281),
    ),
}  # fmt: skip

_SIMS = "Sims, Hagstrom, JCP 124 094101 (2006)"
_PACHUCKI = "Pachucki, PRA 82 032509 (2010)"
_SPHEROIDAL = "prolate spheroidal coordinates"
_HYLLERAAS = "literature; Hylleraas expansion agrees to 1e-9"

#: (electrons, charges) → ((R or None, energy, error, source), ...)
_MOLECULES: dict[tuple[int, tuple[float, ...]], tuple[tuple[float | None, float, float, str], ...]] = {
    (2, (1.0, 1.0)): (
        (0.8, -1.0200566664, 1e-9, _SIMS),
        (1.0, -1.1245397195, 1e-9, _SIMS),
        (1.2, -1.1649352434, 1e-9, _SIMS),
        (1.4, -1.1744757142, 1e-9, f"{_SIMS}; {_PACHUCKI}"),
        (1.401, -1.17447593, 3e-9, f"interpolated between R = 1.4 and 1.4011 of {_PACHUCKI}"),
        (1.6, -1.1685833734, 1e-9, _SIMS),
        (2.0, -1.1381329571, 1e-9, _SIMS),
        (2.8, -1.0706832335, 1e-9, _SIMS),
        (3.0, -1.0573262689, 1e-9, _SIMS),
        (4.0, -1.0163902529, 1e-9, _SIMS),
        (6.0, -1.0008357077, 1e-9, _SIMS),
    ),
    (2, (2.0,)): ((None, -2.903724377034, 1e-12, _HYLLERAAS),),
    (2, (1.0,)): ((None, -0.527751016544, 1e-12, _HYLLERAAS),),
    (1, (1.0, 1.0)): (
        (1.0, -0.451786313378, 1e-11, _SPHEROIDAL),
        (2.0, -0.602634214495, 1e-11, f"{_SPHEROIDAL}; agrees with the literature"),
        (4.0, -0.546084883713, 1e-11, _SPHEROIDAL),
    ),
    (2, (1.0, 2.0)): (
        (
            1.4632,
            -2.9787083,
            3e-7,
            "explicitly correlated Gaussians, 350 functions: variational upper bound -2.9787080354",
        ),
    ),
}

#: (particles, dimensions) → E_cl, ½ Σ ω_i, E_2 of ions in a trap of frequency 1, by scripts/crystals.py
_CRYSTALS = {
    (3, 2): (3.120125735, 3.090770275, 0.035815604),
    (4, 2): (5.827176588, 4.371645779, 0.018094172),
    (5, 2): (9.280126643, 5.654378537, -0.163746646),
    (6, 2): (13.355867128, 6.939539287, 0.119500546),
    (7, 2): (17.995430999, 8.408215389, 0.094770923),
    (8, 2): (23.296088604, 9.807419524, -0.101636609),
    (3, 3): (3.120125735, 3.590770275, -0.204559324),
    (4, 3): (5.669644725, 5.069168115, -0.294931133),
    (5, 3): (8.910031354, 6.387868057, -0.938880985),
    (6, 3): (12.639072762, 7.925316276, -0.632984357),
    (8, 3): (21.864286931, 10.609153270, -1.590230850),
}
#: charge at a trap frequency of 1 below which ions are far from a crystal
CRYSTAL = 8.0


def same(a: float, b: float) -> bool:
    """Whether two parameters are the same number within `MATCH`."""
    return math.isclose(a, b, rel_tol=MATCH, abs_tol=MATCH)


def bosons(particles: int, dimensions: int, g: float, s: float) -> Reference | None:
    """Tabulated energy of Gaussian bosons in two or three dimensions at omega = 1, or None."""
    for (n, g_table, s_table), entry in (_BOSONS if dimensions == 2 else _BOSONS_3D).items():
        if n == particles and same(g, g_table) and same(s, s_table):
            return Reference(*entry)
    return None


def mujal(particles: int, g: float, s: float) -> Reference | None:
    """Published upper bound of 2D Gaussian bosons at omega = 1, or None; its error is that of the printed digits."""
    if not same(s, 0.5):
        return None
    for half, energy in _MUJAL.get(particles, ()):
        if same(g, 2 * half):
            return Reference(energy, 1e-8, MUJAL)
    return None


def crystal(particles: int, dimensions: int, charge: float) -> Reference | None:
    """Energy of ions in a trap of frequency 1 as q^(4/3) E_cl + ½ Σ ω_i + q^(−4/3) E_2, or None.

    Its error is the size of the last term, larger than what two ions, whose energy is known, leave.
    """
    if charge < CRYSTAL or (particles, dimensions) not in _CRYSTALS:
        return None
    classical, harmonic, anharmonic = _CRYSTALS[particles, dimensions]
    scale = charge ** (4 / 3)
    energy = scale * classical + harmonic + anharmonic / scale
    return Reference(energy, abs(anharmonic) / scale, "crystal: minimum, zero-point energy and first anharmonic term")


def molecule(electrons: int, nuclei: Nuclei) -> Reference | None:
    """Energy of one or two electrons about clamped nuclei: closed form, table, exact scaling, or None.

    Only charges and distances matter, so a molecule may lie anywhere. One electron about two equal charges Z
    is H2+ in other units: E_el(Z, R) = Z² E_el(1, Z R).
    """
    charges = sorted(nuclei.charges)
    if len(charges) == 1:
        if electrons == 1:
            return Reference(-0.5 * charges[0] ** 2, 0.0, CLOSED_FORM)
        return _tabulated(electrons, charges, None)
    if len(charges) != 2:
        return None
    distance = math.dist(*nuclei.positions)
    z = charges[0]
    if electrons == 1 and same(z, charges[1]) and not same(z, 1.0):
        found = _tabulated(1, [1.0, 1.0], z * distance)
        if found is None:
            return None
        energy = z**2 * (found.energy - 1 / (z * distance)) + z**2 / distance
        return Reference(energy, z**2 * found.error, f"{found.source}; H2+ at R = {z * distance:g}, scaled")
    return _tabulated(electrons, charges, distance)


def _tabulated(electrons: int, charges: Sequence[float], distance: float | None) -> Reference | None:
    for (n, z_table), rows in _MOLECULES.items():
        if n != electrons or len(z_table) != len(charges) or not all(map(same, charges, z_table)):
            continue
        for r_table, energy, error, source in rows:
            if r_table is None or (distance is not None and same(distance, r_table)):
                return Reference(energy, error, source)
    return None
