"""Liquids and gases in a periodic box in two and three dimensions: helium, para-hydrogen, hard spheres, soft discs, dipoles.

The interaction is that of nearest images up to a cut-off, half the shortest side. Energies are those of the cut interaction;
`tail` is what all beyond adds where pairs are spread evenly there (g = 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from fkflow.hamiltonian.ewald import Ewald
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import Reference

from . import pair_potentials
from .boxed import Boxed
from .harmonic import LARGEST, SMALLEST
from .pair_potentials import OfPairPotential, PairPotential

if TYPE_CHECKING:
    from torch import Tensor

#: points of the quadrature of a tail
POINTS = 200
#: share of space that equal spheres, or discs, can fill
PACKED = {2: math.pi / math.sqrt(12), 3: math.pi / math.sqrt(18)}
#: share of the leading term up to which the last term of a series may be an error
SERIES = 0.02


class Liquid(Boxed):
    """Identical particles in a periodic box, V = Σ_{i<j} pair(r_ij) for r_ij < cutoff, distances of nearest images."""

    cutoff: float | None = Field(
        None,
        ge=SMALLEST,
        le=LARGEST,
        validate_default=True,
        description="distance where the interaction is cut; if left out, half the shortest side",
    )

    @field_validator("cutoff")
    @classmethod
    def _check_cutoff(cls, value: float | None, info: ValidationInfo) -> float | None:
        known = {"particles", "density", "box_", "start_"} <= info.data.keys()
        if value is not None and known and cls._dimensions(info.data) is not None:
            side = min(cls.model_construct(**info.data).box)
            if 2 * value > side:
                raise ValueError(f"it must be at most half the shortest side of the box, which is {side:.6g}")
        return value

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


class Molecular(OfPairPotential, Liquid):
    """Atoms or molecules with one of the potentials of `pair_potentials`; kelvin and ångström."""

    # takes a quarter of an hour for 32 atoms: the recipe `liquid_helium` asks for it
    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **Liquid.recipe_defaults,
        "project": {**Liquid.recipe_defaults["project"], "seconds": 0.0},
    }


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
        **Liquid.recipe_defaults,
        "network": {"hidden": 8},
        "train": {**Liquid.recipe_defaults["train"], "walkers": 512, "iterations": 40},
        # few walkers reach the target error, and a window has hundreds of moves
        "project": {"walkers": 0},
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
        """The expansion in a/L for few spheres in a large cube, without the term of three, whose constant is not known here.

        The error is the size of that term, with the parts of the last one without signs; None where these are large.

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
        # 64π (4π − 3√3) a⁴/L⁶ log(L/a) for each three
        triples = n * (n - 1) * (n - 2) / 6
        three = triples * 64 * math.pi * (4 * math.pi - 3**1.5) * self.a**4 / box[0] ** 6 * math.log(box[0] / self.a)
        energy = leading * (1 - x * i + second + third + ranged)
        return Reference(energy, leading * size + three, "expansion in a/L")


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


class Charges2D(Boxed):
    """Equal charges on a plane in an even background, V = g Σ_{i<j} 1/r_ij with images, in a periodic box.

    r_s = g/√(π n) for the density n. Bosons form a Wigner crystal beyond r_s of about 60: De Palo, Conti, Moroni, Phys. Rev. B
    69, 035109 (2004).
    """

    key: ClassVar[str] = "charges2d"
    dimensions: ClassVar[int] = 2

    g: float = Field(2.0, ge=SMALLEST, le=LARGEST, description="strength of the repulsion; r_s = g/√(π density)")

    def pair(self, r: Tensor) -> Tensor:
        """g/r."""
        return self.g / r

    def potential(self, x: Tensor) -> Tensor:
        """Ewald's sum at x (B, N, 2) → (B,), with the background and the images of each charge itself."""
        energy: Tensor = self.g * _ewald(self.box, self.particles)(x)
        return energy


@lru_cache(maxsize=8)
def _ewald(box: tuple[float, ...], particles: int) -> Ewald:
    return Ewald(box, [1.0] * particles)
