"""Training of the bridges and their starts: Gauss–Newton on the spread of log w, which is 0 for the best ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.thermal.bridges import Bridges
from fkflow.thermal.starts import Starts

#: paths of an iteration and draws of its pool
PATHS, POOL = 384, 8192
#: damping, momentum, rate at first and at the end, largest change of log w in a step, and median deviations of a clipped one
DAMPING, MOMENTUM, RATE, LAST, CHANGE, CLIP = 1e-2, 0.9, 0.5, 0.05, 1.0, 6.0


@dataclass
class Fitted:
    """The parameters of the drift and of the starts at one temperature; without `theta` there is no drift."""

    theta: Tensor | None
    starts: Starts
    start_theta: Tensor


@dataclass(frozen=True)
class Iteration:
    """The spread of log w over the paths of an iteration, their effective share, and a bound to βF from above."""

    spread: float
    effective: float
    bound: float


def fit(
    bridges: Bridges,
    fitted: Fitted,
    beta: float,
    steps: int,
    iterations: int,
    generator: torch.Generator,
    frozen: bool = False,
) -> Iterator[Iteration]:
    """Train at one temperature; `fitted` changes in place, with `frozen` its starts alone.

    Raises NumericalError if no path has a finite weight.
    """
    assert fitted.theta is not None
    size = bridges.drift.size
    before = torch.zeros(size + fitted.starts.size, dtype=torch.float64)
    for number in range(iterations):
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        start = fitted.starts.draw(fitted.start_theta, PATHS, POOL, seed, jacobian=True)
        # the next pools have values about 1
        fitted.starts.level += 0.5 * float(start.log_norm)
        paths, jacobian = bridges.draw(fitted.theta, start.y, start.sent, beta, steps, generator, jacobian=True)
        log_f = bridges.log_integrand(paths)
        log_w = log_f - paths.log_proposal - start.log_density + start.log_norm
        assert jacobian is not None and start.jacobian is not None
        rows = torch.cat([jacobian, start.jacobian], 1)
        good = log_w.isfinite() & rows.isfinite().all(1)
        if int(good.sum()) < PATHS // 2:
            raise NumericalError(
                "half of the paths have no finite weight: the potential is too steep for the time step"
            )
        log_w, rows = log_w[good], rows[good]
        if frozen:
            rows[:, :size] = 0
        rate = rate_at(number / iterations)
        step = gauss_newton(log_w - log_w.median(), rows, before, rate)
        fitted.theta = fitted.theta + rate * step[:size]
        fitted.start_theta = fitted.start_theta + rate * step[size:]
        before = step
        weights = log_w.softmax(0)
        yield Iteration(float(log_w.std()), float(1 / (len(log_w) * weights.square().sum())), float(-log_w.mean()))


def rate_at(part: float) -> float:
    """The rate after this part of the iterations: it falls in the second half."""
    return RATE if part < 0.5 else RATE + (LAST - RATE) * (part - 0.5) / 0.5


def gauss_newton(off: Tensor, rows: Tensor, before: Tensor, rate: float) -> Tensor:
    """The step (parameters,) that lowers the spread of residuals `off` (B,) with the Jacobian `rows`, after the step `before`.

    Residuals are clipped at so many median deviations, and the step is bounded for the `rate` with which it is made.
    """
    most = CLIP * off.abs().median()
    off = off.clamp(-most, most)
    count = math.sqrt(len(off))
    off, rows = (off - off.mean()) / count, (rows - rows.mean(0)) / count
    momentum = MOMENTUM * before
    gram = rows @ rows.T
    gram.diagonal().add_(DAMPING)
    solved = torch.cholesky_solve((off + rows @ momentum)[:, None], torch.linalg.cholesky(gram))[:, 0]
    step = momentum - rows.T @ solved
    bounded: Tensor = step * min(1.0, CHANGE / (rate * float((rows @ step).norm()) + 1e-12))
    return bounded
