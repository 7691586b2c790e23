"""Resampling of paths on their way: promising ones go on more than once, others end.

At some points every path of a pool is picked with a probability in proportion to its promise

    a = (weight so far) · k0(y, P y_0; τ) · e^forecast,

and the density of its proposal is multiplied by a over the mean of a. The mean of f/density over the pool remains Z without a
bias, whatever the forecast (P. Del Moral, A. Doucet, A. Jasra, J. R. Stat. Soc. B 68, 411 (2006)), and its variance grows with
the length of the paths, no longer as an exponential of it. Paths of a pool then depend on one another; pools do not.

The forecast is what log w gains on the rest of the path, less log k0. It is linear in functions of the place and of the end,
with coefficients from paths that were not resampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fkflow.thermal.bridges import Bridges, Paths, closed, log_density, log_part
from fkflow.thermal.fit import POWER, clipped, shares
from fkflow.thermal.kinds import apart, differences
from fkflow.thermal.problem import Problem
from fkflow.thermal.reference import permuted
from fkflow.thermal.starts import Start, picks

#: variance of log w between points of resampling, and steps between them at least
SEGMENT, BETWEEN = 0.5, 4
#: widths of Gaussians of distances in natural units
WIDTHS = (0.25, 0.45, 0.8, 1.4)
#: share of the mean square of a function that is added to it
RIDGE = 1e-3


@dataclass(frozen=True)
class Resampling:
    """Coefficients (k,) of the forecast at points of paths of so many `steps`, by their numbers."""

    steps: int
    coefficients: dict[int, Tensor]

    def draw(
        self, bridges: Bridges, theta: Tensor | None, start: Start, beta: float, generator: torch.Generator
    ) -> tuple[Paths, Start, Tensor]:
        """Resampled paths at β, their starts, and the log of by how much each was favoured (B,), which its density includes."""
        problem, at = bridges.problem, torch.tensor([beta], dtype=torch.float64)
        dt, ref = at / self.steps, problem.reference
        y, log_so_far = start.y, -start.log_density
        origin, log_favour, log_proposal = torch.arange(len(y)), *torch.zeros(2, len(y)).double()
        parts: list[tuple[Tensor, ...]] = []
        stops = [*self.coefficients, self.steps - 1]
        for begin, stop in zip([0, *stops], stops, strict=False):
            noise = torch.randn(stop - begin, len(y), ref.dimension, generator=generator, dtype=torch.float64)
            end = permuted(start.y, start.sent)[origin]
            walk = bridges.walk(theta, y, end, at, noise, begin, self.steps)
            places, rest, squares = (torch.stack(part) for part in (walk.points, walk.rests, walk.squares))
            log_stretch = walk.log_stretch
            density = log_density(noise, log_stretch)
            log_so_far = log_so_far + log_part(problem, places, rest[:-1], squares[:-1], dt) - density
            log_proposal = log_proposal + density
            parts.append((places[:-1], rest[:-1], squares[:-1], noise, log_stretch))
            y, last = places[-1], (places[-1:], rest[-1:], squares[-1:], noise[:0], log_stretch[:0])
            if stop in self.coefficients:
                promise = log_so_far + ref.log_kernel(y, end, at - stop * dt)
                promise = promise + functions(problem, y, end, rest[-1]) @ self.coefficients[stop]
                share = promise.softmax(0)
                favour = share.log() + math.log(len(y))
                pick = picks(share, len(y), generator)
                parts = [tuple(part[:, pick] for part in piece) for piece in parts]
                log_so_far, log_favour = log_so_far - favour, log_favour + favour
                log_so_far, log_favour, log_proposal, origin, y = (
                    part[pick] for part in (log_so_far, log_favour, log_proposal, origin, y)
                )
        whole = [torch.cat(part) for part in zip(*parts, last, strict=True)]
        begun = replace(start, y=start.y[origin], sent=start.sent[origin], log_density=start.log_density[origin])
        paths = Paths(at, whole[0], begun.sent, whole[1], whole[2], log_proposal + log_favour, whole[3], whole[4])
        return paths, begun, log_favour


def learn(bridges: Bridges, pools: Sequence[tuple[Paths, Tensor]]) -> Resampling:
    """The resampling for paths like those of pools that were not resampled, with their log w (B,)."""
    steps, log_w = len(pools[0][0].y), torch.cat([logs for _, logs in pools])
    variance = math.log(len(log_w) * float(log_w.softmax(0).square().sum()))
    count = max(0, min(math.ceil(variance / SEGMENT), steps // BETWEEN - 1))
    found = {}
    for number in sorted({round(steps * (k + 1) / (count + 1)) for k in range(count)}):
        rows, gain = (torch.cat(part) for part in zip(*(rest_of(bridges, p, number) for p, _ in pools), strict=True))
        found[number] = _fitted(rows, gain, log_w)
    return Resampling(steps, found)


def functions(problem: Problem, y: Tensor, end: Tensor, rest: Tensor) -> Tensor:
    """Functions (B, k) of the place and the end (B, n, D), and of V − V0 at the place (B,)."""
    found = [rest] + [part.square().sum((1, 2)) for part in (y, end, y - end)]
    ref = problem.reference
    if ref.bodies > 1:
        signs = differences(ref.bodies, ref.kinds)
        # paths of two particles meet where the straight line between both distances does
        for place in (y, 0.5 * (y + end), end):
            squares = apart(signs, ref.kinds, place).square().sum(-1)
            found += [(-0.5 * squares / width**2).exp().sum(1) for width in WIDTHS]
    return torch.stack(found, 1)


def rest_of(bridges: Bridges, paths: Paths, number: int) -> tuple[Tensor, Tensor]:
    """The functions at a point, and what log w gained after it, less log k0 (B,)."""
    problem, steps = bridges.problem, len(paths.y)
    y, dt = closed(paths), paths.beta / steps
    log_f = log_part(problem, y[number:], paths.rest[number:], paths.squares[number:], dt)
    density = log_density(paths.noise[number:], paths.log_stretch[number:])
    log_k0 = problem.reference.log_kernel(y[number], y[-1], paths.beta - number * dt)
    return functions(problem, y[number], y[-1], paths.rest[number]), log_f - density - log_k0


def _fitted(rows: Tensor, gain: Tensor, log_w: Tensor) -> Tensor:
    """Coefficients (k,) of functions `rows` (B, k) for the `gain` (B,) of paths with weights e^`log_w` (B,)."""
    share, off = shares(log_w - log_w.median(), POWER), clipped(gain - gain.median())
    rows, off = rows - share @ rows, off - share @ off
    scale = (share @ rows.square()).sqrt() + 1e-12
    rows = rows / scale
    gram = rows.T @ (share[:, None] * rows)
    gram.diagonal().add_(RIDGE)
    solved: Tensor = torch.linalg.solve(gram, rows.T @ (share * off)) / scale
    return solved
