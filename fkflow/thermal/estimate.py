"""Free energy from weighted closed paths, with an error that includes that of the normalisation.

Z(β) is the mean of the weights; pools of paths with norms of their own tell its error. F is extrapolated to time step 0, with
the changes by twice and four times the step of the same paths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.statistics import Estimate
from fkflow.thermal.bridges import Bridges, Paths
from fkflow.thermal.derivatives import Carried, carry, jackknife, slopes
from fkflow.thermal.fit import Fitted
from fkflow.thermal.resampling import Resampling

#: pools at least, and one in so many paths of a pool, of several bodies or one, that is carried to other β
POOLS, CARRIED = 32, (1, 4)
#: draws of a pool for each of its paths
DRAWS = 32


@dataclass(frozen=True)
class Batch:
    """The paths of one pool: log w (B,), the same with every second and every fourth point (B,), and some carried to β ± h.

    `resampled` paths depend on one another.
    """

    paths: Paths
    log_w: Tensor
    log_coarse: Tensor
    log_coarser: Tensor
    carried: Carried | None
    resampled: bool = False


def batches(
    bridges: Bridges,
    fitted: Fitted,
    beta: float,
    steps: int,
    count: int,
    generator: torch.Generator,
    carried: bool = True,
    resampling: Resampling | None = None,
) -> Iterator[Batch]:
    """Paths of one pool after another, without end, at β in natural units; some `carried` to β ± h if there is a drift."""
    some = max(1, count // CARRIED[bridges.reference.bodies == 1])
    while True:
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        start = fitted.starts.draw(fitted.start_theta, count, DRAWS * count, seed)
        if resampling is None:
            paths, _ = bridges.draw(fitted.theta, start.y, start.sent, beta, steps, generator)
            log_favour = torch.zeros_like(start.log_density)
        else:
            paths, start, log_favour = resampling.draw(bridges, fitted.theta, start, beta, generator)
        log_w = bridges.log_integrand(paths) - paths.log_proposal - start.log_density + start.log_norm
        if not bool((log_w < math.inf).all()):
            raise NumericalError("a path has no weight: the potential is not a number where it went")
        log_coarse, log_coarser = (log_w + bridges.coarse_change(paths, every) for every in (2, 4))
        ratios: Carried | None = None
        if fitted.theta is not None and carried:
            parts = carry(bridges, fitted, paths.first(some), start.log_density[:some], beta)
            fine, coarse, begin = (part.numpy() for part in parts)
            fine_w, coarse_w, favour = (part[:some].numpy() for part in (log_w, log_coarse, log_favour))
            ratios = Carried(fine_w, coarse_w, favour, fine, coarse, begin, float(start.log_norm))
        yield Batch(paths, log_w, log_coarse, log_coarser, ratios, resampling is not None)


class Sums:
    """What is kept of all batches: weights of paths by pools, and ratios to other β."""

    def __init__(self, beta: float, gain: float) -> None:
        self.beta, self.gain = beta, gain
        self.log_w: list[np.ndarray] = []
        #: means of the weights of pools, over that of e^`level`, by once, twice and four times the time step
        self.means: list[np.ndarray] = []
        self.level: float | None = None
        self.carried: list[Carried] = []
        self.resampled = False

    def add(self, batch: Batch) -> None:
        """Add the paths of one pool."""
        if batch.carried is not None:
            self.carried.append(batch.carried)
        self.resampled |= batch.resampled
        self.log_w.append(batch.log_w.numpy())
        if self.level is None:
            self.level = float(batch.log_w.max())
        steps = (batch.log_w, batch.log_coarse, batch.log_coarser)
        self.means.append(np.array([float((log_w - self.level).exp().mean()) for log_w in steps]))

    @property
    def pools(self) -> int:
        """The number of pools."""
        return len(self.log_w)

    @property
    def paths(self) -> int:
        """The number of paths."""
        return sum(map(len, self.log_w))

    def ess(self) -> float:
        """The effective share of the paths: that of independent ones of even weight with the same error.

        It comes from their weights, or from the scatter of pools where paths depend on one another.
        """
        if self.resampled:
            means = np.array(self.means)[:, 0]
            variance = means.var(ddof=1) / means.mean() ** 2 if len(means) > 1 else math.inf
            return float(1 / (1 + variance * self.paths / self.pools))
        weights = np.exp(np.concatenate(self.log_w) - self._top())
        return float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))

    def _top(self) -> float:
        return float(max(pool.max() for pool in self.log_w))

    def log_z(self, part: slice = slice(None)) -> Estimate:
        """log Z extrapolated to time step 0, and its error from the scatter of the pools."""
        assert self.level is not None

        def extrapolated(z: np.ndarray) -> np.ndarray:
            fine: np.ndarray = z[..., 0]
            found: np.ndarray = np.log(fine) - _log_ratio(z) / self.gain
            return found

        value, error = jackknife(np.array(self.means[part]), extrapolated)
        return Estimate(self.level + value, error)

    def step_error(self) -> Estimate:
        """By how much the time step may change log Z, and the error of that.

        It is the larger of what halving the step takes off and what halving twice it should: where errors of two steps cancel,
        they do not of three.
        """
        means, both = np.array(self.means), []
        for k in (0, 1):
            value, error = jackknife(means[:, k : k + 2], _log_ratio)
            part = self.gain * (self.gain + 1) ** k
            both.append(Estimate(abs(value) / part, error / part))
        return max(both, key=lambda estimate: estimate.value)

    def slopes(self) -> tuple[Estimate, Estimate, float]:
        """−∂ log Z/∂β, β² ∂² log Z/∂β², and by how much twice the time step changes the first."""
        return slopes(self.carried, self.beta, self.gain)


def _log_ratio(z: np.ndarray) -> np.ndarray:
    """log(z₁/z₀) of means by a time step and by twice that (…, 2 or more)."""
    # named: nested in one call they cost type checkers seconds
    fine, coarse = z[..., 0], z[..., 1]
    found: np.ndarray = np.log(coarse / fine)
    return found
