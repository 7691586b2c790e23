"""Landscapes of potentials that descents cannot follow: point charges, periodic boxes, hard cores, walls and jumps."""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.box import box_places, open_axes
from fkflow.hamiltonian.charged_scale import scale_of_charges
from fkflow.hamiltonian.charged_start import charged_places
from fkflow.hamiltonian.charges import PointCharges
from fkflow.hamiltonian.cores import PLACES, crowded_places, find_diameter
from fkflow.hamiltonian.free import direction_together, recentred
from fkflow.hamiltonian.masses import centre_weights, to_solver_coordinates
from fkflow.hamiltonian.mean_field import loose_share, mean_field
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.smooth_landscape import smooth_landscape
from fkflow.hamiltonian.species import mean_by_species
from fkflow.hamiltonian.system import Nuclei, System
from fkflow.hamiltonian.wall_search import allowed_places
from fkflow.hamiltonian.walls import Walls

#: configurations about which jumps of V are looked for
JUMPS = 16
#: share of walkers that would not overlap from which on hard cores do not matter for the scale, and within what factor the
#: natural length then is that of crowded places
DILUTE, SIMILAR = 0.9, 2.0


def charged_landscape(system: System, charges: PointCharges, seed: int) -> Landscape:
    """The landscape of point charges, whose scale follows from charges and masses, in coordinates of unit mass."""
    scale, together = scale_of_charges(charges), direction_together(system)
    x = charged_places(charges, torch.Generator().manual_seed(seed))
    x = recentred(to_solver_coordinates(system, x), together)
    n, dim = x.shape[1:]
    centre, deviation = torch.zeros(n, dim, dtype=torch.float64), x.flatten(1).std(0)
    widths, com = torch.diag(deviation), torch.zeros(dim, dim, dtype=torch.float64)
    return Landscape(
        scale.natural,
        centre,
        x[:1],
        widths[None],
        widths.square(),
        com,
        harmonic=False,
        free=scale.break_up.energy if system.free and scale.break_up else None,
        places=x,
        together=together,
    )


def coulomb_landscape(nuclei: Nuclei, electrons: int) -> Landscape:
    """Electrons on nuclei (different ones if there are two), Gaussians of width 1/Z; ℓ = √3/Z_max, the 1s rms radius."""
    positions = torch.tensor(nuclei.positions, dtype=torch.float64)
    charges = torch.tensor(nuclei.charges, dtype=torch.float64)
    sites = [
        list(choice)
        for choice in itertools.product(range(len(charges)), repeat=electrons)
        if len(set(choice)) == electrons or len(charges) == 1
    ]
    minima = positions[torch.tensor(sites)]
    widths = torch.stack([torch.diag((1 / charges[torch.tensor(site)]).repeat_interleave(3)) for site in sites])
    centre = positions.mean(0).expand(electrons, 3).clone()
    offsets = (minima - centre).flatten(1)
    covariance = (offsets.T @ offsets) / len(minima) + (widths @ widths.mT).mean(0)
    com = torch.zeros(3, 3, dtype=torch.float64)
    return Landscape(math.sqrt(3) / float(charges.max()), centre, minima, widths, covariance, com, harmonic=False)


def box_landscape(system: System, box: tuple[float, ...], seed: int) -> Landscape:
    """The landscape of a periodic box, in which no place is the centre but along open axes."""
    length, places = box_places(system, box, torch.Generator().manual_seed(seed))
    n, dim = places.shape[1:]
    one, centre = torch.eye(n * dim, dtype=torch.float64), torch.zeros(n, dim, dtype=torch.float64)
    along = [side**2 / 12 if math.isfinite(side) else float(places[..., a].var()) for a, side in enumerate(box)]
    even = torch.tensor(along, dtype=torch.float64).repeat(n)
    for axis in open_axes(box):
        centre[:, axis] = places[..., axis].mean()
    lowest = places[system.potential(places).detach().argmin()][None]
    com = torch.eye(dim, dtype=torch.float64) / length**2
    found = Landscape(length, centre, lowest, length * one[None], torch.diag(even), com, False, places=places, box=box)
    if n == 1:
        return found
    return replace(found, diameter=find_diameter(system, places[:JUMPS], torch.Generator().manual_seed(seed)))


def cored_landscape(system: System, diameter: float | None, walls: Walls | None, seed: int, starts: int) -> Landscape:
    """The landscape of particles with hard cores: without them where few walkers would overlap, else that of crowded places."""
    generator = torch.Generator().manual_seed(seed)
    x, length = crowded_places(system, allowed_places(system, generator, JUMPS), generator)
    with suppress(NumericalError, torch.linalg.LinAlgError):
        if walls is None:
            found = smooth_landscape(system, seed, starts)
        else:
            found = mean_field_landscape(system, walls, generator)
        places = found.start(PLACES, generator)
        places = places[system.potential(places).detach().isfinite()]
        if len(places) >= DILUTE * PLACES and 1 / SIMILAR < found.length / length < SIMILAR:
            return replace(found, diameter=diameter, places=places)
    centre = torch.zeros_like(x[0]) if system.isotropic else x.mean(0)
    centre = mean_by_species(system, centre)
    offsets = (x - centre).flatten(1)
    covariance = offsets.T @ offsets / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    widths = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    lowest = x[system.potential(x).argmin()][None]
    com = _trap(system, x[0]) if system.separable else torch.linalg.inv(covariance.view(*x.shape[1:] * 2)[0, :, 0])
    found = Landscape(length, centre, lowest, widths[None], covariance, com, harmonic=False)
    loose = None if walls is None else loose_share(x.std(0), walls)
    return replace(found, walls=walls, diameter=diameter, places=x, loose=loose)


def mean_field_landscape(system: System, walls: Walls | None, generator: torch.Generator) -> Landscape:
    """The landscape of a potential with walls or jumps, by a mean field."""
    found = mean_field(system, allowed_places(system, generator, JUMPS), walls, generator)
    n, dim = found.mean.shape
    centre, covariance = found.mean, torch.diag(found.deviation.flatten().square())
    if system.isotropic:
        centre = torch.zeros_like(centre)
    lowest = found.places[system.potential(found.places).detach().argmin()][None]
    com = _trap(system, found.places[0]) if system.separable else torch.diag(0.5 / found.deviation[0].square())
    widths = torch.diag(found.deviation.flatten())[None]
    return Landscape(
        found.length,
        centre,
        lowest,
        widths,
        covariance,
        com,
        False,
        walls=walls,
        places=found.places,
        loose=found.loose,
        lines=found.lines,
        steps=found.steps,
    )


def _trap(system: System, x: Tensor) -> Tensor:
    """√K (D, D) of the harmonic trap that the centre of mass of x (N, D) moves in, by differences: V is quadratic there."""
    n, dim = x.shape
    step = float(x.std()) * centre_weights(system) * torch.eye(dim, dtype=x.dtype)[:, None]
    corners = torch.stack([x + a * e + b * f for e in step for f in step for a in (1, -1) for b in (1, -1)])
    signs = x.new_tensor([1.0, -1.0, -1.0, 1.0])
    second = (system.potential(corners).detach().view(dim, dim, 4) * signs).sum(-1) / (4 * float(x.std()) ** 2)
    values, vectors = torch.linalg.eigh(second / n)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root
