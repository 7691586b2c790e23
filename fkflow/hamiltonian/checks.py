"""Checks of a potential before training: whether its values, its gradient and its symmetries are what the solver needs.

They take evaluations of V and its gradient, and the search for minima that every run begins with. The built-in systems need no
check; systems of users and plug-ins get it in every run. `gradient_checks`, `symmetry_checks`, `confinement` (whether V has a
ground state) and `close_pairs` have a question each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fkflow.errors import NumericalError, PotentialError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.box import lattice, sides, spacing
from fkflow.hamiltonian.close_pairs import check_close_pairs, check_falls, check_nuclei
from fkflow.hamiltonian.confinement import check_bounded, check_confined, check_periodic, lowest_far_away
from fkflow.hamiltonian.conversion import converted_part, share_outside
from fkflow.hamiltonian.gradient_checks import find_no_gradient, has_wrong_gradient, note_no_gradient, note_single
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses, to_user_coordinates, warn_of_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.observables import check_observables
from fkflow.hamiltonian.probe import TRIED, Probe, scale_of
from fkflow.hamiltonian.smooth_landscape import user_start
from fkflow.hamiltonian.species import declared_species, pair_names, pair_of_species, pair_takes_names
from fkflow.hamiltonian.symmetry_checks import check_symmetries
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.walls import Walls, describe_region
from fkflow.hamiltonian.wrapped import DOUBLE, rounding_of

#: walkers that must start where V is finite
STARTED = 256
#: largest share of the values of a table that may lie beyond its ends where walkers start
MOST_OUTSIDE = 0.3
#: distances from a lattice in a box at which V is first computed, in spacings
NEAR = 0.05


@dataclass(frozen=True)
class CheckedSystem:
    """A system that passed: its landscape in coordinates of unit mass, warnings and notes, a sentence each.

    `system` is the one that was given, in the user's coordinates, as the solver calls it (`conversion.convert`).
    """

    system: System
    landscape: Landscape
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check(system: System, seed: int = 0) -> CheckedSystem:
    """Check a system (in the user's coordinates) on the CPU, in float64. Raises PotentialError with one sentence."""
    probe = Probe(system, seed)
    if fault := user_systems.find_fault(system):
        raise probe.error(fault)
    # V must be finite where walkers start, not elsewhere
    x = _check_start(probe)
    box = sides(probe.system)
    if x is None and box is not None:
        # anywhere else cores may overlap
        near = lattice(system.particles, box) + NEAR * spacing(system, box) * probe.normal(TRIED)
    else:
        near = probe.normal(TRIED) * (getattr(system, "length", None) or 1.0) if x is None else x[:TRIED]
    _check_call(probe, near[:7])
    _check_pair(probe)
    if box is None:
        check_confined(probe, near)
    else:
        check_periodic(probe, near, box)
    landscape = _start_walkers(probe, x)
    if has_wrong_gradient(probe, landscape):
        # the minima were found with it
        landscape = _start_walkers(probe, x)
    check_symmetries(probe)
    if system.point_charges() is not None:
        # charges and masses say whether it binds (`charged_scale`); V falls to −∞ where opposite charges meet
        pass
    elif box is not None:
        check_close_pairs(probe, landscape)
    elif (nuclei := system.nuclei()) is None:
        check_bounded(probe, landscape)
    else:
        check_nuclei(probe, nuclei)
    check_observables(probe)
    if landscape.walls is not None:
        probe.notes.append(
            f"V is infinite beyond hard walls, where ψ vanishes: {_describe_walls(system, landscape.walls)}"
        )
    if warning := warn_of_masses(system):
        probe.warnings.append(warning)
    return CheckedSystem(probe.system, landscape, tuple(probe.warnings), tuple(probe.notes))


def _describe_walls(system: System, walls: Walls) -> str:
    """Where particles may be, in the user's coordinates."""
    if walls.stated:
        return "boundary(x) > 0"
    masses = user_systems.particle_masses(system)
    regions = [describe_region(region, mass**-0.5) for region, mass in zip(walls.regions, masses, strict=True)]
    if len(set(regions)) == 1:
        return regions[0]
    return "; ".join(f"particle {i + 1}: {region}" for i, region in enumerate(regions) if region)


def _start_walkers(probe: Probe, x: Tensor | None) -> Landscape:
    """Find the landscape, and the places from which walkers start unless they are given as x (B, N, D)."""
    landscape = _explore(probe)
    if x is None:
        x = to_user_coordinates(to_unit_masses(probe.system), landscape.start(STARTED, probe.generator))
    probe.walkers = x
    _check_finite(probe)
    if (share := share_outside(probe.system, probe.walkers)) > MOST_OUTSIDE:
        raise probe.error(
            f"{100 * share:.0f} % of what is asked of its tables where walkers start lies beyond their ends: a longer table is "
            'needed, or outside="linear", or a number, if V goes on like that'
        )
    return landscape


def check_device(system: System, device: str) -> str | None:
    """Evaluate V once on the device of a run. Where that fails V is computed on the CPU, and a sentence says so.

    PotentialError if that fails too. Built-in systems are not asked.
    """
    x = torch.ones(2, system.particles, system.dimensions, dtype=torch.float64, device=device)
    if (converted := converted_part(system)) is None:
        return None
    own = converted.own
    try:
        own.potential(x)
        own.observables(x)
        return None
    except Exception as error:
        text = user_systems.describe_error(error, user_systems.source_file(type(own)))
        where = f"{user_systems.display_name(own)}: its potential cannot be computed on the device {device}, it raises {text}"
        mend = "tensors that it makes must be on the device of x, as x.new_tensor(...) is"
    try:
        own.potential(x.cpu())
    except Exception:
        raise PotentialError(f"{where}; {mend}") from None
    converted.note(on_cpu=True)
    return f"{where}: it is computed on the CPU, which takes longer; {mend}"


def _check_start(probe: Probe) -> Tensor | None:
    """Walkers from the system's own start, if it gives one."""
    x: Tensor | None = probe.call(
        "start(walkers, generator)", lambda: user_start(probe.system, STARTED, probe.generator)
    )
    wanted = STARTED, probe.system.particles, probe.system.dimensions
    if x is not None and tuple(x.shape) != wanted:
        raise probe.error(f"start({STARTED}, generator) has the shape {tuple(x.shape)}: it must be {wanted}")
    if x is not None and not bool(x.isfinite().all()):
        raise probe.error("start(walkers, generator) gives positions that are not finite")
    _check_sites(probe)
    return x


def _check_sites(probe: Probe) -> None:
    """The sites of a crystal are one for each particle, apart from each other, in a box."""
    sites = probe.call("crystal_sites()", probe.system.crystal_sites)
    if sites is None:
        return
    if sides(probe.system) is None:
        raise probe.error("crystal_sites() is for a periodic box: the class must say box, or leave it out")
    sites, wanted = torch.as_tensor(sites), (probe.system.particles, probe.system.dimensions)
    if tuple(sites.shape) != wanted or not bool(sites.isfinite().all()):
        raise probe.error(f"crystal_sites() must give finite places of the shape {wanted}")


def _check_call(probe: Probe, x: Tensor) -> None:
    """V leaves x as it is, is the same every time, and depends on each configuration alone; note if it has no gradient."""
    given = x.clone()
    value = probe.value(given)
    if not torch.equal(given, x):
        raise probe.error("potential(x) changes x: it must leave its argument as it is")
    if not probe.same(value, probe.value(x.clone()), scale_of(value)):
        raise probe.error("potential(x) gives other values for the same x: it must not be random nor remember")
    if rounding_of(probe.system) > DOUBLE:
        note_single(probe, "potential(x) gives float32")
    _check_batches(probe, value, torch.cat([probe.value(part.clone()) for part in (x[:1], x[1:3], x[3:])]))
    if why := find_no_gradient(probe, x, value):
        note_no_gradient(probe, why)


def _check_batches(probe: Probe, together: Tensor, apart: Tensor) -> None:
    """The same configurations have the same energies in other batches."""
    if not probe.same(together, apart, scale_of(together)):
        raise probe.error(
            "potential(x) of one configuration depends on the others in its batch: sum over particles and components "
            "only, not over the first dimension"
        )


def _check_pair(probe: Probe) -> None:
    """pair(r) gives energies of the distances r, for particles of one mass; that of species, for each two of them."""
    r = torch.ones(2, 3, dtype=torch.float64)
    system, found = probe.system, []
    declared = declared_species(system) is not None
    names = list(dict.fromkeys(pair_names(system))) if declared else [("", "")]
    for first, second in names if system.particles > 1 else []:
        what = f"pair({first!r}, {second!r}, r)" if pair_takes_names(system) else "pair(r)"
        both = [
            probe.call(f"{what} of r {tuple(r.shape)}", partial(pair_of_species, system, *order, r))
            for order in ((first, second), (second, first))
        ]
        found += both
        if any(one is not None and (not isinstance(one, Tensor) or one.shape != r.shape) for one in both):
            raise probe.error(f"{what} must give a torch tensor of the shape of r, the energies of two particles")
        if (both[0] is None) != (both[1] is None) or (both[0] is not None and not torch.equal(*both)):
            raise probe.error(f"{what} is not pair({second!r}, {first!r}, r): the order of the species must not matter")
    if declared or all(one is None for one in found):
        return
    if probe.system.nuclei() is not None or len(set(user_systems.particle_masses(probe.system))) > 1:
        raise probe.error(
            "pair(r) is for particles of one mass without nuclei(), whose electrons have their cusp already"
        )


def _explore(probe: Probe) -> Landscape:
    try:
        return explore(to_unit_masses(probe.system))
    except torch.linalg.LinAlgError:
        lowest_far_away(probe, math.nan, 1.0)
        raise probe.error("V has no finite curvature at its minima: a norm at 0, or a root?") from None
    except NumericalError as error:
        if sides(probe.system) is None:
            lowest_far_away(probe, math.nan, 1.0)
            check_falls(probe)
        hint = " (length = ... says how far the ground state reaches)" if "confines" in str(error) else ""
        raise probe.error(f"{error}{hint}") from None


def _check_finite(probe: Probe) -> None:
    """V is finite where walkers start."""
    value = probe.value(probe.walkers)
    if bad := int((~value.isfinite()).sum()):
        mend = (
            "where the particles cannot be V must be inf, as by torch.where(inside, V, torch.inf)"
            if bool(value.isnan().any())
            else "def start(self, walkers, generator) can give better ones"
        )
        raise probe.error(f"V is not finite at {bad} of {len(value)} places where walkers start; {mend}")
    _check_batches(probe, value[:TRIED], probe.value(probe.walkers[:TRIED]))
