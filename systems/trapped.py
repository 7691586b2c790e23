"""One or two electrons about clamped nuclei in a round harmonic trap, which has a free energy at any temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fkflow.hamiltonian.system import Reference

from .free_energies import about_a_nucleus
from .harmonic import LARGEST, SMALLEST
from .molecules import Molecule, Nucleus

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Array = np.ndarray

RADIAL = "radial equation in polynomials"


class TrappedMolecule(Molecule):
    """A molecule, or an atom, with the energy ½ omega² Σ r_i² of its electrons beside."""

    key: ClassVar[str] = "trapped_molecule"

    electrons: int = Field(1, ge=1, le=2, description="number of electrons, 1 or 2")
    sites: tuple[Nucleus, ...] = Field(
        (Nucleus(position=(0.0, 0.0, 0.0), charge=1.0),),
        alias="nuclei",
        description="list of {position = [x, y, z] (bohr), charge = Z}",
    )
    omega: float = Field(0.5, ge=SMALLEST, le=LARGEST, description="trap frequency")

    def potential(self, x: Tensor) -> Tensor:
        """Coulomb energy and trap of the electrons x (B, N, 3) → (B,)."""
        return super().potential(x) + 0.5 * self.omega**2 * x.square().sum((-2, -1))

    def _alone(self) -> float | None:
        """The charge of the one nucleus, in the middle of the trap, of one electron; None for others."""
        return self.nuclei().charges[0] if self.particles == 1 and self.isotropic else None

    def reference(self) -> Reference | None:
        """Levels of the radial equation for one electron about one nucleus in the middle; else None."""
        if (z := self._alone()) is None or (found := about_a_nucleus(z, self.omega, None)) is None:
            return None
        return Reference(*found, RADIAL)

    def free_energy(self, beta: float, statistics: str) -> Reference | None:
        """As `reference`."""
        if (z := self._alone()) is None or (found := about_a_nucleus(z, self.omega, beta)) is None:
            return None
        return Reference(*found, RADIAL)

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """None."""
        return None
