"""The two-body factor Π_{i<j} e^{f(r_ij)} of ψ: it cancels what is singular where two particles meet, cusps and hard cores.

u = e^f starts as a two-particle state, u'' + (D − 1) u'/r = (v(r) − E) u for particles of mass 1 and the energy v(r) of a
pair. E is 0, or that of the ground state where two particles alone are bound. That says how ψ behaves as r → 0: f ~ q r/(D − 1)
for v = q/r, λ log r for λ(λ − 1)/r², −2√(q/r) for q/r³. Beyond the natural length, and beyond the largest u of a bound pair,
f heals to a constant: what is left for the network is smooth.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.system import System
from fkflow.networks.parts import Node, Term
from fkflow.networks.stored_numbers import StoredNumbers

Array = np.ndarray

#: healing length b in natural lengths: f' is that of log u times exp(−½(r/b)²)
HEALING = 2.0
#: the least healing length of a pair that is bound, in distances at which its u is largest
BEYOND_LARGEST = 2.0
#: halvings of the interval in which the energy of a bound pair is sought
HALVINGS = 50
#: shortest and longest distance of the table in natural lengths, its nodes per factor e, and steps from node to node
SHORTEST, LONGEST, NODES, STEPS = 1e-7, 1e3, 100, 4
#: r²v inside which nothing ever comes so close, and beyond which, far out, f has healed long before
HARD, LARGEST = 1e4, 1e9
#: what networks of earlier versions called their factor in stored states (`LogPsi.renamed`)
RENAMED: dict[str, str | None] = {"meeting.first": None, "meeting.second": None, "meeting.": "two_body_factor."}
#: squared distances below this count as this
SMALLEST = 1e-200


class TwoBodyFactor(StoredNumbers, Term):
    """Σ_{i<j} f(r_ij) (B,) from a table in log r of f and two derivatives: pieces of fifth order, twice differentiable.

    Its inputs are squared distances (pairs, B) and the unit of length that they are in. f is linear in log r below the table
    and constant beyond it.
    """

    curved: ClassVar[bool] = True
    numbers: ClassVar[tuple[str, ...]] = ("start", "step")
    #: stays in double precision where a network is rounded (`single_precision`): places in a long table have many digits
    exact: ClassVar[tuple[str, ...]] = ("pieces",)

    pieces: Tensor

    def __init__(self, start: float, step: float, pieces: Array) -> None:
        super().__init__()
        self.start, self.step = start, step
        self.register_buffer("pieces", torch.from_numpy(pieces))

    def value(self, *inputs: Any) -> Tensor:
        square, unit = inputs
        z, place, c = self._pieces_at(self._nonzero(square), unit)
        value = c[5]
        for power in range(4, -1, -1):
            value = torch.addcmul(c[power], value, z)
        return torch.addcmul(value, place.clamp(max=0), self.pieces[0, 1]).sum(0).to(square.dtype)

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        given, unit = inputs
        if not derivatives:
            return self.value(given, unit), None
        square = self._nonzero(given)
        z, place, c = self._pieces_at(square, unit)
        value, by_z = torch.addcmul(c[4], c[5], z), c[5]
        for power in range(3, -1, -1):
            by_z = torch.addcmul(value, by_z, z)
            value = torch.addcmul(c[power], value, z)
        # below the table z is 0, which leaves the derivative at its beginning; above it there is none
        by_log = by_z.masked_fill_(place > len(self.pieces), 0.0).mul_(0.5 / self.step)
        value.addcmul_(place.clamp(max=0), self.pieces[0, 1])
        return value.sum(0).to(given.dtype), (square, by_log, z, c, place)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        square, by_log, *_ = node.saved
        (given, _) = node.inputs
        given.add((by_log / square).to(given.value.dtype))

    def laplacian_term(self, node: Node) -> Tensor:
        square, by_log, z, c, place = node.saved
        half = torch.addcmul(c[2], torch.addcmul(3 * c[3], torch.addcmul(6 * c[4], c[5], z, value=10), z), z)
        by_log_twice = half.masked_fill_((place < 0) | (place > len(self.pieces)), 0.0).mul_(0.5 / self.step**2)
        # the gradient of a squared distance has the square 8 r²
        return by_log_twice.sub_(by_log).div_(square).sum(0).mul_(8)

    def _nonzero(self, square: Tensor) -> Tensor:
        return square.to(self.pieces.dtype).clamp_min(SMALLEST)

    def _pieces_at(self, square: Tensor, unit: float) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Where squared distances (pairs, B), none of them 0, stand within a piece of the table, where in the table, in pieces
        and maybe beyond its ends, and the coefficients of that piece."""
        place = square.log() * (0.5 / self.step) + (math.log(unit) - self.start) / self.step
        within = place.clamp(0, len(self.pieces))
        piece = within.detach().long().clamp(max=len(self.pieces) - 1)
        rows = self.pieces.index_select(0, piece.flatten()).view(*piece.shape, self.pieces.shape[1])
        return within - piece, place, rows.unbind(-1)


def has_pair_energy(system: System) -> bool:
    """Whether a system states the energy of a pair of its particles."""
    return system.particles > 1 and system.pair(torch.ones(1, dtype=torch.float64)) is not None


def two_body_factor(system: System, length: float, healing: float = HEALING) -> TwoBodyFactor | None:
    """The factor for a system of particles of mass 1 whose natural length is `length`; None where it gives no `pair`.

    Raises NumericalError where the energy of a pair is not finite.
    """
    if not has_pair_energy(system):
        return None
    step = 1 / (NODES * STEPS)
    t = math.log(SHORTEST) + step * np.arange(round(math.log(LONGEST / SHORTEST) / step) + 1)
    reached = scattering(system, length, t) <= HARD
    if not reached.any():
        raise NumericalError("pair(r) is a hard core at every distance")
    t = t[int(reached.argmax()) :]
    first, second = logarithmic_derivative(system, length, t)
    if len(first) < len(t):
        first, second = bound_state(system, length, t)
        falling = first < 0
        healing = max(healing, BEYOND_LARGEST * math.exp(t[int(falling.argmax())]))
    # by t = log r: df/dt = p h and its derivative
    square = (np.exp(t) / healing) ** 2
    heal = np.exp(-0.5 * square)
    first, second = first * heal, (second - first * square) * heal
    # the trapezoidal rule with its end correction: fourth order, four steps to a node
    growth = step / 2 * (first[1:] + first[:-1]) + step**2 / 12 * (second[:-1] - second[1:])
    f = np.concatenate([[0.0], np.cumsum(growth)])
    f -= f[-1]
    step *= STEPS
    table = pieces(f[::STEPS], first[::STEPS], second[::STEPS], step)
    return TwoBodyFactor(float(t[0]) + math.log(length), step, table)


def scattering(system: System, length: float, t: Array, energy: float = 0.0) -> Array:
    """W = r² (v(r) − E) at r = e^t natural lengths: what decides, without units, how strongly a pair scatters.

    `energy` is E in natural energies.
    """
    r = length * torch.from_numpy(np.exp(t))
    with torch.no_grad():
        of_pair = system.pair(r)
    assert of_pair is not None
    found: Array = (r.square() * of_pair).numpy()
    if not np.isfinite(found).all():
        raise NumericalError(f"pair(r) is not finite at r = {float(r[~np.isfinite(found)][0]):.3g}")
    return (found - energy * np.exp(2 * t)).clip(-LARGEST, LARGEST)


def logarithmic_derivative(system: System, length: float, t: Array, energy: float = 0.0) -> tuple[Array, Array]:
    """p = d log u/dt and dp/dt = W − p² − (D − 2) p at even steps t of log r, up to a node of u if there is one."""
    steps, w = magnus_steps(system, length, t, energy)
    shift = 0.5 * (system.dimensions - 2)
    first = [regular(w[0], (w[1] - w[0]) / ((t[1] - t[0]) * w[0]) if w[0] else 0.0, system.dimensions)]
    for a, b, c, d in steps.tolist():
        v = first[-1] + shift
        ahead = a + b * v
        if not ahead > 0:
            break
        first.append((c + d * v) / ahead - shift)
    p = np.array(first)
    return p, w[: len(p)] - p**2 - (system.dimensions - 2) * p


def bound_state(system: System, length: float, t: Array) -> tuple[Array, Array]:
    """p and dp/dt of the ground state of two particles that bind each other, as `logarithmic_derivative` gives them.

    Below its energy u has no node. Beyond its maximum u is followed inwards from far away, where it falls as e^(−√(−E) r).
    """
    low, high = float((scattering(system, length, t) * np.exp(-2 * t)).min()), 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        nodeless = len(logarithmic_derivative(system, length, t, middle)[0]) == len(t)
        low, high = (middle, high) if nodeless else (low, middle)
    p, _ = logarithmic_derivative(system, length, t, low)
    steps, w = magnus_steps(system, length, t, low)
    shift = 0.5 * (system.dimensions - 2)
    begin = int((p < 0).argmax())
    v = -math.sqrt(max(w[-1] + shift**2, 0.0))
    for index in range(len(t) - 1, begin, -1):
        p[index] = v - shift
        a, b, c, d = steps[index - 1].tolist()
        v = (a * v - c) / (d - b * v)
    return p, w - p**2 - (system.dimensions - 2) * p


def magnus_steps(system: System, length: float, t: Array, energy: float) -> tuple[Array, Array]:
    """The matrices (steps, 4) that take (y, dy/dt) from each of the even places t (steps + 1,) to the next, and W there.

    y = e^((D − 2)t/2) u obeys y'' = Q y, which Magnus' fourth-order step solves whatever the stiffness of the core.
    """
    step, shift = float(t[1] - t[0]), 0.5 * (system.dimensions - 2)
    gauss = math.sqrt(3) / 6
    q1, q2 = (scattering(system, length, t[:-1] + (0.5 + sign * gauss) * step, energy) + shift**2 for sign in (-1, 1))
    # exp of [[−k, h], [h Q, k]]
    k = gauss / 2 * step**2 * (q2 - q1)
    squared = k**2 + step**2 * (q1 + q2) / 2
    root = np.sqrt(squared.astype(complex))
    even = np.cosh(root).real
    odd = np.where(np.abs(squared) < 1e-12, 1.0, (np.sinh(root) / np.where(root == 0, 1, root)).real)
    rows = np.stack([even - odd * k, odd * step, odd * step * (q1 + q2) / 2, even + odd * k], -1)
    return rows, scattering(system, length, t, energy)


def regular(w: float, power: float, dimensions: int) -> float:
    """p of the solution that stays regular where W = r²v ~ r^power is w: the larger root of p² + (D − 2 + c) p = w.

    c is the growth of p itself: power where w is small, half of it where w is large. On a line a v of 1/r or steeper shuts
    particles off from each other: p then goes to 1 at least.
    """
    growth = power if abs(w) < 1 else 0.5 * power
    if dimensions == 1 and 0 < power <= 1.01 and abs(w) < 1:
        growth = 0.0
    linear = dimensions - 2 + growth
    return 0.5 * (math.sqrt(max(linear**2 + 4 * w, 0.0)) - linear)


def pieces(f: Array, first: Array, second: Array, step: float) -> Array:
    """Coefficients (n − 1, 6) of the fifth-order polynomials with these values and two derivatives at n nodes."""
    f0, f1, d0, d1 = f[:-1], f[1:], step * first[:-1], step * first[1:]
    e0, e1 = 0.5 * step**2 * second[:-1], 0.5 * step**2 * second[1:]
    # what the first three coefficients leave at the far end: of the value, the derivative, half the second derivative
    a, b, c = f1 - f0 - d0 - e0, d1 - d0 - 2 * e0, e1 - e0
    return np.stack([f0, d0, e0, 10 * a - 4 * b + c, -15 * a + 7 * b - 2 * c, 6 * a - 3 * b + c], -1)
