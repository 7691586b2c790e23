"""Regions of a particle within walls that are intervals, half-lines and balls along some axes, from where rays hit them."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from fkflow.hamiltonian.repulsion import STEEP, power_of
from fkflow.hamiltonian.surfaces import Surfaces
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wall_probe import fits, ray_hits
from fkflow.hamiltonian.walls import Ball, HalfLine, Walls

#: rays in a plane or in space
RAYS = 16
#: how far, relative to its size, the places at which a wall is hit may be from it
SHAPE = 1e-7
#: distances from a wall, in that of a place inside, at which V shows how singular it is there, and the least V t² that counts
NEAR, WEAK = (1e-5, 1e-6), 1e-4


def find_region(
    system: System, x: Tensor, particle: int, generator: torch.Generator
) -> tuple[Ball | HalfLine | Surfaces, ...] | None:
    """The region of one particle: the first product of balls, intervals and half-lines that V agrees with, None without one."""
    for axes in _partitions(x.shape[2]):
        found = [_piece(system, x, particle, group, generator) for group in axes]
        region = tuple(piece for pieces in found if pieces is not None for piece in pieces)
        others = ((),) * system.particles
        walls = Walls((*others[:particle], region, *others[particle + 1 :]))
        if None not in found and fits(system, x, walls, particle, generator):
            return region
    return None


def _partitions(dim: int) -> list[tuple[tuple[int, ...], ...]]:
    """Groups of axes that may share a wall: none, two, all."""
    alone = tuple((axis,) for axis in range(dim))
    pairs = [
        (pair, *(one for one in alone if one[0] not in pair))
        for pair in itertools.combinations(range(dim), 2)
        if dim in (3, 4)
    ]
    return [alone, *pairs, *([(tuple(range(dim)),)] if dim > 1 else [])]


def _piece(
    system: System, x: Tensor, particle: int, group: tuple[int, ...], generator: torch.Generator
) -> list[Ball | HalfLine] | None:
    """What confines these axes of a particle: nothing [], pieces, or None if the hits have no common shape."""
    dim = x.shape[2]
    if len(group) == 1:
        ends: list[float | None] = []
        for sign in (-1.0, 1.0):
            along = torch.zeros(len(x), dim, dtype=x.dtype)
            along[:, group[0]] = sign
            hits = [float(hit[group[0]]) for hit in ray_hits(system, x, particle, along) if hit is not None]
            # a pair that shuts a particle off hides the wall: the outermost hit counts
            ends.append(sign * max(sign * hit for hit in hits) if hits else None)
        low, high = ends
        axis = group[0]
        powers = [
            1.0 if edge is None else _power(system, x[0], particle, _place(x[0, particle], axis, edge))
            for edge in (low, high)
        ]
        if low is None or high is None:
            edges = zip((low, high), (1.0, -1.0), powers, strict=True)
            return [HalfLine(group, edge, sign, power) for edge, sign, power in edges if edge is not None]
        centre, radius = (0.5 * (low + high),), 0.5 * (high - low)
        if math.isclose(*powers, rel_tol=1e-3):
            return [Ball(group, centre, radius, powers[0])]
        # the one with the power 1 at both ends, and what is missing at each
        missing = [HalfLine(group, low, 1.0, powers[0] - 1), HalfLine(group, high, -1.0, powers[1] - 1)]
        return [Ball(group, centre, radius), *(piece for piece in missing if piece.power)]
    origins = x.repeat(-(-RAYS // len(x)) + 1, 1, 1)
    along = torch.zeros(len(origins), dim, dtype=x.dtype)
    along[:, list(group)] = torch.randn(len(origins), len(group), generator=generator, dtype=x.dtype)
    found = [
        hit for hit in ray_hits(system, origins, particle, along / along.norm(dim=1, keepdim=True)) if hit is not None
    ]
    if not found:
        return []
    points = torch.stack(found)[:, list(group)]
    middle = points.mean(0)
    q = points - middle
    while len(q) > len(group) + 2:
        # |q|² = 2 c·q + (R² − |c|²)
        design = torch.cat([2 * q, q.new_ones(len(q), 1)], 1)
        solution = torch.linalg.lstsq(design, q.square().sum(1)).solution
        centre, square = solution[:-1], float(solution[-1] + solution[:-1].square().sum())
        off = ((q - centre).norm(dim=1) - max(square, 0.0) ** 0.5).abs()
        if float(off.max()) <= SHAPE * square**0.5:
            power = _power(system, x[0], particle, found[0])
            return [Ball(group, tuple((centre + middle).tolist()), square**0.5, power)]
        # a hard core of a pair may have been in the way
        q = q[off < off.max()]
    return None


def _place(x: Tensor, axis: int, value: float) -> Tensor:
    """A place (D,) with another value of one coordinate."""
    found = x.clone()
    found[axis] = value
    return found


def _power(system: System, x: Tensor, particle: int, wall: Tensor) -> float:
    """λ of ψ ~ t^λ at the distance t from a place (D,) on a wall: V goes as λ(λ − 1)/(2t²) there, 1 where V is less singular.

    `x` (N, D) is a configuration inside; the particle approaches the wall from its place there.
    """
    inwards = x[particle] - wall
    share = torch.tensor(NEAR, dtype=x.dtype)
    moved = x.repeat(len(share), 1, 1)
    moved[:, particle] = wall + share[:, None] * inwards
    strength = (system.potential(moved).detach() * (share * inwards.norm()).square()).tolist()
    if not all(map(math.isfinite, strength)) or abs(strength[1]) < WEAK or 2 * strength[1] <= -0.25:
        return 1.0
    if abs(strength[0] - strength[1]) > 1e-2 * abs(strength[1]):
        # more singular than any power of ψ balances
        return STEEP if strength[1] > 2 * strength[0] > 0 else 1.0
    return power_of(strength[1], 1)
