"""Reflections and exchanges, and the groups that they make, with the factor that a function of a sector gets from each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations, product

from fkflow.errors import UsageError
from fkflow.hamiltonian.species import groups_of, species_of
from fkflow.hamiltonian.system import System

#: most orders of particles that functions are averaged over
MOST_EXCHANGES = 24

#: an order of the particles, and the factor that f gets
Exchange = tuple[tuple[int, ...], float]


@dataclass(frozen=True)
class Operation:
    """x → s·(x − c) + c with particles in another order: `signs` (D,), `order` (N,), and the factor f gets."""

    signs: tuple[float, ...]
    order: tuple[int, ...]
    factor: float


def exchanges_of(system: System, particles: int, odd: str | None = None) -> list[Exchange]:
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


def exchanged(operations: tuple[Operation, ...], exchanges: list[Exchange]) -> tuple[Operation, ...]:
    """Each operation followed by each exchange."""
    return tuple(Operation(o.signs, order, o.factor * factor) for o in operations for order, factor in exchanges)


def group_of(reflections: list[tuple[float, ...]], signs: tuple[float, ...], particles: int) -> tuple[Operation, ...]:
    """All products of reflections, with the factor of a function that each changes by its sign."""
    order = tuple(range(particles))
    found = [Operation((1.0,) * len(reflections[0]) if reflections else (1.0,), order, 1.0)]
    for reflection, sign in zip(reflections, signs, strict=True):
        found += [
            Operation(tuple(a * b for a, b in zip(o.signs, reflection, strict=True)), order, o.factor * sign)
            for o in found
        ]
    return tuple(found)


def reflection_name(reflections: list[tuple[float, ...]], signs: tuple[float, ...], dim: int) -> str:
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
