"""The base class of identical particles in a periodic box in two and three dimensions: density, sides and lattice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from fkflow.hamiltonian.system import System

from . import crystals
from .harmonic import LARGEST, SMALLEST

if TYPE_CHECKING:
    from torch import Generator, Tensor

#: how far from the sites of a lattice walkers start, in distances (V/N)^(1/D) of particles
LOOSE = 0.05


class Boxed(System):
    """Identical particles in a periodic box of some density, or with given sides, which may start from a lattice."""

    model_config = ConfigDict(populate_by_name=True)
    # the spread of the energy grows as √N, and with it what a step fits of chance: steps are small and grow smaller
    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "network": {"hidden": 12},
        "train": {"walkers": 768, "iterations": 100, "rate": 0.1, "decay": 20.0, "max_change": 0.1, "clip": 8.0},
        # a sweep of 4096 walkers takes half a minute for 32 particles
        "measure": {"walkers": 1024},
        "project": {"walkers": 1024},
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

    def crystal_sites(self) -> Tensor | None:
        """The sites (N, D) of the lattice that `start` names; None without one."""
        if self.start_ is None:
            return None
        import torch  # a recipe is read without it

        counts = crystals.cells(self.start_, self.particles, self.box)
        return torch.tensor(crystals.places(self.start_, counts, self.box), dtype=torch.float64)

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """The sites of the lattice, each particle a little beside its own; None without one."""
        sites = self.crystal_sites()
        if sites is None:
            return None
        import torch  # a recipe is read without it

        box = self.box
        loose = LOOSE * (math.prod(box) / self.particles) ** (1 / len(box))
        noise = torch.rand(walkers, *sites.shape, generator=generator, dtype=torch.float64)
        x: Tensor = sites + loose * (2 * noise - 1)
        return x
