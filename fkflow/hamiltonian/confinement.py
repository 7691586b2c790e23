"""Whether a potential has a ground state: bounded below, rising far away, and singular only where a network has a cusp."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from fkflow.hamiltonian.landscape import Landscape, balance_length
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.probe import Probe, scale_of
from fkflow.hamiltonian.system import Nuclei
from fkflow.hamiltonian.user_systems import particle_masses

#: directions and doublings of the natural length in which V is followed outwards, halvings in which two particles approach
DIRECTIONS, DOUBLINGS, HALVINGS = 64, 24, 30
#: natural energies a coordinate by which V must lie below its lowest minimum to count as falling
BELOW = 1.0
#: a minimum whose natural length is this part of that about the origin is a singularity
POINT = 1e-3
#: widths of a mode, in natural lengths, from which on nothing confines it (the largest that `landscape.mode_widths` tries)
UNCONFINED = 63.0


def check_confined(probe: Probe, x: Tensor) -> None:
    """V changes when all particles move together, in every direction of space."""
    value = probe.value(x)
    if not bool(value.isfinite().all()):
        return
    scale, dim = scale_of(value), probe.system.dimensions
    for axis, unit in enumerate(torch.eye(dim, dtype=torch.float64)):
        if all(probe.same(value, probe.value(x + shift * unit), scale) for shift in (0.7, 5.3)):
            what = "the particle" if probe.system.particles == 1 else "the particles together"
            raise probe.error(
                f"nothing holds {what} along direction {axis + 1} of {dim}, so that there is no ground "
                "state: V must confine every direction, by a trap for example"
            )


def check_bounded(probe: Probe, landscape: Landscape) -> None:
    """V has a lowest place, and rises far enough from it in every direction to hold the ground state there."""
    system, length = to_unit_masses(probe.system), landscape.length
    lowest = float(system.potential(landscape.minima[:1])[0])
    _check_close_pairs(probe, length)
    far = lowest_far_away(probe, lowest, length)
    widths = torch.linalg.eigvalsh(landscape.widths[0])
    if float(widths.max()) > UNCONFINED * length:
        probe.warnings.append(
            "V hardly rises in some direction from its minimum: if nothing holds the particles there, there is no ground "
            "state"
        )
    # harmonic: ω/4 kinetic and as much potential energy a mode
    estimate = lowest + float((0.25 / widths.clamp_max(UNCONFINED * length).square()).sum())
    if far >= estimate + 1e-3 * 0.5 / length**2:
        return
    if length < POINT * balance_length(system, torch.zeros_like(landscape.minima[0]), probe.generator):
        raise probe.error(
            f"V falls to {lowest:.3g} at a point with nothing about it: a network has no cusp for a singularity but that "
            "of fixed charges, which nuclei() gives; soften it"
        )
    probe.warnings.append(
        f"V is {far:.6g} far away, less than about {estimate:.6g} that the ground state would have in the minimum "
        f"of {lowest:.6g}: nothing may be bound"
    )


def lowest_far_away(probe: Probe, lowest: float, length: float) -> float:
    """The least V far away; PotentialError if V falls without end, or below its `lowest` minimum (nan: there is none)."""
    n, dim = probe.system.particles, probe.system.dimensions
    along = probe.normal(DIRECTIONS)
    axes = torch.eye(n * dim, dtype=torch.float64)[:DIRECTIONS].view(-1, n, dim)
    along = torch.cat([along / along.flatten(1).norm(dim=1)[:, None, None], axes, -axes])
    least = []
    for doubling in range(2, DOUBLINGS):
        value = probe.value(length * 2.0**doubling * along).detach()
        least.append(float(value.nan_to_num(nan=math.inf, posinf=math.inf).min()))
    last = least[-4:]
    falling = all(b < a for a, b in itertools.pairwise(last)) and last[0] - last[-1] > 1e-6 * abs(last[-1])
    if falling and last[-1] < 0:
        raise probe.error(
            f"V is not bounded below: it falls to {last[-1]:.3g} and on, {length * 2.0 ** (DOUBLINGS - 1):.3g} away"
        )
    if min(last) < lowest - 0.5 * BELOW / length**2:
        raise probe.error(
            f"V is {min(last):.6g} far away, below its lowest minimum {lowest:.6g}: nothing holds the ground state"
        )
    return min(last)


def _check_close_pairs(probe: Probe, length: float) -> None:
    """V does not fall without bound where two particles meet, and grows there as pair(r) says."""
    n = probe.system.particles
    # in the user's coordinates
    length = length / math.sqrt(particle_masses(probe.system)[0])
    distances = length * 0.5 ** torch.arange(4, HALVINGS, dtype=torch.float64)
    known = probe.system.pair(distances)
    # neighbours, and the two ends
    pairs = [(i, i + 1) for i in range(min(n - 1, 2))] + ([(0, n - 1)] if n > 2 else [])
    for i, j in pairs:
        x = probe.walkers[:1].clone()
        direction = probe.direction()
        near = []
        for distance in distances:
            x[0, j] = x[0, i] + distance * direction
            near.append(float(probe.value(x)[0].detach()))
        if known is not None:
            _check_pair_energy(probe, distances, near, known)
            return
        change = [b - a for a, b in itertools.pairwise(near[-6:])]
        if near[-1] == -math.inf or all(b < 1.3 * a < 0 for a, b in itertools.pairwise(change)):
            raise probe.error(
                f"V falls to {near[-1]:.3g} and on where two particles meet: a network has no cusp for an attraction of "
                "particles (nuclei() gives it that of fixed charges); soften it"
            )
        if near[-1] == math.inf or all(b > 1.3 * a > 0 for a, b in itertools.pairwise(change)):
            probe.warnings.append(
                "V grows without bound where two particles meet: the network has no cusp for it, which costs accuracy"
            )
            return


def _check_pair_energy(probe: Probe, distances: Tensor, near: list[float], known: Tensor) -> None:
    """V changes at short distances as pair(r), `known`, says."""
    change, expected = near[-1] - near[-6], float(known[-1] - known[-6])
    if abs(change - expected) > 1e-3 * max(abs(change), abs(expected)) + scale_of(probe.value(probe.walkers)):
        raise probe.error(
            f"V changes by {change:.3g} where two particles approach each other from {distances[-6]:.3g} to "
            f"{distances[-1]:.3g}, not by {expected:.3g} as pair(r) says"
        )


def check_nuclei(probe: Probe, nuclei: Nuclei) -> None:
    """V has the singularities of the charges of nuclei(), and of two electrons."""
    offset = 1e-7 * probe.direction()
    x = probe.walkers[:1].clone()
    for place, charge in zip(nuclei.positions, nuclei.charges, strict=True):
        x[0, 0] = x.new_tensor(place) + offset
        found = -float(probe.value(x)[0]) * 1e-7
        if abs(found - charge) > 1e-3 * min(nuclei.charges):
            where = ", ".join(f"{number:g}" for number in place)
            raise probe.error(
                f"V goes as {-found:.3g}/r at the nucleus ({where}), not as {-charge:g}/r as nuclei() says"
            )
    if probe.system.particles == 2:
        x = probe.walkers[:1].clone()
        x[0, 1] = x[0, 0] + offset
        found = float(probe.value(x)[0]) * 1e-7
        if abs(found - 1) > 1e-3:
            raise probe.error(f"V goes as {found:.3g}/r where the two electrons meet: with nuclei() it must be 1/r")
