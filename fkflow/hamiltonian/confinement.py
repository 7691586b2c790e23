"""Whether a potential has a ground state: bounded below, and rising far away in every direction."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from fkflow.errors import PotentialError
from fkflow.hamiltonian.centres import Softened
from fkflow.hamiltonian.close_pairs import check_close_pairs
from fkflow.hamiltonian.derivatives import hessians
from fkflow.hamiltonian.masses import to_solver_coordinates, to_unit_masses, to_user_coordinates
from fkflow.hamiltonian.minima import balance_length, descend, mode_widths
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.probe import Probe, scale_of
from fkflow.hamiltonian.system import System

#: directions and doublings of the natural length in which V is followed outwards
DIRECTIONS, DOUBLINGS = 64, 24
#: lines along which a barrier is looked for, and the least height of one, in natural energies, that holds a state
LINES, BARRIER = 512, 8.0
#: natural energies a coordinate by which V must lie below its lowest minimum to count as falling
BELOW = 1.0
#: places at which a Gaussian is tried, and errors by which its energy must lie below that far away
TRIALS, SURE = 1024, 4.0
#: a minimum whose natural length is this part of that about the origin is a singularity
POINT = 1e-3
#: widths of a mode, in natural lengths, from which on nothing confines it (the largest that `minima.mode_widths` tries)
UNCONFINED = 63.0


def check_confined(probe: Probe, x: Tensor) -> None:
    """V changes when all particles move together, in every direction of space; that of a free system in none."""
    # not only close together, where a steep repulsion would hide all else
    x = torch.cat([x, 8 * x, 64 * x])
    value, free = probe.value(x), probe.system.free
    if not (free or bool(value.isfinite().all())):
        return
    scale, dim = float(value[value.isfinite()].abs().median()), probe.system.dimensions
    loose = [
        all(probe.same(value, probe.value(x + shift * unit), scale) for shift in (0.7, 5.3))
        for unit in torch.eye(dim, dtype=torch.float64)
    ]
    if free:
        if not all(loose):
            raise probe.error(
                "V changes when all particles move together: free = True is for potentials of differences of places alone"
            )
        return
    if any(loose):
        alone = probe.system.particles == 1
        axis, what = loose.index(True), "the particle" if alone else "the particles together"
        mend = (
            "free = True leaves the centre of mass free and gives the energy of the internal motion"
            if all(loose) and not alone
            else "boundary(x) says where walls are, and V must be inf beyond them"
            if probe.system.boundary(x[:, 0]) is not None
            else "V must confine every direction, by a trap or a wider well for example"
        )
        raise probe.error(
            f"nothing was found that holds {what} along direction {axis + 1} of {dim}, so that there is no ground state: {mend}"
        )


def check_periodic(probe: Probe, x: Tensor, box: tuple[float, ...]) -> None:
    """V stays the same where one particle moves by a side of the box, along every axis."""
    value = probe.value(x)
    scale = scale_of(value)
    for axis, side in enumerate(box):
        if math.isinf(side):
            continue
        moved = x.clone()
        moved[:, 0, axis] += side
        if not probe.same(value, probe.value(moved), scale):
            raise probe.error(
                f"V changes where a particle moves by the side {side:g} of the box along direction {axis + 1}: it must depend "
                "on nearest images, as fkflow.pair_squares(x, box) does, or on functions of that period"
            )


def check_bounded(probe: Probe, landscape: Landscape) -> None:
    """V has a lowest place, and rises far enough from it in every direction to hold the ground state there."""
    system, length = to_unit_masses(probe.system), landscape.length
    if landscape.centres is not None:
        system = Softened(own=system, centres=landscape.centres)
    lowest = float(system.potential(landscape.minima[:1])[0])
    check_close_pairs(probe, landscape)
    try:
        far, place = lowest_far_away(probe, lowest, length)
    except PotentialError:
        barrier = _lowest_barrier(system, landscape, lowest, probe.generator)
        if barrier < BARRIER / length**2:
            raise
        probe.warnings.append(
            f"V falls below its minimum of {lowest:.6g} beyond a barrier of {barrier:.3g}: the energy is that of the state "
            "behind it, which lives long"
        )
        return
    basis = landscape.internal_basis()
    widths = torch.linalg.eigvalsh(basis.T @ landscape.widths[0] @ basis)
    if float(widths.max()) > UNCONFINED * length:
        probe.warnings.append(
            "V hardly rises in some direction from its minimum: if nothing holds the particles there, there is no ground "
            "state"
        )
    estimate = lowest + _zero_point_energy(widths, length)
    margin = 1e-3 * 0.5 / length**2
    if far >= estimate + margin:
        return
    closer = float(system.potential(0.5 * landscape.minima[:1])[0])
    if closer < lowest + 0.5 / length**2 and length < POINT * balance_length(
        system, torch.zeros_like(landscape.minima[0]), probe.generator
    ):
        raise probe.error(
            f"V falls to {lowest:.3g} at a point with nothing about it: a network has no cusp for a singularity but that "
            "of fixed charges, which nuclei() gives; soften it"
        )
    if _is_bound(system, landscape, far, probe.generator) or system.free:
        # what a run finds of a free system says whether it is bound (`results.status`)
        return
    # the particles that stay behind, or a valley that leads there, have a zero-point energy too
    far, widths_there = _energy_at(system, to_solver_coordinates(system, place), length)
    if float(widths_there.max()) < UNCONFINED * length and abs(far - estimate) < margin:
        particles = "the particle" if probe.system.particles == 1 else "the particles"
        raise probe.error(
            f"nothing holds {particles}: V has a minimum as low and as wide {float(place.norm()):.3g} away, and so on without "
            "end, so that there is no ground state; a trap or walls must hold it"
        )
    if far >= estimate + margin or _binds_always(probe, far):
        return
    probe.warnings.append(
        f"the energy is about {far:.6g} with particles far away, less than about {estimate:.6g} in the minimum of "
        f"{lowest:.6g}: nothing may be bound"
    )


def _lowest_barrier(system: System, landscape: Landscape, lowest: float, generator: torch.Generator) -> float:
    """How far V rises above its `lowest` minimum on straight lines from there to where it is lower; the least of many lines."""
    minimum, basis = landscape.minima[0], landscape.internal_basis()
    along = torch.randn(LINES, basis.shape[1], generator=generator, dtype=torch.float64)
    along = torch.cat(
        [along, torch.eye(basis.shape[1], dtype=torch.float64), -torch.eye(basis.shape[1], dtype=torch.float64)]
    )
    along = (along / along.norm(dim=1, keepdim=True) @ basis.T).view(-1, *minimum.shape)
    steps = landscape.length * 2.0 ** torch.arange(-3.0, DOUBLINGS, 0.125)
    highest = torch.full((len(along),), -math.inf, dtype=torch.float64)
    least = math.inf
    for step in steps:
        value = system.potential(minimum + step * along).nan_to_num(nan=math.inf)
        if bool((below := value < lowest - 0.5 * BELOW / landscape.length**2).any()):
            least = min(least, float(highest[below].min()) - lowest)
        highest = torch.maximum(highest, value)
    return least


def _zero_point_energy(widths: Tensor, length: float) -> float:
    """That of modes of these widths (d,): of harmonic ones ω/4 kinetic and as much potential energy each."""
    return float((0.25 / widths.clamp_max(UNCONFINED * length).square()).sum())


def _energy_at(system: System, place: Tensor, length: float) -> tuple[float, Tensor]:
    """The energy in the minimum near `place` (N, D), with the widths (d,) of ψ² there; nothing counts where V does not rise."""
    minimum = descend(system, place[None], length)
    energy = float(system.potential(minimum)[0])
    widths = mode_widths(system, minimum[0], hessians(system, minimum, length)[0], length)
    if not (math.isfinite(energy) and bool(widths.isfinite().all())):
        return float(system.potential(place[None])[0]), torch.full((place.numel(),), math.inf, dtype=place.dtype)
    values = torch.linalg.eigvalsh(widths)
    held = values[values < UNCONFINED * length]
    return energy + _zero_point_energy(held, length), values


def _is_bound(system: System, landscape: Landscape, far: float, generator: torch.Generator) -> bool:
    """Whether the energy of some Gaussian about the lowest minimum is surely below `far`: then so is the ground state."""
    minimum, basis = landscape.minima[0], landscape.internal_basis()
    widths = basis.T @ landscape.widths[0] @ basis
    z = torch.randn(TRIALS, len(widths), generator=generator, dtype=torch.float64) @ widths @ basis.T
    kinetic = float(torch.linalg.inv(widths @ widths.mT).trace()) / 8
    for scale in 2.0 ** torch.arange(-2.0, 11.0):
        energy = system.potential(minimum + float(scale) * z.view(-1, *minimum.shape)) + kinetic / float(scale) ** 2
        if float(energy.mean() + SURE * energy.std() / math.sqrt(TRIALS)) < far:
            return True
    return False


def _binds_always(probe: Probe, far: float) -> bool:
    """Whether V of one particle on a line or in a plane is nowhere above its value far away, and somewhere below: it binds.

    Simon, Annals of Physics 97, 279 (1976).
    """
    if probe.system.particles > 1 or probe.system.dimensions > 2:
        return False
    value = probe.value(torch.cat([scale * probe.walkers for scale in (0.5, 1.0, 2.0, 4.0, 16.0)]))
    return bool((value <= far + 1e-9 * scale_of(value)).all()) and bool((value < far).any())


def lowest_far_away(probe: Probe, lowest: float, length: float) -> tuple[float, Tensor]:
    """The least V far away, and the place (N, D) of it in the user's coordinates; `length` is in those of unit mass.

    PotentialError if V falls without end, or below its `lowest` minimum (nan: there is none).
    """
    n, dim = probe.system.particles, probe.system.dimensions
    along = probe.normal(DIRECTIONS)
    axes = torch.eye(n * dim, dtype=torch.float64)[:DIRECTIONS].view(-1, n, dim)
    along = torch.cat([along / along.flatten(1).norm(dim=1)[:, None, None], axes, -axes])
    least, places, system = [], [], to_unit_masses(probe.system)
    for doubling in range(2, DOUBLINGS):
        x = to_user_coordinates(system, length * 2.0**doubling * along)
        value = probe.value(x).nan_to_num(nan=math.inf, posinf=math.inf)
        least.append(float(value.min()))
        places.append(x[value.argmin()])
    last = least[-4:]
    falling = all(b < a for a, b in itertools.pairwise(last)) and last[0] - last[-1] > 1e-6 * abs(last[-1])
    if falling and last[-1] < 0:
        raise probe.error(
            f"V is not bounded below: it falls to {last[-1]:.3g} and on, {float(places[-1].norm()):.3g} away"
        )
    if min(last) < lowest - 0.5 * BELOW / length**2:
        raise probe.error(
            f"V is {min(last):.6g} far away, below its lowest minimum {lowest:.6g}: nothing holds the ground state"
        )
    which = last.index(min(last)) - len(last)
    return least[which], places[which]
