"""The natural scale of potentials that no descent can follow: hard walls, steps, piecewise-constant wells.

Each coordinate has the ground state of its mean potential over samples of the others, on a grid. A few rounds of this Hartree
approximation give places and widths; only values of V are used, and how large V is beyond a step hardly matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.grid_state import grid_state
from fkflow.hamiltonian.line_states import LineState, coordinate_state
from fkflow.hamiltonian.species import groups_of
from fkflow.hamiltonian.steps import Step, find_steps
from fkflow.hamiltonian.surfaces import Surfaces
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.trial_width import balanced_length
from fkflow.hamiltonian.walls import Walls, bounds, flat_deviation

#: most rounds, points of a grid, and of one that is alone and has ends, samples of the other coordinates
ROUNDS, POINTS, POINTS_ALONE, SAMPLES = 60, 96, 384, 32
#: V counts up to so many kinetic energies of a coordinate above its lowest value along it
HIGHEST = 100.0
#: half-width of the first grid in natural lengths, of later ones in standard deviations; density at the end of a grid that is
#: too much, and all beyond a new end; by how many widths a grid grows, and relative changes of a deviation after which nothing
#: changes any more
FIRST, WIDE, TOO_MUCH, QUIET, GROWTH, STEADY = 3.0, 5.0, 1e-6, 1e-7, 1.5, 0.05
#: the share of the points of a grid, one over this number, at each end
OUTER = 48
#: places at which V is compared, and kinetic energies between walls by which it varies where it has wells
SCATTERED, VARIES = 1024, 4.0
#: octaves of deviations within which other wells are looked for, and deviations beyond which V may fall without end
ELSEWHERE, FARTHEST = 5.0, 40.0
#: least share of the confinement that is not due to walls
LOOSE = 0.01
#: lengths of the decay behind the highest step that a grid reaches beyond it
BEHIND = 3.0
#: places that the walkers start from
PLACES = 256


@dataclass(frozen=True)
class MeanField:
    """The product of states of all coordinates.

    Means and standard deviations (N, D), the natural length, places (M, N, D) drawn from it, the share (N, D) of its
    confinement that each coordinate owes neither to walls nor to its own state, and the states of coordinates along which V
    jumps, or the steps of V on other surfaces.
    """

    mean: Tensor
    deviation: Tensor
    length: float
    places: Tensor
    loose: Tensor
    lines: tuple[LineState, ...]
    steps: tuple[Step, ...] = ()


def mean_field(system: System, x: Tensor, walls: Walls | None, generator: torch.Generator) -> MeanField:
    """The mean field of a system of particles of mass 1, from places x (M, N, D) at which V is finite, the lowest first.

    Raises NumericalError where V confines nothing.
    """
    found = _field(system, x, walls, generator)
    window = _wider_window(system, found, walls, generator) if system.particles == 1 else None
    if window is None:
        return found
    if x.shape[2] == 1:
        return _field(system, x, walls, generator, window)
    shaped = _shaped_field(system, x, *window, walls, generator)
    return found if shaped is None else replace(shaped, lines=found.lines, steps=found.steps)


def _wider_window(
    system: System, found: MeanField, walls: Walls | None, generator: torch.Generator
) -> tuple[Tensor, Tensor] | None:
    """Between which numbers (D,) one particle may also have the energy that was found, if that is elsewhere; else None.

    None too where such places go on as far as is looked: V may fall without end there.
    """
    mean, deviation = found.mean[0], found.deviation[0]
    low, high = bounds(walls, 1, len(mean))
    if bool((high - low).isfinite().all()):
        # all between walls has been seen
        return None
    options: dict[str, Any] = {"generator": generator, "dtype": mean.dtype}
    energy = float(system.potential(found.places).detach().mean()) + 0.25 * len(mean) / found.length**2
    reach = 2.0 ** (ELSEWHERE * torch.rand(SCATTERED, 1, **options))
    away = reach * torch.randn(SCATTERED, len(mean), **options)
    places = mean + deviation * away
    allowed = system.potential(places[:, None]).detach().nan_to_num(nan=math.inf) < energy
    away = away[allowed].abs().amax(1)
    if not bool((away > WIDE).any()) or float(away.max()) > FARTHEST:
        return None
    within = torch.cat([places[allowed], (mean - WIDE * deviation)[None], (mean + WIDE * deviation)[None]])
    ends = within.amin(0) - WIDE * deviation, within.amax(0) + WIDE * deviation
    return torch.maximum(ends[0], low[0]), torch.minimum(ends[1], high[0])


def _field(
    system: System,
    x: Tensor,
    walls: Walls | None,
    generator: torch.Generator,
    between: tuple[Tensor, Tensor] | None = None,
) -> MeanField:
    """The mean field that the place of lowest V is in, or the one `between` two numbers (1,) of a single coordinate."""
    n, dim = x.shape[1:]
    low, high = bounds(walls, n, dim)
    surfaced = walls is not None and any(isinstance(piece, Surfaces) for piece in walls.regions[0])
    if surfaced and system.identical and bool((high[0] - low[0]).isfinite().all()):
        found = _shaped_field(system, x, low[0], high[0], walls, generator)
        if found is not None:
            return found
    length = getattr(system, "length", None) or balanced_length(system, x[0], generator)
    if n == 1 and dim > 1 and walls is None:
        stepped = _stepped_field(system, x, length, generator)
        if stepped is not None:
            return stepped
    first = x[0].mean(0).expand(n, dim) if system.identical else x[0]
    left, right = torch.maximum(first - FIRST * length, low), torch.minimum(first + FIRST * length, high)
    alone, bounded = n * dim == 1, bool((high - low).isfinite().all())
    if alone and bounded:
        # another well may be anywhere between the walls
        left, right = low.clone(), high.clone()
    if between is not None:
        left, right = (end.view(1, 1).clone() for end in between)
    samples = x[torch.randint(len(x), (1 if alone else SAMPLES,), generator=generator)]
    groups = [list(group) for group in groups_of(system)]
    particles = range(1 if system.identical else n)
    # a factor of one particle alone would not be symmetric within its species
    single = [i for i in particles if system.identical or [i] in groups]
    kinetic = torch.full((n, dim), 0.25 / length**2, dtype=x.dtype)
    mean, deviation = torch.zeros_like(kinetic), torch.zeros_like(kinetic)
    for _ in range(ROUNDS):
        states, before, grown = {}, deviation.clone(), False
        for i in particles:
            for a in range(dim):
                width = right[i, a] - left[i, a]
                count = POINTS_ALONE if alone and (bounded or between) else POINTS
                points = left[i, a] + width * (torch.arange(count, dtype=x.dtype) + 0.5) / count
                potential = _mean_potential(system, samples, i, a, points, HIGHEST * float(kinetic[i, a]))
                density, energy = _ground_state(points, potential)
                states[i, a] = points, density
                kinetic[i, a] = energy
                mean[i, a] = (density * points).sum()
                deviation[i, a] = (density * (points - mean[i, a]).square()).sum().sqrt()
                reach = WIDE * deviation[i, a]
                edge = count // OUTER
                beyond = [density[:edge].sum() > TOO_MUCH, density[-edge:].sum() > TOO_MUCH]
                more = GROWTH * torch.minimum(width, 2 * reach)
                # exponential tails reach farther than so many deviations
                first, last = (
                    points[density.cumsum(0) > QUIET][0],
                    points[density.flip(0).cumsum(0).flip(0) > QUIET][-1],
                )
                inner = torch.minimum(mean[i, a] - reach, first), torch.maximum(mean[i, a] + reach, last)
                new = [
                    left[i, a] - more if beyond[0] else torch.maximum(left[i, a], inner[0]),
                    right[i, a] + more if beyond[1] else torch.minimum(right[i, a], inner[1]),
                ]
                ends = torch.maximum(new[0], low[i, a]), torch.minimum(new[1], high[i, a])
                grown |= bool(ends[0] < left[i, a] or ends[1] > right[i, a])
                left[i, a], right[i, a] = ends
        for group in groups:
            for whole in (kinetic, mean, deviation, left, right):
                whole[group] = whole[group[0]].clone()
        if not grown and bool(((deviation - before).abs() < STEADY * deviation).all()):
            break
        if not alone:
            samples = _draw(system, states, SAMPLES, x, generator)
    places = _draw(system, states, PLACES, x, generator)
    loose = loose_share(deviation, walls)
    lines = []
    for (i, a), (points, density) in states.items():
        if i not in single:
            continue
        window, peak = (float(left[i, a]), float(right[i, a])), float(points[density.argmax()])
        line = coordinate_state(system, places, (i, a), window, peak, walls, float(kinetic[i, a]))
        if line is not None:
            lines.append(line)
            loose[slice(None) if system.identical else i, a] = LOOSE
    if n == 1 and not alone and bounded and _has_wells(system, low, high, generator):
        # a product of states of each coordinate would be in one of the wells, or between them
        shaped = _shaped_field(system, x, low[0], high[0], walls, generator)
        if shaped is not None:
            return replace(shaped, lines=tuple(lines))
    return MeanField(mean, deviation, float(0.5 * kinetic.mean().rsqrt()), places, loose, tuple(lines))


def _has_wells(system: System, low: Tensor, high: Tensor, generator: torch.Generator) -> bool:
    """Whether V of one particle varies between walls at `low` and `high` (1, D) by more than a few kinetic energies."""
    places = low + (high - low) * torch.rand(SCATTERED, *low.shape, generator=generator, dtype=low.dtype)
    height = system.potential(places).detach()
    height = height[height.isfinite()]
    kinetic = float((0.5 * math.pi**2 / (high - low).square()).sum())
    return len(height) > 0 and float(height.quantile(0.99) - height.min()) > VARIES * kinetic


def _stepped_field(system: System, x: Tensor, length: float, generator: torch.Generator) -> MeanField | None:
    """The field of one particle where V jumps on curved surfaces or slanted planes about its lowest place; else None."""
    noise = torch.randn(PLACES, *x.shape[1:], generator=generator, dtype=x.dtype)
    steps = find_steps(system, x[:1] + length * noise, 0.25 / length**2, generator)
    if not steps:
        return None
    high = max(steps, key=lambda step: float(step.heights.max()))
    size = high.surfaces.high - high.surfaces.low
    if not bool(size.isfinite().all()):
        return None
    beyond = BEHIND / math.sqrt(2 * float(high.heights.min())) + 0.1 * size
    low, top = high.surfaces.low - beyond, high.surfaces.high + beyond
    found = _shaped_field(system, x, low, top, Walls(((high.surfaces,),)), generator)
    return None if found is None else replace(found, steps=steps)


def _shaped_field(
    system: System, x: Tensor, low: Tensor, high: Tensor, walls: Walls | None, generator: torch.Generator
) -> MeanField | None:
    """The field of particles between `low` and `high` (D,) whose coordinates do not part: the state of the first on a grid."""
    n, dim = x.shape[1:]
    state = grid_state(system, x, low, high)
    if state is None:
        return None
    places, density, kinetic = state
    mean = density @ places
    deviation = (density @ (places - mean).square()).sqrt().expand(n, dim).clone()
    size = (high - low) / round(len(places) ** (1 / dim))
    which = torch.multinomial(density, 8 * PLACES * n, replacement=True, generator=generator)
    drawn = places[which] + size * (torch.rand(len(which), dim, generator=generator, dtype=x.dtype) - 0.5)
    drawn = drawn.view(-1, n, dim)
    drawn = drawn[system.potential(drawn).detach().isfinite()][:PLACES]
    length = getattr(system, "length", None) or 0.5 * (dim / kinetic) ** 0.5
    return MeanField(
        mean.expand(n, dim).clone(), deviation, length, drawn if len(drawn) else x, loose_share(deviation, walls), ()
    )


def _mean_potential(system: System, samples: Tensor, i: int, a: int, points: Tensor, highest: float) -> Tensor:
    """Mean V (G,) over samples (S, N, D) with one coordinate at the points (G,), above its least value for each sample."""
    moved = samples[:, None].repeat(1, len(points), 1, 1)
    moved[:, :, i, a] = points
    energy = system.potential(moved.flatten(0, 1)).detach().view(len(samples), -1).nan_to_num(nan=math.inf)
    least = energy.amin(1, keepdim=True)
    some = least[:, 0].isfinite()
    if not bool(some.any()):
        return torch.zeros_like(points)
    return (energy[some] - least[some]).clamp(max=highest).mean(0)


def _ground_state(points: Tensor, potential: Tensor) -> tuple[Tensor, float]:
    """Density (G,), of sum 1, and kinetic energy of the ground state between the ends of an even grid."""
    step = float(points[1] - points[0])
    one = torch.ones_like(points)
    kinetic = (torch.diag(one) - 0.5 * torch.diag(one[1:], 1) - 0.5 * torch.diag(one[1:], -1)) / step**2
    # ψ vanishes at the ends, half a step beyond the first and the last point
    kinetic[0, 0] = kinetic[-1, -1] = 1.5 / step**2
    state = torch.linalg.eigh(kinetic + torch.diag(potential))[1][:, 0]
    return state.square(), float(state @ kinetic @ state)


def _draw(
    system: System,
    states: dict[tuple[int, int], tuple[Tensor, Tensor]],
    count: int,
    x: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Samples (≤ count, N, D) of the product state at which V is finite; places x (M, N, D) if there are too few."""
    n, dim = x.shape[1:]
    options: dict[str, Any] = {"generator": generator, "dtype": x.dtype}
    drawn = torch.empty(8 * count, n, dim, dtype=x.dtype)
    for i in range(n):
        for a in range(dim):
            points, density = states.get((i, a)) or states[0, a]
            which = torch.multinomial(density, len(drawn), replacement=True, generator=generator)
            drawn[:, i, a] = points[which] + (points[1] - points[0]) * (torch.rand(len(drawn), **options) - 0.5)
    drawn = drawn[system.potential(drawn).detach().isfinite()][:count]
    if len(drawn) < count:
        drawn = torch.cat([drawn, x[torch.randint(len(x), (count - len(drawn),), generator=generator)]])
    return drawn


def loose_share(deviation: Tensor, walls: Walls | None) -> Tensor:
    """The share (N, D) of its confinement that a coordinate with a standard deviation (N, D) owes to V and not to walls."""
    return (1 - (deviation / flat_deviation(walls, *deviation.shape)).square()).clamp(min=LOOSE)
