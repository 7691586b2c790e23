"""Surfaces on which V of one particle jumps by a finite height: round wells, dots and shells of constant V."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.surfaces import Surfaces, find_surfaces
from fkflow.hamiltonian.system import System

#: lines along which jumps are looked for, how far beyond the places they go, points on each, and halvings that place a jump
LINES, BEYOND, POINTS, HALVINGS = 256, 4.0, 64, 50
#: least jump in kinetic energies of a coordinate, what must be left of it when it is placed, most ratio of heights on a surface
LEAST, LEFT, ALIKE = 0.3, 0.9, 1.2
#: most steps, and places at which the region of a step is compared with V
MOST, COMPARED = 8, 4096
#: share of the size of a region next to its surface that is left out there
MARGIN = 1e-6


@dataclass(frozen=True)
class Step:
    """V is higher by `heights` (K,) on the outer side of each of the surfaces."""

    surfaces: Surfaces
    heights: Tensor


def find_steps(system: System, places: Tensor, kinetic: float, generator: torch.Generator) -> tuple[Step, ...]:
    """The steps of V about places (M, 1, D) of one particle of mass 1 with so much kinetic energy in each coordinate.

    There are none unless all jumps that are seen lie on quadrics without edges, those of each step at one level of V.
    """
    x = places[:, 0]
    jumps, where = _jumps(system, x, LEAST * kinetic, generator)
    found: list[Step] = []
    while len(jumps) and len(found) < MOST:
        lower, upper = jumps[0].tolist()
        passed = torch.ones(len(jumps), dtype=torch.bool)
        # the levels that all jumps of a surface pass
        for i, (low, high) in enumerate(jumps.tolist()):
            passed[i] = max(low, lower) < min(high, upper)
            if passed[i]:
                lower, upper = max(low, lower), min(high, upper)
        surfaces = _surfaces(system, x, 0.5 * (lower + upper), generator)
        if surfaces is None:
            return ()
        rises = (jumps[:, 1] - jumps[:, 0])[passed]
        nearest = surfaces.distances(where[passed]).abs().argmin(1)
        heights = []
        for k in range(len(surfaces.constant)):
            each = rises[nearest == k]
            if not len(each) or float(each.max()) > ALIKE * float(each.min()):
                return ()
            heights.append(each.mean())
        found.append(Step(surfaces, torch.stack(heights)))
        jumps, where = jumps[~passed], where[~passed]
    return tuple(found)


def _jumps(system: System, x: Tensor, least: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """V (J, 2) below and above jumps on lines through places x (M, D), and the places (J, D) of the jumps."""
    middle = x.mean(0)
    pick = torch.randint(len(x), (2, LINES), generator=generator)
    first, last = x[pick[0]], middle + BEYOND * (x[pick[1]] - middle)
    t = torch.linspace(0, 1, POINTS, dtype=x.dtype)

    def energies(t: Tensor) -> Tensor:
        moved = first[:, None] + t[..., None] * (last - first)[:, None]
        return system.potential(moved.view(-1, 1, x.shape[1])).detach().view(len(first), -1)

    values = energies(t.expand(LINES, -1))
    rise = values.diff(dim=1).abs().nan_to_num(nan=0.0, posinf=0.0)
    which = rise.argmax(1)
    low, high = t[which], t[which + 1]
    most = rise.amax(1)
    ends = torch.stack([values.gather(1, which[:, None])[:, 0], values.gather(1, which[:, None] + 1)[:, 0]], 1)
    for _ in range(HALVINGS):
        half = 0.5 * (low + high)
        between = energies(half[:, None])[:, 0]
        second = (ends[:, 1] - between).abs() > (between - ends[:, 0]).abs()
        low, high = torch.where(second, half, low), torch.where(second, high, half)
        ends = torch.where(
            second[:, None], torch.stack([between, ends[:, 1]], 1), torch.stack([ends[:, 0], between], 1)
        )
    left = (ends[:, 1] - ends[:, 0]).abs()
    kept = (most > least) & (left > LEFT * most)
    return ends[kept].sort(1).values, (first + low[:, None] * (last - first))[kept]


def _surfaces(system: System, x: Tensor, level: float, generator: torch.Generator) -> Surfaces | None:
    """The surfaces about places x (M, D) on which V passes a level; None if they are no quadrics."""

    def below(places: Tensor) -> Tensor:
        return system.potential(places[:, None]).detach() < level

    start = x[below(x)]
    both = find_surfaces(below, start, generator) if len(start) else None
    if both is None:
        return None
    surfaces, inside = both
    noise = torch.rand(COMPARED, x.shape[1], generator=generator, dtype=x.dtype)
    low, high = inside.aminmax(dim=0)
    places = low + (high - low) * (2 * noise - 0.5)
    distances = surfaces.distances(places)
    clear = (distances.abs() > MARGIN).all(1)
    if not bool((surfaces.inside(places) == below(places))[clear].all()):
        return None
    # beyond an edge V would rise by the heights of both surfaces
    return None if bool(((distances < 0).sum(1) > 1).any()) else surfaces


def has_jumps(system: System, x: Tensor, length: float, generator: torch.Generator) -> bool:
    """Whether V jumps somewhere along lines through configurations x (M, N, D), a few natural lengths about them."""
    # all particles together, so that pairs do not meet
    along = torch.randn(len(x), 1, x.shape[2], generator=generator, dtype=x.dtype) * length
    t = torch.linspace(-4, 4, 65, dtype=x.dtype)

    def energies(t: Tensor) -> Tensor:
        """V (M, k) at t (M, k)."""
        moved = x[:, None] + t[:, :, None, None] * along[:, None]
        return system.potential(moved.flatten(0, 1)).detach().view(t.shape).nan_to_num(nan=math.inf)

    rise = energies(t.expand(len(x), -1)).diff(dim=1).abs()
    rise = rise.where(rise.isfinite(), 0.0)
    which = rise.argmax(1)
    ends = torch.stack([t[which], t[which + 1]], 1)
    first = last = rise.amax(1)
    for _ in range(40):
        both = torch.cat([ends[:, :1], ends.mean(1, keepdim=True), ends[:, 1:]], 1)
        halves = energies(both).diff(dim=1).abs().nan_to_num(nan=0.0)
        second = halves[:, 1] > halves[:, 0]
        ends = torch.where(second[:, None], both[:, 1:], both[:, :2])
        last = halves.amax(1)
    return bool(((last > 0.5 * first) & (first > 1e-2 / length**2)).any())
