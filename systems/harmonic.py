"""Harmonic systems in closed form: a trap of any dimension, a chain of coupled oscillators, the Moshinsky atom."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from fkflow.hamiltonian.system import Reference, System

from . import densities
from .free_energies import oscillators, relative_oscillators
from .references import CLOSED_FORM

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from torch import Tensor

#: range of every frequency, stiffness and length: far beyond use, near enough to keep squares finite
SMALLEST, LARGEST = 1e-6, 1e6


class Harmonic(System):
    """Particles without interaction in a harmonic trap, V = ½ Σ_i Σ_d omega_d² x_id²."""

    key: ClassVar[str] = "harmonic"
    separable: ClassVar[bool] = True

    particles: int = Field(4, ge=1, le=1024, description="number of particles N")
    dimensions: int = Field(3, ge=1, le=64, description="dimensions D of space")
    omega: float | tuple[float, ...] = Field(
        1.0, description="trap frequency: one number, or a list of one number per dimension"
    )

    @field_validator("omega", mode="before")
    @classmethod
    def _check_omega(cls, value: Any, info: ValidationInfo) -> float | tuple[float, ...]:
        dimensions = info.data.get("dimensions")
        listed = isinstance(value, (list, tuple))
        numbers = value if listed else [value]
        length_ok = not listed or (len(value) > 0 if dimensions is None else len(value) == dimensions)
        if not length_ok or not all(_is_frequency(v) for v in numbers):
            raise ValueError(
                f"it must be a number from {SMALLEST:g} to {LARGEST:g}, or a list of such numbers, one for "
                f"each of the {dimensions or 'D'} dimensions"
            )
        return tuple(float(v) for v in numbers) if listed else float(value)

    def frequencies(self) -> tuple[float, ...]:
        """The trap frequency along each of the D axes."""
        return self.omega if isinstance(self.omega, tuple) else (self.omega,) * self.dimensions

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        """Whether the trap is round: a list of different frequencies is not."""
        return len(set(self.frequencies())) == 1

    def potential(self, x: Tensor) -> Tensor:
        """½ Σ omega_d² x_id² of x (B, N, D) → (B,)."""
        if isinstance(self.omega, float):
            return 0.5 * self.omega**2 * x.square().sum(dim=(-2, -1))
        # Python numbers instead of a tensor of frequencies: nothing is copied to the device at every call
        axes = x.square().sum(dim=-2).unbind(-1)
        total = 0.5 * self.omega[0] ** 2 * axes[0]
        for omega, squares in zip(self.omega[1:], axes[1:], strict=True):
            total = total + 0.5 * omega**2 * squares
        return total

    def reference(self) -> Reference:
        """E0 = ½ N Σ_d omega_d."""
        return Reference(0.5 * self.particles * math.fsum(self.frequencies()), 0.0, CLOSED_FORM)

    def free_energy(self, beta: float, statistics: str) -> Reference:
        """Sums over the permutations of bosons in closed form."""
        energy = oscillators(self.frequencies(), self.particles, beta, statistics == "bose")
        return Reference(energy, 0.0, CLOSED_FORM)

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """Gaussians; None for distances in a trap that is not round."""
        return densities.trap(self.frequencies(), group, name, points)


def _is_frequency(value: Any) -> bool:
    return type(value) in (int, float) and SMALLEST <= value <= LARGEST


class Chain(System):
    """Distinguishable oscillators in a row (1D, open ends), V = ½ omega0² Σ x_i² + ½ k Σ (x_{i+1} − x_i)²."""

    key: ClassVar[str] = "chain"
    identical: ClassVar[bool] = False
    dimensions: ClassVar[int] = 1

    particles: int = Field(8, ge=1, le=1024, description="number of oscillators N")
    omega0: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="frequency of each one alone")
    k: float = Field(1.0, ge=0.0, le=LARGEST, description="stiffness of the spring between neighbours")

    def potential(self, x: Tensor) -> Tensor:
        """½ omega0² Σ x_i² + ½ k Σ (x_{i+1} − x_i)² of x (B, N, 1) → (B,)."""
        line = x[..., 0]
        stretch = line[..., 1:] - line[..., :-1]
        return 0.5 * self.omega0**2 * line.square().sum(-1) + 0.5 * self.k * stretch.square().sum(-1)

    def reference(self) -> Reference:
        """E0 = ½ Σ_j √(omega0² + 4 k sin²(π j / 2N)), j = 0 … N−1: the normal modes of the open chain."""
        return Reference(0.5 * math.fsum(self.modes()), 0.0, CLOSED_FORM)

    def free_energy(self, beta: float, statistics: str) -> Reference:
        """The normal modes, each an oscillator."""
        return Reference(oscillators(self.modes(), 1, beta, False), 0.0, CLOSED_FORM)

    def modes(self) -> list[float]:
        """Frequencies of the N normal modes; mode j is cos(π j (i + ½)/N) at particle i."""
        return [
            math.sqrt(self.omega0**2 + 4 * self.k * math.sin(math.pi * j / (2 * self.particles)) ** 2)
            for j in range(self.particles)
        ]

    def exact_density(self, group: str, name: str, *points: Array) -> Array:
        """Gaussians of the covariance Σ_j m_j m_jᵀ/(2 ω_j), m_j the normal modes: averages over particles or pairs."""
        n = self.particles
        shapes = np.cos(math.pi / n * np.outer(np.arange(n) + 0.5, np.arange(n)))
        shapes /= np.linalg.norm(shapes, axis=0)
        return densities.coupled(shapes / (2 * np.array(self.modes())) @ shapes.T, group, points[0])


class Moshinsky(System):
    """Particles in a round trap, each pair coupled by a spring (Moshinsky, Am. J. Phys. 36 52, 1968).

    V = ½ omega² Σ r_i² + ½ kappa Σ_{i<j} r_ij²; kappa > 0 attracts, kappa < 0 repels, and binds above −omega²/N.
    """

    key: ClassVar[str] = "moshinsky"
    isotropic: ClassVar[bool] = True
    separable: ClassVar[bool] = True

    particles: int = Field(4, ge=1, le=1024, description="number of particles N")
    dimensions: int = Field(3, ge=1, le=64, description="dimensions D of space")
    omega: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="trap frequency")
    kappa: float = Field(1.0, description="stiffness of the spring between two, above -omega^2/N; negative repels")

    @field_validator("kappa", mode="before")
    @classmethod
    def _check_bound(cls, value: Any, info: ValidationInfo) -> float:
        n, omega = info.data.get("particles"), info.data.get("omega")
        number = type(value) in (int, float) and abs(value) <= LARGEST
        # the squares of the relative frequencies stay those of a frequency that is allowed
        bound = n is None or omega is None or not number or omega**2 + n * value >= SMALLEST**2
        if not number or not bound:
            least = "-omega^2/N" if n is None or omega is None else f"-omega^2/N = {-(omega**2) / n:.6g}"
            raise ValueError(
                f"it must be a number above {least}, where the repulsion is as strong as the trap, and at most {LARGEST:g}"
            )
        return float(value)

    def relative_frequency(self) -> float:
        """√(omega² + N kappa), that of all motion relative to the centre of mass."""
        return math.sqrt(self.omega**2 + self.particles * self.kappa)

    def potential(self, x: Tensor) -> Tensor:
        """Trap and springs of x (B, N, D) → (B,); Σ_{i<j} r_ij² is N times the squares about the centre of mass."""
        apart = (x - x.mean(-2, keepdim=True)).square().sum(dim=(-2, -1))
        return 0.5 * self.omega**2 * x.square().sum(dim=(-2, -1)) + 0.5 * self.particles * self.kappa * apart

    def reference(self) -> Reference:
        """E0 = ½ D (omega + (N − 1) √(omega² + N kappa))."""
        relative = (self.particles - 1) * self.relative_frequency()
        return Reference(0.5 * self.dimensions * (self.omega + relative), 0.0, CLOSED_FORM)

    def free_energy(self, beta: float, statistics: str) -> Reference:
        """Bosons in a trap of the relative frequency, whose centre of mass has that of the trap."""
        energy = oscillators([self.omega] * self.dimensions, 1, beta, False)
        energy += relative_oscillators(
            [self.relative_frequency()] * self.dimensions, self.particles, beta, statistics == "bose"
        )
        return Reference(energy, 0.0, CLOSED_FORM)

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """Gaussians, as of free particles in another trap.

        Along an axis a particle has the variance (1/omega + (N − 1)/Ω)/2N, the distance of two 1/Ω, Ω the relative frequency.
        """
        relative = frequency = self.relative_frequency()
        if group == "density":
            frequency = self.particles / (1 / self.omega + (self.particles - 1) / relative)
        return densities.trap((frequency,) * self.dimensions, group, name, points)
