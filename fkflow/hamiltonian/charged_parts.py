"""The lowest energy of parts into which charges break up: pairs, and three charges by correlated Gaussians.

ψ = Σ_k c_k Σ over exchanges of exp(−Σ_{i<j} a_kij r_ij²) with widths drawn once: the coefficients follow from one generalised
eigenproblem (Suzuki and Varga, Stochastic Variational Approach to Quantum-Mechanical Few-Body Problems, Springer 1998). The
energy is an upper bound, and good to a fraction of a percent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from fkflow.hamiltonian.charges import PointCharges
from fkflow.hamiltonian.interactions import Interaction
from fkflow.hamiltonian.pair_states import pair_energy

Array = np.ndarray

#: most particles of a part whose energy is computed: of four, so few Gaussians miss a tenth of it
MOST = 3
#: Gaussians of the basis, and the share of them whose energy shows how far the whole basis is from the limit
FUNCTIONS, FEWER = 500, 0.5
#: shortest width in bound lengths for each number of dimensions, narrower where a cusp is steeper, and the longest
NARROW, WIDE = {2: 0.05, 3: 0.15}, 12.0
#: what is left out of the metric, relative to its largest eigenvalue
DEPENDENT = 1e-11
#: points of the average of an interaction over a Gaussian, and the first and last one in widths
POINTS, NEAREST, FARTHEST = 72, 1e-5, 9.0


@dataclass(frozen=True)
class BreakUp:
    """The lowest `energy` of charges that have left each other, and the parts whose energies were `left_out`, by species."""

    energy: float
    left_out: tuple[tuple[str, ...], ...] = ()

    @property
    def note(self) -> str | None:
        """What a user must know of it, a sentence; None where all parts were looked at."""
        if not self.left_out:
            return None
        example = max(self.left_out, key=lambda part: (-len(part), part))
        return (
            f"the charges count as bound below {self.energy:.6g}, the lowest energy of parts that was found; parts such as "
            f"{' '.join(example)} were not looked at: system.break_up states a lower energy"
        )


def lowest_break_up(charges: PointCharges, without: Sequence[int] = ()) -> BreakUp:
    """The lowest energy of charges that have left each other: that of single ones, pairs, and parts of three.

    Left out are larger parts, those with two pinned charges, and those with two charges of `without`, numbers of pairs that
    repel too strongly for Gaussians, as nuclei do.
    """
    heavy = {charges.pairs[p][:2] for p in without}
    left_out: set[tuple[int, ...]] = set()

    @cache
    def lowest(kinds: tuple[tuple[int, ...], ...], whole: bool) -> float:
        """Of these bodies by species, that of them together among others if they may stay `whole`."""
        members = tuple(sorted(itertools.chain(*kinds)))
        found = [0.0]
        if whole and len({charges.bodies[i].charge > 0 for i in members}) > 1:
            if _is_simple(charges, members, heavy):
                found.append(_energy(charges, members) or 0.0)
            else:
                left_out.add(members)
        for part in _parts(kinds):
            taken = tuple(tuple(i for i in kind if i in part) for kind in kinds)
            rest = tuple(tuple(i for i in kind if i not in part) for kind in kinds)
            found.append(lowest(_first(charges, taken), True) + lowest(_first(charges, rest), True))
        return min(found)

    species = range(len(charges.species))
    energy = lowest(
        tuple(tuple(i for i, body in enumerate(charges.bodies) if body.species == s) for s in species), False
    )
    names = {tuple(charges.species[charges.bodies[i].species].name for i in members) for members in left_out}
    return BreakUp(energy + charges.pinned_energy(), tuple(sorted(names)))


def _first(charges: PointCharges, kinds: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """As many bodies of each species, the first of it: those of one species that move have the same energies."""
    found = []
    for kind in kinds:
        if kind and charges.bodies[kind[0]].place is None:
            species = charges.bodies[kind[0]].species
            begin = next(i for i, body in enumerate(charges.bodies) if body.species == species)
            kind = tuple(range(begin, begin + len(kind)))
        found.append(kind)
    return tuple(found)


def _parts(kinds: tuple[tuple[int, ...], ...]) -> Iterator[frozenset[int]]:
    """What one of two parts may be: so many of each species, the first body of all among them."""
    leading = next(kind for kind in kinds if kind)[0]
    for counts in itertools.product(*(range(len(kind) + 1) for kind in kinds)):
        part = frozenset(itertools.chain(*(kind[:count] for kind, count in zip(kinds, counts, strict=True))))
        if leading in part and len(part) < sum(map(len, kinds)):
            yield part


def _is_simple(charges: PointCharges, members: tuple[int, ...], heavy: set[tuple[int, int]]) -> bool:
    """Whether the energy of these bodies together is computed."""
    pinned = sum(charges.bodies[i].place is not None for i in members)
    return len(members) <= MOST and pinned < 2 and heavy.isdisjoint(itertools.combinations(members, 2))


def _energy(charges: PointCharges, members: tuple[int, ...]) -> float | None:
    """That of some bodies that stay together, None if they do not."""
    bodies = tuple((body.mass, body.charge, body.species) for body in (charges.bodies[i] for i in members))
    if len(bodies) > 2:
        return part_energy(bodies, charges.dimensions, charges.interaction)
    (m, q, _), (n, p, _) = bodies
    return pair_energy(1 / (1 / m + 1 / n), q * p, charges.dimensions, charges.interaction)


@lru_cache(maxsize=64)
def part_energy(
    bodies: tuple[tuple[float, float, int], ...], dimensions: int, interaction: Interaction
) -> float | None:
    """The energy of three bodies (mass, charge, species), or somewhat below; None if it is not below 0. One may be pinned.

    It is the upper bound of the basis less what the second half of that brought: the exact energy is hardly lower.
    """
    bodies = tuple(sorted(bodies, key=lambda body: math.isinf(body[0])))
    pairs = list(itertools.combinations(range(len(bodies)), 2))
    lengths = []
    for i, j in pairs:
        mass = 1 / (1 / bodies[i][0] + 1 / bodies[j][0])
        energy = pair_energy(mass, -abs(bodies[i][1] * bodies[j][1]), dimensions, interaction)
        lengths.append(1 / math.sqrt(-2 * mass * energy) if energy else interaction.length)
    draw = np.random.default_rng(0)
    widths = np.array(lengths) * np.exp(
        draw.uniform(math.log(NARROW[dimensions]), math.log(WIDE), (FUNCTIONS, len(pairs)))
    )
    metric, energies = _matrices(bodies, pairs, widths**-2, dimensions, interaction)
    half = round(FEWER * FUNCTIONS)
    found, before = (_lowest(metric[:n, :n], energies[:n, :n]) for n in (FUNCTIONS, half))
    found -= max(before - found, 0.0)
    return found if found < 0 else None


def _matrices(
    bodies: tuple[tuple[float, float, int], ...],
    pairs: list[tuple[int, int]],
    exponents: Array,
    dimensions: int,
    interaction: Interaction,
) -> tuple[Array, Array]:
    """⟨k|l⟩ and ⟨k|H|l⟩ of normed Gaussians with the exponents (K, pairs), in places relative to the last body."""
    n = len(bodies) - 1
    arms = np.array([np.eye(n + 1)[i, :n] - np.eye(n + 1)[j, :n] for i, j in pairs])
    shapes = np.einsum("kp,pi,pj->kij", exponents, arms, arms)
    inverse = np.array([1 / mass for mass, _, _ in bodies])
    kinetic = np.diag(inverse[:n]) + inverse[n]
    norms = 0.5 * np.linalg.slogdet(2 * shapes)[1]
    average = _average(dimensions, interaction)
    metric = energies = np.zeros((len(exponents),) * 2)
    for order in itertools.permutations(range(n + 1)):
        if any(bodies[i][2] != bodies[o][2] for i, o in enumerate(order)):
            continue
        image = [pairs.index((min(order[i], order[j]), max(order[i], order[j]))) for i, j in pairs]
        other = np.einsum("kp,pi,pj->kij", exponents[:, image], arms, arms)
        both = shapes[:, None] + other
        size = 0.5 * dimensions * (norms[:, None] + norms - np.linalg.slogdet(both)[1])
        overlap, spread = np.exp(size), np.linalg.inv(both)
        energy = dimensions * np.einsum("ij,kjm,klmn,lni->kl", kinetic, shapes, spread, other, optimize=True)
        for (i, j), arm in zip(pairs, arms, strict=True):
            width = np.sqrt(0.5 * np.einsum("i,klij,j->kl", arm, spread, arm))
            energy = energy + bodies[i][1] * bodies[j][1] * average(width)
        metric, energies = metric + overlap, energies + overlap * energy
    return metric, energies


def _average(dimensions: int, interaction: Interaction) -> Callable[[Array], Array]:
    """⟨w(r)⟩ over Gaussians of some widths in each direction: in closed form for Coulomb's law, else a sum over log r."""
    if interaction.kind == "coulomb":
        factor = math.sqrt(2 / math.pi if dimensions == 3 else math.pi / 2)
        return lambda width: factor / width
    s = np.geomspace(NEAREST, FARTHEST, POINTS)
    weights = s**dimensions * np.exp(-0.5 * s**2)
    weights /= weights.sum()

    def average(width: Array) -> Array:
        found: Array = sum(weight * interaction.energy(one * width) for weight, one in zip(weights, s, strict=True))
        return found

    return average


def _lowest(metric: Array, energies: Array) -> float:
    values, vectors = np.linalg.eigh(metric)
    kept = values > DEPENDENT * values[-1]
    frame = vectors[:, kept] / np.sqrt(values[kept])
    return float(np.linalg.eigvalsh(frame.T @ energies @ frame)[0])
