"""Whether the potential of a system is one that the solver can use: what is wrong is found before training, and told in words.

Only evaluations of V and its gradient are needed, and the search for minima that every run begins with. The systems of fkflow
itself need no check; those of users and plug-ins get it in every run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.errors import NumericalError, PotentialError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.landscape import Landscape, balance_length, explore, user_start
from fkflow.hamiltonian.masses import to_unit_masses, to_user_coordinates
from fkflow.hamiltonian.system import Nuclei, System

#: relative difference that rounding explains, and how far a gradient may be from the differences of V
ROUNDING, SLOPE = 1e-9, 1e-4
#: walkers at which symmetries are tried, and that must start where V is finite
TRIED, STARTED = 16, 256
#: directions and doublings of the natural length in which V is followed outwards, halvings in which two particles meet
DIRECTIONS, DOUBLINGS, HALVINGS = 64, 24, 30
#: natural energies a coordinate that V must fall below its lowest minimum to count as falling
BELOW = 1.0
#: natural length at the lowest minimum, in those elsewhere, below which that is a singularity
POINT = 1e-3
#: widths of a mode, in natural lengths, from which on nothing holds it (the largest that `landscape.mode_widths` tries)
UNHELD = 63.0


@dataclass(frozen=True)
class CheckedSystem:
    """A system that passed: the landscape of what the solver sees of it, and what may yet turn out badly, a sentence each."""

    landscape: Landscape
    warnings: tuple[str, ...]


def display_name(system: System) -> str:
    """How messages call a system: the class and, of a user's own, its file."""
    kind = type(system)
    if kind.__module__.startswith(user_systems.PREFIX):
        return f"{kind.__name__} in {(user_systems.source_file(kind) or '').replace(chr(92), '/').rpartition('/')[2]}"
    return f"the system {system.key}"


def check(system: System, seed: int = 0) -> CheckedSystem:
    """Check a system (in the user's coordinates) on the CPU, in float64. Raises PotentialError with one sentence."""
    return _Check(system, seed).run()


def check_device(system: System, device: str) -> None:
    """One evaluation on the device of a run; PotentialError if V keeps tensors elsewhere."""
    try:
        system.potential(torch.ones(2, system.particles, system.dimensions, dtype=torch.float64, device=device))
    except Exception as error:
        told = user_systems.describe_error(error, user_systems.source_file(type(system)))
        raise PotentialError(
            f"{display_name(system)}: its potential cannot be computed on the device {device}, it raises {told}; tensors "
            "that it makes must be on the device of x, as x.new_tensor(...) is"
        ) from None


class _Check:
    def __init__(self, system: System, seed: int) -> None:
        self.system, self.name = system, display_name(system)
        self.generator = torch.Generator().manual_seed(seed)
        self.warnings: list[str] = []

    def run(self) -> CheckedSystem:
        if wrong := user_systems.find_fault(self.system):
            raise self.wrong(wrong)
        system = self.system
        #: V must be finite where walkers start, not elsewhere
        x = self.own_start()
        near = self.normal(TRIED) * (getattr(system, "length", None) or 1.0) if x is None else x[:TRIED]
        self.call(near[:7])
        self.pair()
        self.held(near)
        landscape = self.explored()
        self.walkers = (
            to_user_coordinates(to_unit_masses(system), landscape.start(STARTED, self.generator)) if x is None else x
        )
        self.finite_start()
        self.slope()
        self.symmetries()
        nuclei = system.nuclei()
        if nuclei is None:
            self.bounded(landscape)
        else:
            self.charges(nuclei)
        return CheckedSystem(landscape, tuple(self.warnings))

    def wrong(self, what: str) -> PotentialError:
        return PotentialError(f"{self.name}: {what}")

    def normal(self, count: int) -> Tensor:
        shape = count, self.system.particles, self.system.dimensions
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def value(self, x: Tensor) -> Tensor:
        """V (B,) of x, whatever the class does; PotentialError with its exception, or with what it gave instead."""
        try:
            value = self.system.potential(x)
        except Exception as error:
            told = user_systems.describe_error(error, user_systems.source_file(type(self.system)))
            raise self.wrong(f"potential(x) of x {tuple(x.shape)} raises {told}") from None
        if not isinstance(value, Tensor):
            raise self.wrong(f"potential(x) gives {type(value).__name__}: it must give a torch tensor (B,)")
        if tuple(value.shape) != (len(x),):
            raise self.wrong(
                f"potential(x) of x {tuple(x.shape)} has the shape {tuple(value.shape)}: it must be ({len(x)},), one energy "
                "for each configuration"
            )
        if value.dtype != torch.float64:
            kind = str(value.dtype).removeprefix("torch.")
            raise self.wrong(f"potential(x) of float64 x is {kind}: it must be float64 too")
        return value

    def call(self, x: Tensor) -> None:
        """Type, shape, gradient; nothing but the configuration itself may matter."""
        given, leaf = x.clone(), x.clone().requires_grad_(True)
        with torch.no_grad():
            value = self.value(given)
        if not torch.equal(given, x):
            raise self.wrong("potential(x) changes x: it must leave its argument as it is")
        with torch.enable_grad():
            differentiable = self.value(leaf)
        if not differentiable.requires_grad:
            raise self.wrong(
                "potential(x) has no gradient: it must be computed from x by torch functions, without detach, numpy or item"
            )
        try:
            (gradient,) = torch.autograd.grad(differentiable.sum(), leaf, create_graph=True)
        except RuntimeError as error:
            raise self.wrong(f"potential(x) cannot be differentiated: {str(error).splitlines()[0]}") from None
        if bool((value.isfinite() & ~gradient.detach().isfinite().flatten(1).all(1)).any()):
            raise self.wrong(
                "the gradient of potential(x) is not finite where V is: a norm at 0, or both sides of torch.where?"
            )
        scale = _scale(value)
        if not _alike(value, self.value(x.clone()), scale):
            raise self.wrong("potential(x) gives other values for the same x: it must not be random nor remember")
        parts = torch.cat([self.value(x[:1].clone()), self.value(x[1:3].clone()), self.value(x[3:].clone())])
        self.alone(value, parts, scale)

    def pair(self) -> None:
        """What pair(r) gives is energies of the distances r, of particles that are alike."""
        r = torch.ones(2, 3, dtype=torch.float64)
        try:
            energy = self.system.pair(r)
        except Exception as error:
            told = user_systems.describe_error(error, user_systems.source_file(type(self.system)))
            raise self.wrong(f"pair(r) of r {tuple(r.shape)} raises {told}") from None
        if energy is None:
            return
        if not isinstance(energy, Tensor) or energy.shape != r.shape:
            raise self.wrong("pair(r) must give a torch tensor of the shape of r, the energies of two particles")
        if self.system.nuclei() is not None or len(set(user_systems.particle_masses(self.system))) > 1:
            raise self.wrong(
                "pair(r) is for particles of one mass without nuclei(), whose electrons have their cusp already"
            )

    def alone(self, together: Tensor, apart: Tensor, scale: float) -> None:
        """The same configurations in other batches have the same energies."""
        if not _alike(together, apart, scale):
            raise self.wrong(
                "potential(x) of one configuration depends on the others in its batch: sum over particles and components "
                "only, not over the first dimension"
            )

    def own_start(self) -> Tensor | None:
        """Walkers from the system's own start, if it gives one."""
        try:
            x = user_start(self.system, STARTED, self.generator)
        except Exception as error:
            told = user_systems.describe_error(error, user_systems.source_file(type(self.system)))
            raise self.wrong(f"start(walkers, generator) raises {told}") from None
        wanted = STARTED, self.system.particles, self.system.dimensions
        if x is not None and tuple(x.shape) != wanted:
            raise self.wrong(f"start({STARTED}, generator) has the shape {tuple(x.shape)}: it must be {wanted}")
        if x is not None and not bool(x.isfinite().all()):
            raise self.wrong("start(walkers, generator) gives positions that are not finite")
        return x

    def held(self, x: Tensor) -> None:
        """No direction of space in which all particles can move together for nothing."""
        value = self.value(x)
        if not bool(value.isfinite().all()):
            return
        scale = _scale(value)
        for axis in range(self.system.dimensions):
            moved = x.clone()
            moved[..., axis] += 0.7
            further = x.clone()
            further[..., axis] += 5.3
            if _alike(value, self.value(moved), scale) and _alike(value, self.value(further), scale):
                what = "the particle" if self.system.particles == 1 else "the particles together"
                raise self.wrong(
                    f"nothing holds {what} along direction {axis + 1} of {self.system.dimensions}, so that there is no ground "
                    "state: V must confine every direction, by a trap for example"
                )

    def explored(self) -> Landscape:
        try:
            return explore(to_unit_masses(self.system))
        except torch.linalg.LinAlgError:
            self.outwards(math.nan, 1.0)
            raise self.wrong("V has no finite curvature at its minima: a norm at 0, or a root?") from None
        except NumericalError as error:
            self.outwards(math.nan, 1.0)
            hint = " (length = ... says how far the ground state reaches)" if "confines" in str(error) else ""
            raise self.wrong(f"{error}{hint}") from None

    def finite_start(self) -> None:
        value = self.value(self.walkers)
        if bad := int((~value.isfinite()).sum()):
            raise self.wrong(
                f"V is not finite at {bad} of {len(value)} places where walkers start; "
                "def start(self, walkers, generator) can give better ones"
            )
        self.alone(value[:TRIED], self.value(self.walkers[:TRIED]), _scale(value))

    def slope(self) -> None:
        """The gradient belongs to the values."""
        x = self.walkers[:TRIED].clone().requires_grad_(True)
        width = float(self.walkers.std(0).mean()) or 1.0
        along = self.normal(TRIED)
        along = along / along.flatten(1).norm(dim=1)[:, None, None]
        with torch.enable_grad():
            value = self.value(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        value = value.detach()
        expected, scale = (gradient * along).sum((1, 2)), gradient.flatten(1).norm(dim=1)
        # the larger step shows a part that is cut off, the smaller one numbers of few digits
        for step, allowed, why in (
            (1e-4 * width, SLOPE, "part of it is cut off (detach, numpy, item)"),
            (1e-9 * width, 0.05, "V is not computed in float64 throughout"),
        ):
            ends = [self.value(x.detach() + sign * step * along) for sign in (-1, 1)]
            seen = (ends[1] - ends[0]).detach() / (2 * step)
            rounded = 1e-14 * value.abs() / step
            off = (seen - expected).abs() > allowed * (scale + _scale(value - value.mean()) / width) + rounded
            # at a kink a few differ
            if int(off.sum()) > TRIED // 2:
                raise self.wrong(f"the gradient of potential(x) does not belong to its values: {why}")

    def symmetries(self) -> None:
        """What the class says of exchange, rotations and the centre of mass."""
        system, x = self.system, self.walkers[:TRIED]
        n, dim = system.particles, system.dimensions
        value = self.value(x)
        scale = _scale(value)
        if system.identical and n > 1:
            order = torch.randperm(n, generator=self.generator)
            for turned in ([1, 0, *range(2, n)], order.tolist()):
                if not _alike(value, self.value(x[:, turned]), scale):
                    raise self.wrong(
                        "V changes when two particles change places, which identical ones may: write identical = False, or "
                        "make it symmetric"
                    )
        if system.isotropic:
            turn, _ = torch.linalg.qr(torch.randn(dim, dim, generator=self.generator, dtype=torch.float64))
            if not _alike(value, self.value(x @ turn), scale):
                raise self.wrong(
                    "V changes when all particles are rotated about the origin: isotropic = True is not so"
                )
        if system.separable and n > 1:
            self.separates(x)

    def separates(self, x: Tensor) -> None:
        """V(x + s) − V(x) is a quadratic function of s and of the centre of mass, and of nothing else."""
        shift = self.normal(1)[:, :1] * x.std()
        other = x.roll(1, 0) - x.roll(1, 0).mean(1, keepdim=True) + x.mean(1, keepdim=True)
        there, here = (self.value(y + shift) - self.value(y) for y in (x, other))
        bent = [self.value(y + 2 * shift) - 2 * self.value(y + shift) + self.value(y) for y in (x, other)]
        scale = _scale(torch.cat([self.value(x), self.value(x + 2 * shift), self.value(other)]))
        if not (_alike(there, here, scale) and _alike(bent[0], bent[1].mean().expand(len(x)), scale)):
            raise self.wrong(
                "the centre of mass does not move apart from the rest in a harmonic trap: separable = True is not so"
            )

    def bounded(self, landscape: Landscape) -> None:
        """V has a lowest place, and rises far enough from it in every direction to hold the ground state there."""
        system = to_unit_masses(self.system)
        lowest = float(system.potential(landscape.minima[:1])[0])
        unit = 0.5 / landscape.length**2
        self.meeting(landscape.length)
        far = self.outwards(lowest, landscape.length)
        widths = torch.linalg.eigvalsh(landscape.widths[0])
        if float(widths.max()) > UNHELD * landscape.length:
            self.warnings.append(
                "V hardly rises in some direction from its minimum: if nothing holds the particles there, there is no ground "
                "state"
            )
        # harmonic: ω/4 kinetic and as much potential energy a mode
        estimate = lowest + float((0.25 / widths.clamp_max(UNHELD * landscape.length).square()).sum())
        if far >= estimate + 1e-3 * unit:
            return
        around = balance_length(system, torch.zeros_like(landscape.minima[0]), self.generator)
        if landscape.length < POINT * around:
            raise self.wrong(
                f"V falls to {lowest:.3g} at a point with nothing about it: a network has no cusp for a singularity but that "
                "of fixed charges, which nuclei() gives; soften it"
            )
        self.warnings.append(
            f"V is {far:.6g} far away, less than about {estimate:.6g} that the ground state would have in the minimum "
            f"of {lowest:.6g}: nothing may be bound"
        )

    def outwards(self, lowest: float, length: float) -> float:
        """The least V far away; PotentialError if V falls without end, or below its minima (nan: there are none)."""
        n, dim = self.system.particles, self.system.dimensions
        along = self.normal(DIRECTIONS)
        axes = torch.eye(n * dim, dtype=torch.float64)[:DIRECTIONS].view(-1, n, dim)
        along = torch.cat([along / along.flatten(1).norm(dim=1)[:, None, None], axes, -axes])
        least = []
        for doubling in range(2, DOUBLINGS):
            value = self.value(length * 2.0**doubling * along).detach()
            least.append(float(value.nan_to_num(nan=math.inf, posinf=math.inf).min()))
        last = least[-4:]
        falling = all(b < a for a, b in itertools.pairwise(last)) and last[0] - last[-1] > 1e-6 * abs(last[-1])
        if falling and last[-1] < 0:
            raise self.wrong(
                f"V is not bounded below: it falls to {last[-1]:.3g} and on, {length * 2.0 ** (DOUBLINGS - 1):.3g} away"
            )
        found = min(last)
        if found < lowest - 0.5 * BELOW / length**2:
            raise self.wrong(
                f"V is {found:.6g} far away, below its lowest minimum {lowest:.6g}: nothing holds the ground state"
            )
        return found

    def meeting(self, length: float) -> None:
        """What V does where two particles meet."""
        n = self.system.particles
        # in the user's coordinates
        length = length / math.sqrt(user_systems.particle_masses(self.system)[0])
        distances = length * 0.5 ** torch.arange(4, HALVINGS, dtype=torch.float64)
        known = self.system.pair(distances)
        for i, j in itertools.islice(_pairs(n), 3):
            x = self.walkers[:1].clone()
            apart = self.normal(1)[0, 0]
            apart = apart / apart.norm()
            near = []
            for distance in distances:
                x[0, j] = x[0, i] + distance * apart
                near.append(float(self.value(x)[0].detach()))
            if known is not None:
                self.as_told(distances, near, known)
                return
            change = [b - a for a, b in itertools.pairwise(near[-6:])]
            if near[-1] == -math.inf or all(b < 1.3 * a < 0 for a, b in itertools.pairwise(change)):
                raise self.wrong(
                    f"V falls to {near[-1]:.3g} and on where two particles meet: a network has no cusp for an attraction of "
                    "particles (nuclei() gives it that of fixed charges); soften it"
                )
            if near[-1] == math.inf or all(b > 1.3 * a > 0 for a, b in itertools.pairwise(change)):
                self.warnings.append(
                    "V grows without bound where two particles meet: the network has no cusp for it, which costs accuracy"
                )
                return

    def as_told(self, distances: Tensor, near: list[float], known: Tensor) -> None:
        """V grows where two particles meet as pair(r) says."""
        change, told = near[-1] - near[-6], float(known[-1] - known[-6])
        if abs(change - told) > 1e-3 * max(abs(change), abs(told)) + _scale(self.value(self.walkers)):
            raise self.wrong(
                f"V changes by {change:.3g} where two particles approach each other from {distances[-6]:.3g} to "
                f"{distances[-1]:.3g}, not by {told:.3g} as pair(r) says"
            )

    def charges(self, nuclei: Nuclei) -> None:
        """V has the singularities of the charges that nuclei() gives, and of two electrons, and no other factor."""
        toward = self.normal(1)[0, 0]
        toward = 1e-7 * toward / toward.norm()
        smallest = min(nuclei.charges)
        x = self.walkers[:1].clone()
        for place, charge in zip(nuclei.positions, nuclei.charges, strict=True):
            x[0, 0] = x.new_tensor(place) + toward
            seen = -float(self.value(x)[0]) * 1e-7
            if abs(seen - charge) > 1e-3 * smallest:
                where = ", ".join(f"{number:g}" for number in place)
                raise self.wrong(
                    f"V goes as {-seen:.3g}/r at the nucleus ({where}), not as {-charge:g}/r as nuclei() says"
                )
        if self.system.particles == 2:
            x = self.walkers[:1].clone()
            x[0, 1] = x[0, 0] + toward
            seen = float(self.value(x)[0]) * 1e-7
            if abs(seen - 1) > 1e-3:
                raise self.wrong(f"V goes as {seen:.3g}/r where the two electrons meet: with nuclei() it must be 1/r")


def _pairs(n: int) -> Iterator[tuple[int, int]]:
    """Pairs of particles: neighbours, then the two ends."""
    yield from ((i, i + 1) for i in range(min(n - 1, 2)))
    if n > 2:
        yield 0, n - 1


def _scale(value: Tensor) -> float:
    """What differences of such values are measured by."""
    finite = value[value.isfinite()].abs()
    return float(finite.max()) if len(finite) else 1.0


def _alike(a: Tensor, b: Tensor, scale: float) -> bool:
    return torch.allclose(a, b, rtol=ROUNDING, atol=ROUNDING * scale, equal_nan=True)
