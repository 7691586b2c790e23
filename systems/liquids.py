"""Liquids and gases in a periodic box in two and three dimensions: helium, para-hydrogen, hard spheres, soft discs, dipoles.

The interaction is that of nearest images up to a cut-off, half the shortest side. Energies are those of the cut interaction;
`tail` is what all beyond adds where pairs are spread evenly there (g = 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import Reference, System

from . import crystals, pair_potentials
from .harmonic import LARGEST, SMALLEST
from .pair_potentials import OfPairPotential, PairPotential

if TYPE_CHECKING:
    from torch import Generator, Tensor

#: how far from the sites of a lattice walkers start, in distances (V/N)^(1/D) of particles
LOOSE = 0.05
#: points of the quadrature of a tail
POINTS = 200
#: share of space that equal spheres, or discs, can fill
PACKED = {2: math.pi / math.sqrt(12), 3: math.pi / math.sqrt(18)}
#: share of the leading term up to which the last term of a series may be an error
SERIES = 0.02


class Liquid(System):
    """Identical particles in a periodic box, V = Σ_{i<j} pair(r_ij) for r_ij < cutoff, distances of nearest images."""

    model_config = ConfigDict(populate_by_name=True)
    # the spread of the energy grows as √N, and with it what a step fits of chance: steps are small and grow smaller
    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "network": {"hidden": 12},
        "train": {"walkers": 768, "iterations": 100, "rate": 0.1, "decay": 20.0, "max_change": 0.1, "clip": 8.0},
    }
    #: the density if neither it nor a box is given
    usual: ClassVar[float] = 1.0

    particles: int = Field(32, ge=2, le=1024, description="number of particles N")
    density: float | None = Field(
        None, ge=SMALLEST, le=LARGEST, description="particles per volume; if left out, that of box, or a usual one"
    )
    box_: float | tuple[float, ...] | None = Field(
        None, alias="box", description="side of the periodic box, or a list of its sides; if left out, that of density"
    )
    start_: Literal["fcc", "hcp", "triangular"] | None = Field(
        None,
        alias="start",
        validate_default=True,
        description="lattice from which walkers start: fcc, hcp or, in a plane, triangular",
    )
    cutoff: float | None = Field(
        None,
        ge=SMALLEST,
        le=LARGEST,
        validate_default=True,
        description="distance where the interaction is cut; if left out, half the shortest side",
    )

    @field_validator("box_", mode="before")
    @classmethod
    def _check_box(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        listed = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        dim = cls._dimensions(info.data)
        if dim is None:
            return None
        good = all(type(side) in (int, float) and SMALLEST <= side <= LARGEST for side in listed)
        if not good or len(listed) not in (1, dim):
            raise ValueError(f"it must be the side of a box, a number above 0, or a list of {dim} sides")
        if info.data.get("density") is not None:
            raise ValueError("density is given too, and one of them sets the other: leave one out")
        sides = tuple(map(float, listed))
        return sides if len(sides) > 1 else sides[0]

    @field_validator("start_")
    @classmethod
    def _check_lattice(cls, value: str | None, info: ValidationInfo) -> str | None:
        own = cls._dimensions(info.data)
        if value is None or own is None or not {"particles", "density", "box_"} <= info.data.keys():
            return value
        dim = len(crystals.CRYSTALS[value].sides)
        if dim != own:
            raise ValueError(f"it is a lattice in {dim} dimensions")
        box = info.data["box_"]
        crystals.cells(value, info.data["particles"], (box,) * dim if isinstance(box, float) else box)
        return value

    @field_validator("cutoff")
    @classmethod
    def _check_cutoff(cls, value: float | None, info: ValidationInfo) -> float | None:
        known = {"particles", "density", "box_", "start_"} <= info.data.keys()
        if value is not None and known and cls._dimensions(info.data) is not None:
            side = min(cls.model_construct(**info.data).box)
            if 2 * value > side:
                raise ValueError(f"it must be at most half the shortest side of the box, which is {side:.6g}")
        return value

    @classmethod
    def _dimensions(cls, given: Mapping[str, Any]) -> int | None:
        """D, which may be a parameter; None where that is wrong."""
        found: Any = given.get("dimensions", getattr(cls, "dimensions", None))
        return found and int(found)

    def _usual_density(self) -> float:
        return self.usual

    @property
    def box(self) -> tuple[float, ...]:
        """The sides (D,), as given, or of the density: those of a cube, or of the box that the cells of a lattice fill."""
        dim = self.dimensions
        if self.box_ is not None:
            return self.box_ if isinstance(self.box_, tuple) else (self.box_,) * dim
        volume = self.particles / (self.density or self._usual_density())
        if self.start_ is not None:
            return crystals.sides_of(self.start_, crystals.cells(self.start_, self.particles, None), volume)
        return (volume ** (1 / dim),) * dim

    @property
    def end(self) -> float:
        """The distance at which the interaction is cut."""
        return self.cutoff or 0.5 * min(self.box)

    def pair(self, r: Tensor) -> Tensor:
        """Energy of two particles at distances r."""
        raise NotImplementedError

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, D) → (B,)."""
        r = pair_squares(x, self.box).sqrt()
        return self.pair(r).masked_fill(r > self.end, 0.0).sum(0)

    def tail(self) -> float:
        """What the interaction beyond the cut-off adds to the energy of all particles, for pairs that are spread evenly there.

        ½ N ρ ∫ pair(r) d^D r over r > cutoff, by Gauss' quadrature in cutoff/r.
        """
        import torch  # a recipe is read without it

        dim = int(self.dimensions)
        nodes, weights = np.polynomial.legendre.leggauss(POINTS)
        share = 0.5 * (nodes + 1)
        r = self.end / share
        surface = 2 * math.pi ** (dim / 2) / math.gamma(dim / 2)
        energies = self.pair(torch.from_numpy(r)).numpy()
        integral: float = surface * float(0.5 * weights @ (energies * r ** (dim - 1) * r / share))
        return 0.5 * int(self.particles) ** 2 / math.prod(self.box) * integral

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """The sites of the lattice, each particle a little beside its own; None without one."""
        if self.start_ is None:
            return None
        import torch  # a recipe is read without it

        box = self.box
        counts = crystals.cells(self.start_, self.particles, box)
        sites = torch.tensor(crystals.places(self.start_, counts, box), dtype=torch.float64)
        loose = LOOSE * (math.prod(box) / self.particles) ** (1 / len(box))
        noise = torch.rand(walkers, *sites.shape, generator=generator, dtype=torch.float64)
        x: Tensor = sites + loose * (2 * noise - 1)
        return x


class Molecular(OfPairPotential, Liquid):
    """Atoms or molecules with one of the potentials of `pair_potentials`; kelvin and ångström."""

    # the weights of few walkers collapse, and many take hours
    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {**Liquid.recipe_defaults, "project": {"seconds": 0.0}}


class LiquidHelium(Molecular):
    """Liquid or solid ⁴He in a periodic box, in two or three dimensions; kelvin and ångström.

    ħ²/m is 12.1193 K Å², as in most of the literature on the liquid.
    """

    key: ClassVar[str] = "liquid_helium"
    usual: ClassVar[float] = 0.02186
    #: of a film at its lowest energy
    flat: ClassVar[float] = 0.04344

    dimensions: Literal[2, 3] = Field(3, description="dimensions D of space: 2 or 3")
    model_: Literal["HFDHE2", "HFD-B"] = Field(
        "HFDHE2", alias="potential", description="pair potential: HFDHE2 or HFD-B"
    )

    def model(self) -> PairPotential:
        """The chosen potential."""
        chosen = {"HFDHE2": pair_potentials.HFDHE2, "HFD-B": pair_potentials.HFD_B}[self.model_]
        return replace(chosen, hbar2_over_mass=pair_potentials.HBAR2_OVER_U / 4.002602)

    def _usual_density(self) -> float:
        return self.usual if self.dimensions == 3 else self.flat


class LiquidHydrogen(Molecular):
    """Para-hydrogen molecules in a periodic box, Silvera–Goldman potential; kelvin and ångström."""

    key: ClassVar[str] = "para_hydrogen"
    dimensions: ClassVar[int] = 3
    usual: ClassVar[float] = 0.026

    def model(self) -> PairPotential:
        """Silvera and Goldman."""
        return pair_potentials.PARAHYDROGEN


class HardSpheres(Liquid):
    """Spheres of the diameter a, V = ∞ where two overlap, in a periodic box."""

    key: ClassVar[str] = "hard_spheres"
    dimensions: ClassVar[int] = 3
    usual: ClassVar[float] = 1e-4
    # two-body factors leave little to learn in a dilute gas
    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "network": {"hidden": 8},
        "train": {**Liquid.recipe_defaults["train"], "walkers": 512, "iterations": 40},
    }

    a: float = Field(1.0, ge=SMALLEST, le=LARGEST, validate_default=True, description="diameter; N spheres must fit")

    @field_validator("a")
    @classmethod
    def _check_room(cls, value: float, info: ValidationInfo) -> float:
        if not {"particles", "density", "box_", "start_"} <= info.data.keys():
            return value
        made = cls.model_construct(**info.data)
        box, dim = made.box, made.dimensions
        filled = made.particles * math.pi / 6 * value**dim / math.prod(box)
        if filled >= PACKED[dim] or 2 * value > min(box):
            sides = " × ".join(f"{side:.6g}" for side in box)
            raise ValueError(f"{made.particles} spheres of that diameter do not fit in a box of {sides}")
        return value

    def pair(self, r: Tensor) -> Tensor:
        """∞ for r < a."""
        return (0.0 * r).masked_fill(r < self.a, math.inf)

    def reference(self) -> Reference | None:
        """The expansion in a/L for few spheres in a large cube; its error is that of the parts of the last term without signs.

        None where that is large.

        Beane, Detmold, Savage, Phys. Rev. D 76, 074507 (2007).
        """
        box = self.box
        if min(box) < max(box):
            return None
        n, x = self.particles, self.a / (math.pi * box[0])
        # sums over the vectors of a cubic lattice
        i, j, k = -8.9136329, 16.532316, 8.4019240
        second = x**2 * (i**2 + (2 * n - 5) * j)
        parts = i**3, (2 * n - 7) * i * j, (5 * n**2 - 41 * n + 63) * k
        third, size = -(x**3) * sum(parts), x**3 * sum(map(abs, parts))
        if size > SERIES:
            return None
        leading = 2 * math.pi * self.a * n * (n - 1) / box[0] ** 3
        # of the effective range 2a/3
        ranged = 4 * math.pi / 3 * (self.a / box[0]) ** 3
        return Reference(leading * (1 - x * i + second + third + ranged), leading * size, "expansion in a/L")


class SoftDisks(Liquid):
    """Discs in a periodic rectangle, V = height for each two closer than a."""

    key: ClassVar[str] = "soft_disks"
    dimensions: ClassVar[int] = 2
    usual: ClassVar[float] = 1.0

    height: float = Field(20.0, ge=0.0, le=LARGEST, description="energy of two that overlap")
    a: float = Field(1.0, ge=SMALLEST, le=LARGEST, validate_default=True, description="diameter of a disc")

    @field_validator("a")
    @classmethod
    def _check_size(cls, value: float, info: ValidationInfo) -> float:
        if {"particles", "density", "box_", "start_"} <= info.data.keys():
            made = cls.model_construct(**info.data)
            if value > made.end:
                raise ValueError(f"it must be at most half the shortest side of the box, which is {min(made.box):.6g}")
        return value

    def pair(self, r: Tensor) -> Tensor:
        """The height for r < a, else 0."""
        return (0.0 * r).masked_fill(r < self.a, self.height)


class Dipoles2D(Liquid):
    """Dipoles upright on a plane, V = g Σ_{i<j} 1/r_ij³, in a periodic rectangle."""

    key: ClassVar[str] = "dipoles2d"
    dimensions: ClassVar[int] = 2
    usual: ClassVar[float] = 1.0

    g: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="strength of the repulsion")

    def pair(self, r: Tensor) -> Tensor:
        """g/r³."""
        return self.g * r**-3
