"""The problem of a temperature in natural units: frame, harmonic reference, potential."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.derivatives import value_and_gradient
from fkflow.hamiltonian.system import System
from fkflow.thermal.charges import Charges
from fkflow.thermal.reference import Reference


@dataclass(frozen=True)
class Problem:
    """A system in natural units: y = (z − centre) axes/ℓ for each of n bodies, energies times ℓ², times over ℓ².

    A body is a particle where some are identical, else the whole configuration. `centre` is (D',), or (n, D') for bodies of
    several kinds. `system` is in coordinates of unit mass.
    """

    system: System
    reference: Reference
    length: float
    centre: Tensor
    axes: Tensor
    charges: Charges | None = None

    @property
    def gain(self) -> float:
        """By how much halving the time step lowers its error, less one: of fourth order, or of second with charges."""
        return 15.0 if self.charges is None else 3.0

    @property
    def particles(self) -> int:
        """The number of particles."""
        return int(self.system.particles)

    def to_solver(self, y: Tensor) -> Tensor:
        """Configurations z (…, N, D) of the coordinates y (…, n, D')."""
        z = self.centre + self.length * y @ self.axes.T
        return z.reshape(*y.shape[:-2], self.particles, self.system.dimensions)

    def from_solver(self, z: Tensor) -> Tensor:
        """Coordinates y (…, n, D') of the configurations z (…, N, D)."""
        bodies = z.reshape(*z.shape[:-2], self.reference.bodies, -1)
        return (bodies - self.centre) @ self.axes / self.length

    def potential(self, y: Tensor) -> Tensor:
        """V ℓ² (B,)."""
        return self.system.potential(self.to_solver(y)) * self.length**2

    def softened(self, y: Tensor) -> Tensor:
        """V ℓ² (B,) with smeared charges."""
        if self.charges is None:
            return self.potential(y)
        z = self.to_solver(y)
        return self.potential(y) + self.charges.energy(z, soft=True) - self.charges.energy(z)

    def pull(self, y: Tensor) -> Tensor:
        """The slope (B, n, D') of smeared charges."""
        if self.charges is None:
            return torch.zeros_like(y)
        return self.charges.slope(self.to_solver(y), soft=True).reshape(y.shape) @ self.axes

    def pair_action(self, y: Tensor, dt: Tensor | float) -> Tensor | float:
        """Σ u (B,) of the charges for all steps dt, a number, (1,) or (B,), of paths y (M + 1, B, n, D')."""
        if self.charges is None:
            return 0.0
        return self.charges.action(self.to_solver(y), torch.as_tensor(dt, dtype=torch.float64).reshape(-1))

    def centres(self) -> Tensor:
        """Pinned charges (A, n, D') in the coordinates y, for bodies that are particles."""
        if self.charges is None or not len(self.charges.centres) or self.reference.bodies != self.particles:
            return self.axes.new_zeros(0, self.reference.bodies, len(self.axes))
        return self.from_solver(self.charges.centres)

    def mean_curvature(self, y: Tensor, beta: float) -> float:
        """The mean curvature of V, with smeared charges, along a coordinate for places y (B, n, D') distributed as e^(−βV):
        β times the mean square of its slope.
        """
        _, slope = self.rest(y)
        gradient = slope + self.pull(y) + self.reference.frequencies**2 * y
        return beta * float(gradient.square().mean())

    def rest(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """V − V0 without charges (B,) and its gradient (B, n, D')."""
        z = self.to_solver(y)
        value, gradient = value_and_gradient(self.system, z, self.length)
        value, gradient = value * self.length**2, gradient * self.length**3
        if self.charges is not None:
            value, gradient = value - self.charges.energy(z), gradient - self.charges.slope(z)
        slope = gradient.reshape(y.shape) @ self.axes
        return value - self.reference.potential(y), slope - self.reference.frequencies**2 * y
