"""Masses in given units, and conversions, against published numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scipy import constants

import fkflow
from fkflow import units
from fkflow.errors import UsageError


def test_constants_are_those_of_codata() -> None:
    """Other editions of the table differ by less than this."""
    for name, value in (
        ("electron mass", units.ELECTRON_MASS),
        ("atomic mass constant", units.ATOMIC_MASS),
        ("Bohr radius", units.BOHR),
        ("Hartree energy", units.HARTREE),
        ("reduced Planck constant", units.HBAR),
        ("elementary charge", units.CHARGE),
        ("Boltzmann constant", units.BOLTZMANN),
        *((f"{name}-electron mass ratio", units.PARTICLES[name]) for name in ("muon", "proton", "neutron", "deuteron")),
        *((f"{name}-electron mass ratio", units.PARTICLES[name]) for name in ("triton", "helion")),
        ("alpha particle-electron mass ratio", units.PARTICLES["alpha"]),
    ):
        assert value == pytest.approx(constants.value(name), rel=3e-8), name


def test_atoms_are_nuclei_with_electrons() -> None:
    """But for the binding energy of the electrons, some 1e-8 of the mass."""
    for atom, nucleus, electrons in (
        ("H", "proton", 1),
        ("D", "deuteron", 1),
        ("T", "triton", 1),
        ("He3", "helion", 2),
    ):
        assert units.PARTICLES[atom] == pytest.approx(units.PARTICLES[nucleus] + electrons, rel=3e-8)
    assert units.PARTICLES["He4"] == pytest.approx(units.PARTICLES["alpha"] + 2, rel=3e-8)
    for name, number in units.PARTICLES.items():
        if name[-1].isdigit():
            nucleons = int("".join(c for c in name if c.isdigit()))
            assert number / units.MASSES["u"] == pytest.approx(nucleons, rel=6e-3), name


def test_masses_against_published_numbers() -> None:
    # Aziz et al. (1979) and the literature of helium: 12.12 K A^2; of molecular spectra: 16.857629 u A^2 / cm
    assert units.hbar2_over_m("He4", "K", "angstrom") == pytest.approx(12.1193, abs=1e-4)
    assert units.hbar2_over_m("He3", "K", "Å") == pytest.approx(16.0836, abs=1e-3)
    assert units.hbar2_over_m(1.0, "cm-1", "angstrom", unit="u") / 2 == pytest.approx(16.857629, abs=1e-6)
    # ħ²/m_e = 0.0762 eV nm²
    assert units.hbar2_over_m("electron", "eV", "nm") == pytest.approx(0.07619964, abs=1e-8)
    assert units.mass("electron", "hartree", "bohr") == 1.0
    assert units.mass("electron", "Ry", "bohr") == pytest.approx(0.5)
    assert units.mass("proton", "hartree", "bohr") == 1836.152673426
    assert units.mass("He4", "K", "Å") * units.hbar2_over_m("He4", "K", "Å") == pytest.approx(1.0)
    assert units.mass(9.1093837139e-31, "meV", "nm", unit="kg") == pytest.approx(units.mass("electron", "meV", "nm"))


def test_conversions_against_published_numbers() -> None:
    """CODATA 2022: the conversion factors of the hartree."""
    for unit, value in (("eV", 27.211386245981), ("K", 315775.02480398), ("cm-1", 219474.63136314),
                        ("THz", 6579.6839204999), ("kJ/mol", 2625.4996394799), ("kcal/mol", 627.5094740631)):  # fmt: skip
        assert units.convert(1.0, "hartree", unit) == pytest.approx(value, rel=2e-10)
        assert units.convert(value, unit, "Eh") == pytest.approx(1.0, rel=2e-10)
    assert units.convert(1.0, "bohr", "Å") == pytest.approx(0.529177210544)
    assert units.convert(1.0, "u", "m_e") == pytest.approx(1822.888486, rel=1e-9)
    assert units.convert(2.0, "µeV", "neV") == pytest.approx(2000.0) == units.convert(2.0, "μeV", "neV")
    # e²/(4πε₀) = 1.44 eV nm
    assert units.coulomb("eV", "nm") == pytest.approx(1.43996455, rel=1e-8)
    assert units.coulomb("hartree", "bohr") == 1.0


def test_excitons() -> None:
    """Donors in GaAs, 0.0665 m_e and ε = 12.56: 5.7 meV and 10 nm (Yu and Cardona, Fundamentals of Semiconductors)."""
    assert units.rydberg_of_exciton(1.0, 1.0, "eV") == pytest.approx(13.605693123, rel=1e-9)
    assert units.rydberg_of_exciton(0.0665, 12.56) == pytest.approx(5.735, abs=2e-3)
    assert units.bohr_of_exciton(0.0665, 12.56) == pytest.approx(9.995, abs=2e-3)


def test_a_mass_makes_hbar_one() -> None:
    """The zero-point energy √(k/m)/2 of a spring k in eV/nm² is ħω/2 of the same spring in SI units."""
    spring = 0.3
    energy = 0.5 * (spring / units.mass("Rb87", "eV", "nm")) ** 0.5
    kilograms = units.PARTICLES["Rb87"] * constants.m_e
    expected = 0.5 * constants.hbar * (spring * constants.e / 1e-18 / kilograms) ** 0.5 / constants.e
    assert energy == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: units.mass("He5", "K", "nm"), r"'He5' is no known particle \(did you mean He4\?\)"),
        (lambda: units.mass("He4", "mev", "nm"), r"'mev' is no known unit of energy \(did you mean meV\?\)"),
        (lambda: units.mass("He4", "K", "inch"), "'inch' is no known unit of length"),
        (lambda: units.mass(-1.0, "K", "nm"), "-1.0 is not allowed"),
        (lambda: units.mass(4.0, "K", "nm", unit="g"), "'g' is no known unit of mass"),
        (lambda: units.convert(1.0, "eV", "bohr"), "eV cannot be converted to bohr"),
        (lambda: units.convert(1.0, "eV", "Volt"), "'Volt' is no known unit"),
    ],
)
def test_what_is_not_known_is_an_error_of_one_sentence(call, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_units_need_no_other_import() -> None:
    code = (
        "import sys, fkflow; fkflow.units.mass('He4', 'K', 'nm'); sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "units" in dir(fkflow) and not [name for name in dir(fkflow) if name not in (*fkflow.__all__, "__version__")]
