"""Particles on a ring, a periodic line of length `box`: a rotor, an optical lattice, and gases with known energies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from fkflow.hamiltonian.system import Reference, System

from .harmonic import LARGEST, SMALLEST
from .pairs import sum_of_pairs
from .references import CLOSED_FORM

if TYPE_CHECKING:
    from torch import Tensor

#: plane waves on each side of zero in which a particle in a periodic potential is solved
WAVES = 64
#: Newton steps for the Bethe equations
STEPS = 60


class Ring(System):
    """Bosons on a ring of length `box`."""

    # as many as the target error asks for: a window of imaginary time has hundreds of moves
    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"measure": {"walkers": 0}, "project": {"walkers": 0}}
    dimensions: ClassVar[int] = 1

    particles: int = Field(5, ge=1, le=256, description="number of particles N")
    box: float = Field(5.0, ge=SMALLEST, le=LARGEST, description="length L of the ring")

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, 1) → (B,): none but that of `contact`."""
        return 0.0 * x[..., 0].sum(-1)


class Rotor(System):
    """A plane rotor in a field, V = depth (1 − cos periods·φ)/2 with an angle φ of period 2π: Mathieu's equation."""

    key: ClassVar[str] = "rotor"
    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1
    box: ClassVar[float] = 2 * math.pi

    depth: float = Field(5.0, ge=0.0, le=1e4, description="height of the barriers")
    periods: int = Field(1, ge=1, le=16, description="number of minima around the ring")

    def potential(self, x: Tensor) -> Tensor:
        """V of φ (B, 1, 1) → (B,)."""
        return 0.5 * self.depth * (1 - (self.periods * x[..., 0, 0]).cos())

    def reference(self) -> Reference:
        """The lowest eigenvalue in plane waves."""
        return Reference(_lattice_energy(self.depth, self.periods, self.box), 0.0, "plane waves")


class Lattice(Ring):
    """Bosons in an optical lattice on a ring, V = depth Σ sin²(π sites x_i/L), with contact energies."""

    key: ClassVar[str] = "lattice"

    sites: int = Field(5, ge=1, le=64, description="number of minima around the ring")
    depth: float = Field(4.0, ge=0.0, le=1e4, description="height of the barriers")
    c: float = Field(1.0, ge=0.0, le=1e3, description="strength of the contact energy")

    @property
    def contact(self) -> float:
        """g."""
        return self.c

    def potential(self, x: Tensor) -> Tensor:
        """The lattice at x (B, N, 1) → (B,)."""
        return self.depth * (math.pi * self.sites / self.box * x[..., 0]).sin().square().sum(-1)

    def reference(self) -> Reference | None:
        """Plane waves for particles that do not interact, else None."""
        if self.c and self.particles > 1:
            return None
        return Reference(self.particles * _lattice_energy(self.depth, self.sites, self.box), 0.0, "plane waves")


class HardRods(Ring):
    """Rods of length a on a ring, which cannot overlap."""

    key: ClassVar[str] = "hard_rods"

    box: float = Field(10.0, ge=SMALLEST, le=LARGEST, description="length L of the ring")
    a: float = Field(
        1.0, ge=SMALLEST, le=LARGEST, validate_default=True, description="length of a rod; N rods must fit, N a < L"
    )

    @field_validator("a")
    @classmethod
    def _check_room(cls, value: float, info: ValidationInfo) -> float:
        given = info.data
        if {"particles", "box"} <= given.keys() and not given["particles"] * value < given["box"]:
            raise ValueError(
                f"{given['particles']} rods of that length do not fit on a ring of length {given['box']:g}"
            )
        return value

    def pair(self, r: Tensor) -> Tensor:
        """∞ for r < a."""
        return (0.0 * r).masked_fill(r < self.a, math.inf)

    def potential(self, x: Tensor) -> Tensor:
        """0, or ∞ where two rods overlap, for x (B, N, 1) → (B,)."""
        return sum_of_pairs(self.pair, x, self.box)

    def reference(self) -> Reference:
        """E0 = N (N² − 1) π²/(6 (L − N a)²), as of free fermions on what is left of the ring."""
        n = self.particles
        return Reference(n * (n**2 - 1) * math.pi**2 / (6 * (self.box - n * self.a) ** 2), 0.0, CLOSED_FORM)


class Sutherland(Ring):
    """Sutherland's gas on a ring, V = lambda (lambda − 1) Σ_{i<j} (π/L)²/sin²(π x_ij/L).

    Phys. Rev. A 4, 2019 (1971).
    """

    key: ClassVar[str] = "sutherland"
    model_config = ConfigDict(populate_by_name=True)

    particles: int = Field(8, ge=1, le=256, description="number of particles N")
    box: float = Field(8.0, ge=SMALLEST, le=LARGEST, description="length L of the ring")
    lambda_: float = Field(2.0, gt=1.0, le=1e2, alias="lambda", description="ψ vanishes as r^lambda at small distances")

    def pair(self, r: Tensor) -> Tensor:
        """Energy of two at the distance r along the ring."""
        wave = math.pi / self.box
        return self.lambda_ * (self.lambda_ - 1) * wave**2 / (wave * r).sin().square()

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, 1) → (B,)."""
        return sum_of_pairs(self.pair, x, self.box)

    def reference(self) -> Reference:
        """E0 = lambda² π² N (N² − 1)/(6 L²)."""
        n = self.particles
        return Reference((self.lambda_ * math.pi / self.box) ** 2 * n * (n**2 - 1) / 6, 0.0, CLOSED_FORM)


class LiebLiniger(Ring):
    """Bosons on a ring with contact energies, V = c Σ_{i<j} δ(x_i − x_j).

    Lieb and Liniger, Phys. Rev. 130, 1605 (1963).
    """

    key: ClassVar[str] = "lieb_liniger"

    c: float = Field(1.0, ge=0.0, le=1e4, description="strength of the contact energy; γ = c L/N")

    @property
    def contact(self) -> float:
        """c."""
        return self.c

    def reference(self) -> Reference:
        """The ground state of the Bethe equations."""
        return Reference(_bethe_energy(self.particles, self.box, self.c), 0.0, "Bethe ansatz")


@lru_cache(maxsize=64)
def _lattice_energy(depth: float, periods: int, box: float) -> float:
    """Lowest energy of a particle in depth sin²(π periods x/L) on a ring of length L."""
    wave = 2 * math.pi / box * np.arange(-WAVES, WAVES + 1) * periods
    matrix = np.diag(0.5 * wave**2 + 0.5 * depth)
    off = np.full(2 * WAVES, -0.25 * depth)
    return float(np.linalg.eigvalsh(matrix + np.diag(off, 1) + np.diag(off, -1))[0])


@lru_cache(maxsize=64)
def _bethe_energy(particles: int, box: float, c: float) -> float:
    """½ Σ k_i² for k_i L = 2π I_i − 2 Σ_j atan((k_i − k_j)/c), I_i = i − (N + 1)/2, by Newton steps."""
    if particles == 1 or c == 0:
        return 0.0
    numbers = 2 * math.pi * (np.arange(particles) - 0.5 * (particles - 1))
    # those of strong and of weak contacts lie on both sides
    k = numbers / (box + 2 * particles / c)
    for _ in range(STEPS):
        apart = k[:, None] - k
        wrong = k * box - numbers + 2 * np.arctan(apart / c).sum(1)
        slope = 2 * c / (c**2 + apart**2)
        k = k - np.linalg.solve(np.diag(box + slope.sum(1)) - slope, wrong)
    return float(0.5 * (k**2).sum())
