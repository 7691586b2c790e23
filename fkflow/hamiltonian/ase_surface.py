"""Molecules on the surface of a calculator of ASE, the Atomic Simulation Environment; an optional package.

A recipe names the file with the atoms and the calculator: ``name = "ase"``, ``structure = "water.xyz"``, and
``calculator = "emt"``. ASE has eV and ångström; here energies are in hartree, lengths in bohr and masses in electron masses.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from fkflow import units
from fkflow.hamiltonian.pointwise import PointByPoint
from fkflow.hamiltonian.species import Species
from fkflow.hamiltonian.system import System

if TYPE_CHECKING:
    from torch import Generator, Tensor

#: largest force (eV/Å) at the minimum, most steps of its search, and the step (Å) of differences of forces there
FORCE, STEPS, STEP = 1e-4, 1000, 1e-3
#: smallest force constant of a vibration by the largest
LEAST = 1e-3
#: names of calculators, as ASE knows them, for messages
EXAMPLES = '"emt", "lj", "morse" or "tip3p", or a class such as "mace.calculators:MACECalculator"'


class Ase(System):
    """The atoms of a file on the surface of an ASE calculator, free in space. Atoms of one element and mass are one species."""

    key: ClassVar[str] = "ase"
    dimensions: ClassVar[int] = 3
    free: ClassVar[bool] = True
    energy_unit: ClassVar[str] = "hartree"
    length_unit: ClassVar[str] = "bohr"
    structure: str = Field(
        description="file with the atoms, in any format that ASE reads; relative to the working directory"
    )
    calculator: str = Field(description=f"the calculator: {EXAMPLES}")
    options: Mapping[str, bool | int | float | str] = Field({}, description="arguments of the calculator")
    masses: tuple[float, ...] = Field(
        (), description="masses of the atoms in u, in the order of the file; []: those of ASE"
    )
    processes: int = Field(0, ge=0, description="processes that compute V; 0: one for each core")

    _surface: PointByPoint | None = PrivateAttr(None)
    _found: tuple[np.ndarray, float] | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _take_lists(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("masses"), list):
            return {**given, "masses": tuple(given["masses"])}
        return given

    @field_validator("structure")
    @classmethod
    def _check_structure(cls, value: str) -> str:
        atoms = _read(_absolute(value))
        if len(atoms) < 2:
            raise ValueError(f"it has {len(atoms)} atom: a molecule has two or more")
        if bool(atoms.pbc.any()):
            raise ValueError("it has a periodic cell: levels are those of a free molecule")
        return value

    @field_validator("calculator")
    @classmethod
    def _check_calculator(cls, value: str) -> str:
        _calculator(value)
        return value

    @field_validator("masses")
    @classmethod
    def _check_masses(cls, value: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if "structure" in info.data and value:
            count = len(_read(_absolute(info.data["structure"])))
            if len(value) != count or min(value) <= 0:
                raise ValueError(f"it must be {count} numbers above 0, one for each atom of the file, or []")
        return value

    def _atoms(self) -> Any:
        return _read(_absolute(self.structure))

    def _order(self) -> tuple[list[int], tuple[Species, ...]]:
        """The atoms of the file in the order of species, and these."""
        atoms = self._atoms()
        masses = self.masses or tuple(float(mass) for mass in atoms.get_masses())
        kinds = list(zip(atoms.get_chemical_symbols(), masses, strict=True))
        known = list(dict.fromkeys(kinds))
        order = sorted(range(len(kinds)), key=lambda i: known.index(kinds[i]))
        names = [name for name, _ in known]
        found = []
        for number, (name, mass) in enumerate(known):
            several = names.count(name) > 1
            label = f"{name}_{names[: number + 1].count(name)}" if several else name
            mass_here = units.convert(mass, "u", "m_e")
            found.append(Species(label, kinds.count((name, mass)), mass_here))
        return order, tuple(found)

    @property
    def species(self) -> tuple[Species, ...]:
        """The elements, and isotopes, in the order of the file."""
        return self._order()[1]

    def start(self, walkers: int, generator: Generator) -> Tensor:
        """The minimum next to the structure."""
        import torch

        place = self._vibrating()[0][self._order()[0]] * units.convert(1.0, "angstrom", "bohr")
        return torch.from_numpy(place).expand(walkers, -1, -1).clone()

    @property
    def length(self) -> float:
        """The natural length ω^(−½) of the mean vibration, for the geometric mean of the masses."""
        return self._vibrating()[1]

    def _vibrating(self) -> tuple[np.ndarray, float]:
        """The positions (N, 3) in Å at the minimum next to the structure, and the natural length there in bohr; found once."""
        if self._found is not None:
            return self._found
        atoms = self._atoms().copy()
        atoms.calc = _calculator(self.calculator)(**self.options)
        import_module("ase.optimize").BFGS(atoms, logfile=None).run(fmax=FORCE, steps=STEPS)
        place = atoms.positions - atoms.get_center_of_mass()
        rows = []
        for shift in STEP * np.eye(place.size).reshape(-1, *place.shape):
            forces = []
            for sign in (1, -1):
                atoms.positions = place + sign * shift
                forces.append(atoms.get_forces().ravel())
            rows.append((forces[1] - forces[0]) / (2 * STEP))
        masses = np.empty(len(place))
        masses[self._order()[0]] = [one.mass for one in self.species for _ in range(one.count)]
        roots = np.repeat(np.sqrt(masses), 3)
        to_atomic = units.convert(1.0, "eV", "hartree") / units.convert(1.0, "angstrom", "bohr") ** 2
        hessian = np.array(rows) * to_atomic / np.outer(roots, roots)
        values = np.linalg.eigvalsh(0.5 * (hessian + hessian.T))
        frequency = np.sqrt(values[values > LEAST * values[-1]]).mean()
        self._found = place, float(frequency**-0.5 / np.exp(np.log(masses).mean() / 2))
        return self._found

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, 3) in hartree."""
        import torch

        if self._surface is None:
            self._surface = PointByPoint(self._energy(), self.processes or None)
        places = np.empty(x.shape)
        places[:, self._order()[0]] = x.detach().cpu().numpy()
        energies = self._surface(places * units.convert(1.0, "bohr", "angstrom"))
        return torch.from_numpy(energies * units.convert(1.0, "eV", "hartree")).to(x.device)

    def _energy(self) -> Any:
        """The energy in eV of positions (N, 3) in Å, in the order of the file; each process makes a calculator of its own."""
        atoms, kind, options = self._atoms().copy(), _calculator(self.calculator), dict(self.options)

        def energy(places: np.ndarray) -> float:
            if atoms.calc is None:
                atoms.calc = kind(**options)
            atoms.positions = places
            try:
                return float(atoms.get_potential_energy())
            except (ArithmeticError, FloatingPointError, np.linalg.LinAlgError):
                return float("nan")

        return energy


def _absolute(file: str) -> str:
    return str(Path(file).expanduser().absolute())


@cache
def _read(path: str) -> Any:
    """The atoms of a file; ValueError with a phrase."""
    if find_spec("ase") is None:
        raise ValueError('reading it needs the package ase: pip install "fkflow[ase]"')
    try:
        return import_module("ase.io").read(path)
    except FileNotFoundError:
        raise ValueError(f"there is no such file in {Path(path).parent}") from None
    except Exception as error:
        raise ValueError(f"ase cannot read it: {_reason(error)}") from None


@cache
def _calculator(name: str) -> Any:
    """The class of a calculator; ValueError with a phrase."""
    if find_spec("ase") is None:
        raise ValueError('it needs the package ase: pip install "fkflow[ase]"')
    module, colon, kind = name.partition(":")
    try:
        if colon:
            return getattr(import_module(module), kind)
        return import_module("ase.calculators.calculator").get_calculator_class(name)
    except Exception as error:
        raise ValueError(f"ase knows no such calculator ({_reason(error)}): it may be {EXAMPLES}") from None


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
