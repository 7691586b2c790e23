"""The base class of systems that are another one seen differently: in other coordinates, units of numbers, or softened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import InstanceOf

from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.species import pair_takes_names
from fkflow.hamiltonian.system import System

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fkflow.hamiltonian.charges import PointCharges


#: relative rounding of an energy in double precision
DOUBLE = 1e-15


class WrappedSystem(System):
    """A system with the particles, symmetries, units and start of the system `own`; subclasses define `potential`."""

    own: InstanceOf[System]

    @property
    def particles(self) -> int:
        """N."""
        return int(self.own.particles)

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.own.dimensions)

    key = property(lambda self: self.own.key)
    identical = property(lambda self: self.own.identical)
    isotropic = property(lambda self: self.own.isotropic)
    separable = property(lambda self: self.own.separable)
    free = property(lambda self: self.own.free)
    energy_unit = property(lambda self: self.own.energy_unit)
    length_unit = property(lambda self: self.own.length_unit)

    @property
    def species(self) -> Any:
        """The species that the system declares, or None."""
        return getattr(self.own, "species", None)

    @property
    def length(self) -> Any:
        """The length of the system, or None."""
        return getattr(self.own, "length", None)

    @property
    def takes_names(self) -> bool:
        """Whether `pair` takes the names of two species before the distances."""
        return pair_takes_names(self.own)

    @property
    def threshold(self) -> Any:
        """The threshold of the system, or None."""
        return getattr(self.own, "threshold", None)

    @property
    def box(self) -> Any:
        """The sides of the periodic box, or None."""
        return sides(self.own)

    @property
    def contact(self) -> Any:
        """The contact strength, or None."""
        return getattr(self.own, "contact", None)

    @property
    def observable_units(self) -> Mapping[str, str]:  # type: ignore[override]
        """The units of the observables of the system."""
        return self.own.observable_units

    @property
    def differentiable(self) -> bool:
        """Whether torch differentiates the potential."""
        return is_differentiable(self.own)

    @property
    def rounding(self) -> float:
        """Relative rounding of the energies."""
        return rounding_of(self.own)

    def point_charges(self) -> PointCharges | None:
        """The charges of the system, in the user's coordinates."""
        return self.own.point_charges()

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """The start of the system."""
        return self.own.start(walkers, generator)

    def crystal_sites(self) -> Tensor | None:
        """The sites of the system."""
        return self.own.crystal_sites()

    def observables(self, x: Tensor) -> dict[str, Tensor]:
        """The observables of the system, in whose coordinates x (B, N, D) is."""
        return self.own.observables(x)


def is_differentiable(system: System) -> bool:
    """Whether torch differentiates the potential of a system, converted or not."""
    return bool(getattr(system, "differentiable", True))


def rounding_of(system: System) -> float:
    """Relative rounding of the energies of a system, converted or not."""
    return float(getattr(system, "rounding", DOUBLE))
