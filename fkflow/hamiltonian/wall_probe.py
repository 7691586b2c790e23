"""What V says of hard walls: where rays meet them, and whether places on both sides of given walls agree."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fkflow.hamiltonian.cores import move_singly
from fkflow.hamiltonian.surfaces import Surfaces
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.walls import Ball, HalfLine, WallError, Walls

#: distances along a ray as powers of 2, and halvings of the last
OCTAVES, HALVINGS = 40, 60
#: V a small share of the distance inside a hard wall is no larger; beyond, it is a number that overflows
LARGEST, INSIDE = 1e30, 1e-3
#: places at which the region is compared with V
COMPARED = 256
#: the share of its size next to a wall that is left out
MARGIN = 1e-6
#: lines along which an edge of `boundary` is looked for, places on each, halvings; the share of a change of its slope that is
#: left of a jump then, and the least change that counts
LINES, POINTS, NARROWED, LEFT, FLAT = 64, 33, 30, 0.5, 1e-3
#: configurations of particles in one another's way, and moves of each particle that lead to them
SHUFFLED, MOVES = 512, 30


def ray_hits(system: System, x: Tensor, particle: int, along: Tensor) -> list[Tensor | None]:
    """Where one particle of the configurations x (M, N, D), moved along unit vectors (M, D), meets a hard wall for good."""

    def energies(distance: Tensor, rows: Tensor) -> Tensor:
        moved = x[rows].clone()
        moved[:, particle] += distance[:, None] * along[rows]
        return system.potential(moved).detach()

    grid = 2.0 ** torch.arange(-OCTAVES, OCTAVES + 0.5, 0.5, dtype=x.dtype)
    rows = torch.arange(len(x)).repeat_interleave(len(grid))
    finite = energies(grid.repeat(len(x)), rows).isfinite().view(len(x), -1)
    steps = torch.arange(1, len(grid) + 1)
    last = (finite * steps).amax(1)
    low = torch.where(last > 0, grid[(last - 1).clamp(min=0)], 0.0)
    high = grid[last.clamp(max=len(grid) - 1)]
    every = torch.arange(len(x))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        free = energies(middle, every).isfinite()
        low, high = torch.where(free, middle, low), torch.where(free, high, middle)
    # V may rise to infinity at the wall, but is no overflowing number well inside
    hard = (last < len(grid)) & energies(high, every).isposinf() & (energies((1 - INSIDE) * low, every).abs() < LARGEST)
    places = x[:, particle] + low[:, None] * along
    return [place if met else None for place, met in zip(places, hard.tolist(), strict=True)]


def fits(system: System, x: Tensor, walls: Walls, particle: int, generator: torch.Generator) -> bool:
    """Whether V is finite inside the walls of a particle and infinite outside, for some places x (M, N, D) of the others."""
    reached = x[:, particle]
    if walls.stated:
        along = torch.randn(len(x), x.shape[2], generator=generator, dtype=x.dtype)
        hits = ray_hits(system, x, particle, along / along.norm(dim=1, keepdim=True))
        reached = torch.stack([*reached, *(hit for hit in hits if hit is not None)])
    places = _scattered(reached, walls.regions[particle], generator)
    finite = torch.zeros(len(places), dtype=torch.bool)

    def look(configurations: Tensor) -> None:
        for others in configurations:
            moved = others.repeat(len(places), 1, 1)
            moved[:, particle] = places
            finite.logical_or_(~system.potential(moved).detach().isposinf())

    look(x)
    if x.shape[1] > 1 and not walls.stated and bool((walls.inside(particle, places) & ~finite).any()):
        # the others are in the way: they make room now and then
        look(_shuffled(system, x, generator))
    if walls.stated:
        boundary = system.boundary(places)
        assert boundary is not None
        return bool((finite == (boundary > 0)).all())
    return bool((finite == walls.inside(particle, places)).all())


def has_edge(boundary: Callable[[Tensor], Tensor | None], x: Tensor, generator: torch.Generator) -> bool:
    """Whether the slope of `boundary` jumps somewhere within the walls, on lines between places x (M, D).

    ψ would have an edge there, which no Laplacian shows. WallError if it has no slope.
    """
    pick = torch.randint(len(x), (2, LINES), generator=generator)
    first, way = x[pick[0]], x[pick[1]] - x[pick[0]]

    def slopes(t: Tensor) -> tuple[Tensor, Tensor]:
        """The slope along the lines at t (L, k), and `boundary`."""
        with torch.enable_grad():
            place = (first[:, None] + t[..., None] * way[:, None]).requires_grad_(True)
            value = boundary(place)
            if value is None or not value.requires_grad:
                raise WallError("boundary(x) has no gradient: it must be computed from x by torch functions alone")
            (gradient,) = torch.autograd.grad(value.sum(), place)
        return (gradient * way[:, None]).sum(-1), value.detach().nan_to_num(nan=-math.inf)

    t = torch.linspace(0, 1, POINTS, dtype=x.dtype).expand(LINES, -1)
    slope, value = slopes(t)
    inside = value > MARGIN * value.max()
    if not bool(inside.any()):
        return False
    change = (slope.diff(dim=1).abs() * (inside[:, 1:] & inside[:, :-1])).nan_to_num(nan=0.0)
    most, which = change.max(1)
    low, high = (t.gather(1, which[:, None] + k) for k in (0, 1))
    before, after = (slope.gather(1, which[:, None] + k) for k in (0, 1))
    for _ in range(NARROWED):
        middle = 0.5 * (low + high)
        between = slopes(middle)[0]
        left = (between - before).abs() > (after - between).abs()
        low, high = torch.where(left, low, middle), torch.where(left, middle, high)
        before, after = torch.where(left, before, between), torch.where(left, between, after)
    edges = ((after - before).abs()[:, 0] > LEFT * most) & (most > FLAT * slope[inside].abs().max())
    # those on the walls are none of ψ
    within = slopes(low)[1][:, 0] > MARGIN * value.max()
    return bool((edges & within).any())


def _shuffled(system: System, x: Tensor, generator: torch.Generator) -> Tensor:
    """Configurations (SHUFFLED, N, D) that moves of single particles, in which V stays finite, lead to from x (M, N, D)."""
    x = x[torch.randint(len(x), (SHUFFLED,), generator=generator)]
    return move_singly(system, x, x.std().expand(len(x)), LARGEST, MOVES * x.shape[1], generator)


def _scattered(x: Tensor, pieces: tuple[Ball | HalfLine | Surfaces, ...], generator: torch.Generator) -> Tensor:
    """Places (COMPARED, D) of one particle inside and outside its walls, none of them next to a wall."""
    size = (x - x.mean(0)).abs().amax(0)
    size = torch.where(size > 0, size, x.abs().amax(0)).clamp(min=1e-12)
    noise = torch.rand(COMPARED, x.shape[1], generator=generator, dtype=x.dtype)
    places = x.mean(0) + 1.5 * size * (2 * noise - 1)
    for piece in pieces:
        axes = list(piece.axes)
        if isinstance(piece, Ball):
            places[:, axes] = places.new_tensor(piece.centre) + 1.3 * piece.radius * (2 * noise[:, axes] - 1)
        elif isinstance(piece, HalfLine):
            reach = float((x[:, axes] - piece.edge).abs().max())
            places[:, axes] = piece.edge + piece.sign * reach * (1.5 * noise[:, axes] - 0.3)
    near = torch.zeros(len(places), dtype=torch.bool)
    for piece in pieces:
        part = places[:, list(piece.axes)]
        if isinstance(piece, Ball):
            distance = (part - part.new_tensor(piece.centre)).norm(dim=1)
            near |= (distance - piece.radius).abs() < MARGIN * piece.radius
    return places[~near]
