"""The two-body factor Π_{i<j} e^{f(r_ij)} of ψ: it cancels what is singular where two particles meet, cusps and hard cores.

u = e^f starts as a two-particle state, u'' + (D − 1) u'/r = (v(r) − E) u for particles of mass 1 and the energy v(r) of a
pair. E is 0, or that of the ground state where two particles alone are bound. That says how ψ behaves as r → 0: f ~ q r/(D − 1)
for v = q/r, λ log r for λ(λ − 1)/r², −2√(q/r) for q/r³. Beyond the natural length, and beyond the largest u of a bound pair,
f heals to a constant: what is left for the network is smooth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.cores import pair_energy
from fkflow.hamiltonian.species import pair_functions, species_of
from fkflow.hamiltonian.system import System
from fkflow.networks.parts import Node, Term
from fkflow.networks.stored_numbers import StoredNumbers
from fkflow.networks.two_body_equation import STEPS, TwoBodyEquation

Array = np.ndarray

#: healing length b in natural lengths: f' is that of log u times exp(−½(r/b)²), or exp(−½(r/b)⁴) for a longer b
HEALING = 2.0
#: the least healing length of a pair that is bound, in distances at which its u is largest, and where the core is steep, in
#: those at which it ends
BEYOND_LARGEST, BEYOND_STEEP = 2.0, 1.5
#: power of r/end in a box with which the slope vanishes
FLAT = 8
#: what networks of earlier versions called their factor in stored states (`LogPsi.renamed`)
RENAMED: dict[str, str | None] = {"meeting.first": None, "meeting.second": None, "meeting.": "two_body_factor."}
#: squared distances below this count as this
SMALLEST = 1e-200
#: distances from a core below which a place is inside
NEAREST = 1e-100

#: distances from a core (pairs, B) and its radius
Gap = tuple[Tensor, float]


class TwoBodyFactor(StoredNumbers, Term):
    """Σ_{i<j} f(r_ij) (B,) from a table of f and two derivatives in t = log(r − core): pieces of fifth order.

    Its inputs are squared distances (pairs, B) and the unit of length that they are in. f is linear in t below the table and
    constant beyond it; it is −∞ inside the core.
    """

    curved: ClassVar[bool] = True
    #: stays in double precision where a network is rounded (`single_precision`): places in a long table have many digits
    exact: ClassVar[tuple[str, ...]] = ("pieces",)

    pieces: Tensor

    def __init__(self, start: float, step: float, pieces: Array, core: float = 0.0, *, complete: bool = False) -> None:
        super().__init__()
        #: it is the ground state of two bound particles, and needs no confinement
        self.complete = complete
        self.start, self.step = start, step
        self._set_core(core)
        self.register_buffer("pieces", torch.from_numpy(pieces))

    def value(self, *inputs: Any) -> Tensor:
        square, unit = inputs
        distinct = self._nonzero(square)
        gap = self._gap(distinct, unit)
        z, place, c = self._pieces_at(distinct, gap, unit)
        value = c[5]
        for power in range(4, -1, -1):
            value = torch.addcmul(c[power], value, z)
        value = self._outside(torch.addcmul(value, place.clamp(max=0), self.pieces[0, 1]), gap, -math.inf)
        return value.sum(0).to(square.dtype)

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        given, unit = inputs
        if not derivatives:
            return self.value(given, unit), None
        square = self._nonzero(given)
        gap = self._gap(square, unit)
        z, place, c = self._pieces_at(square, gap, unit)
        value, by_z = torch.addcmul(c[4], c[5], z), c[5]
        for power in range(3, -1, -1):
            by_z = torch.addcmul(value, by_z, z)
            value = torch.addcmul(c[power], value, z)
        # below the table z is 0, which leaves the derivative at its beginning; above it there is none
        by_log = by_z.masked_fill_(place > len(self.pieces), 0.0).mul_(0.5 / self.step)
        value.addcmul_(place.clamp(max=0), self.pieces[0, 1])
        value, by_log = self._outside(value, gap, -math.inf), self._outside(by_log, gap, 0.0)
        return value.sum(0).to(given.dtype), (square, by_log, z, c, place, gap)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        square, by_log, *_, gap = node.saved
        (given, _) = node.inputs
        # dt/d(r²) = 1/(2 r (r − core))
        flow = square if gap is None else square.sqrt() * gap[0]
        given.add((by_log / flow).to(given.value.dtype))

    def laplacian_term(self, node: Node) -> Tensor:
        square, by_log, z, c, place, gap = node.saved
        half = torch.addcmul(c[2], torch.addcmul(3 * c[3], torch.addcmul(6 * c[4], c[5], z, value=10), z), z)
        by_log_twice = half.masked_fill_((place < 0) | (place > len(self.pieces)), 0.0).mul_(0.5 / self.step**2)
        # the gradient of a squared distance has the square 8 r²
        if gap is None:
            return by_log_twice.sub_(by_log).div_(square).sum(0).mul_(8)
        apart, core = gap
        by_log_twice = self._outside(by_log_twice, gap, 0.0)
        return by_log_twice.sub_(by_log * (1 - 0.5 * core / square.sqrt())).div_(apart.square()).sum(0).mul_(8)

    def _nonzero(self, square: Tensor) -> Tensor:
        return square.to(self.pieces.dtype).clamp_min(SMALLEST)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        # another version may have another table, and versions before cores have no radius
        if (stored := state_dict.get(prefix + "pieces")) is not None:
            self.pieces = self.pieces.new_empty(stored.shape)
        self._set_core(float(state_dict.get(prefix + "core", 0.0)))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _set_core(self, core: float) -> None:
        self.core = core
        # a state without a radius is one without a core
        self.numbers = ("start", "step", "core") if core else ("start", "step")  # type: ignore[misc]

    def _gap(self, square: Tensor, unit: float) -> Gap | None:
        """Distances from the core (pairs, B), at least NEAREST, and its radius, in that unit; None without core."""
        if not self.core:
            return None
        core = self.core / unit
        return (square.sqrt() - core).clamp_min(NEAREST), core

    @staticmethod
    def _outside(values: Tensor, gap: Gap | None, inside: float) -> Tensor:
        """The values (pairs, B), but this number inside the core."""
        return values if gap is None else values.masked_fill(gap[0] <= NEAREST, inside)

    def _pieces_at(self, square: Tensor, gap: Gap | None, unit: float) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Where squared distances (pairs, B), none of them 0, stand within a piece of the table, where in the table, in pieces
        and maybe beyond its ends, and the coefficients of that piece."""
        log = square.log() * (0.5 / self.step) if gap is None else gap[0].log() / self.step
        place = log + (math.log(unit) - self.start) / self.step
        within = place.clamp(0, len(self.pieces))
        # a distance that is not a number is in the first piece, and its value is no number either
        piece = within.detach().long().clamp(0, len(self.pieces) - 1)
        rows = self.pieces.index_select(0, piece.flatten()).view(*piece.shape, self.pieces.shape[1])
        return within - piece, place, rows.unbind(-1)


def two_body_factor(
    system: System,
    length: float,
    diameter: float | None = None,
    healing: float = HEALING,
    rod: float = 0.0,
    end: float | None = None,
) -> TwoBodyFactor | None:
    """The factor for a system of particles of mass 1 whose natural length is `length`; each is shorter by `rod` on a ring.

    In a box it ends at half the shortest side, or before, at `end`.

    None where the system gives no `pair`, nor has hard cores of some `diameter` that V alone shows. Raises NumericalError where
    the energy of a pair is not finite outside a hard core.
    """
    pair, contact = pair_energy(system, diameter), contact_strength(system)
    if contact and pair is None:
        pair = torch.zeros_like
    if pair is None:
        return None
    if (box := sides(system)) is not None:
        end = end or 0.5 * (min(box) - system.particles * rod)
        return box_factor(lambda r: pair(r + rod), length, system.dimensions, end, contact)
    alone = system.free and system.particles == 2
    return factor_of(pair, length, system.dimensions, healing, contact, alone=alone)


def core_radius(system: System, length: float) -> float:
    """The distance out of which a pair of a free system repels steeply, as atoms do, for its natural length; 0 if none does."""
    pair = pair_energy(system) if system.free else None
    return 0.0 if pair is None else length * TwoBodyEquation(pair, length, system.dimensions).steep_radius()


def contact_strength(system: System) -> float:
    """The strength g of an energy g δ(x_i − x_j) of all pairs on a line, that the system states as `contact`; else 0."""
    return float(getattr(system, "contact", None) or 0.0) if system.particles > 1 else 0.0


def species_factors(system: System, length: float) -> dict[tuple[int, int], TwoBodyFactor]:
    """The factors for the pairs of two species, by the numbers of these; none for those of which `pair` says nothing."""
    number = {one.name: i for i, one in enumerate(species_of(system))}
    functions = pair_functions(system).items()
    return {(number[a], number[b]): factor_of(pair, length, system.dimensions) for (a, b), pair in functions}


def box_factor(
    pair: Callable[[Tensor], Tensor], length: float, dimensions: int, end: float, contact: float = 0.0
) -> TwoBodyFactor:
    """The factor in a periodic box: that of the lowest state of two particles whose slope vanishes at r = `end`.

    On a line, where `end` is half the side, nothing else is needed: the ground state of two particles in the box has that
    factor. In more dimensions corners of the box lie beyond, and the slope falls as (1 − (r/end)⁸)², so that its derivative
    vanishes there too.
    """
    equation = TwoBodyEquation(pair, length, dimensions, end, contact)
    first, energy = equation.solve_closed()
    before, behind = equation.slopes(first, energy)
    if dimensions > 1 or equation.jump is not None:
        r = equation.distances(equation.t)
        inside = (r * length / end).clip(max=1.0) ** FLAT
        heal = (1 - inside) ** 2
        by_log = -2 * FLAT * (1 - inside) * inside * np.exp(equation.t) / r
        before, behind = (slope * heal + first * by_log for slope in (before, behind))
        first = first * heal
    return _factor(equation, first, before, behind)


def factor_of(
    pair: Callable[[Tensor], Tensor],
    length: float,
    dimensions: int,
    healing: float = HEALING,
    contact: float = 0.0,
    *,
    alone: bool = False,
) -> TwoBodyFactor:
    """The factor for two particles of mass 1 with the energy pair(r), and g δ(r) on a line with g = `contact`.

    Of two that are `alone` and bound it is all of u.
    """
    equation = TwoBodyEquation(pair, length, dimensions, contact=contact)
    t, core = equation.t, equation.core
    first, energy = equation.solve()
    least = 0.0
    if energy < 0:
        largest = float(equation.distances(t)[int((first < 0).argmax())])
        least = BEYOND_LARGEST * largest - core
    least = max(least, BEYOND_STEEP * equation.steep_radius() - core)
    # h falls later where a core must not heal
    power = 2 if least <= healing else 4
    share = (np.exp(t) / max(healing, least)) ** power
    complete = alone and energy < 0
    if complete:
        share = np.zeros_like(t)
    heal = np.exp(-0.5 * share)
    # df/dt = p h, and its derivatives before and behind each place
    before, behind = ((slope - 0.5 * power * first * share) * heal for slope in equation.slopes(first, energy))
    return _factor(equation, first * heal, before, behind, complete=complete)


def _factor(
    equation: TwoBodyEquation, first: Array, before: Array, behind: Array, *, complete: bool = False
) -> TwoBodyFactor:
    """The table of f with df/dt = `first` and its derivatives before and behind each place, which ends with f = 0."""
    t, step, length = equation.t, equation.step, equation.length
    # the trapezoidal rule with its end correction: fourth order, four steps to a node
    growth = step / 2 * (first[1:] + first[:-1]) + step**2 / 12 * (behind[:-1] - before[1:])
    f = np.concatenate([[0.0], np.cumsum(growth)])
    # far out u may vanish
    f -= f.max() if complete else f[-1]
    step *= STEPS
    table = pieces(f[::STEPS], first[::STEPS], behind[::STEPS], step, before[::STEPS])
    return TwoBodyFactor(float(t[0]) + math.log(length), step, table, equation.core * length, complete=complete)


def pieces(f: Array, first: Array, second: Array, step: float, before: Array | None = None) -> Array:
    """Coefficients (n − 1, 6) of the fifth-order polynomials with these values and two derivatives at n nodes.

    `before` are the second derivatives of the pieces that end at the nodes, where they are not those of the next.
    """
    before = second if before is None else before
    f0, f1, d0, d1 = f[:-1], f[1:], step * first[:-1], step * first[1:]
    e0, e1 = 0.5 * step**2 * second[:-1], 0.5 * step**2 * before[1:]
    # what the first three coefficients leave at the far end: of the value, the derivative, half the second derivative
    a, b, c = f1 - f0 - d0 - e0, d1 - d0 - 2 * e0, e1 - e0
    return np.stack([f0, d0, e0, 10 * a - 4 * b + c, -15 * a + 7 * b - 2 * c, 6 * a - 3 * b + c], -1)
