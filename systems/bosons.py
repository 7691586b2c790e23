"""Bosons with a Gaussian pair repulsion, in two dimensions (Mujal et al., PRA 96 043614, 2017) and in three."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import Reference, System

from . import densities, references
from .harmonic import LARGEST, SMALLEST
from .solvers import Level, radial_ground_state

if TYPE_CHECKING:
    from torch import Tensor

    Array = np.ndarray


class Bosons(System):
    """Bosons in a round 2D trap, V = ½ omega² Σ r_i² + Σ_{i<j} g/(π s²) exp(−r_ij²/s²)."""

    key: ClassVar[str] = "bosons"
    dimensions: ClassVar[int] = 2
    isotropic: ClassVar[bool] = True
    separable: ClassVar[bool] = True

    particles: int = Field(4, ge=1, le=1024, description="number of bosons N")
    g: float = Field(15.0, description="strength of the pair repulsion; 0 for an ideal gas")
    s: float = Field(0.5, ge=SMALLEST, le=LARGEST, description="range of the pair repulsion")
    omega: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="trap frequency")

    @field_validator("g", mode="before")
    @classmethod
    def _check_repulsive(cls, g: Any) -> float:
        if type(g) not in (int, float) or not 0 <= g <= LARGEST:
            raise ValueError(f"it must be a number from 0 to {LARGEST:g} (a repulsion, never negative)")
        return float(g)

    def potential(self, x: Tensor) -> Tensor:
        """Trap and pair energy of x (B, N, D) → (B,)."""
        trap = 0.5 * self.omega**2 * x.square().sum(dim=(-2, -1))
        overlap = (pair_squares(x) * (-1 / self.s**2)).exp().sum(0)
        return trap + _height(self.dimensions, self.g, self.s) * overlap

    def pair(self, r: Tensor) -> Tensor | None:
        """Energy of two at the distances r; None for an ideal gas."""
        return None if self.g == 0 else _height(self.dimensions, self.g, self.s) * (-(r / self.s).square()).exp()

    def reference(self) -> Reference | None:
        """Closed form without interaction, else the table, else the radial equation for two; None beyond.

        Exact scaling: E(omega, g, s) = omega E(1, g omega^(D/2−1), s √omega).
        """
        if self.g == 0 or self.particles == 1:
            return Reference(0.5 * self.dimensions * self.particles * self.omega, 0.0, references.CLOSED_FORM)
        g, s = self._at_unit_frequency()
        found = references.bosons(self.particles, self.dimensions, g, s)
        if found is None and self.particles == 2 and (level := _two(self.dimensions, g, s)):
            energy = 0.5 * self.dimensions + level.energy
            found = Reference(energy, level.error, "radial equation on a spectral grid")
        if found is None or self.omega == 1:
            return found
        strength = "" if self.dimensions == 2 else f"g = {g:.6g}, "
        source = f"{found.source}; scaled from omega = 1, {strength}s = {s:.6g}"
        return Reference(self.omega * found.energy, self.omega * found.error, source)

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """Gaussians without interaction, from the radial equation for two, else None."""
        if self.g == 0 or self.particles == 1:
            return densities.trap((self.omega,) * self.dimensions, group, name, points)
        level = _two(self.dimensions, *self._at_unit_frequency()) if self.particles == 2 else None
        if level is None:
            return None
        scaled = tuple(math.sqrt(self.omega) * x for x in points)
        return math.pow(self.omega, self.dimensions / 2) * densities.two_in_a_trap(level, group, name, scaled)

    def _at_unit_frequency(self) -> tuple[float, float]:
        """g and s of the same system in units in which the trap's frequency is 1."""
        return self.g * math.pow(self.omega, self.dimensions / 2 - 1), self.s * math.sqrt(self.omega)

    def published(self) -> tuple[Reference, ...]:
        """Upper bounds by diagonalisation in a finite basis, scaled as `reference` is."""
        bound = references.mujal(self.particles, self.g, self.s * math.sqrt(self.omega))
        return () if bound is None else (Reference(self.omega * bound.energy, self.omega * bound.error, bound.source),)


class Bosons3D(Bosons):
    """Bosons in a round 3D trap, V = ½ omega² Σ r_i² + Σ_{i<j} g/(π s²)^(3/2) exp(−r_ij²/s²).

    Not a parameter of `Bosons`, since results are compared by their parameters.
    """

    key: ClassVar[str] = "bosons3d"
    dimensions: ClassVar[int] = 3

    def published(self) -> tuple[Reference, ...]:
        """None in three dimensions."""
        return ()


def _height(dimensions: int, g: float, s: float) -> float:
    """Energy of two at the same place."""
    return g / math.pow(math.pi * s**2, dimensions / 2)


@lru_cache(maxsize=256)
def _two(dimensions: int, g: float, s: float) -> Level | None:
    """Two bosons at omega = 1: the centre of mass holds energy D/2, the rest is a well in ρ = r_12/√2."""
    height = _height(dimensions, g, s)

    def well(rho: np.ndarray) -> np.ndarray:
        return 0.5 * rho**2 + height * np.exp(-2 * (rho / s) ** 2)

    try:
        return radial_ground_state(well, dimensions, feature=s)
    except ArithmeticError:
        return None
