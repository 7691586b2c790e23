"""One or two electrons about clamped nuclei: hydrogen, helium, their ions and molecules, or any other nuclei.

Energies in hartree, lengths in bohr; V = −Σ_iA Z_A/r_iA + 1/r_12 + Σ_{A<B} Z_A Z_B/R_AB includes the
repulsion of the nuclei. Two electrons form a singlet, whose spatial wave function is symmetric and nodeless.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fkflow.hamiltonian.geometry import coordinates_first, pair_squares
from fkflow.hamiltonian.system import Nuclei, Reference, System

from . import references

if TYPE_CHECKING:
    from torch import Tensor

    Array = np.ndarray

_ORIGIN = (0.0, 0.0, 0.0)
#: bounds of coordinates and distances (bohr)
CLOSEST, FARTHEST = 1e-6, 1e3


class Coulomb(System):
    """Electrons (particles) about point charges, which `nuclei` places."""

    energy_unit: ClassVar[str] = "hartree"
    length_unit: ClassVar[str] = "bohr"
    dimensions: ClassVar[int] = 3

    def nuclei(self) -> Nuclei:
        """Places (bohr) and charges of the nuclei."""
        raise NotImplementedError

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        """Whether V depends on distances to the origin alone: one nucleus, and it stands there."""
        return self.nuclei().positions == (_ORIGIN,)

    def potential(self, x: Tensor) -> Tensor:
        """Coulomb energy of the electrons x (B, N, 3), N = 1 or 2, with all charges → (B,)."""
        nuclei = self.nuclei()
        # coordinate by coordinate with Python numbers: no tensor is copied to the device at every call
        axes = coordinates_first(x).unbind(0)
        total = _repulsion(nuclei)
        for position, charge in zip(nuclei.positions, nuclei.charges, strict=True):
            shifted = [(axis - p if p else axis).square() for axis, p in zip(axes, position, strict=True)]
            total = total - charge * (shifted[0] + shifted[1] + shifted[2]).rsqrt().sum(0)
        if self.particles == 2:
            total = total + pair_squares(x).rsqrt().sum(0)
        energy: Tensor = total
        return energy

    def reference(self) -> Reference | None:
        """Closed form, table or exact scaling; None at other geometries."""
        return references.molecule(self.particles, self.nuclei())

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """Z³/π exp(−2Zr) of one electron about one nucleus at the origin, else None."""
        if self.particles > 1 or not self.isotropic:
            return None
        (z,) = self.nuclei().charges
        return z**3 / math.pi * np.exp(-2 * z * points[0])


def _repulsion(nuclei: Nuclei) -> Any:
    charged = zip(nuclei.positions, nuclei.charges, strict=True)
    return math.fsum(z * w / math.dist(p, q) for (p, z), (q, w) in combinations(charged, 2))


class Nucleus(BaseModel):
    """One clamped point charge of a molecule."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    position: tuple[float, float, float] = Field(description="x, y, z in bohr")
    charge: float = Field(ge=1e-3, le=1e3, description="nuclear charge")

    @field_validator("position", mode="before")
    @classmethod
    def _check_position(cls, value: Any) -> tuple[float, ...]:
        numbers: Any = value if isinstance(value, (list, tuple)) and len(value) == 3 else [None]
        if not all(type(v) in (int, float) and abs(v) <= FARTHEST for v in numbers):
            raise ValueError(f"it must be a list of three coordinates (bohr), none beyond {FARTHEST:g}")
        return tuple(float(v) for v in numbers)


class Molecule(Coulomb):
    """One or two electrons about any clamped nuclei."""

    key: ClassVar[str] = "molecule"

    electrons: int = Field(2, ge=1, le=2, description="number of electrons, 1 or 2")
    # the recipe calls them `nuclei`; that name is a method of System
    sites: tuple[Nucleus, ...] = Field(
        (Nucleus(position=(0.0, 0.0, -0.7005), charge=1.0), Nucleus(position=(0.0, 0.0, 0.7005), charge=1.0)),
        alias="nuclei",
        description="list of {position = [x, y, z] (bohr), charge = Z}",
    )

    @field_validator("sites", mode="before")
    @classmethod
    def _check_listed(cls, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= 64:
            raise ValueError("it must be a list of 1 to 64 nuclei {position = [x, y, z], charge = Z}")
        return tuple(value)

    @field_validator("sites")
    @classmethod
    def _check_apart(cls, sites: tuple[Nucleus, ...]) -> tuple[Nucleus, ...]:
        for (i, first), (j, second) in combinations(enumerate(sites), 2):
            if math.dist(first.position, second.position) < CLOSEST:
                raise ValueError(f"it must hold nuclei at different places, but number {i} and {j} coincide")
        return sites

    @property
    def particles(self) -> int:
        """The electrons."""
        return self.electrons

    def nuclei(self) -> Nuclei:
        """Places (bohr) and charges of the nuclei, as the recipe lists them."""
        return Nuclei(tuple(s.position for s in self.sites), tuple(s.charge for s in self.sites))


def _distance(default: float) -> Any:
    return Field(
        default,
        ge=CLOSEST,
        le=FARTHEST,
        description="distance of the nuclei (bohr)",
        json_schema_extra={"unit": "bohr"},
    )


class _Diatomic(Coulomb):
    particles: ClassVar[int] = 2
    charges: ClassVar[tuple[float, float]] = (1.0, 1.0)
    R: float = _distance(1.401)

    def nuclei(self) -> Nuclei:
        """The charges at z = −R/2 and z = +R/2."""
        return Nuclei(((0.0, 0.0, -self.R / 2), (0.0, 0.0, self.R / 2)), self.charges)


class H2(_Diatomic):
    """The hydrogen molecule: two electrons, two protons a distance R apart on the z axis."""

    key: ClassVar[str] = "h2"


class H2Plus(_Diatomic):
    """The hydrogen molecular ion: one electron, two protons a distance R apart on the z axis."""

    key: ClassVar[str] = "h2plus"
    particles: ClassVar[int] = 1
    R: float = _distance(2.0)


class HeHPlus(_Diatomic):
    """The helium hydride ion: two electrons, He at z = −R/2 and H at z = +R/2."""

    key: ClassVar[str] = "heh_plus"
    charges: ClassVar[tuple[float, float]] = (2.0, 1.0)
    R: float = _distance(1.4632)


class _Atom(Coulomb):
    particles: ClassVar[int] = 2
    charge: ClassVar[float] = 1.0

    def nuclei(self) -> Nuclei:
        """The charge at the origin."""
        return Nuclei((_ORIGIN,), (self.charge,))


class H(_Atom):
    """The hydrogen atom."""

    key: ClassVar[str] = "h"
    particles: ClassVar[int] = 1


class HMinus(_Atom):
    """The hydride ion: two electrons about a proton."""

    key: ClassVar[str] = "h_minus"


class He(_Atom):
    """The helium atom."""

    key: ClassVar[str] = "he"
    charge: ClassVar[float] = 2.0
