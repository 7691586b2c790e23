"""Training of the bridges and their starts: Gauss–Newton on the spread of log w, which is 0 for the best ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.statistics import Estimate
from fkflow.thermal.bridges import Bridges
from fkflow.thermal.starts import Starts

#: paths of an iteration and draws of its pool, and the share of paths whose starts are those of the base alone
PATHS, POOL, OTHERS = 384, 8192, 0.25
#: damping, momentum, rate at first and at the end, largest change of log w in a step, and median deviations of a clipped one
DAMPING, MOMENTUM, RATE, LAST, CHANGE, CLIP = 1e-2, 0.9, 0.5, 0.05, 1.0, 6.0
#: power of the weights by which paths count in a step, and logs of weights beyond which they count no less and no more
POWER, FAINT, STRONG = 0.5, 20.0, 4.0
#: growth of the median residual at which a step is rejected, and by how much the rate then shrinks and later grows again
WORSE, SHRINK, GROW = 1.5, 0.5, 1.1


@dataclass
class Fitted:
    """The parameters of the drift and of the starts at one temperature; without `theta` there is no drift."""

    theta: Tensor | None
    starts: Starts
    start_theta: Tensor


@dataclass(frozen=True)
class _Kept:
    """Parameters before a step, and the median residual with them."""

    theta: Tensor
    start_theta: Tensor
    level: float
    typical: float

    @classmethod
    def of(cls, fitted: Fitted, typical: float) -> _Kept:
        assert fitted.theta is not None
        return cls(fitted.theta, fitted.start_theta, fitted.starts.level, typical)

    def restore(self, fitted: Fitted) -> None:
        fitted.theta, fitted.start_theta, fitted.starts.level = self.theta, self.start_theta, self.level


@dataclass(frozen=True)
class Iteration:
    """The spread of log w over the `paths` of an iteration, their effective share, a bound to βF from above, and log Z."""

    spread: float
    effective: float
    bound: float
    log_z: float
    paths: int

    @classmethod
    def of(cls, log_w: Tensor, paths: int) -> Iteration:
        """From the weights of so many paths, less those that are not finite."""
        weights = log_w.softmax(0)
        effective = float(1 / (len(log_w) * weights.square().sum()))
        log_z = float(log_w.logsumexp(0)) - math.log(paths)
        return cls(float(log_w.std()), effective, float(-log_w.mean()), log_z, paths)


def fit(
    bridges: Bridges,
    fitted: Fitted,
    beta: float,
    steps: int,
    iterations: int,
    generator: torch.Generator,
    frozen: bool = False,
    scale: float = 1.0,
) -> Iterator[Iteration]:
    """Train at one temperature, at `scale` times the usual rate; `fitted` changes in place, with `frozen` its starts alone.

    A step after which residuals are much larger is taken back: where some paths run away it may lose a well for good, which
    nothing in the weights of the others would tell. Raises NumericalError if no path has a finite weight.
    """
    assert fitted.theta is not None
    size = bridges.drift.size
    before = torch.zeros(size + fitted.starts.size, dtype=torch.float64)
    kept, most = _Kept.of(fitted, math.inf), scale
    others = int(OTHERS * PATHS)
    own = torch.arange(PATHS) < PATHS - others
    for number in range(iterations):
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        # the best weights are the same for all paths, however they are drawn: wells that hardly count are not forgotten
        start = fitted.starts.draw(fitted.start_theta, PATHS, POOL, seed, jacobian=True, others=others)
        # the next pools have values about 1
        fitted.starts.level += 0.5 * float(start.log_norm)
        paths, jacobian = bridges.draw(fitted.theta, start.y, start.sent, beta, steps, generator, jacobian=True)
        log_f = bridges.log_integrand(paths)
        log_w = log_f - paths.log_proposal - start.log_density + start.log_norm
        assert jacobian is not None and start.jacobian is not None
        rows = torch.cat([jacobian, start.jacobian], 1)
        good = log_w.isfinite() & rows.isfinite().all(1)
        if int((good & own).sum()) < (PATHS - others) // 2:
            raise NumericalError(
                "half of the paths have no finite weight: the potential is too steep for the time step"
            )
        found = Iteration.of(log_w[good & own], PATHS - others)
        off, rows = log_w[good] - log_w[good & own].median(), rows[good]
        if frozen:
            rows[:, :size] = 0
        typical = float(off[own[good]].abs().median())
        if typical > WORSE * kept.typical:
            kept.restore(fitted)
            before, scale = torch.zeros_like(before), SHRINK * scale
            yield found
            continue
        kept = _Kept.of(fitted, typical)
        rate, scale = scale * rate_at(number / iterations), min(most, GROW * scale)
        # a well with few paths of large weight is not given up, and paths that run away do not rule
        step = gauss_newton(off, rows, before, rate, POWER)
        fitted.theta = fitted.theta + rate * step[:size]
        fitted.start_theta = fitted.start_theta + rate * step[size:]
        before = step
        yield found


def log_z_of(iterations: Sequence[Iteration]) -> Estimate:
    """log Z from the paths of some iterations."""
    log_z = torch.tensor([one.log_z for one in iterations], dtype=torch.float64)
    # of a mean weight of each iteration the relative variance is 1/effective − 1 over the paths
    shares = log_z.softmax(0)
    parts = [(1 / one.effective - 1) / one.paths for one in iterations]
    error = math.sqrt(sum(float(share) ** 2 * part for share, part in zip(shares, parts, strict=True)))
    return Estimate(float(log_z.logsumexp(0)) - math.log(len(log_z)), error)


def rate_at(part: float) -> float:
    """The rate after this part of the iterations: it falls in the second half."""
    return RATE if part < 0.5 else RATE + (LAST - RATE) * (part - 0.5) / 0.5


def shares(off: Tensor, power: float) -> Tensor:
    """By how much paths count (B,), of sum 1: by that power of their weights e^off within bounds."""
    share = (power * off.clamp(-FAINT, STRONG)).exp()
    return share / share.sum()


def clipped(off: Tensor) -> Tensor:
    """What is far from 0 (B,), at most so many median deviations."""
    most = CLIP * off.abs().median()
    return off.clamp(-most, most)


def gauss_newton(off: Tensor, rows: Tensor, before: Tensor, rate: float, power: float = 0.0) -> Tensor:
    """The step (parameters,) that lowers the spread of residuals `off` (B,) with the Jacobian `rows`, after the step `before`.

    Residuals are logs of weights; paths count by that `power` of their weights. They are clipped at so many median deviations,
    and the step is bounded for the `rate` with which it is made.
    """
    share, off = shares(off, power), clipped(off)
    root = share.sqrt()
    off, rows = root * (off - share @ off), root[:, None] * (rows - share @ rows)
    momentum = MOMENTUM * before
    gram = rows @ rows.T
    gram.diagonal().add_(DAMPING)
    solved = torch.cholesky_solve((off + rows @ momentum)[:, None], torch.linalg.cholesky(gram))[:, 0]
    step = momentum - rows.T @ solved
    bounded: Tensor = step * min(1.0, CHANGE / (rate * float((rows @ step).norm()) + 1e-12))
    return bounded
