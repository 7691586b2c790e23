"""References of the zoo: V of a system along a few directions, and its ground state there on a grid or in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fkflow.hamiltonian.system import System

from . import grids

Array = np.ndarray

#: distance of a grid from a hard wall, in that of both walls
HAIR = 1e-12


#: finds the lowest so many levels by the words of their sectors: (energy, sector); "" where all sectors count
Levels = Callable[[int], list[tuple[float, str]]]


@dataclass(frozen=True)
class Answer:
    """A ground-state energy and its error; `scale` is the energy above the lowest V, or the binding energy.

    `levels` finds excited levels too, where they are known.
    """

    energy: float
    error: float
    scale: float
    source: str
    levels: Levels | None = None


Solver = Callable[[System], Answer]
#: ranks under rotations that have a sector
RANKS = (0, 1, 2, 3, 4, 5)


def section(system: System, directions: Sequence[Array] | None = None) -> grids.Potential:
    """V (n,) of coordinates q (n, d) along orthonormal `directions` (d, N, D); left out: all coordinates."""
    size = system.particles * system.dimensions
    basis = np.eye(size) if directions is None else np.reshape(np.asarray(directions, dtype=float), (-1, size))

    def potential(q: Array) -> Array:
        x = torch.as_tensor(np.reshape(q, (-1, len(basis))) @ basis).reshape(-1, system.particles, system.dimensions)
        return np.concatenate([np.asarray(system.potential(part), dtype=float) for part in x.split(100_000)])

    return potential


def axis(system: System, particle: int = 0, coordinate: int = 0) -> Array:
    """The direction (N, D) of one coordinate."""
    direction = np.zeros((system.particles, system.dimensions))
    direction[particle, coordinate] = 1.0
    return direction


def apart(system: System) -> Array:
    """The direction of (x_1 − x_2)/√2, the first two particles' distance along the first coordinate."""
    return (axis(system, 0) - axis(system, 1)) / np.sqrt(2)


def floor(potential: grids.Potential, axes: Sequence[Array]) -> float:
    """Lowest V on a product of points."""
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return float(potential(mesh).min())


def line(
    *edges: float,
    direction: Callable[[System], Array] = axis,
    parts: int = 8,
    rest: float = 0.0,
    dimensions: int = 1,
    scale: float | None = None,
) -> Solver:
    """Ground state in one variable between the first and the last of `edges`, at which V may jump.

    `rest` is the energy of all other coordinates, which are separate; `dimensions` those of the radius.
    """

    def solve(system: System) -> Answer:
        potential = section(system, [direction(system)])
        mass = np.min(getattr(system, "mass", 1.0))
        energy, error = grids.radius(potential, edges, dimensions, float(mass), parts)
        where = np.linspace(edges[0], edges[-1], 20002)[1:-1]
        above = energy + rest - floor(potential, [where]) if scale is None else scale
        kind = "spectral elements" if dimensions == 1 else "spectral elements along the radius"

        def levels(count: int) -> list[tuple[float, str]]:
            split = grids.split(edges, 2 * parts)
            if dimensions == 1:
                return [(each + rest, "") for each in grids.levels(potential, split, 1, float(mass), 13, count)]
            letter = "m" if dimensions == 2 else "l"
            return sorted(
                (each + rest, f"{letter} = {rank}")
                for rank in RANKS
                for each in grids.levels(potential, split, dimensions, float(mass), 13, count, rank)
            )[:count]

        return Answer(energy + rest, error, above, kind, levels if system.particles == 1 else None)

    return solve


def ball(outer: float, inner: float = 0.0, rest: float = 0.0, pair: bool = False, scale: float | None = None) -> Solver:
    """Ground state of one particle at a radius, or of two at a distance √2 r (`pair`); edges get finer towards r = inner."""

    def solve(system: System) -> Answer:
        both_sides = system.dimensions == 1 and not inner
        edges = inner + grids.graded(outer - inner, parts=12 if both_sides else 20)
        if both_sides:
            edges = np.concatenate([-edges[:0:-1], edges])
        found = line(
            *edges,
            direction=apart if pair else axis,
            parts=1,
            rest=rest,
            dimensions=system.dimensions,
            scale=scale,
        )
        return found(system)

    return solve


def everywhere(reach: float, points: int, rest: float = 0.0, jacobi: bool = False, masses: bool = False) -> Solver:
    """Ground state in all coordinates, each from −reach to reach; with `jacobi` in those relative to the centre of mass."""

    def solve(system: System) -> Answer:
        n = system.particles
        directions = None
        if jacobi:
            directions = [
                np.append(np.ones(k), [-k, *np.zeros(n - k - 1)])[:, None] / np.sqrt(k * (k + 1)) for k in range(1, n)
            ]
        potential = section(system, directions)
        size = len(directions) if directions else n * system.dimensions
        given = getattr(system, "mass", 1.0)
        each = np.repeat(given, system.dimensions) if np.ndim(given) else np.full(size, given)
        energy, error = grids.grid(potential, [(-reach, reach)] * size, points, list(each))
        lowest = floor(potential, [np.linspace(-reach, reach, 30 if size > 2 else 200)] * size)

        def levels(count: int) -> list[tuple[float, str]]:
            sides = [(-1.1 * reach, 1.1 * reach)] * size
            return [
                (one, "") for one in grids.box_levels(potential, sides, [int(1.2 * points)] * size, list(each), count)
            ]

        known = levels if system.particles == 1 or not system.identical else None
        return Answer(energy + rest, error, energy + rest - lowest, "a grid of sine functions", known)

    return solve


def within(sides: Sequence[tuple[float, float]], points: int) -> Solver:
    """Ground state in all coordinates between the given `sides`."""

    def solve(system: System) -> Answer:
        potential = section(system)
        energy, error = grids.grid(potential, list(sides), points)
        lowest = floor(potential, [np.linspace(*side, 40) for side in sides])

        def levels(count: int) -> list[tuple[float, str]]:
            return [(each, "") for each in grids.box_levels(potential, sides, [points] * len(sides), count=count)]

        return Answer(energy, error, energy - lowest, "a grid of sine functions", levels)

    return solve


def inside(sides: Sequence[tuple[float, float]], points: int) -> Solver:
    """Ground state in all coordinates between hard walls at the given `sides`."""

    def solve(system: System) -> Answer:
        potential = section(system)
        within_walls = [(left + HAIR * (right - left), right - HAIR * (right - left)) for left, right in sides]
        coarse, fine = (grids.box(potential, within_walls, [n] * len(sides)) for n in (points, round(1.3 * points)))
        lowest = floor(potential, [np.linspace(*side, 40) for side in within_walls])
        error = abs(fine - coarse) + grids.ROUNDING * abs(fine)

        def levels(count: int) -> list[tuple[float, str]]:
            found = grids.box_levels(potential, within_walls, [points] * len(sides), count=count)
            return [(each, "") for each in found]

        return Answer(fine, error, fine - lowest, "a grid of sine functions", levels)

    return solve


def closed(
    energy: Callable[[System], float],
    scale: float | None = None,
    levels: Callable[[System], Sequence[float] | Sequence[tuple[float, str]]] | None = None,
) -> Solver:
    """A closed form; its energy is also the scale, unless one is given. `levels` are the lowest in any order."""

    def solve(system: System) -> Answer:
        value = float(energy(system))

        def lowest(count: int) -> list[tuple[float, str]]:
            assert levels is not None
            found = [each if isinstance(each, tuple) else (float(each), "") for each in levels(system)]
            return sorted(found)[:count]

        return Answer(
            value, 0.0, abs(value) if scale is None else scale, "closed form", None if levels is None else lowest
        )

    return solve


def total(*solvers: Solver) -> Solver:
    """The sum of separate coordinates, each solved alone."""

    def solve(system: System) -> Answer:
        answers = [solver(system) for solver in solvers]
        return Answer(
            sum(answer.energy for answer in answers),
            sum(answer.error for answer in answers),
            sum(answer.scale for answer in answers),
            f"{len(solvers)} separate coordinates, {answers[0].source}",
        )

    return solve
