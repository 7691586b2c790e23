"""Units: the mass that makes ħ = 1 in the energies and lengths of a potential, and conversions.

A system has ħ = 1 and H = −½ Σ ∇²/m + V. With V in K and lengths in Å the number m of a particle is its mass in units of
ħ²/(K Å²). `mass` gives that number, `hbar2_over_m` its inverse, ħ²/M in the same units:

>>> from fkflow import units
>>> round(units.mass("He4", energy="K", length="angstrom"), 6)
0.082513
>>> round(units.hbar2_over_m(0.067, energy="meV", length="nm"), 1)
1137.3
>>> round(units.convert(1.0, "hartree", "eV"), 6)
27.211386

Constants are the values of CODATA 2022 (Mohr et al., Rev. Mod. Phys. 97, 025002, 2025), masses of atoms those of AME2020
(Wang et al., Chin. Phys. C 45, 030003, 2021).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from numbers import Real

from fkflow.errors import UsageError

# in SI units; the first five are exact
PLANCK, LIGHT, CHARGE, BOLTZMANN, AVOGADRO = 6.62607015e-34, 299792458.0, 1.602176634e-19, 1.380649e-23, 6.02214076e23
HBAR = PLANCK / (2 * math.pi)
ELECTRON_MASS, ATOMIC_MASS = 9.1093837139e-31, 1.66053906892e-27
BOHR, HARTREE = 5.29177210544e-11, 4.3597447222060e-18

#: units of energy in hartree; frequencies stand for h ν, wavenumbers for h c/λ, temperatures for k T
ENERGIES: dict[str, float] = {
    name: value / HARTREE
    for name, value in {
        "hartree": HARTREE, "Ry": HARTREE / 2, "J": 1.0,
        "eV": CHARGE, "meV": 1e-3 * CHARGE, "ueV": 1e-6 * CHARGE, "neV": 1e-9 * CHARGE,
        "keV": 1e3 * CHARGE, "MeV": 1e6 * CHARGE, "GeV": 1e9 * CHARGE,
        "K": BOLTZMANN, "mK": 1e-3 * BOLTZMANN, "uK": 1e-6 * BOLTZMANN, "nK": 1e-9 * BOLTZMANN,
        "cm-1": 100 * PLANCK * LIGHT,
        "Hz": PLANCK, "kHz": 1e3 * PLANCK, "MHz": 1e6 * PLANCK, "GHz": 1e9 * PLANCK, "THz": 1e12 * PLANCK,
        "kJ/mol": 1e3 / AVOGADRO, "kcal/mol": 4184 / AVOGADRO,
    }.items()
}  # fmt: skip
#: units of length in bohr
LENGTHS: dict[str, float] = {
    name: value / BOHR
    for name, value in {
        "bohr": BOHR, "angstrom": 1e-10, "m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "pm": 1e-12, "fm": 1e-15,
    }.items()
}  # fmt: skip
#: units of mass in electron masses
MASSES: dict[str, float] = {"m_e": 1.0, "u": ATOMIC_MASS / ELECTRON_MASS, "kg": 1 / ELECTRON_MASS}
#: other spellings of units
SPELLINGS: dict[str, str] = {
    "Eh": "hartree", "Ha": "hartree", "rydberg": "Ry", "kelvin": "K", "1/cm": "cm-1", "cm^-1": "cm-1", "cm⁻¹": "cm-1",
    "a0": "bohr", "a_0": "bohr", "Å": "angstrom", "A": "angstrom", "Angstrom": "angstrom", "ang": "angstrom",
    "micron": "um", "me": "m_e", "amu": "u", "Da": "u",
}  # fmt: skip

_ATOMS = {
    "H": 1.007825031898, "D": 2.014101777844, "T": 3.01604928132, "He3": 3.016029321967, "He4": 4.00260325413,
    "Li6": 6.0151228874, "Li7": 7.016003434, "Ne20": 19.9924401753, "Na23": 22.989769282, "Ar40": 39.9623831220,
    "K39": 38.9637064848, "K40": 39.96399817, "K41": 40.96182526, "Rb85": 84.9117897360, "Rb87": 86.9091805291,
    "Cs133": 132.905451958,
}  # fmt: skip
#: masses of particles, nuclei and neutral atoms in electron masses
PARTICLES: dict[str, float] = {
    "electron": 1.0, "positron": 1.0, "muon": 206.7682827, "proton": 1836.152673426, "neutron": 1838.683662,
    "deuteron": 3670.482967655, "triton": 5496.92153551, "helion": 5495.88527984, "alpha": 7294.29954171,
    **{name: value * MASSES["u"] for name, value in _ATOMS.items()},
}  # fmt: skip


def mass(particle: str | float, energy: str, length: str, *, unit: str = "m_e") -> float:
    """The number to give as `mass` of a particle where V is in `energy` and positions are in `length`: M energy length²/ħ².

    Args:
        particle: a name, such as "electron", "proton" or "Rb87" (a key of `PARTICLES`), or a mass in `unit`.
        energy: unit of energy, such as "K", "meV", "cm-1" or "hartree" (a key of `ENERGIES`).
        length: unit of length, such as "angstrom", "nm" or "bohr" (a key of `LENGTHS`).
        unit: unit of a mass that is a number, "m_e", "u" or "kg".

    Raises:
        UsageError: the particle or a unit is not known, or the mass is not above 0.
    """
    if isinstance(particle, str):
        number = _find(particle, PARTICLES, "particle")
    elif isinstance(particle, Real) and 0 < particle < math.inf:
        number = float(particle) * _find(unit, MASSES, "unit of mass")
    else:
        raise UsageError(
            f"a mass of {particle!r} is not allowed: it must be a number above 0, or the name of a particle"
        )
    # hartree, bohr and the electron mass make ħ = 1
    return number * _find(energy, ENERGIES, "unit of energy") * _find(length, LENGTHS, "unit of length") ** 2


def hbar2_over_m(particle: str | float, energy: str, length: str, *, unit: str = "m_e") -> float:
    """ħ²/M of a particle in energy × length², such as 12.12 K Å² of a helium atom. Arguments and errors are those of `mass`."""
    return 1 / mass(particle, energy, length, unit=unit)


def coulomb(energy: str, length: str) -> float:
    """e²/(4πε₀) in energy × length: two elementary charges at a distance r repel each other by this over r.

    1 for hartree and bohr, 1.44 for eV and nm; in a medium divide it by the permittivity. Raises UsageError for unknown units.
    """
    return 1 / (_find(energy, ENERGIES, "unit of energy") * _find(length, LENGTHS, "unit of length"))


def convert(value: float, old: str, new: str) -> float:
    """A value in the unit `old` in the unit `new`: both of energy, of length or of mass.

    Energies may be frequencies (h ν), wavenumbers and temperatures (k T) too. Raises UsageError for units that are not known,
    or that measure different things.
    """
    kinds = (ENERGIES, LENGTHS, MASSES)
    for known in kinds:
        if _spelled(old) in known and _spelled(new) in known:
            return value * known[_spelled(old)] / known[_spelled(new)]
    everything = {name: number for known in kinds for name, number in known.items()}
    for name in (old, new):
        _find(name, everything, "unit")
    raise UsageError(f"{old} cannot be converted to {new}: they are not both energies, lengths or masses")


def rydberg_of_exciton(mu: float, permittivity: float, energy: str = "meV") -> float:
    """The effective Rydberg Ry μ/ε² of a reduced mass μ, in electron masses, in a medium of relative permittivity ε.

    It is the binding energy of an exciton, or of a donor, in three dimensions. Raises UsageError for an unknown unit.
    """
    return convert(0.5, "hartree", energy) * mu / permittivity**2


def bohr_of_exciton(mu: float, permittivity: float, length: str = "nm") -> float:
    """The effective Bohr radius a₀ ε/μ; arguments and errors are those of `rydberg_of_exciton`."""
    return convert(permittivity / mu, "bohr", length)


def is_known(energy: str, length: str) -> bool:
    """Whether these are a unit of energy and a unit of length that the functions here take."""
    return _spelled(energy) in ENERGIES and _spelled(length) in LENGTHS


def _spelled(name: str) -> str:
    """The name of a unit as the tables have it; both signs for micro are a u."""
    plain = name.translate({0xB5: "u", 0x3BC: "u"})
    return SPELLINGS.get(plain, plain)


def _find(name: str, known: Mapping[str, float], what: str) -> float:
    if (key := _spelled(str(name))) in known:
        return known[key]
    # of two that differ in capitals the first
    by_lower = {other.lower(): other for other in reversed([*known])}
    close = difflib.get_close_matches(key.lower(), by_lower, n=1)
    hint = f" (did you mean {by_lower[close[0]]}?)" if close else ""
    raise UsageError(f"{name!r} is no known {what}{hint}; known are {', '.join(known)}")
