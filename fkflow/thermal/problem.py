"""The problem of a temperature in natural units: frame, harmonic reference, potential."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fkflow.hamiltonian.derivatives import value_and_gradient
from fkflow.hamiltonian.system import System
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

    def mean_curvature(self, y: Tensor, beta: float) -> float:
        """The mean curvature of V along a coordinate for places y (B, n, D') distributed as e^(−βV): β times the mean square
        of its slope.
        """
        _, slope = self.rest(y)
        gradient = slope + self.reference.frequencies**2 * y
        return beta * float(gradient.square().mean())

    def rest(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """V − V0 (B,) and its gradient (B, n, D')."""
        value, gradient = value_and_gradient(self.system, self.to_solver(y), self.length)
        slope = gradient.reshape(y.shape) @ self.axes * self.length**3
        return value * self.length**2 - self.reference.potential(y), slope - self.reference.frequencies**2 * y
