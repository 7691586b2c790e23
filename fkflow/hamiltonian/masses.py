"""Particles of any mass: the solver sees the coordinates z_i = √m_i x_i, in which all masses are 1.

H = −½ Σ_i ∂²/(m_i ∂x_i²) + V(x) = −½ Δ_z + V(z/√m): the same energies, the same imaginary time. The diffusion dZ = w dt + dW
with w = ∇_z log ψ is dX_i = v_i dt + dW_i/√m_i in the user's coordinates, and its drift is v_i = w_i/√m_i = ∇_i log ψ / m_i.
Positions and drifts are turned back by the same division. Where all masses are 1 nothing is done at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import InstanceOf, PrivateAttr

from fkflow.hamiltonian.system import Nuclei, Reference, System
from fkflow.hamiltonian.user_systems import particle_masses

if TYPE_CHECKING:
    from torch import Generator, Tensor


class UnitMassSystem(System):
    """A system of other masses in the coordinates z_i = √m_i x_i. Densities and reference are those of the system itself."""

    own: InstanceOf[System]
    _roots: dict[Any, Any] = PrivateAttr(default_factory=dict)

    @property
    def particles(self) -> int:
        """N."""
        return int(self.own.particles)

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.own.dimensions)

    @property
    def key(self) -> str:  # type: ignore[override]
        """That of the system."""
        return self.own.key

    @property
    def identical(self) -> bool:  # type: ignore[override]
        """As the system says: identical particles have one mass."""
        return self.own.identical

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        """As the system says: rotations do not touch masses."""
        return self.own.isotropic

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """As the system says: identical particles have one mass."""
        return self.own.separable

    @property
    def length_unit(self) -> str:  # type: ignore[override]
        """Of the user's coordinates."""
        return self.own.length_unit

    @property
    def length(self) -> float | None:
        """The system's own in these coordinates, by the geometric mean of the masses."""
        own = getattr(self.own, "length", None)
        return own and float(own * math.exp(0.5 * np.mean(np.log(particle_masses(self.own)))))

    def potential(self, x: Tensor) -> Tensor:
        """V of z (B, N, D) → (B,)."""
        return self.own.potential(x / self.root(x))

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """The system's own in these coordinates."""
        x = self.own.start(walkers, generator)
        return x if x is None else x * self.root(x)

    def reference(self) -> Reference | None:
        """That of the system."""
        return self.own.reference()

    def exact_density(self, group: str, name: str, *points: np.ndarray) -> np.ndarray | None:
        """That of the system, in the user's coordinates."""
        return self.own.exact_density(group, name, *points)

    def nuclei(self) -> Nuclei | None:
        """None: charges have cusps for the mass 1 only."""
        return None

    def pair(self, r: Tensor) -> Tensor | None:
        """That of the system, of distances in these coordinates; particles that meet have one mass."""
        return self.own.pair(r / self.root(r))

    def root(self, like: Tensor) -> Any:
        """√m: one number where all are equal, else a tensor (N, 1) where `like` is, kept there."""
        given = particle_masses(self.own)
        if len(set(given)) == 1:
            return math.sqrt(given[0])
        kept = like.device, like.dtype
        if kept not in self._roots:
            self._roots[kept] = like.new_tensor(given).sqrt()[:, None]
        return self._roots[kept]


def to_unit_masses(system: System) -> System:
    """What the solver sees of a system: itself where all masses are 1, else its scaled form. ValueError for wrong masses."""
    return system if set(particle_masses(system)) == {1.0} else UnitMassSystem(own=system)


def to_user_coordinates(system: System, z: Tensor) -> Tensor:
    """Positions, or a drift, (…, N, D) of what the solver sees, in the user's coordinates."""
    return z / system.root(z) if isinstance(system, UnitMassSystem) else z


def to_solver_coordinates(system: System, x: Tensor) -> Tensor:
    """Positions (…, N, D) in the user's coordinates as the solver sees them."""
    return x * system.root(x) if isinstance(system, UnitMassSystem) else x
