"""Hard walls: the region in which V is finite for each particle.

A region is a product of intervals, half-lines and balls (discs, spheres, cylinders) along the axes, or lies on one side of each
of some planes, spheres and other quadrics (`surfaces`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.surfaces import Surfaces

#: names of axes
AXES = "xyz"


class WallError(NumericalError):
    """V is infinite in a way that has no name here; the text follows the name of the system."""


@dataclass(frozen=True)
class Ball:
    """|x − centre| < radius for some axes of a particle; an interval is a ball of one axis. ψ ~ distance^power at the wall."""

    axes: tuple[int, ...]
    centre: tuple[float, ...]
    radius: float
    power: float = 1.0


@dataclass(frozen=True)
class HalfLine:
    """sign · (x − edge) > 0 for one axis of a particle. ψ ~ distance^power at the wall."""

    axes: tuple[int, ...]
    edge: float
    sign: float
    power: float = 1.0


@dataclass(frozen=True)
class Walls:
    """The regions of all particles, in coordinates of unit mass: a tuple of pieces each, all of which hold.

    `stated`: the system's `boundary` says where the walls are instead, and there are no pieces.
    """

    regions: tuple[tuple[Ball | HalfLine | Surfaces, ...], ...]
    stated: bool = False

    def inside(self, particle: int, places: Tensor) -> Tensor:
        """Whether the places (…, D) are in the region of a particle."""
        found = torch.ones(places.shape[:-1], dtype=torch.bool)
        for piece in self.regions[particle]:
            part = places[..., list(piece.axes)]
            if isinstance(piece, Surfaces):
                found &= piece.inside(part)
            elif isinstance(piece, Ball):
                found &= (part - part.new_tensor(piece.centre)).norm(dim=-1) < piece.radius
            else:
                found &= (piece.sign * (part - piece.edge) > 0).all(-1)
        return found


def describe_region(region: tuple[Ball | HalfLine | Surfaces, ...], unit: float) -> str:
    """Where a particle may be, in words; positions are multiplied by `unit`."""
    found = []
    for piece in region:
        names = [AXES[axis] if axis < len(AXES) else f"x{axis + 1}" for axis in piece.axes]
        if isinstance(piece, Surfaces):
            count = len(piece.constant)
            planes = sum(not bool(square.any()) for square in piece.square)
            flat = f"{planes} plane{'s' * (planes != 1)}" * (planes > 0)
            bent = f"{count - planes} curved surface{'s' * (count - planes != 1)}" * (count > planes)
            found.append(f"({', '.join(names)}) within {' and '.join(filter(None, (flat, bent)))}")
        elif isinstance(piece, HalfLine):
            # those beside an interval only say how ψ vanishes
            if not any(isinstance(other, Ball) and other.axes == piece.axes for other in region):
                found.append(f"{names[0]} {'>' if piece.sign > 0 else '<'} {_short(unit * piece.edge)}")
        elif len(names) == 1:
            low, high = (_short(unit * (piece.centre[0] + sign * piece.radius)) for sign in (-1, 1))
            found.append(f"{low} < {names[0]} < {high}")
        else:
            centre = ", ".join(_short(unit * c, unit * piece.radius) for c in piece.centre)
            found.append(f"({', '.join(names)}) within {_short(unit * piece.radius)} of ({centre})")
    return ", ".join(found)


def _short(number: float, scale: float = 1e-9) -> str:
    """A position to six digits, rounding errors of a size `scale` left out."""
    return f"{0.0 if abs(number) < 1e-9 * scale else number:.6g}"


#: standard deviations of a coordinate in flat intervals, discs and balls of radius 1
FLAT = {1: math.sqrt(1 / 3 - 2 / math.pi**2), 2: 0.3302, 3: math.sqrt((1 / 3 - 0.5 / math.pi**2) / 3)}


def bounds(walls: Walls | None, n: int, dim: int) -> tuple[Tensor, Tensor]:
    """Between which numbers (N, D) each coordinate is."""
    low = torch.full((n, dim), -math.inf, dtype=torch.float64)
    high = -low
    for i, region in enumerate(walls.regions if walls is not None else ()):
        for piece in region:
            if isinstance(piece, Surfaces):
                low[i], high[i] = piece.low, piece.high
            elif isinstance(piece, Ball):
                centre = low.new_tensor(piece.centre)
                low[i, list(piece.axes)], high[i, list(piece.axes)] = centre - piece.radius, centre + piece.radius
            elif piece.sign > 0:
                low[i, piece.axes[0]] = piece.edge
            else:
                high[i, piece.axes[0]] = piece.edge
    return low, high


def flat_deviation(walls: Walls | None, n: int, dim: int) -> Tensor:
    """Standard deviation (N, D) of each coordinate where V is flat within walls, infinite where there are none."""
    found = torch.full((n, dim), math.inf, dtype=torch.float64)
    for i, region in enumerate(walls.regions if walls is not None else ()):
        for piece in region:
            if isinstance(piece, Surfaces):
                found[i] = piece.deviation
            elif isinstance(piece, Ball):
                found[i, list(piece.axes)] = piece.radius * FLAT.get(len(piece.axes), 0.0)
    return found
