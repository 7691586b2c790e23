"""Species: which particles of a system are of one kind, with the mass and charge that they share.

A system declares `species`, as a class attribute, a property or a field: a list of `Species`, of tuples (name, count) or
(name, count, {"mass": 1.0, "charge": -1.0}), or of tables with the keys name, count, mass and charge. Its particles are
ordered by species. ψ is symmetric within each species.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate, combinations, combinations_with_replacement
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

if TYPE_CHECKING:
    from torch import Tensor

    #: `fkflow.hamiltonian.system.System`, a module that imports this one
    System = Any

#: what one species and a declaration look like, for messages
FORM_OF_ONE = '("boson", 4, {"mass": 7.0}) or {name = "boson", count = 4, mass = 7.0}'
FORM = f"a list of species, each such as {FORM_OF_ONE}"
#: keys of a species
KEYS = ("name", "count", "mass", "charge")
#: names stand in those of datasets and files
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Species:
    """`count` particles of one kind, called `name`, of one `mass` and, where it has a meaning, one `charge`."""

    name: str
    count: int
    mass: float = 1.0
    charge: float | None = None


def read_species(given: Any) -> tuple[Species, ...]:
    """The species of a declaration; ValueError, in a phrase without the key, for anything else."""
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"it must be {FORM}")
    species = tuple(_read_one(number, one) for number, one in enumerate(given, 1))
    check_different([one.name for one in species])
    return species


def _read_one(number: int, given: Any) -> Species:
    if isinstance(given, Species):
        table: dict[str, Any] = asdict(given)
    elif isinstance(given, Mapping):
        table = dict(given)
    elif isinstance(given, list | tuple) and 2 <= len(given) <= 3 and isinstance((*given, {})[2], Mapping):
        table = {"name": given[0], "count": given[1]}
        if again := [key for key in table if key in (*given, {})[2]]:
            raise ValueError(f"species number {number} gives its {again[0]} twice")
        table |= (*given, {})[2]
    else:
        raise ValueError(f"species number {number} has another form: it must be {FORM_OF_ONE}")
    name = read_name(number, table, KEYS)
    if "count" not in table:
        raise ValueError(f"{name} lacks its count, the number of its particles")
    count, mass, charge = table["count"], table.get("mass", 1.0), table.get("charge")
    if type(count) is not int or count < 1:
        raise ValueError(f"{name} has count = {count!r}: it must be a whole number of at least 1")
    if not is_number(mass) or mass <= 0:
        raise ValueError(f"{name} has mass = {mass!r}: it must be a number above 0")
    if charge is not None and not is_number(charge):
        raise ValueError(f"{name} has charge = {charge!r}: it must be a number")
    return Species(name, count, float(mass), None if charge is None else float(charge))


def read_name(number: int, table: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The name in the table of a species, the keys of which are among `keys`; ValueError, in a phrase, otherwise."""
    name = table.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"species number {number} has the name {name!r}: it must be a letter, followed by letters, digits or _"
        )
    if unknown := [key for key in table if key not in keys]:
        raise ValueError(f"{name} has the unknown key {unknown[0]!r}: allowed are {', '.join(keys)}")
    return name


def check_different(names: Sequence[str]) -> None:
    """ValueError, in a phrase, if two species have one name."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"it has two species called {twice[0]}: put their particles into one, or give them two names")


def is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def species_tables(species: Sequence[Species]) -> list[dict[str, Any]]:
    """Species as tables of a recipe, without the charges that are not given."""
    return [{key: value for key, value in asdict(one).items() if value is not None} for one in species]


#: the type of a field `species` that recipes set: ``species = [{name = "boson", count = 4, mass = 1.0}]``
SpeciesList = Annotated[tuple[Species, ...], BeforeValidator(read_species), PlainSerializer(species_tables)]


def declared_species(system: System) -> tuple[Species, ...] | None:
    """The species that a system declares; None if it declares none. ValueError, in a phrase without the key, for wrong ones."""
    given = getattr(system, "species", None)
    return None if given is None else read_species(given)


def species_of(system: System) -> tuple[Species, ...]:
    """The species of any system: as declared, else one called "particle" of identical particles, else one for each particle.

    ValueError for wrong species or masses.
    """
    if (declared := declared_species(system)) is not None:
        return declared
    masses = particle_masses(system)
    if system.identical:
        return (Species("particle", system.particles, masses[0]),)
    return tuple(Species(f"particle_{i}", 1, mass) for i, mass in enumerate(masses))


def groups_of(system: System) -> tuple[tuple[int, ...], ...]:
    """The numbers of the particles of each species."""
    counts = [species.count for species in species_of(system)]
    ends = accumulate(counts)
    return tuple(tuple(range(end - count, end)) for count, end in zip(counts, ends, strict=True))


def particle_masses(system: System) -> tuple[float, ...]:
    """The mass of each particle, of its species or as the system says; ValueError, with one sentence, for wrong ones."""
    try:
        declared = declared_species(system)
    except ValueError as error:
        raise ValueError(f"species is not allowed: {error}") from None
    if declared is not None:
        return tuple(one.mass for one in declared for _ in range(one.count))
    given = getattr(system, "mass", 1.0)
    listed = list(given) if isinstance(given, list | tuple) else [given] * system.particles
    if len(listed) != system.particles or not all(is_number(mass) and mass > 0 for mass in listed):
        along = (
            f": masses that differ along the axes are those of coordinates that are particles of their own, particles = "
            f"{len(listed)}, dimensions = 1 and identical = False"
            if system.particles == 1 and len(listed) == system.dimensions
            else ""
        )
        raise ValueError(
            f"mass = {given!r} is not allowed: it must be a number above 0, or a list of such numbers, one for each of the "
            f"{system.particles} particles{along}"
        )
    if system.identical and len(set(listed)) > 1:
        raise ValueError(
            f"mass = {given!r} is not allowed: identical particles have one mass (identical = False tells particles apart, "
            "species some of them)"
        )
    return tuple(float(mass) for mass in listed)


def find_fault_of_species(system: System) -> str | None:
    """What is wrong with the species that a system declares, in one sentence that follows its name; None if nothing is."""
    try:
        declared = declared_species(system)
    except ValueError as error:
        return f"species is not allowed: {error}"
    if declared is None:
        return None
    total = sum(one.count for one in declared)
    if (given := getattr(system, "particles", total)) != total:
        return f"particles = {given!r} is not allowed: its species have {total}, so leave it out"
    if getattr(system, "mass", None) is not None:
        return f"mass = {system.mass!r} is not allowed: each of its species has one, so leave it out"
    if system.identical != (len(declared) == 1):
        return f"identical = {system.identical} is not allowed: its species say which particles are, so leave it out"
    return None


def pair_takes_names(system: System) -> bool:
    """Whether the `pair` of a system takes the names of two species before the distances: pair(a, b, r)."""
    if (known := getattr(system, "takes_names", None)) is not None:
        return bool(known)
    required = [
        one
        for one in inspect.signature(system.pair).parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty
    ]
    return len(required) == 3


def is_mixture(system: System) -> bool:
    """Whether a system declares several species, some of them of more than one particle or with a `pair` for each two."""
    if declared_species(system) is None or system.identical:
        return False
    own = system
    while (inner := getattr(own, "own", None)) is not None:
        own = inner
    return any(len(group) > 1 for group in groups_of(system)) or pair_takes_names(own)


def mean_by_species(system: System, x: Tensor) -> Tensor:
    """Vectors (…, N, D) of particles, each replaced by the mean over its species."""
    x = x.clone()
    for group in groups_of(system):
        x[..., list(group), :] = x[..., list(group), :].mean(-2, keepdim=True)
    return x


def pair_functions(system: System) -> dict[tuple[str, str], Callable[[Tensor], Tensor]]:
    """For the names of two species, in their order, the energies of such a pair at distances r, of pairs that have one.

    In coordinates of unit mass r is that of `UnitMassSystem.pair`.
    """
    import torch  # a recipe is read without it

    found = {}
    for one, other in combinations_with_replacement(species_of(system), 2):
        if one.name != other.name or one.count > 1:
            energies = partial(pair_of_species, system, one.name, other.name)
            if energies(torch.ones(1, dtype=torch.float64)) is not None:
                found[one.name, other.name] = energies
    return found  # type: ignore[return-value]


def pair_names(system: System) -> list[tuple[str, str]]:
    """The names of the species of the two particles of each pair, in the order of `geometry.pairs`."""
    name = [one.name for one in species_of(system) for _ in range(one.count)]
    return list(combinations(name, 2))


def pair_of_species(system: System, first: str, second: str, r: Tensor) -> Tensor | None:
    """The energy of a particle of the species `first` and one of `second` at distances r (any shape); None if it has none."""
    energies: Any = system.pair
    found: Tensor | None = energies(first, second, r) if pair_takes_names(system) else energies(r)
    return found
