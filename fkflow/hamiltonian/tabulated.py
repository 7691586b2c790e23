"""Systems of a CSV file: a particle in the potential of a table, or particles with a table of their pair energy.

A recipe names them ``file = "curve.csv:Particle"`` and ``file = "pair.csv:Particles"``.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import System

if TYPE_CHECKING:
    from torch import Tensor

    from fkflow.hamiltonian.table import Table

#: how V goes on beyond the ends of the table; "error": linearly, and a result with many walkers there is doubtful
Outside = float | Literal["error", "linear"]


class Tabulated(System):
    """What both kinds share: the text of the file, and the mass and the rule beyond its ends as parameters."""

    text: ClassVar[str]
    name_of_file: ClassVar[str]
    mass: float = Field(1.0, gt=0, description="mass of a particle")  # type: ignore[misc]
    outside: Outside = Field("error", description='V beyond the table: "linear", or a number; if left out, an error')

    def table(self) -> Table:
        """The table of the file, made once."""
        from fkflow.hamiltonian.table import Table  # a recipe is read without torch

        kind, rule = type(self), None if self.outside == "error" else self.outside
        if rule not in kind.tables:
            kind.tables[rule] = Table.parse(kind.text, kind.name_of_file, rule)
        return kind.tables[rule]

    tables: ClassVar[dict[object, Table]]


class Particle(Tabulated):
    """One particle; the table has one to three coordinates, x, (x, y) or (x, y, z), and V."""

    particles: ClassVar[int] = 1

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, 1, D)."""
        value: Tensor = self.table()(*x[:, 0].unbind(-1))
        return value


class Particles(Tabulated):
    """Identical particles with the pair energy V(r) of the table, in a harmonic trap of frequency omega."""

    particles: int = Field(2, ge=1, description="number of particles N")
    dimensions: int = Field(3, ge=1, le=3, description="dimensions of space")
    omega: float = Field(1.0, gt=0, description="frequency of the trap")
    separable: ClassVar[bool] = True
    isotropic: ClassVar[bool] = True

    def potential(self, x: Tensor) -> Tensor:
        """½ m ω² Σ x² + Σ V(r)."""
        trap = 0.5 * self.mass * self.omega**2 * x.square().sum((1, 2))
        value: Tensor = trap + self.table()(pair_squares(x).sqrt()).sum(0)
        return value


def define(module: ModuleType, text: str, name: str) -> None:
    """Put the classes of a CSV file of that text, which messages call `name`, into a module. ValueError for a wrong file."""
    from fkflow.hamiltonian.table import Table

    coordinates = len(Table.parse(text, name).axes)
    body = {"__module__": module.__name__, "text": text, "name_of_file": name}
    own = type("Particle", (Particle,), {**body, "dimensions": coordinates, "tables": {}})
    setattr(module, "Particle", own)  # noqa: B010
    if coordinates == 1:
        setattr(module, "Particles", type("Particles", (Particles,), {**body, "tables": {}}))  # noqa: B010
