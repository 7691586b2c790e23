"""Charged particles of several species, some of them pinned in place: what is declared, and the pairs that it makes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from fkflow.hamiltonian.interactions import Interaction
from fkflow.hamiltonian.species import check_different, is_number, read_name

FORM_OF_ONE = (
    '{name = "electron", count = 2, mass = 1.0, charge = -1.0}, or {name = "proton", charge = 1.0, at = [[0.0, 0.0, 0.0]]} '
    "where particles are pinned"
)
FORM = f"a list of species, each such as {FORM_OF_ONE}"
KEYS = ("name", "count", "mass", "charge", "at")
#: bounds of masses, charges (either sign) and coordinates, and the closest that two pinned charges may be
LIGHTEST, HEAVIEST = 1e-6, 1e6
WEAKEST, STRONGEST = 1e-3, 1e3
FARTHEST, CLOSEST = 1e3, 1e-6
#: fermions of one species whose ground state has no nodes: of opposite spin
TWO_SPINS = 2
#: distance that counts as none, by which exchanges of pinned charges are judged, relative to the largest distance
SAME = 1e-9


@dataclass(frozen=True)
class ChargedSpecies:
    """`count` particles of one kind with a charge: of a `mass`, or pinned at the places `at` (mass None)."""

    name: str
    count: int
    charge: float
    mass: float | None = 1.0
    at: tuple[tuple[float, ...], ...] = ()


class Body(NamedTuple):
    """One particle: the number of its species, its mass (infinite where it is pinned), charge and place (or None)."""

    species: int
    mass: float
    charge: float
    place: tuple[float, ...] | None


class Pair(NamedTuple):
    """Two bodies, not both pinned, by their numbers: reduced mass, product of the charges, and the number of its kind."""

    first: int
    second: int
    mass: float
    strength: float
    kind: int


@dataclass(frozen=True)
class PointCharges:
    """Point charges in `dimensions` 2 or 3 with one interaction, in a round trap of the frequency `omega` (0: none)."""

    species: tuple[ChargedSpecies, ...]
    dimensions: int
    interaction: Interaction
    omega: float = 0.0

    @cached_property
    def bodies(self) -> tuple[Body, ...]:
        """All particles, those that move first."""
        moving, pinned = [], []
        for number, one in enumerate(self.species):
            if one.mass is None:
                pinned += [Body(number, math.inf, one.charge, place) for place in one.at]
            else:
                moving += [Body(number, one.mass, one.charge, None)] * one.count
        return (*moving, *pinned)

    @property
    def moving(self) -> int:
        """How many are not pinned."""
        return sum(body.place is None for body in self.bodies)

    @property
    def free(self) -> bool:
        """Whether nothing holds the centre of mass."""
        return not self.omega and self.moving == len(self.bodies)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs i < j of bodies of which the first is not pinned; a kind is two species."""
        kinds: dict[tuple[int, int], int] = {}
        found = []
        for i, j in itertools.combinations(range(len(self.bodies)), 2):
            a, b = self.bodies[i], self.bodies[j]
            if a.place is None:
                key = (min(a.species, b.species), max(a.species, b.species))
                mass = 1 / (1 / a.mass + 1 / b.mass)
                found.append(Pair(i, j, mass, a.charge * b.charge, kinds.setdefault(key, len(kinds))))
        return tuple(found)

    def cusp(self, pair: Pair) -> float:
        """The slope of log ψ where the pair meets: c = 2μ q_i q_j/(D − 1) (Kato 1957), 0 without a Coulomb singularity."""
        return 2 * pair.mass * pair.strength * self.interaction.cusp / (self.dimensions - 1)

    def pinned_energy(self) -> float:
        """The energy of the pinned charges with each other."""
        import numpy as np

        pinned = self.bodies[self.moving :]
        return math.fsum(
            a.charge * b.charge * float(self.interaction.energy(np.array(math.dist(a.place or (), b.place or ()))))
            for a, b in itertools.combinations(pinned, 2)
        )

    @cached_property
    def exchanges(self) -> tuple[tuple[int, ...], ...]:
        """All exchanges that leave H as it is: of particles of one species, and of pinned ones that keep their distances.

        Each says which body stands in the place of body 0, 1, …
        """
        groups: dict[int, list[int]] = {}
        for i, body in enumerate(self.bodies[: self.moving]):
            groups.setdefault(body.species, []).append(i)
        choices = [list(itertools.permutations(group)) for group in groups.values()]
        pinned = range(self.moving, len(self.bodies))
        choices.append([image for image in _turns(self.bodies, pinned)])
        return tuple(tuple(itertools.chain(*choice)) for choice in itertools.product(*choices))

    def warnings(self) -> tuple[str, ...]:
        """What a user may not expect, a sentence each: many particles of one species are bosons."""
        return tuple(
            f"{one.count} particles of the species {one.name} are bosons here: that many electrons, or other fermions, have "
            "nodes and a higher energy"
            for one in self.species
            if one.mass is not None and one.count > TWO_SPINS
        )

    @property
    def exchange_count(self) -> int:
        """How many exchanges of moving particles there are, without making a list of them."""
        return math.prod(math.factorial(one.count) for one in self.species if one.mass is not None)


def _turns(bodies: Sequence[Body], pinned: range) -> list[tuple[int, ...]]:
    """The permutations of pinned bodies, of a few, that keep species and distances: those of a rotation or reflection."""
    places = [bodies[i].place or () for i in pinned]
    apart = [[math.dist(p, q) for q in places] for p in places]
    close = SAME * max((d for row in apart for d in row), default=0.0)
    found = []

    def extend(image: list[int]) -> None:
        k = len(image)
        if k == len(places):
            found.append(tuple(pinned.start + i for i in image))
            return
        for i in range(len(places)):
            same = i not in image and bodies[pinned[i]].species == bodies[pinned[k]].species
            if same and all(abs(apart[i][image[n]] - apart[k][n]) <= close for n in range(k)):
                extend([*image, i])

    extend([])
    return found


def read_charges(given: Any) -> tuple[ChargedSpecies, ...]:
    """The species of a declaration; ValueError, in a phrase without the key, for anything else."""
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"it must be {FORM}")
    species = tuple(one if isinstance(one, ChargedSpecies) else _read_one(n, one) for n, one in enumerate(given, 1))
    check_different([one.name for one in species])
    if all(one.mass is None for one in species):
        raise ValueError("all its particles are pinned: one species must have a mass")
    places = [place for one in species for place in one.at]
    for first, second in itertools.combinations(places, 2):
        if len(first) == len(second) and math.dist(first, second) < CLOSEST:
            raise ValueError(f"two pinned charges stand at {list(first)}: they must be at different places")
    return species


def _read_one(number: int, given: Any) -> ChargedSpecies:
    if not isinstance(given, Mapping):
        raise ValueError(f"species number {number} has another form: it must be {FORM_OF_ONE}")
    name = read_name(number, given, KEYS)
    charge: Any = given.get("charge")
    count = given.get("count")
    if charge is None:
        raise ValueError(f"{name} lacks its charge, such as charge = -1.0")
    if not is_number(charge) or not WEAKEST <= abs(charge) <= STRONGEST:
        raise ValueError(
            f"{name} has charge = {charge!r}: it must be a number, without its sign from {WEAKEST:g} to {STRONGEST:g}"
        )
    pinned = given.get("at") is not None
    if count is None and not pinned:
        raise ValueError(f"{name} lacks its count, the number of its particles")
    if (type(count) is not int or count < 1) and (count is not None or not pinned):
        raise ValueError(f"{name} has count = {count!r}: it must be a whole number of at least 1")
    if pinned:
        if given.get("mass") is not None:
            raise ValueError(
                f"{name} has mass = {given['mass']!r} and is pinned: leave out the mass, which is infinite, or `at`"
            )
        at = _read_places(name, given["at"])
        if count not in (None, len(at)):
            raise ValueError(f"{name} has count = {count!r} and {len(at)} places in `at`: leave out the count")
        return ChargedSpecies(name, len(at), float(charge), None, at)
    mass = given.get("mass", 1.0)
    if not is_number(mass) or not LIGHTEST <= mass <= HEAVIEST:
        raise ValueError(f"{name} has mass = {mass!r}: it must be a number from {LIGHTEST:g} to {HEAVIEST:g}")
    return ChargedSpecies(name, given["count"], float(charge), float(mass), ())


def _read_places(name: str, given: Any) -> tuple[tuple[float, ...], ...]:
    places: list[Any] = list(given) if isinstance(given, list | tuple) and given else [None]
    for place in places:
        good = isinstance(place, list | tuple) and 2 <= len(place) <= 3
        if not good or not all(is_number(v) and abs(v) <= FARTHEST for v in place):
            raise ValueError(
                f"{name} has at = {given!r}: it must be a list of places, each [x, y, z] or [x, y] in two dimensions, with no "
                f"coordinate beyond {FARTHEST:g}"
            )
    return tuple(tuple(float(v) for v in place) for place in places)


def charge_tables(species: Sequence[ChargedSpecies]) -> list[dict[str, Any]]:
    """Species as tables of a recipe, without what does not apply."""
    found = []
    for one in species:
        table = asdict(one)
        del table["at" if one.mass is not None else "mass"]
        found.append({key: [list(place) for place in value] if key == "at" else value for key, value in table.items()})
    return found


#: the type of a field of a system that recipes set
ChargeList = Annotated[tuple[ChargedSpecies, ...], BeforeValidator(read_charges), PlainSerializer(charge_tables)]
