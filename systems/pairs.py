"""Identical particles in a round trap with a repulsion that diverges at r = 0: charges, dipoles, inverse squares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import Reference, System

from . import references
from .free_energies import about_a_nucleus, oscillators
from .harmonic import LARGEST, SMALLEST
from .references import CLOSED_FORM
from .solvers import Level, radial_ground_state

if TYPE_CHECKING:
    from torch import Tensor

    Array = np.ndarray

#: distance, in oscillator lengths, below which a repulsion is taken as constant in the radial equation
SHORTEST = 1e-9


def sum_of_pairs(energy: Callable[[Tensor], Tensor], x: Tensor, box: float | None = None) -> Tensor:
    """Σ_{i<j} energy(r_ij) (…) of x (…, N, D), of nearest images in a periodic box of that side."""
    return energy(pair_squares(x, box).sqrt()).sum(0)


def without_effect(system: Any, interactions: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each field that is given though it is that of another interaction, as `interactions` has it by field."""
    fields = type(system).model_fields
    return tuple(
        f'system.{fields[name].alias or name} = {value:g} has no effect: it is for interaction = "{of}", and this is '
        f'"{system.interaction}"'
        for name, of in interactions.items()
        if system.interaction != of and (value := getattr(system, name)) != fields[name].default
    )


class Repelling(System):
    """V = ½ omega² Σ r_i² + Σ_{i<j} pair(r_ij)."""

    isotropic: ClassVar[bool] = True
    separable: ClassVar[bool] = True

    omega: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="trap frequency")

    def pair(self, r: Any) -> Any:
        """Energy of two at the distances r, a tensor or an array."""
        raise NotImplementedError

    def potential(self, x: Tensor) -> Tensor:
        """Trap and pair energy of x (B, N, D) → (B,)."""
        trap = 0.5 * self.omega**2 * x.square().sum(dim=(-2, -1))
        return trap + sum_of_pairs(self.pair, x)

    def reference(self) -> Reference | None:
        """Closed form for one, the radial equation for two, None beyond."""
        if self.particles == 1:
            return Reference(0.5 * self.dimensions * self.omega, 0.0, CLOSED_FORM)
        if self.particles > 2 or (level := _relative(self)) is None:
            return None
        energy = 0.5 * self.dimensions * self.omega + level.energy
        return Reference(energy, level.error, "radial equation on a spectral grid, after separating the centre of mass")


@lru_cache(maxsize=256)
def _relative(system: Repelling) -> Level | None:
    """Ground state of ρ = r_12/√2 for two particles."""
    length = system.omega**-0.5

    def well(rho: Array) -> Array:
        r = math.sqrt(2) * np.maximum(rho, SHORTEST * length)
        return np.asarray(0.5 * system.omega**2 * rho**2 + system.pair(r))

    try:
        return radial_ground_state(well, system.dimensions)
    except ArithmeticError:
        return None


class Ions(Repelling):
    """Ions of one charge in a round trap, V = ½ omega² Σ r_i² + charge² Σ_{i<j} 1/r_ij."""

    key: ClassVar[str] = "ions"

    particles: int = Field(8, ge=1, le=256, description="number of ions N")
    dimensions: int = Field(2, ge=2, le=3, description="dimensions D of space, 2 or 3")
    charge: float = Field(10.0, ge=0.0, le=1e3, description="charge of each")

    def pair(self, r: Any) -> Any:
        """Coulomb energy."""
        return self.charge**2 / r

    def reference(self) -> Reference | None:
        """For more than two ions of large charge the series of a crystal: E(omega, q) = omega E(1, q omega^(−1/4))."""
        if self.particles <= 2:
            return super().reference()
        found = references.crystal(self.particles, self.dimensions, self.charge * self.omega**-0.25)
        return found and Reference(self.omega * found.energy, self.omega * found.error, found.source)


class Hooke(Repelling):
    """Hooke's atom: two electrons (a singlet) in a harmonic trap, V = ½ omega² Σ r_i² + 1/r_12."""

    key: ClassVar[str] = "hooke"
    energy_unit: ClassVar[str] = "hartree"
    length_unit: ClassVar[str] = "bohr"
    particles: ClassVar[int] = 2
    dimensions: ClassVar[int] = 3

    def pair(self, r: Any) -> Any:
        """Coulomb energy."""
        return 1 / r

    def free_energy(self, beta: float, statistics: str) -> Reference | None:
        """The centre of mass in closed form, and levels of the relative motion with even momenta for a singlet."""
        found = about_a_nucleus(-math.sqrt(0.5), self.omega, beta, even=statistics == "bose")
        if found is None:
            return None
        energy, error = found
        return Reference(
            energy + oscillators([self.omega] * 3, 1, beta, False), error, "radial equation in polynomials"
        )


class Calogero(Repelling):
    """The Calogero–Sutherland gas on a line, V = ½ omega² Σ x_i² + lambda (lambda − 1) Σ_{i<j} 1/x_ij²."""

    key: ClassVar[str] = "calogero"
    dimensions: ClassVar[int] = 1

    particles: int = Field(5, ge=1, le=256, description="number of particles N")
    model_config = ConfigDict(populate_by_name=True)

    lambda_: float = Field(2.0, ge=1.0, le=1e2, alias="lambda", description="ψ vanishes as r^lambda at small distances")

    def pair(self, r: Any) -> Any:
        """lambda (lambda − 1)/r²."""
        return self.lambda_ * (self.lambda_ - 1) / r**2

    def reference(self) -> Reference:
        """E0 = ½ omega N (1 + lambda (N − 1))."""
        n = self.particles
        return Reference(0.5 * self.omega * n * (1 + self.lambda_ * (n - 1)), 0.0, CLOSED_FORM)


class Dipoles(Repelling):
    """Bosons in a plane with dipoles perpendicular to it, V = ½ omega² Σ r_i² + dipole² Σ_{i<j} 1/r_ij³."""

    key: ClassVar[str] = "dipoles"
    dimensions: ClassVar[int] = 2

    particles: int = Field(2, ge=1, le=256, description="number of bosons N")
    dipole: float = Field(1.0, ge=0.0, le=1e3, description="dipole moment of each")

    def pair(self, r: Any) -> Any:
        """Energy of two parallel dipoles side by side."""
        return self.dipole**2 / r**3
