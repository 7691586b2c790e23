"""The frozen drift for pictures: its field on a line or plane, and paths that follow it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import chunks
from fkflow.hamiltonian.masses import to_solver_coordinates, to_user_coordinates
from fkflow.hamiltonian.species import declared_species, groups_of
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.results.records import Axis, DriftField, Trajectories
from fkflow.sampling.metropolis import limited_drift
from fkflow.sampling.paths import integrate

#: points per axis of drift fields in one dimension and in two
LINE_POINTS, FIELD_POINTS = 200, 60
#: the search for the most likely place: rounds of so many trials each; a round without success makes the steps shorter. It
#: ends when they are FINE times as long as at first, which is checked every LOOK rounds: each check waits for the device
ROUNDS, TRIALS, FINE, LOOK = 120, 64, 1e-3, 10
#: part of a typical distance from the origin beyond which the most likely places are apart
APART = 0.01
#: trajectories show so many particles at least, over so many natural times of so many steps each
SHOWN_PARTICLES, LASTING, STEPS_IN_TIME = 8, 1.5, 64


def drift_fields(net: LogPsi | PairDrift, system: System, x: Tensor, generator: torch.Generator) -> list[DriftField]:
    """Drift of particle 0 on a line (1D) or plane, the others at their most likely places near the walkers x (B, N, D).

    Where there are several species there is one for the first particle of each, with its name.
    The plane is xy for traps and xz (y = 0) where there are nuclei. In an isotropic trap in space it goes through the origin,
    particle 0 and its nearest neighbour. The walkers are the solver's; places and drift are those of the user's coordinates.
    """
    place = to_user_coordinates(system, find_most_likely(net, system, x, generator))
    x = to_user_coordinates(system, x)
    species = declared_species(system) or ()
    if len(species) < 2:
        return [_drift_field(net, system, x, place, 0, "")]
    firsts = [group[0] for group in groups_of(system)]
    return [_drift_field(net, system, x, place, i, one.name) for i, one in zip(firsts, species, strict=True)]


def _drift_field(
    net: LogPsi | PairDrift, system: System, x: Tensor, place: Tensor, particle: int, name: str
) -> DriftField:
    """The drift of one particle, of the species `name` if there are several; x and `place` are in the user's coordinates."""
    nuclei, dim = system.nuclei(), system.dimensions
    # particles that all sit at the origin have no plane
    apart = system.particles > 1 and bool(place.norm(dim=1).max() > APART * x.std())
    if nuclei is None and system.isotropic and dim > 2 and apart:
        place = rotate_into_plane(place, particle)
    # for nuclei z comes first: the axis of the molecule lies flat in a figure
    plane = [0] if dim == 1 else [2, 0] if nuclei is not None else [0, 1]
    axes = [_axis(system, x, a, name) for a in plane]
    grid = torch.cartesian_prod(*(torch.as_tensor(axis.centres, device=x.device) for axis in axes)).view(-1, len(plane))
    moved = place.repeat(len(grid), 1, 1)
    if nuclei is not None:
        moved[:, particle, 1] = 0.0
    moved[:, particle, plane] = grid.to(moved)
    moved = to_solver_coordinates(system, moved)
    if isinstance(net, LogPsi):
        value, v = chunks.value_and_drift(net, moved)
    else:
        v = torch.cat([net.drift(part) for part in moved.split(chunks.chunk_size(net))])
        value = v.new_full((len(moved),), math.nan)
    shape = tuple(len(axis.centres) for axis in axes)
    vectors = to_user_coordinates(system, v)[:, particle, plane].cpu().numpy().reshape(*shape, len(plane))
    full_name = "".join(axis.name for axis in axes) + (f"_{name}" if name else "")
    values = value.cpu().numpy().reshape(shape)
    return DriftField(full_name, tuple(axes), vectors, values, particle, place.cpu().numpy())


def _axis(system: System, x: Tensor, column: int, species: str) -> Axis:
    """The axis of one Cartesian component, which holds nearly all particles of the walkers x (B, N, D)."""
    name = "xyz"[column] if system.dimensions <= 3 else f"x{column + 1}"
    low, high = np.quantile(x[..., column].cpu().numpy(), [0.002, 0.998])
    pad = 0.1 * (high - low)
    points = LINE_POINTS if system.dimensions == 1 else FIELD_POINTS
    edges = np.linspace(low - pad, high + pad, points + 1)
    return Axis(name, system.length_unit, f"coordinate {name} of the moved {species or 'particle'}", edges)


def rotate_into_plane(place: Tensor, particle: int = 0) -> Tensor:
    """A configuration (N, D) rotated about the origin: a particle on the axis x, its nearest neighbour in the plane xy."""
    distances = (place - place[particle]).norm(dim=1)
    distances[particle] = math.inf
    frame, corner = torch.linalg.qr(place[[particle, int(distances.argmin())]].mT, mode="complete")
    signs = torch.ones(place.shape[1], dtype=place.dtype, device=place.device)
    signs[:2] = torch.where(corner.diagonal() < 0, -1.0, 1.0)
    return torch.matmul(place, frame * signs)


def find_most_likely(net: LogPsi | PairDrift, system: System, x: Tensor, generator: torch.Generator) -> Tensor:
    """The configuration (N, D) at which log ψ is largest, near the best of the walkers x (B, N, D).

    A random search moves one particle at a time. It needs no gradient, so that it finds cusps too. A vector drift has no
    log ψ: its best place is the one of lowest potential.
    """
    height = net.value if isinstance(net, LogPsi) else lambda y: -system.potential(y)
    n, dim = x.shape[1:]
    with torch.no_grad():
        values = torch.cat([height(part) for part in x.split(chunks.chunk_size(net))])
        place, value = x[values.argmax()], values.max()
        step = x.std(0).mean()
        fine = FINE * step
        for turn in range(ROUNDS):
            if turn % LOOK == 0 and bool(step < fine):
                break
            trials = place.repeat(TRIALS, 1, 1)
            which = torch.randint(n, (TRIALS,), generator=generator, device=x.device)
            moves = torch.randn(TRIALS, dim, generator=generator, device=x.device, dtype=x.dtype)
            trials[torch.arange(TRIALS, device=x.device), which] += step * moves
            found = height(trials)
            uphill = found.max() > value
            place, value = torch.where(uphill, trials[found.argmax()], place), torch.maximum(value, found.max())
            step = torch.where(uphill, step, 0.7 * step)
    return net.recentre(place) if isinstance(net, LogPsi) else place


def sample_trajectories(
    net: LogPsi | PairDrift, system: System, x: Tensor, natural_time: float, generator: torch.Generator
) -> Trajectories:
    """Euler–Maruyama paths of the first of the walkers x (B, N, D) under the frozen drift, a few natural times long.

    The walkers are the solver's; the paths are those of the user's coordinates.
    """
    start = x[: -(-SHOWN_PARTICLES // x.shape[1])]
    steps, dt = round(LASTING * STEPS_IN_TIME), natural_time / STEPS_IN_TIME
    noise = torch.randn(steps, *start.shape, generator=generator, device=x.device, dtype=x.dtype)
    if isinstance(net, LogPsi) and net.edges:
        places = _paths_within_walls(net, start, dt, noise)
    else:
        places = torch.stack([place for place, _, _ in integrate(net.drift, start, dt, noise)], 1)
    # a path through the side of a box is shown in one piece
    if isinstance(net, LogPsi) and net.box is None:
        places = net.recentre(places)
    return Trajectories(dt * np.arange(places.shape[1]), to_user_coordinates(system, places).cpu().numpy())


def _paths_within_walls(net: LogPsi, x: Tensor, dt: float, noise: Tensor) -> Tensor:
    """Places (B, K + 1, N, D) of paths whose steps stay where they are if they would end beyond a wall."""
    places = [x]
    for xi in noise:
        proposal = x + dt * limited_drift(net.drift(x), dt) + dt**0.5 * xi
        x = torch.where(net.value(proposal).isfinite()[:, None, None], proposal, x)
        places.append(x)
    return torch.stack(places, 1)
