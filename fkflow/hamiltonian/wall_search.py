"""The search for hard walls, from values of V alone.

Rays leave places where V is finite, and bisection finds where V becomes infinite. The region of a particle must be a product
of intervals, half-lines and balls (discs, spheres, cylinders) along the axes, or lie on one side of each of some planes,
spheres and other quadrics (`surfaces`); a system states any other by `System.boundary`.
Hard cores of pairs are no walls: a particle that has another behind it can be moved past it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.species import groups_of
from fkflow.hamiltonian.surfaces import Surfaces, find_surfaces
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wall_probe import HALVINGS, INSIDE, LARGEST, MARGIN, OCTAVES, fits, has_edge, ray_hits
from fkflow.hamiltonian.wall_regions import find_region
from fkflow.hamiltonian.walls import Ball, HalfLine, WallError, Walls

#: configurations from which rays leave, more where particles may be in each other's way
ORIGINS, CROWDED = 8, 32
#: what is said of walls of another shape
OTHER = (
    "V is infinite in a region that does not lie on one side of each of some planes, spheres, cylinders or other quadrics: "
    "def boundary(self, x) must give, for coordinates x (..., D) of one particle, a smooth number (...) that is above 0 inside "
    "and 0 on the wall, with a gradient there"
)
#: candidates for places where V is finite
DRAWN = 4096
#: places at which a region within surfaces is compared with V
WITHIN = 4096


def allowed_places(system: System, generator: torch.Generator, count: int) -> Tensor:
    """Configurations (≤ count, N, D) at which V is finite, those of lowest V first; the system's own start, if it has one.

    Others are drawn on all scales about the origin and away from it. There may be none.
    """
    own = system.start(max(count, ORIGINS), generator)
    if own is not None:
        found = own.detach().to(torch.float64)
        return found[system.potential(found).isfinite()][:count]
    n, dim = system.particles, system.dimensions
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    for drawn in (DRAWN // 16, DRAWN, 16 * DRAWN):
        scale = 2.0 ** (OCTAVES * (torch.rand(drawn, 1, 1, **options) - 0.5))
        about = torch.randn(drawn, 1, dim, **options) * torch.randint(0, 2, (drawn, 1, 1), generator=generator)
        spread = 2.0 ** (-8 * torch.rand(drawn, 1, 1, **options))
        x = scale * (about + spread * torch.randn(drawn, n, dim, **options))
        energy = system.potential(x).detach()
        finite = energy.isfinite().nonzero()[:, 0]
        if len(finite) >= min(count, ORIGINS):
            break
    found = x[finite[energy[finite].argsort()[:count]]]
    return found


def find_walls(system: System, generator: torch.Generator, length: Callable[[], float] = lambda: 1.0) -> Walls | None:
    """The walls of a system of particles of mass 1, None if there are none; WallError for those of another shape.

    `length` gives about the natural length, for a search for walls that surround a region where the particle may not be.
    """
    x = allowed_places(system, generator, ORIGINS if system.particles == 1 else CROWDED)
    if not len(x):
        alone = (
            ""
            if system.particles == 1
            else ", unless V takes the distance of a particle from itself (fkflow.pair_squares(x) has each pair once)"
        )
        raise WallError(
            "V is not finite at any of the places that were tried: def start(self, walkers, generator) must give "
            f"configurations at which it is{alone}"
        )
    groups = groups_of(system)
    particles = [group[0] for group in groups]
    if (value := system.boundary(x)) is not None:
        if value.shape != x.shape[:-1]:
            raise WallError(
                f"boundary(x) of x {tuple(x.shape)} has the shape {tuple(value.shape)}: it must be {tuple(x.shape[:-1])}, one "
                "number for each place"
            )
        walls = Walls(((),) * system.particles, stated=True)
        if not all(fits(system, x, walls, particle, generator) for particle in particles):
            raise WallError("V is finite where boundary(x) is below 0, or infinite where it is above 0")
        for particle in particles:
            along = torch.randn(len(x), x.shape[2], generator=generator, dtype=x.dtype)
            hits = ray_hits(system, x, particle, along / along.norm(dim=1, keepdim=True))
            places = torch.stack([*x[:, particle], *(hit for hit in hits if hit is not None)])
            if has_edge(system.boundary, places, generator):
                raise WallError(
                    "the slope of boundary(x) jumps within the walls: it must be smooth there, as squares of distances and "
                    "products are, and distances, min and max are not"
                )
        return walls
    regions: list[tuple[Ball | HalfLine | Surfaces, ...]] | None = [()] * len(particles)
    if bool(_far(system, x).isposinf().any()):
        found = [find_region(system, x, particle, generator) for particle in particles]
        regions = None if None in found else [region for region in found if region is not None]
    simple = None if regions is None else _walls(system, regions)
    endless = simple is not None and not any(simple.regions)
    agrees = simple is not None and all(fits(system, x, simple, particle, generator) for particle in particles)
    if agrees and not endless:
        assert simple is not None
        _check_alone(system, x, simple)
        return simple
    beyond = [x[:0, particle] for particle in particles]
    if endless:
        try:
            scale = length()
        except NumericalError:
            scale = float(x[0].square().mean().sqrt())
        beyond = [_holes(system, x, particle, scale, generator) for particle in particles]
        if agrees and not any(map(len, beyond)):
            return None
    each = zip(particles, beyond, strict=True)
    return _walls(system, [_within_surfaces(system, x, particle, places, generator) for particle, places in each])


def _holes(system: System, x: Tensor, particle: int, length: float, generator: torch.Generator) -> Tensor:
    """Places (k, D) of a particle within hard walls that it may be around, however the others stand in x (M, N, D).

    V is infinite there and finite farther out. Places are drawn on all scales, and in that of the natural length about x[0].
    """
    dim = x.shape[2]
    octaves = torch.rand(DRAWN // 8, 1, generator=generator, dtype=x.dtype)
    places = torch.randn(DRAWN // 8, dim, generator=generator, dtype=x.dtype)
    spread = 2.0 ** (OCTAVES * (octaves - 0.5))
    spread[::2] = length * 2.0 ** (5 * octaves[::2] - 1)
    places = spread * places
    places[::2] += x[0, particle]
    places = places[~_finite(system, x, particle, places)]
    if not len(places):
        return places
    # between the place itself and the nearest of those farther out that is free
    steps = 2.0 ** torch.arange(1, OCTAVES, dtype=x.dtype)
    free = _energies(system, x, particle, (steps[:, None, None] * places).flatten(0, 1)).isfinite().view(len(steps), -1)
    places, free = places[free.any(0)], free[:, free.any(0)]
    low, high = torch.ones(len(places), dtype=x.dtype), steps[free.int().argmax(0)]
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        out = _finite(system, x, particle, middle[:, None] * places)
        low, high = torch.where(out, low, middle), torch.where(out, middle, high)
    # V beside the wall is no number that overflows
    return places[_energies(system, x, particle, (1 + INSIDE) * high[:, None] * places) < LARGEST]


def _energies(system: System, x: Tensor, particle: int, places: Tensor) -> Tensor:
    """V (n,) with the particle at places (n, D) and the others as in x[0]; +∞ where it is not a number."""
    moved = x[:1].repeat(len(places), 1, 1)
    moved[:, particle] = places
    return system.potential(moved).detach().nan_to_num(nan=math.inf, posinf=math.inf)


def _finite(system: System, x: Tensor, particle: int, places: Tensor) -> Tensor:
    """Whether V is not +∞ with the particle at places (n, D) and the others as in some of the configurations x (M, N, D)."""
    found = torch.zeros(len(places), dtype=torch.bool)
    for others in x:
        rest = (~found).nonzero()[:, 0]
        if not len(rest):
            break
        moved = others.repeat(len(rest), 1, 1)
        moved[:, particle] = places[rest]
        found[rest] = ~system.potential(moved).detach().isposinf()
    return found


def _check_alone(system: System, x: Tensor, walls: Walls) -> None:
    """WallError where V is finite with particles beyond `walls` that others make, found with those near configurations x."""
    if system.particles == 1 or system.identical or not any(walls.regions):
        return
    moved = torch.cat([2.0**k * x for k in range(OCTAVES)])
    moved = moved[system.potential(moved).detach().isfinite()]
    if not all(bool(walls.inside(i, moved[:, i]).all()) for i in range(system.particles)):
        raise WallError(
            "V is infinite by the places of several particles together, such as their order: only walls of each are treated"
        )


def _walls(system: System, regions: Sequence[tuple[Ball | HalfLine | Surfaces, ...]]) -> Walls:
    """The walls with these regions of the particles that differ."""
    return Walls(tuple(region for region, group in zip(regions, groups_of(system), strict=True) for _ in group))


def _within_surfaces(
    system: System, x: Tensor, particle: int, beyond: Tensor, generator: torch.Generator
) -> tuple[Surfaces, ...]:
    """The region of a particle on one side of each of some surfaces; WallError if V does not agree with it.

    `beyond` (k, D) are places outside of it, if any are known.
    """

    def finite(places: Tensor) -> Tensor:
        return _finite(system, x[:ORIGINS], particle, places)

    # on a line there is nothing but intervals
    found = find_surfaces(finite, x[:, particle], generator, beyond) if x.shape[2] > 1 else None
    if found is None:
        raise WallError(OTHER)
    surfaces, inside = found
    noise = torch.rand(WITHIN, x.shape[2], generator=generator, dtype=x.dtype)
    low, high = inside.aminmax(dim=0)
    places = low + (high - low) * (1.6 * noise - 0.3)
    clear = (surfaces.distances(places).abs() > MARGIN).all(1)
    if not bool((surfaces.inside(places) == finite(places))[clear].all()):
        raise WallError(OTHER)
    return (surfaces,)


def _far(system: System, x: Tensor) -> Tensor:
    """V (2 N D) with one particle of the first configuration far away along ± an axis."""
    n, dim = x.shape[1:]
    shift = torch.eye(n * dim, dtype=x.dtype).view(-1, n, dim) * 2.0**OCTAVES
    return system.potential(torch.cat([x[:1] + shift, x[:1] - shift])).detach()
