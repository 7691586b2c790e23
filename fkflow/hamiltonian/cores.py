"""Hard cores of pairs: where the energy of two particles comes down from +∞, or jumps, as `pair` says or V itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.masses import centre_weights, reduced_squares
from fkflow.hamiltonian.species import is_mixture, pair_functions, pair_names, pair_takes_names
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wrapped import WrappedSystem

Array = np.ndarray

#: fall of v within one step, relative to it, that may be a jump; r²v from which on a jump matters; halvings that place it
JUMP, WEAK, HALVINGS = 0.5, 1.0, 50
#: distances at which two particles are brought together, as powers of 2, and places of the first
OCTAVES, TRIED = 20, 32
#: r²v from which on a finite core is high
HIGH = 100.0
#: places that walkers start from; moves of each particle, downhill and then at a temperature; room between particles for the
#: curvature of V; rounds at a temperature
PLACES, DESCENT, THERMAL, ROOM, ROUNDS = 1024, 60, 20, 1.05, 3
#: relative difference of diameters that are the same
SAME = 1e-9


@dataclass(frozen=True)
class Core:
    """The energy of a pair comes down at the distance `edge`, from `height` (+∞ for a hard core)."""

    edge: float
    height: float


def find_core(energies: Callable[[Array], Array], r: Array) -> Core | None:
    """The largest distance at which the energies of a pair come down from +∞, or else their largest jump down, if any.

    r (n,) are distances in natural lengths among which it is looked for. NumericalError if all are infinite.
    """
    v = energies(r)
    if np.isposinf(v[-1]):
        raise NumericalError("pair(r) is a hard core at every distance")
    infinite = np.isposinf(v)
    if infinite.any():
        last = int(np.flatnonzero(infinite)[-1])
        low, high = float(r[last]), float(r[last + 1])
        for _ in range(2 * HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if np.isposinf(energies(np.array([middle]))[0]) else (low, middle)
        return Core(high, math.inf)
    with np.errstate(invalid="ignore"):
        fall = v[:-1] - v[1:]
    jumps = (fall > JUMP * np.abs(v[:-1])) & (fall * r[:-1] ** 2 > WEAK)
    if not jumps.any():
        return None
    which = int(np.where(jumps, fall, 0.0).argmax())
    low, high = float(r[which]), float(r[which + 1])
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        first, between, last_energy = energies(np.array([low, middle, high]))
        low, high = (low, middle) if first - between > between - last_energy else (middle, high)
    inside, outside = energies(np.array([low, high]))
    return Core(high, float(inside)) if inside - outside > 0.9 * fall[which] else None


def find_diameter(system: System, x: Tensor, generator: torch.Generator) -> float | None:
    """The diameter of hard cores in V, from configurations x (M, N, D) at which V is finite; None if there are none.

    Two particles are brought together; `pair` is not asked, but for species, whose cores it alone states. Raises
    NumericalError where the cores of particles differ.
    """
    n, dim = x.shape[1:]
    if is_mixture(system) and pair_functions(system):
        return None
    pairs = [(0, 1)] if system.identical else [(i, j) for i in range(n) for j in range(i + 1, n)]
    scale = float((x - x.mean(1, keepdim=True)).square().mean().sqrt()) or 1.0
    grid = scale * 2.0 ** torch.arange(-OCTAVES, 4, 0.5, dtype=x.dtype)
    found, places = [], x.repeat(-(-TRIED // len(x)), 1, 1)
    for i, j in pairs:
        diameters = _diameters(system, places, i, j, grid, generator)
        # others may be in the way: they make it larger
        found.append(float(diameters.min()))
    least, most = min(found), max(found)
    if most == 0:
        return None
    if is_mixture(system):
        raise NumericalError(
            "V is infinite where two particles meet, which a system with species must say: pair(self, a, b, r) gives the "
            "energy of a particle of the species a and one of b at the distances r, infinite within their hard core"
        )
    if least == 0 or not most - least <= SAME * most:
        raise NumericalError("V is infinite where two particles meet, not at one distance for all of them")
    return most


def _diameters(system: System, x: Tensor, i: int, j: int, grid: Tensor, generator: torch.Generator) -> Tensor:
    """The distances (M,) up to which V is infinite as particle j of x (M, N, D) leaves particle i; 0 where it never is."""
    along = torch.stack([torch.randn(x.shape[2], generator=generator, dtype=x.dtype) for _ in x])
    along = torch.stack([one / one.norm() for one in along])
    weights = centre_weights(system)

    def infinite(rows: Tensor, distances: Tensor) -> Tensor:
        """Whether V is, for configurations `rows` (m,) at distances (m,)."""
        moved = x[rows]
        moved[:, j] = x[rows, i] * (weights[j] / weights[i]) + distances[:, None] * along[rows]
        return system.potential(moved).detach().isposinf()

    inside = torch.stack([infinite(torch.full((len(grid),), row), grid) for row in range(len(x))])
    first = (~inside).int().argmax(1)
    found = torch.where(inside.all(1), math.inf, 0.0).to(x.dtype)
    rows = (first > 0).nonzero()[:, 0]
    low, high = grid[first[rows] - 1], grid[first[rows]]
    # until no number is between them
    while len(rows):
        middle = 0.5 * (low + high)
        if not bool(((low < middle) & (middle < high)).any()):
            break
        within = infinite(rows, middle)
        low, high = torch.where(within, middle, low), torch.where(within, high, middle)
    found[rows] = high
    return found


def pair_energy(system: System, diameter: float | None = None) -> Callable[[Tensor], Tensor] | None:
    """The energy of two particles at distances r: `System.pair`, or that of hard cores of this diameter; None if neither.

    What is said of each two species is left to a network that tells them apart.
    """
    if (
        system.particles > 1
        and not pair_takes_names(system)
        and system.pair(torch.ones(1, dtype=torch.float64)) is not None
    ):
        return system.pair  # type: ignore[return-value]
    if diameter is None:
        return None
    return lambda r: torch.where(r < diameter, math.inf, 0.0).to(r.dtype)


class Hardened(WrappedSystem):
    """The system `own` with V infinite where two particles are closer than an edge: what descents see of a high finite core.

    `edges` (pairs,) are those of each pair, 0 where it has no core.
    """

    edges: tuple[float, ...]

    def potential(self, x: Tensor) -> Tensor:
        """V, or +∞."""
        squares = reduced_squares(self.own, x)
        edges = squares.new_tensor(self.edges)[:, None]
        return self.own.potential(x).masked_fill((squares < edges.square()).any(0), math.inf)


def hardened(system: System) -> System | None:
    """The system with the cores that `pair` states, if they are infinite or high; None if there are none."""
    if system.particles == 1:
        return None
    r = np.geomspace(2.0**-OCTAVES, 2.0**OCTAVES, 400 * OCTAVES)
    edges = {}
    for names, pair in pair_functions(system).items():

        def energies(r: Array, pair: Callable[[Tensor], Tensor] = pair) -> Array:
            found: Array = pair(torch.from_numpy(r)).numpy()
            return found

        core = find_core(energies, r)
        if core is not None and core.height * core.edge**2 > HIGH:
            edges[names] = core.edge
    if not edges:
        return None
    return Hardened(own=system, edges=tuple(edges.get(names, 0.0) for names in pair_names(system)))


def crowded_places(system: System, x: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """Places (PLACES, N, D) of particles with hard cores, and a natural length.

    From configurations x (M, N, D) where V is finite particles move singly, downhill first; then they are thermal, at the
    temperature at which an oscillator of the curvature of V has its zero-point width, or one as wide as the places.
    """
    x = x[torch.randint(len(x), (TRIED,), generator=generator)]
    spread = x.std().expand(len(x))
    x = move_singly(system, x, spread, 0.0, DESCENT * x.shape[1], generator)
    lowest = x[system.potential(x).argmin()]
    frequency = _frequency(system, lowest)
    width = frequency**-0.5 if frequency else float(x.std())
    x, spread = lowest.repeat(PLACES, 1, 1), x.new_full((PLACES,), width)
    for _ in range(ROUNDS):
        temperature = max(0.5 * frequency, 0.25 / width**2)
        x = move_singly(system, x, spread, temperature, THERMAL * x.shape[1], generator)
        width = float((x - x.mean((0, 1))).square().mean().sqrt())
    return x, min(frequency**-0.5, width) if frequency else width


def _frequency(system: System, x: Tensor) -> float:
    """Frequency of an oscillator with the mean curvature of V at x (N, D), pulled apart a little; 0 if it has none."""
    middle = x.mean(0)
    roomy = middle + ROOM * (x - middle)
    step = 0.1 * (ROOM - 1) * float((x - middle).square().mean().sqrt())
    shift = step * torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
    up, down = (system.potential(roomy + sign * shift) for sign in (1, -1))
    curvature = float(((up + down - 2 * system.potential(roomy[None])) / step**2).mean())
    return math.sqrt(curvature) if 0 < curvature < math.inf else 0.0


def move_singly(
    system: System, x: Tensor, spread: Tensor, temperature: float, moves: int, generator: torch.Generator
) -> Tensor:
    """Configurations x (B, N, D) after Metropolis moves of one particle each, with steps from `spread` (B,) on."""
    energy, rows = system.potential(x), torch.arange(len(x))
    for _ in range(moves):
        which = torch.randint(x.shape[1], (len(x),), generator=generator)
        noise = torch.randn(len(x), x.shape[2], generator=generator, dtype=x.dtype)
        moved = x.clone()
        moved[rows, which] += spread[:, None] * noise
        after = system.potential(moved)
        bound = temperature * torch.rand(len(x), generator=generator, dtype=x.dtype).log().neg()
        accept = after - energy <= bound
        x = torch.where(accept[:, None, None], moved, x)
        energy = torch.where(accept, after, energy)
        spread = spread * torch.where(accept, 1.1, 0.96)
    return x
