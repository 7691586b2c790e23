"""Charged particles of any masses, free in space, about pinned charges or in a trap: positronium, excitons, moving nuclei."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fkflow.hamiltonian.charged_scale import scale_of_charges
from fkflow.hamiltonian.charges import ChargedSpecies, ChargeList, PointCharges
from fkflow.hamiltonian.interactions import Interaction
from fkflow.hamiltonian.species import Species
from fkflow.hamiltonian.system import Reference, System

from .few_body_references import few_body
from .harmonic import LARGEST, SMALLEST
from .pairs import without_effect

if TYPE_CHECKING:
    from torch import Tensor

#: most bodies, and most exchanges of identical particles, over which ψ is summed
MOST_BODIES, MOST_EXCHANGES = 8, 48
#: fields of one interaction alone
OF_INTERACTIONS = {"r0": "keldysh", "eps": "keldysh", "screening": "yukawa"}

ELECTRONS = ChargedSpecies("electron", 2, -1.0)
POSITRON = ChargedSpecies("positron", 1, 1.0)


def _positive(default: float, words: str, **options: Any) -> Any:
    return Field(default, ge=SMALLEST, le=LARGEST, description=words, **options)


class Coulomb(System):
    """Point charges of any masses, V = Σ_{i<j} q_i q_j w(r_ij), some pinned in place, in a trap if there is one.

    `interaction`: "coulomb" w = 1/r; "yukawa" w = exp(−r/length)/r; "keldysh" in two dimensions, charges in a sheet of the
    screening length r0 in surroundings of the dielectric constant eps. The energy is that of the internal motion.
    """

    key: ClassVar[str] = "coulomb"
    energy_unit: ClassVar[str] = "hartree"
    length_unit: ClassVar[str] = "bohr"

    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "network": {"hidden": 32},
        "train": {"walkers": 512, "iterations": 300, "rate": 2.0, "ramp": 30, "clip": 8.0, "damping": 2e-3},
    }

    dimensions: int = Field(3, ge=2, le=3, description="dimensions D of space, 2 or 3")
    interaction: Literal["coulomb", "keldysh", "yukawa"] = Field(
        "coulomb", description="coulomb, keldysh (D = 2) or yukawa"
    )
    r0: float = _positive(10.0, "screening length of the sheet, for keldysh", json_schema_extra={"unit": "bohr"})
    eps: float = _positive(1.0, "dielectric constant of the surroundings, for keldysh")
    # the recipe calls it `length`; a system says its natural length by that name
    screening: float = _positive(
        10.0, "screening length, for yukawa", alias="length", json_schema_extra={"unit": "bohr"}
    )
    omega: float = Field(0.0, ge=0, le=LARGEST, description="frequency of a round trap about the origin; 0: none")
    # the recipe calls them `species`; that name is what moves
    charged: ChargeList = Field(
        (ELECTRONS, POSITRON),
        alias="species",
        validate_default=True,
        description='list of {name = "electron", count = 2, mass = 1.0, charge = -1.0}; `at` in the place of mass pins them',
    )
    break_up: float | None = Field(
        None,
        ge=-LARGEST,
        le=LARGEST,
        description="lowest energy of separated parts; if left out, that of parts up to three",
    )

    @field_validator("dimensions", mode="before")
    @classmethod
    def _check_dimensions(cls, value: Any) -> Any:
        if value == 1:
            raise ValueError("on a line the energy of point charges has no lower bound: it must be 2 or 3")
        return value

    @field_validator("interaction")
    @classmethod
    def _check_interaction(cls, value: str, info: ValidationInfo) -> str:
        if value == "keldysh" and info.data.get("dimensions") == 3:
            raise ValueError("it is for dimensions = 2, a sheet")
        return value

    @field_validator("charged")
    @classmethod
    def _check_charges(cls, value: tuple[ChargedSpecies, ...], info: ValidationInfo) -> tuple[ChargedSpecies, ...]:
        needed = {"dimensions", "interaction", "r0", "eps", "screening", "omega"}
        if not needed <= info.data.keys():
            return value
        dim = info.data["dimensions"]
        for one in value:
            if any(len(place) != dim for place in one.at):
                raise ValueError(f"the places of {one.name} must have {dim} coordinates")
        if info.data["omega"] and any(one.mass is None for one in value):
            raise ValueError("pinned charges and a trap exclude each other: leave out omega")
        charges = cls.model_construct(**info.data, charged=value).point_charges()
        if (bodies := sum(one.count for one in value)) > MOST_BODIES:
            raise ValueError(
                f"it has {bodies} particles: at most {MOST_BODIES} are possible, as ψ is a function of all pairs"
            )
        if charges.exchange_count > MOST_EXCHANGES:
            raise ValueError(
                f"its particles can be exchanged in {charges.exchange_count} ways: at most {MOST_EXCHANGES} are possible, such "
                "as 4 and 2 particles, or 3 and 3"
            )
        if charges.moving < 2 and charges.free:
            raise ValueError("one particle that nothing holds has no ground state: two, or a pinned one, are needed")
        if charges.free and len({one.charge > 0 for one in value}) < 2:
            raise ValueError(
                "all its charges have one sign and nothing holds them: one of the other sign, or omega, is needed"
            )
        return value

    @model_validator(mode="after")
    def _check_bound(self) -> Coulomb:
        scale_of_charges(self.point_charges())
        return self

    def point_charges(self) -> PointCharges:
        """The charges with their interaction."""
        how = Interaction(self.interaction)
        if self.interaction == "keldysh":
            how = Interaction("keldysh", r0=self.r0, eps=self.eps)
        elif self.interaction == "yukawa":
            how = Interaction("yukawa", length=self.screening)
        return PointCharges(self.charged, self.dimensions, how, self.omega)

    @property
    def species(self) -> tuple[Species, ...]:
        """The species that move."""
        return tuple(Species(one.name, one.count, one.mass, one.charge) for one in self.charged if one.mass is not None)

    @property
    def free(self) -> bool:  # type: ignore[override]
        """Whether nothing holds the centre of mass."""
        return self.point_charges().free

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        """Whether V depends on distances between particles and from the origin alone."""
        pinned = [place for one in self.charged for place in one.at]
        return not pinned or (len(pinned) == 1 and not any(pinned[0]))

    @property
    def threshold(self) -> float | None:
        """The lowest energy of parts that have left each other, as given or of single particles, pairs and parts of three."""
        found = scale_of_charges(self.point_charges()).break_up
        return self.break_up if self.break_up is not None or found is None else found.energy

    def cautions(self) -> tuple[str, ...]:
        """What a user may not expect, a sentence each: bosons, keys of another interaction, a break-up not looked at."""
        charges = self.point_charges()
        found = scale_of_charges(charges).break_up
        note = None if self.break_up is not None or found is None else found.note
        return (*charges.warnings(), *without_effect(self, OF_INTERACTIONS), *([note] if note else []))

    def potential(self, x: Tensor) -> Tensor:
        """The energy of all charges, and of the trap, at x (B, N, D) → (B,)."""
        charges = self.point_charges()
        axes = x.unbind(-1)
        total: Any = charges.pinned_energy()
        for pair in charges.pairs:
            place = charges.bodies[pair.second].place
            square: Any = 0.0
            for d, axis in enumerate(axes):
                other = axis[..., pair.second] if place is None else place[d]
                square = square + (axis[..., pair.first] - other).square()
            total = total + pair.strength * charges.interaction.energy(square.sqrt())
        if self.omega:
            masses = [body.mass for body in charges.bodies]
            squares = x.square().sum(-1).unbind(-1)
            total = total + sum(0.5 * m * self.omega**2 * s for m, s in zip(masses, squares, strict=True))
        energy: Tensor = total
        return energy

    def reference(self) -> Reference | None:
        """Two charges in closed form or by the radial equation; published energies of three and four; else None."""
        return few_body(self.point_charges())
