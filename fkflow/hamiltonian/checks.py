"""Checks of a potential before training: whether its values, its gradient and its symmetries are what the solver needs.

They take evaluations of V and its gradient, and the search for minima that every run begins with. The built-in systems need no
check; systems of users and plug-ins get it in every run. `confinement` checks whether V has a ground state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.errors import NumericalError, PotentialError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.confinement import check_bounded, check_confined, check_nuclei, lowest_far_away
from fkflow.hamiltonian.landscape import Landscape, explore, user_start
from fkflow.hamiltonian.masses import to_unit_masses, to_user_coordinates
from fkflow.hamiltonian.probe import Probe, same, scale_of
from fkflow.hamiltonian.system import System

#: how far a gradient may be from the differences of V, relative to its length
GRADIENT = 1e-4
#: configurations at which symmetries are tried, and walkers that must start where V is finite
TRIED, STARTED = 16, 256


@dataclass(frozen=True)
class CheckedSystem:
    """A system that passed: its landscape in coordinates of unit mass, and warnings, a sentence each."""

    landscape: Landscape
    warnings: tuple[str, ...]


def check(system: System, seed: int = 0) -> CheckedSystem:
    """Check a system (in the user's coordinates) on the CPU, in float64. Raises PotentialError with one sentence."""
    probe = Probe(system, seed)
    if fault := user_systems.find_fault(system):
        raise probe.error(fault)
    # V must be finite where walkers start, not elsewhere
    x = _check_start(probe)
    near = probe.normal(TRIED) * (getattr(system, "length", None) or 1.0) if x is None else x[:TRIED]
    _check_call(probe, near[:7])
    _check_pair(probe)
    check_confined(probe, near)
    landscape = _explore(probe)
    if x is None:
        x = to_user_coordinates(to_unit_masses(system), landscape.start(STARTED, probe.generator))
    probe.walkers = x
    _check_finite(probe)
    _check_gradient(probe)
    _check_symmetries(probe)
    if (nuclei := system.nuclei()) is None:
        check_bounded(probe, landscape)
    else:
        check_nuclei(probe, nuclei)
    return CheckedSystem(landscape, tuple(probe.warnings))


def check_device(system: System, device: str) -> None:
    """Evaluate V once on the device of a run; PotentialError if V keeps tensors elsewhere."""
    try:
        system.potential(torch.ones(2, system.particles, system.dimensions, dtype=torch.float64, device=device))
    except Exception as error:
        text = user_systems.describe_error(error, user_systems.source_file(type(system)))
        raise PotentialError(
            f"{user_systems.display_name(system)}: its potential cannot be computed on the device {device}, it raises {text}; "
            "tensors that it makes must be on the device of x, as x.new_tensor(...) is"
        ) from None


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
    return x


def _check_call(probe: Probe, x: Tensor) -> None:
    """V has a gradient, leaves x as it is, and depends on each configuration alone."""
    given, leaf = x.clone(), x.clone().requires_grad_(True)
    with torch.no_grad():
        value = probe.value(given)
    if not torch.equal(given, x):
        raise probe.error("potential(x) changes x: it must leave its argument as it is")
    with torch.enable_grad():
        differentiable = probe.value(leaf)
    if not differentiable.requires_grad:
        raise probe.error(
            "potential(x) has no gradient: it must be computed from x by torch functions, without detach, numpy or item"
        )
    try:
        (gradient,) = torch.autograd.grad(differentiable.sum(), leaf, create_graph=True)
    except RuntimeError as error:
        raise probe.error(f"potential(x) cannot be differentiated: {str(error).splitlines()[0]}") from None
    if bool((value.isfinite() & ~gradient.detach().isfinite().flatten(1).all(1)).any()):
        raise probe.error(
            "the gradient of potential(x) is not finite where V is: a norm at 0, or both sides of torch.where?"
        )
    if not same(value, probe.value(x.clone()), scale_of(value)):
        raise probe.error("potential(x) gives other values for the same x: it must not be random nor remember")
    _check_batches(probe, value, torch.cat([probe.value(part.clone()) for part in (x[:1], x[1:3], x[3:])]))


def _check_batches(probe: Probe, together: Tensor, apart: Tensor) -> None:
    """The same configurations have the same energies in other batches."""
    if not same(together, apart, scale_of(together)):
        raise probe.error(
            "potential(x) of one configuration depends on the others in its batch: sum over particles and components "
            "only, not over the first dimension"
        )


def _check_pair(probe: Probe) -> None:
    """pair(r) gives energies of the distances r, for particles of one mass."""
    r = torch.ones(2, 3, dtype=torch.float64)
    energy = probe.call(f"pair(r) of r {tuple(r.shape)}", lambda: probe.system.pair(r))
    if energy is None:
        return
    if not isinstance(energy, Tensor) or energy.shape != r.shape:
        raise probe.error("pair(r) must give a torch tensor of the shape of r, the energies of two particles")
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
        lowest_far_away(probe, math.nan, 1.0)
        hint = " (length = ... says how far the ground state reaches)" if "confines" in str(error) else ""
        raise probe.error(f"{error}{hint}") from None


def _check_finite(probe: Probe) -> None:
    """V is finite where walkers start."""
    value = probe.value(probe.walkers)
    if bad := int((~value.isfinite()).sum()):
        raise probe.error(
            f"V is not finite at {bad} of {len(value)} places where walkers start; "
            "def start(self, walkers, generator) can give better ones"
        )
    _check_batches(probe, value[:TRIED], probe.value(probe.walkers[:TRIED]))


def _check_gradient(probe: Probe) -> None:
    """The gradient is that of the values, by central differences along random directions."""
    x = probe.walkers[:TRIED].clone().requires_grad_(True)
    width = float(probe.walkers.std(0).mean()) or 1.0
    along = probe.normal(TRIED)
    along = along / along.flatten(1).norm(dim=1)[:, None, None]
    with torch.enable_grad():
        value = probe.value(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    value = value.detach()
    expected, length = (gradient * along).sum((1, 2)), gradient.flatten(1).norm(dim=1)
    # the larger step shows a part that is cut off, the smaller one numbers of few digits
    for step, allowed, why in (
        (1e-4 * width, GRADIENT, "part of it is cut off (detach, numpy, item)"),
        (1e-9 * width, 0.05, "V is not computed in float64 throughout"),
    ):
        ends = [probe.value(x.detach() + sign * step * along) for sign in (-1, 1)]
        difference = (ends[1] - ends[0]).detach() / (2 * step)
        rounding = 1e-14 * value.abs() / step
        off = (difference - expected).abs() > allowed * (length + scale_of(value - value.mean()) / width) + rounding
        # at a kink a few differ
        if int(off.sum()) > TRIED // 2:
            raise probe.error(f"the gradient of potential(x) does not belong to its values: {why}")


def _check_symmetries(probe: Probe) -> None:
    """V has the symmetries that the class claims: exchange, rotations, a separate centre of mass."""
    system, x = probe.system, probe.walkers[:TRIED]
    n, dim = system.particles, system.dimensions
    value = probe.value(x)
    scale = scale_of(value)
    if system.identical and n > 1:
        order = torch.randperm(n, generator=probe.generator)
        for exchanged in ([1, 0, *range(2, n)], order.tolist()):
            if not same(value, probe.value(x[:, exchanged]), scale):
                raise probe.error(
                    "V changes when two particles change places, which identical ones may: write identical = False, or "
                    "make it symmetric"
                )
    if system.isotropic:
        rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=probe.generator, dtype=torch.float64))
        if not same(value, probe.value(x @ rotation), scale):
            raise probe.error("V changes when all particles are rotated about the origin: isotropic = True is not so")
    if system.separable and n > 1:
        _check_separable(probe, x)


def _check_separable(probe: Probe, x: Tensor) -> None:
    """V(x + s) − V(x) is a quadratic function of s and of the centre of mass, and of nothing else."""
    shift = probe.normal(1)[:, :1] * x.std()
    other = x.roll(1, 0) - x.roll(1, 0).mean(1, keepdim=True) + x.mean(1, keepdim=True)
    first, second = (probe.value(y + shift) - probe.value(y) for y in (x, other))
    curved = [probe.value(y + 2 * shift) - 2 * probe.value(y + shift) + probe.value(y) for y in (x, other)]
    scale = scale_of(torch.cat([probe.value(x), probe.value(x + 2 * shift), probe.value(other)]))
    if not (same(first, second, scale) and same(curved[0], curved[1].mean().expand(len(x)), scale)):
        raise probe.error(
            "the centre of mass does not move apart from the rest in a harmonic trap: separable = True is not so"
        )
