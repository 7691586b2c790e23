"""The scales of charged particles, from charges and masses alone: lengths of pairs, softest binding, lowest break-up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fkflow.hamiltonian.charged_parts import BreakUp, lowest_break_up
from fkflow.hamiltonian.charges import Pair, PointCharges
from fkflow.hamiltonian.pair_states import pair_energy

#: repulsion in units of its length from which on two charges never meet: nuclei, whose distance oscillates
HEAVY = 5.0
#: most length of a weakly bound pair, in that of its cusp
LONGEST = 3.0


@dataclass(frozen=True)
class ChargeScale:
    """What `scale_of_charges` finds; `lengths`, `heavy` and `energies` are those of `PointCharges.pairs`.

    lengths: a of each pair, 1/√(2μ|E|) of the bound state for one that attracts; for one that repels the mean of those of
    the partners of both. heavy: whether the pair repels so strongly that it has no cusp. energies: E of each pair, 0 where
    nothing is bound. bound: numbers of the pairs that are left in the lowest break-up. natural: the natural length ℓ in
    coordinates of unit mass, ℓ² = 1/|E| with the mean energy of those pairs, or that of their longest lengths where they are
    weakly bound, at most 1/ω in a trap. break_up: the lowest energy of parts that have left each other; None in a trap.
    """

    lengths: tuple[float, ...]
    heavy: tuple[bool, ...]
    energies: tuple[float, ...]
    bound: tuple[int, ...]
    natural: float
    break_up: BreakUp | None


@lru_cache(maxsize=64)
def scale_of_charges(charges: PointCharges) -> ChargeScale:
    """The scales of charges. ValueError, in a phrase, if they cannot hold each other."""
    pairs = charges.pairs
    energies = tuple(
        pair_energy(pair.mass, pair.strength, charges.dimensions, charges.interaction) or 0.0 for pair in pairs
    )
    if not charges.omega and not any(energies):
        raise ValueError(
            "no two of its charges are bound to each other: a larger charge, mass or screening length is needed"
        )
    bound, lowest = _lowest_pairs(pairs, energies)
    # a pair near its threshold is wide, but ψ still varies as fast as where its charges are near each other
    least = math.fsum((charges.cusp(pairs[p]) / LONGEST) ** 2 / (2 * pairs[p].mass) for p in bound)
    natural = max(-lowest, least) / max(1, len(bound))
    if charges.omega:
        natural = max(natural, charges.omega)
    lengths = _lengths(charges, energies)
    heavy = tuple(charges.cusp(pair) * a > HEAVY for pair, a in zip(pairs, lengths, strict=True))
    parts = None if charges.omega else lowest_break_up(charges, [p for p, strong in enumerate(heavy) if strong])
    return ChargeScale(lengths, heavy, energies, tuple(bound), natural**-0.5, parts)


def _lengths(charges: PointCharges, energies: Sequence[float]) -> tuple[float, ...]:
    """The length a of each pair."""
    own: dict[int, float] = {}
    found = []
    for pair, energy in zip(charges.pairs, energies, strict=True):
        cusp = abs(charges.cusp(pair))
        a = 1 / math.sqrt(-2 * pair.mass * energy) if energy else math.inf
        if pair.strength < 0:
            a = min(a, LONGEST / cusp if cusp else math.inf)
            for body in pair[:2]:
                own[body] = min(own.get(body, math.inf), a)
        found.append(a)
    for number, pair in enumerate(charges.pairs):
        if pair.strength > 0:
            ends = [own[body] for body in pair[:2] if body in own]
            if ends:
                found[number] = math.exp(sum(map(math.log, ends)) / len(ends))
            else:
                trap = 1 / math.sqrt(2 * pair.mass * charges.omega)
                found[number] = min(trap, LONGEST / charges.cusp(pair)) if charges.interaction.cusp else trap
    return tuple(found)


def _lowest_pairs(pairs: Sequence[Pair], energies: Sequence[float]) -> tuple[list[int], float]:
    """The pairs without a common body that have the lowest energy together, and that energy."""

    def choices(start: int, used: frozenset[int]) -> Iterator[tuple[float, list[int]]]:
        yield 0.0, []
        for p in range(start, len(pairs)):
            ends = frozenset(pairs[p][:2])
            if energies[p] < 0 and not ends & used:
                for energy, others in choices(p + 1, used | ends):
                    yield energies[p] + energy, [p, *others]

    energy, best = min(choices(0, frozenset()), key=lambda choice: choice[0])
    return best, energy
