"""The radial equation of two particles, solved for the two-body factor: singular repulsions, hard cores, bound pairs.

u'' + (D − 1) u'/r = (v(r) − E) u for particles of mass 1 and the energy v(r) of a pair, in the variable t = log(r − c), where c
is the radius of a hard core, 0 if there is none. All numbers are in natural lengths and energies.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.cores import Core, find_core

Array = np.ndarray

#: shortest and longest distance from the core, places per factor e in steps of the table and steps from node to node
SHORTEST, LONGEST, NODES, STEPS = 1e-7, 1e3, 100, 4
#: (r − c)² v inside which nothing ever comes so close, and beyond which, far out, f has healed long before
HARD, LARGEST = 1e4, 1e9
#: decay lengths that a high finite core is entered by; what is deeper counts as infinite
DEEP = 40.0
#: halvings of the interval in which the energy of a bound pair is sought
HALVINGS = 50
#: share of the energy of a contact by which the search for that of a pair begins below it
BELOW = 1.001
#: power with which r² v falls in a steep core
STEEP = -6.0


class TwoBodyEquation:
    """The equation of a pair of energy pair(r), in units of a natural length, on an even grid `t` (n,) of log(r − c).

    Every STEPS-th place is a node of a table, and so is a jump of v. With an `end` the last node is that distance, or the next
    where v jumps. `contact` is the strength g of a further energy g δ(r) on a line. Raises NumericalError where v is a hard
    core at every distance, −∞ or not a number.
    """

    def __init__(
        self,
        pair: Callable[[Tensor], Tensor],
        length: float,
        dimensions: int,
        end: float | None = None,
        contact: float = 0.0,
    ) -> None:
        self.pair, self.length, self.dimensions = pair, length, dimensions
        self.contact = contact * length
        step = 1 / (NODES * STEPS)
        first, longest = math.log(SHORTEST), LONGEST if end is None else end / length
        t = first + step * np.arange(round(math.log(longest / SHORTEST) / step) + 1)
        core = find_core(self.energies, np.exp(t).clip(max=longest))
        self.core = forbidden_radius(core) if core else 0.0
        if core is not None and core.edge > self.core:
            at = math.log(core.edge - self.core)
            t += at - first - STEPS * step * round((at - first) / (STEPS * step))
        if self.core == 0:
            reached = self.scattering(t) <= HARD
            if not reached.any():
                raise NumericalError("pair(r) is a hard core at every distance")
            begin = int(reached.argmax())
            # a jump stays at a node
            t = t[begin if core is None else -(-begin // STEPS) * STEPS :]
        #: the place at which v jumps
        self.jump: int | None = None
        jumps = core is not None and core.edge > self.core
        if end is not None:
            t = self._ending_at(t, end / length, step, shifted=not jumps)
        self.t, self.step = t, step
        if core is not None and jumps:
            self.jump = int(np.abs(t - math.log(core.edge - self.core)).argmin())

    def _ending_at(self, t: Array, end: float, step: float, *, shifted: bool) -> Array:
        """The places up to the distance `end`, as a whole number of nodes, `shifted` so that the last is there."""
        if not end > self.core + SHORTEST:
            raise NumericalError("the core of a pair fills the box")
        last = math.log(end - self.core)
        if shifted:
            nodes = int((last - t[0]) / (STEPS * step))
            return last - step * np.arange(STEPS * nodes, -1, -1)
        nodes = math.ceil((last - t[0]) / (STEPS * step))
        return t[0] + step * np.arange(STEPS * nodes + 1)

    def energies(self, r: Array) -> Array:
        """v(r), which may be infinite."""
        with torch.no_grad():
            found: Array = self.pair(self.length * torch.from_numpy(r)).numpy() * self.length**2
        return found

    def distances(self, t: Array) -> Array:
        """r at the places t."""
        found: Array = self.core + np.exp(t)
        return found

    def scattering(self, t: Array, energy: float = 0.0) -> Array:
        """W = (r − c)² (v(r) − E): what decides, without units, how strongly a pair scatters."""
        r = self.distances(t)
        v = self.energies(r)
        if not np.isfinite(v).all():
            raise NumericalError(f"pair(r) is not finite at r = {self.length * float(r[~np.isfinite(v)][0]):.3g}")
        return ((v - energy) * np.exp(2 * t)).clip(-LARGEST, LARGEST)

    def shift(self, t: Array) -> Array:
        """s in p = d log u/dt = d log y/dt − s, for y = √(r^(D − 1)/(r − c)) u."""
        return 0.5 * (self.dimensions - 1) * np.exp(t) / self.distances(t) - 0.5

    def steps(self, energy: float) -> Array:
        """The matrices (n − 1, 4) that take (y, dy/dt) from each place to the next.

        y'' = Q y, which Magnus' fourth-order step solves whatever the stiffness of the core.
        """
        t, step, gauss = self.t[:-1], self.step, math.sqrt(3) / 6
        q1, q2 = (self._stiffness(t + (0.5 + sign * gauss) * step, energy) for sign in (-1, 1))
        # exp of [[−k, h], [h Q, k]]
        k = gauss / 2 * step**2 * (q2 - q1)
        squared = k**2 + step**2 * (q1 + q2) / 2
        root = np.sqrt(squared.astype(complex))
        even = np.cosh(root).real
        odd = np.where(np.abs(squared) < 1e-12, 1.0, (np.sinh(root) / np.where(root == 0, 1, root)).real)
        return np.stack([even - odd * k, odd * step, odd * step * (q1 + q2) / 2, even + odd * k], -1)

    def _stiffness(self, t: Array, energy: float) -> Array:
        share = np.exp(t) / self.distances(t)
        centrifugal = 0.25 * (self.dimensions - 1) * (self.dimensions - 3)
        found: Array = self.scattering(t, energy) + centrifugal * share**2 + 0.25
        return found

    def outwards(self, energy: float = 0.0) -> Array:
        """p (≤ n,) of the solution that is regular at the origin or vanishes at the core, up to a node if there is one."""
        w, shift = self.scattering(self.t[:2], energy), self.shift(self.t)
        if self.core > 0:
            first = [1.0]
        elif self.contact:
            # u'/u = g/2 where two particles meet
            first = [0.5 * self.contact * math.exp(self.t[0])]
        else:
            # without energy there, as of a bounded one
            first = [regular(w[0], (w[1] - w[0]) / (self.step * w[0]) if w[0] else 2.0, self.dimensions)]
        # columns of Python's numbers: NumPy's, or a list a row, take several times as long
        rows, shifts = zip(*self.steps(energy).T.tolist(), strict=True), shift.tolist()
        for (a, b, c, d), s, after in zip(rows, shifts[:-1], shifts[1:], strict=True):
            v = first[-1] + s
            ahead = a + b * v
            if not ahead > 0:
                break
            first.append((c + d * v) / ahead - after)
        return np.array(first)

    def solve(self) -> tuple[Array, float]:
        """p (n,) without a node, and the energy E: 0, or that of the ground state of two particles that bind each other.

        Beyond its maximum the u of a bound pair is followed inwards from far away, where it falls as e^(−√(−E) r).
        """
        p = self.outwards()
        if len(p) == len(self.t):
            return p, 0.0
        low, high = self._lowest(math.inf), 0.0
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            nodeless = len(self.outwards(middle)) == len(self.t)
            low, high = (middle, high) if nodeless else (low, middle)
        p, steps, shift = self.outwards(low), self.steps(low).tolist(), self.shift(self.t)
        v = -math.sqrt(max(float(self._stiffness(self.t[-1:], low)[0]), 0.0))
        for index in range(len(p) - 1, int((p < 0).argmax()), -1):
            p[index] = v - shift[index]
            a, b, c, d = steps[index - 1]
            v = (a * v - c) / (d - b * v)
        return p, low

    def _lowest(self, size: float) -> float:
        """An energy below that of any state in a box of this size.

        It is the least v less that of an attractive contact, κ² with κ tanh(κ size) = −g/2 ≥ κ² size/(1 + κ size).
        """
        attraction = max(-0.5 * self.contact, 0.0)
        kappa = 0.5 * attraction + math.sqrt(0.25 * attraction**2 + attraction / size)
        least: float = (self.scattering(self.t) * np.exp(-2 * self.t)).min()
        return float(least) - BELOW * kappa**2

    def solve_closed(self) -> tuple[Array, float]:
        """p (n,) and the energy of the lowest state of two particles whose slope vanishes at the last place."""
        size = float(self.distances(self.t[-1:])[0] - self.core)
        low, width = self._lowest(size), 1 / size**2

        def last(energy: float) -> float:
            """p at the last place, which falls with the energy; −∞ behind a node."""
            p = self.outwards(energy)
            return float(p[-1]) if len(p) == len(self.t) else -math.inf

        high, above = low + width, last(low)
        while (below := last(high)) >= 0:
            low, high, above = high, high + 3 * (high - low), below
        closest = 2.0**-HALVINGS * (high - low)
        for step in range(HALVINGS):
            # a secant, but every third time the middle: the secant of a function that bends hardly moves one of the ends
            share = 0.5 if math.isinf(below) or step % 3 == 2 else above / (above - below)
            middle = min(max(low + share * (high - low), low + closest), high - closest)
            if not low < middle < high:
                break
            value = last(middle)
            if value < 0:
                high, below = middle, value
            else:
                low, above = middle, value
        return self.outwards(low), low

    def slopes(self, p: Array, energy: float) -> tuple[Array, Array]:
        """dp/dt before and behind each place (n,): they differ where v jumps."""
        before = self.scattering(self.t, energy) - p**2 - 2 * p * self.shift(self.t)
        behind = before.copy()
        if self.jump is not None:
            at = self.t[self.jump] + np.array([-1e-9, 1e-9])
            w = self.scattering(at, energy) - p[self.jump] ** 2 - 2 * p[self.jump] * self.shift(at)
            before[self.jump], behind[self.jump] = w
        return before, behind

    def steep_radius(self) -> float:
        """The distance out of which r² v falls steeply through 1; 0 if there is none."""
        w = self.scattering(self.t)
        steep = (w[:-1] >= 1) & (np.log(w[1:].clip(1e-9) / w[:-1].clip(1e-9)) < STEEP * self.step)
        return float(self.distances(self.t[:-1][steep][-1:])[0]) if steep.any() else 0.0


def forbidden_radius(core: Core) -> float:
    """The distance c at which u vanishes: the edge of a hard core, DEEP decay lengths within a high one, 0 where both meet."""
    depth = DEEP / math.sqrt(core.height)
    return core.edge if depth < 10 * SHORTEST else max(0.0, core.edge - depth)


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
