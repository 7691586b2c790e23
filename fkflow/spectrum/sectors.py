"""The symmetry sectors of a system, and the functions of each.

A sector is a space of functions f that a rotation, a reflection or an exchange turns into themselves up to a sign. Functions
that are not made so are averaged over the operations of the group with these signs.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.hamiltonian.box import open_axes, sides
from fkflow.hamiltonian.masses import to_user_coordinates
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.shape import find_shape
from fkflow.hamiltonian.species import declared_species, groups_of, species_of
from fkflow.hamiltonian.system import System
from fkflow.spectrum.antisymmetry import MOST, determinants
from fkflow.spectrum.cloud import CloudFunctions
from fkflow.spectrum.configuration import ConfigurationFunctions, DetailFunctions, RoundFunctions
from fkflow.spectrum.distances import DistanceFunctions
from fkflow.spectrum.electrons import ElectronFunctions
from fkflow.spectrum.growth import POWERS, Growth
from fkflow.spectrum.jets import Jet, coordinates, join
from fkflow.spectrum.mirrors import SAME, find_centre, find_reflections, is_round
from fkflow.spectrum.periodic import PeriodicFunctions
from fkflow.spectrum.vibrations import VibrationFunctions

#: ranks under rotations that have a sector, of several particles and of one
RANKS, RANKS_OF_ONE = (0, 1, 2), (0, 1, 2, 3, 4, 5)
LETTERS = "SPD"

#: total momenta along a ring that are looked at, at least and at most: up to those that move all particles by one wave
MOMENTA, MOST_MOMENTA = 3, 5

#: most orders of particles that functions are averaged over
MOST_EXCHANGES = 24

Functions = Callable[[Jet], Jet]
#: an order of the particles, and the factor that f gets
Exchange = tuple[tuple[int, ...], float]


@dataclass(frozen=True)
class Operation:
    """x → s·(x − c) + c with particles in another order: `signs` (D,), `order` (N,), and the factor f gets."""

    signs: tuple[float, ...]
    order: tuple[int, ...]
    factor: float


@dataclass(frozen=True)
class Sector:
    """Functions of one symmetry. `ground` tells whether the ground state ψ itself (f = 1) has it."""

    name: str
    ground: bool
    make: Callable[[Jet, torch.Generator], Functions]
    operations: tuple[Operation, ...]
    centre: Tensor
    growth: Growth | None = None
    details: Callable[[Jet, torch.Generator], Functions] | None = None
    #: no later sector has a lower level than the lowest of this one
    rising: bool = False

    def functions(self, sample: Tensor, seed: int) -> SectorFunctions:
        """The functions of the sector, random ones by `seed`, for configurations like the `sample` (B, N, D)."""
        # the generator takes 32 bits
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {self.name}".encode()))
        places = coordinates(sample)
        functions = self.make(places, generator)
        details = None if self.details is None else self.details(places, generator)
        return SectorFunctions(functions, self.operations, self.centre, self.growth, details)


@dataclass(frozen=True)
class SectorFunctions:
    """Functions averaged over operations; called with configurations x (B, N, D) it gives a jet of (B, n).

    With a `growth` they come again times each of its powers. The `details`, if any, come last, and times these powers too.
    """

    functions: Functions
    operations: tuple[Operation, ...]
    centre: Tensor
    growth: Growth | None = None
    details: Functions | None = None

    def __call__(self, x: Tensor) -> Jet:
        return self._jet(x, flat=False)

    def values(self, x: Tensor) -> Tensor:
        """Their values (B, n) alone, for a small part of the price."""
        return self._jet(x, flat=True).value

    def sizes(self, x: Tensor) -> list[int]:
        """How many of the functions, from the first on, make a basis: without growth, with more powers of it, with details.

        Any configurations x (B, N, D) will do.
        """
        some = coordinates(x[:1]).flat()
        plain = self.functions(some).value.shape[-1]
        powers = 1 if self.growth is None else 1 + len(POWERS)
        sizes = [plain * count for count in range(1, powers + 1)]
        return sizes if self.details is None else [*sizes, sizes[-1] + powers * self.details(some).value.shape[-1]]

    def _jet(self, x: Tensor, flat: bool) -> Jet:
        growths = [] if self.growth is None else [one.flat() if flat else one for one in self.growth(x)]
        found = []
        for functions in (self.functions, *([] if self.details is None else [self.details])):
            averaged = self._averaged(functions, x, flat)
            found += [averaged, *(averaged * growth.each(lambda t: t[..., None]) for growth in growths)]
        return join(found)

    def _averaged(self, functions: Functions, x: Tensor, flat: bool) -> Jet:
        """Functions averaged over the operations."""
        places = coordinates(x).flat() if flat else coordinates(x)
        found: Jet | None = None
        for operation in self.operations:
            signs = x.new_tensor(operation.signs)
            moved = places.each(lambda t, o=operation: t[..., list(o.order), :]) - self.centre  # type: ignore[misc]
            term = functions(moved * signs + self.centre) * (operation.factor / len(self.operations))
            found = term if found is None else found + term
        assert found is not None
        return found


def sectors_of(
    system: System,
    landscape: Landscape,
    x: Tensor,
    functions: int,
    decay: float,
    fermi: bool,
    growth: Growth | None = None,
) -> list[Sector]:
    """The sectors of a system (in coordinates of unit mass), for walkers x (B, N, D) of its ground state.

    `functions` random ones each are of one kind; `decay` is that of ψ far out. `fermi`: those that change sign with every
    exchange of identical particles. Raises UsageError if there are none.
    """
    n, dim = x.shape[1:]
    if (box := sides(system)) is not None:
        return _in_box(system, box, x, functions, fermi)
    if system.free:
        return _free(system, landscape, x, functions, fermi)
    if fermi and (not system.identical or n < 2):
        raise UsageError(f"{system.key} has no fermions: that takes two or more identical particles")
    nuclei = system.nuclei()
    if nuclei is not None:
        return _electrons(system, x, functions, decay, fermi)
    if fermi and dim > 1 and n > MOST:
        raise UsageError(f"spin-polarised fermions are at most {MOST} off the line; {system.key} has {n} particles")
    centre = find_centre(system, landscape, x)
    # particles of several species have functions of each
    alike = n == 1 or system.identical
    if dim > 1 and not fermi and alike and (system.isotropic or is_round(system, centre, x)):
        kind = RoundFunctions if n == 1 else CloudFunctions
        still = (Operation((1.0,) * dim, tuple(range(n)), 1.0),)
        letter = "m" if dim == 2 else "l"
        return [
            Sector(
                f"{letter} = {rank}",
                rank == 0,
                lambda p, g, r=rank: kind(p, centre, r, functions, g),  # type: ignore[misc]
                still,
                centre,
                growth,
                rising=n == 1,
            )
            for rank in (RANKS_OF_ONE if n == 1 else RANKS)
        ]
    identical = system.identical and n > 1
    exchanges = [(tuple(range(n)), 1.0)] if identical else _exchanges(system, n)

    def make(places: Jet, generator: torch.Generator) -> Functions:
        if not identical:
            return ConfigurationFunctions(places, functions, generator)
        symmetric = CloudFunctions(places, centre, None, functions, generator)
        return _Antisymmetric(symmetric) if fermi else symmetric

    details = (lambda p, g: DetailFunctions(p, functions, g)) if n * dim == 1 else None
    found = []
    reflections = find_reflections(system, centre, x)
    for signs in product((1.0, -1.0), repeat=len(reflections)):
        operations = _exchanged(_group(reflections, signs, n), exchanges)
        name = _reflection_name(reflections, signs, dim)
        if fermi:
            name = "antisymmetric" + (f", {name}" if reflections else "")
        ground = not fermi and min(signs, default=1.0) > 0
        found.append(Sector(name or "all", ground, make, operations, centre, growth, details))
    return found


def _in_box(system: System, box: tuple[float, ...], x: Tensor, functions: int, fermi: bool) -> list[Sector]:
    """Total momenta along the axes that V does not tell apart, then reflections about the origin."""
    n, dim = x.shape[1:]
    if fermi:
        raise UsageError(f"{system.key} is in a periodic box: levels of fermions are for systems that are held")
    if open_axes(box):
        raise UsageError(
            f"{system.key} is in a box with open directions: levels are found where all are periodic, or none"
        )
    even = [_is_even_along(system, axis, x) for axis in range(dim)]
    rest = tuple(0 if conserved else None for conserved in even)
    momenta = [rest]
    for axis in (axis for axis in range(dim) if even[axis]):
        most = max(MOMENTA, min(n, MOST_MOMENTA)) if dim == 1 else 1
        momenta += [(*rest[:axis], k, *rest[axis + 1 :]) for k in range(1, most + 1)]
    centre = torch.zeros(dim, dtype=x.dtype)
    reflections = find_reflections(system, centre, x)
    found = []
    for momentum in momenta:
        # f and its mirror image have the momenta K and −K: one of the two combinations is enough
        moving = next((axis for axis, k in enumerate(momentum) if k), None)
        for signs in product((1.0, -1.0), repeat=len(reflections)):
            turned = [
                sign for one, sign in zip(reflections, signs, strict=True) if moving is not None and one[moving] < 0
            ]
            if min(turned, default=1.0) < 0:
                continue
            operations = _group(reflections, signs, n)
            name = ", ".join(
                filter(None, [_momentum_name(momentum, even), _parity_name(reflections, signs, moving, dim)])
            )
            ground = moving is None and min(signs, default=1.0) > 0
            make = lambda p, g, k=momentum: PeriodicFunctions(p, box, k, functions, g)  # noqa: E731
            found.append(Sector(name or "all", ground, make, operations, centre))
    return found


def _is_even_along(system: System, axis: int, x: Tensor) -> bool:
    """Whether V stays the same where all particles move together along an axis."""
    some = x[:64]
    value = system.potential(some)
    moved = some.clone()
    moved[..., axis] += torch.linspace(0.1, 1.0, len(some), dtype=x.dtype, device=x.device)[:, None] * float(x.std())
    return bool(((system.potential(moved) - value).abs() <= SAME * (value.abs() + value.std() + 1)).all())


def _momentum_name(momentum: tuple[int | None, ...], even: list[bool]) -> str:
    """Such as "K = ±1" on a ring, or "K = (±1, 0)"; "" where none is conserved."""
    if not any(even):
        return ""
    parts = ["-" if k is None else f"±{k}" if k else "0" for k in momentum]
    return f"K = {parts[0]}" if len(parts) == 1 else f"K = ({', '.join(parts)})"


def _parity_name(
    reflections: list[tuple[float, ...]], signs: tuple[float, ...], moving: int | None, dimensions: int
) -> str:
    """The parities but for those that turn the momentum round."""
    kept = [(r, s) for r, s in zip(reflections, signs, strict=True) if moving is None or r[moving] > 0]
    return _reflection_name([r for r, _ in kept], tuple(s for _, s in kept), dimensions) if kept else ""


class _Antisymmetric:
    """Antisymmetric determinants times symmetric functions."""

    def __init__(self, symmetric: Functions) -> None:
        self.symmetric = symmetric

    def __call__(self, places: Jet) -> Jet:
        factors, terms = determinants(places), self.symmetric(places)
        return join([terms * factors[slice(k, k + 1)] for k in range(factors.value.shape[-1])])


def _free(system: System, landscape: Landscape, x: Tensor, functions: int, fermi: bool) -> list[Sector]:
    """Motion without rotation of particles that nothing holds; two of one declared species may also be antisymmetric."""
    n, dim = x.shape[1:]
    if fermi:
        raise UsageError(f"{system.key} is free in space: levels of fermions are for systems that are held")
    inverse_roots = to_user_coordinates(system, torch.ones(n, 1, dtype=x.dtype))
    declared = declared_species(system)
    twofold = [one.name for one in declared or () if one.count == 2]
    shape = find_shape(system, landscape)
    found = []
    for odd in [None, *twofold]:
        still = (Operation((1.0,) * dim, tuple(range(n)), 1.0),)
        operations = _exchanged(still, _exchanges(system, n, odd))

        def make(places: Jet, generator: torch.Generator) -> Functions:
            if shape is not None:
                return VibrationFunctions(places, shape, functions, generator)
            return DistanceFunctions(places, inverse_roots, functions, generator)

        name = f"{odd} antisymmetric" if odd else "symmetric" if twofold else "no rotation"
        found.append(Sector(name, odd is None, make, operations, torch.zeros(dim, dtype=x.dtype)))
    return found


def _exchanges(system: System, particles: int, odd: str | None = None) -> list[Exchange]:
    """All orders of particles within their species; f changes sign with an exchange in the species `odd`."""
    groups = groups_of(system)
    names = [one.name for one in species_of(system)]
    if math.prod(math.factorial(len(group)) for group in groups) > MOST_EXCHANGES:
        raise UsageError(
            f"{system.key} has species with too many particles for its levels: more than {MOST_EXCHANGES} exchanges"
        )
    found: list[Exchange] = []
    for orders in product(*(permutations(group) for group in groups)):
        order = [0] * particles
        factor = 1.0
        for name, group, moved in zip(names, groups, orders, strict=True):
            for place, particle in zip(group, moved, strict=True):
                order[place] = particle
            if name == odd and moved != group:
                factor = -factor
        found.append((tuple(order), factor))
    return found


def _exchanged(operations: tuple[Operation, ...], exchanges: list[Exchange]) -> tuple[Operation, ...]:
    """Each operation followed by each exchange."""
    return tuple(Operation(o.signs, order, o.factor * factor) for o in operations for order, factor in exchanges)


def _electrons(system: System, x: Tensor, functions: int, decay: float, fermi: bool) -> list[Sector]:
    """Singlets and triplets of two electrons, or levels of one, by rank for an atom and by reflections for a molecule."""
    nuclei = system.nuclei()
    assert nuclei is not None
    n = x.shape[1]
    charges = x.new_tensor(nuclei.charges)
    centre = (charges[:, None] * x.new_tensor(nuclei.positions)).sum(0) / charges.sum()
    exchanges = [1.0] if n == 1 else [-1.0] if fermi else [1.0, -1.0]
    found = []
    atom = len(nuclei.charges) == 1
    reflections = [] if atom else find_reflections(system, centre, x)
    for exchange in exchanges:
        spin = "" if n == 1 else "singlet " if exchange > 0 else "triplet "
        swap = [(tuple(range(n)), 1.0)] + ([((1, 0), exchange)] if n == 2 else [])
        if atom:
            for rank in (0, 1):
                still = tuple(Operation((1.0,) * 3, order, factor) for order, factor in swap)
                make = lambda p, g, r=rank: ElectronFunctions(p, nuclei, decay, functions, g, 2 if r else None)  # noqa: E731
                found.append(Sector(f"{spin}{LETTERS[rank]}", exchange > 0 and rank == 0, make, still, centre))
            continue
        for signs in product((1.0, -1.0), repeat=len(reflections)):
            if sum(sign < 0 for sign in signs) > 1:
                continue
            operations = _exchanged(_group(reflections, signs, n), swap)
            odd = next((i for i, sign in enumerate(signs) if sign < 0), None)
            axis = None if odd is None else next((a for a in range(3) if reflections[odd][a] < 0), None)
            make = lambda p, g, a=axis: ElectronFunctions(p, nuclei, decay, functions, g, a)  # noqa: E731
            name = spin + (_reflection_name(reflections, signs, 3) or "all")
            found.append(Sector(name, exchange > 0 and odd is None, make, operations, centre))
    return found


def _group(reflections: list[tuple[float, ...]], signs: tuple[float, ...], particles: int) -> tuple[Operation, ...]:
    """All products of reflections, with the factor of a function that each changes by its sign."""
    order = tuple(range(particles))
    found = [Operation((1.0,) * len(reflections[0]) if reflections else (1.0,), order, 1.0)]
    for reflection, sign in zip(reflections, signs, strict=True):
        found += [
            Operation(tuple(a * b for a, b in zip(o.signs, reflection, strict=True)), order, o.factor * sign)
            for o in found
        ]
    return tuple(found)


def _reflection_name(reflections: list[tuple[float, ...]], signs: tuple[float, ...], dim: int) -> str:
    """Such as "odd" on a line, or "x odd, y even"."""
    if not reflections:
        return ""
    words = ["even" if sign > 0 else "odd" for sign in signs]
    if len(reflections) == 1 and (dim == 1 or min(reflections[0]) == max(reflections[0])):
        return words[0]
    axes = "xyzuvw"
    parts = []
    for reflection, word in zip(reflections, words, strict=True):
        turned = [axes[a] if dim <= len(axes) else f"x{a + 1}" for a, s in enumerate(reflection) if s < 0]
        parts.append(f"{turned[0]} {word}" if len(turned) == 1 else f"inversion {word}")
    return ", ".join(parts)
