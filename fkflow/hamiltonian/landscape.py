"""The search for the natural scale of a potential, by the way that suits it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.centres import Softened, find_centres
from fkflow.hamiltonian.cores import crowded_places, find_diameter, hardened
from fkflow.hamiltonian.free import direction_together, held, recentred, separated_energy
from fkflow.hamiltonian.landscape_kinds import (
    JUMPS,
    box_landscape,
    charged_landscape,
    cored_landscape,
    coulomb_landscape,
    mean_field_landscape,
)
from fkflow.hamiltonian.minima import (
    balance_length,
    descend,
)
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.registry import is_built_in
from fkflow.hamiltonian.repulsion import find_power
from fkflow.hamiltonian.smooth_landscape import is_settled, smooth_landscape, user_start
from fkflow.hamiltonian.species import is_mixture
from fkflow.hamiltonian.steps import has_jumps
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.trial_width import balanced_length
from fkflow.hamiltonian.wall_search import allowed_places, find_walls

#: sizes of the clouds from which a molecule is looked for, in doublings of the rough length, with so many descents and steps
#: each; how far from its cloud, in sizes of that, a descent may end; natural energies by which a molecule must lie lower
CLOUDS, DROPS, DROP, AWAY, BARELY = 22, 4, 200, 8.0, 0.5

#: what gives low places (M, N, D) and a generator
Places = Callable[[], tuple[Tensor, torch.Generator]]


def explore(system: System, seed: int = 0, starts: int = 32) -> Landscape:
    """Find minima and harmonic scale of a potential; for point charges, Gaussians of atomic width at the nuclei.

    Centres of −c/r that no nuclei state are softened first. Lengths are in the coordinates of `system.potential`. The system's
    own length and start, if given, replace the search about the origin. Raises NumericalError when no confining scale or no
    finite minimum is found, WallError for walls of another shape than those that are found.
    """
    if (charges := system.point_charges()) is not None:
        return charged_landscape(system, charges, seed)
    if (box := sides(system)) is not None:
        return box_landscape(system, box, seed)
    if system.free and system.particles > 1:
        return _explore_free(system, seed, starts)
    centres = find_centres(system, torch.Generator().manual_seed(seed))
    if centres is not None:
        return replace(_explore(Softened(own=system, centres=centres), seed, starts), centres=centres)
    return _explore(system, seed, starts)


def _explore_free(system: System, seed: int, starts: int) -> Landscape:
    """The landscape of a free system: about where all particles are together, or a molecule that lies lower."""
    found: Landscape | None = None
    rough = rough_length(system, seed)
    place = find_molecule(system, rough, seed) if user_start(system, 1, torch.Generator()) is None else None
    try:
        found = _without_hold(_explore(held(system, rough), seed, starts), system)
    except NumericalError:
        if place is None:
            raise
    if place is None:
        return found  # type: ignore[return-value]
    length = balance_length(system, place, torch.Generator().manual_seed(seed))
    if found is not None and bool(is_settled(system, found.minima[:1], found.length)):
        higher = system.potential(found.minima[:1]) - system.potential(place[None])
        if float(higher) < BARELY / length**2:
            return found
    return _without_hold(_explore(held(system, length, place), seed, starts), system)


def find_molecule(system: System, rough: float, seed: int) -> Tensor | None:
    """The lowest place (N, D) where descents from clouds of many sizes end, for a free system that has no V in the smallest.

    The sizes begin at the `rough` length. None for any other system, and where all descents end far from where they began.
    """
    n, dim = system.particles, system.dimensions
    if getattr(system, "length", None) is not None or bool(
        system.potential(torch.zeros(1, n, dim, dtype=torch.float64)).isfinite()
    ):
        return None
    generator = torch.Generator().manual_seed(seed)
    sizes = (rough * 2.0 ** torch.arange(0, CLOUDS, 2, dtype=torch.float64)).repeat_interleave(DROPS)[:, None, None]
    x = sizes * torch.randn(len(sizes), n, dim, generator=generator, dtype=torch.float64)
    x = descend(system, x, sizes, steps=DROP)
    near = x.flatten(1).norm(dim=1) < AWAY * sizes.flatten() * (n * dim) ** 0.5
    x = recentred(x, direction_together(system))[near]
    energies = system.potential(x).detach().nan_to_num(nan=math.inf)
    return x[energies.argmin()] if len(x) and bool(energies.isfinite().any()) else None


def _explore(system: System, seed: int, starts: int) -> Landscape:
    """As `explore`, of a potential whose centres are stated as nuclei or softened."""
    nuclei, walls = system.nuclei(), None
    if not is_built_in(type(system)) or is_mixture(system):
        places = _low_places(system, seed)
        length = functools.cache(lambda: _about_length(system, *places()))
        walls = find_walls(system, torch.Generator().manual_seed(seed), length)
        if nuclei is None:
            diameter = _diameter(system, places)
            hard = hardened(system) if diameter is None else system
            if hard is not None:
                return cored_landscape(hard, diameter, walls, seed, starts)
            if walls is not None or _jumps(system, places, length):
                return mean_field_landscape(system, walls, torch.Generator().manual_seed(seed))
    if nuclei is not None:
        return replace(coulomb_landscape(nuclei, system.particles), walls=walls)
    found = smooth_landscape(system, seed, starts)
    return found if is_built_in(type(system)) else replace(found, repulsion=find_power(system, found.length))


def _without_hold(landscape: Landscape, system: System) -> Landscape:
    """The landscape of a free system from that of the held one."""
    together = direction_together(system)
    return replace(
        landscape,
        centre=torch.zeros_like(landscape.centre),
        minima=recentred(landscape.minima, together),
        places=None if landscape.places is None else recentred(landscape.places, together),
        centre_of_mass=torch.zeros_like(landscape.centre_of_mass),
        free=separated_energy(system, landscape.minima[0], landscape.length),
        together=together,
    )


def rough_length(system: System, seed: int) -> float:
    """About the natural length of a free system, which has no landscape without a hold. Raises NumericalError as `explore`."""
    if (own := getattr(system, "length", None)) is not None:
        return float(own)
    generator = torch.Generator().manual_seed(seed)
    x = allowed_places(system, generator, JUMPS)
    if not len(x):
        raise NumericalError("the potential is finite at none of the places that were tried: start() must give some")
    try:
        length = balance_length(system, x[0], generator)
        x = descend(system, x, length)
        energies = system.potential(x).detach().nan_to_num(nan=math.inf)
        return balance_length(system, x[energies.argmin()], generator)
    except NumericalError:
        return crowded_places(system, x, generator)[1]


def _low_places(system: System, seed: int) -> Places:
    """What gives low places (M, N, D), drawn once, and each time a generator as it was after them."""

    @functools.cache
    def drawn() -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return allowed_places(system, generator, JUMPS), generator.get_state()

    def places() -> tuple[Tensor, torch.Generator]:
        x, state = drawn()
        return x, torch.Generator().set_state(state)

    return places


def _diameter(system: System, places: Places) -> float | None:
    """The diameter of hard cores in V, if there are any."""
    return None if system.particles == 1 else find_diameter(system, *places())


def _about_length(system: System, x: Tensor, generator: torch.Generator) -> float:
    """About the natural length, from the lowest of a few places x, steps and walls counting little."""
    return float(getattr(system, "length", None) or balanced_length(system, x[0], generator))


def _jumps(system: System, places: Places, length: Callable[[], float]) -> bool:
    """Whether V jumps, as at the edge of a well of finite depth."""
    if system.separable and system.particles > 1:
        return False
    x, generator = places()
    return has_jumps(system, x, length(), generator)
