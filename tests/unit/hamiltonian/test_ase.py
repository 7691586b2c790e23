"""Molecules on surfaces of ASE: units, order of the atoms, species, and every wrong input as one sentence."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch

from fkflow import units
from fkflow.errors import RecipeError
from fkflow.hamiltonian import ase_surface
from fkflow.hamiltonian.registry import find_system
from fkflow.recipe.config import make_system

MORSE = {"epsilon": 9.9, "r0": 1.1, "rho0": 2.96}
needs_ase = pytest.mark.skipif(util.find_spec("ase") is None, reason="needs ase")


@pytest.fixture(autouse=True)
def fresh() -> None:
    ase_surface._read.cache_clear()
    ase_surface._calculator.cache_clear()


def written(tmp_path: Path, *lines: str, comment: str = "") -> str:
    path = tmp_path / "molecule.xyz"
    path.write_text("\n".join([str(len(lines)), comment, *lines]) + "\n")
    return str(path)


def made(**values: object) -> ase_surface.Ase:
    found = make_system(find_system("ase"), {"calculator": "morse", "options": MORSE, "processes": 1, **values})
    assert isinstance(found, ase_surface.Ase)
    return found


@needs_ase
def test_a_morse_curve_in_atomic_units(tmp_path: Path) -> None:
    """V = ε [(1 − e^(−ρ0 (r/r0 − 1)))² − 1]; the twin: with the numbers in Å taken for bohr it is another."""
    system = made(structure=written(tmp_path, "N 0 0 0", "N 0 0 1.2"))
    assert (system.particles, system.dimensions, system.identical, system.free) == (2, 3, True, True)
    mass = units.convert(14.007, "u", "m_e")
    assert [(one.name, one.count) for one in system.species] == [("N", 2)]
    assert system.species[0].mass == pytest.approx(mass)
    r = np.array([1.9, 2.1, 2.5])
    x = torch.zeros(3, 2, 3, dtype=torch.float64)
    x[:, 1, 2] = torch.from_numpy(r)
    depth, place = units.convert(9.9, "eV", "hartree"), units.convert(1.1, "angstrom", "bohr")

    def curve(r: np.ndarray) -> np.ndarray:
        return depth * ((1 - np.exp(-2.96 * (r / place - 1))) ** 2 - 1)

    np.testing.assert_allclose(system.potential(x).numpy(), curve(r), rtol=1e-6)
    assert np.abs(system.potential(x).numpy() - curve(units.convert(1.0, "angstrom", "bohr") * r)).min() > 0.01
    start = system.start(3, torch.Generator())
    assert float((start[0, 0] - start[0, 1]).norm()) == pytest.approx(place, rel=1e-4)
    frequency = 2.96 / place * (2 * depth / (mass / 2)) ** 0.5
    assert system.length == pytest.approx((frequency * mass) ** -0.5, rel=1e-3)


@needs_ase
def test_atoms_come_in_the_order_of_species(tmp_path: Path) -> None:
    """H, O, H of which one is heavier: three species; with equal masses H comes first, twice."""
    structure = written(tmp_path, "H 0 0.8 0.6", "O 0 0 0", "H 0 -0.8 0.6")
    water = made(structure=structure, calculator="emt", options={})
    assert [(one.name, one.count) for one in water.species] == [("H", 2), ("O", 1)]
    heavy = made(structure=structure, calculator="emt", options={}, masses=[1.008, 15.995, 2.014])
    assert [(one.name, one.count) for one in heavy.species] == [("H_1", 1), ("O", 1), ("H_2", 1)]
    assert heavy.species[2].mass == pytest.approx(units.convert(2.014, "u", "m_e"))
    # in both orders the same molecule has the same energy
    bohr = units.convert(1.0, "angstrom", "bohr")
    in_file = torch.tensor([[[0, 0.8, 0.6], [0, 0, 0], [0, -0.8, 0.6]]], dtype=torch.float64) * bohr
    first, second = water.potential(in_file[:, [0, 2, 1]]), heavy.potential(in_file)
    assert torch.allclose(first, second) and not torch.allclose(water.potential(in_file), second)


@needs_ase
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"structure": "nothing.xyz"}, "there is no such file"),
        ({"calculator": "magic"}, "magic.*ase knows no such calculator"),
        ({"calculator": "ase.calculators.emt:Nothing"}, "ase knows no such calculator"),
        ({"masses": [1.0]}, "it must be 2 numbers above 0"),
        ({"processes": -1}, "processes"),
        ({"other": 1}, "other"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path: Path, values: dict[str, object], words: str) -> None:
    structure = written(tmp_path, "N 0 0 0", "N 0 0 1.2")
    with pytest.raises(RecipeError, match=words) as found:
        made(**{"structure": structure, **values})
    assert "\n" not in str(found.value)


@needs_ase
def test_a_cell_a_single_atom_and_other_files_are_refused(tmp_path: Path) -> None:
    cell = 'Lattice="5 0 0 0 5 0 0 0 5" pbc="T T T"'
    for lines, comment, words in (
        (("N 0 0 0", "N 0 0 1.2"), cell, "periodic cell"),
        (("N 0 0 0",), "", "has 1 atom"),
        (("N 0 zero 0", "N 0 0 1.2"), "", "ase cannot read it"),
    ):
        ase_surface._read.cache_clear()
        with pytest.raises(RecipeError, match=words):
            made(structure=written(tmp_path, *lines, comment=comment))


def test_without_ase_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ase_surface, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"needs the package ase: pip install"):
        made(structure=written(tmp_path, "N 0 0 0", "N 0 0 1.2"))
