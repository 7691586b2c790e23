"""Energy and heat capacity: differences of log Z between β ± h of the same paths, carried there by smooth maps.

The mean of f(path')·|Jacobian|/density over paths of β is Z(β ± h), whatever the map. One map stretches paths about their
centroids, which is the centroid virial estimator; another keeps the noise of each step and moves with the learned drift. With
the second the density of starts and permutations, carried too, has an integral that is known. Differences of maps have the mean
0, so that the best combination is that of least variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.statistics import Estimate
from fkflow.thermal.bridges import Bridges, Paths
from fkflow.thermal.fit import Fitted

#: relative step h of β
STEP = 0.01


@dataclass(frozen=True)
class Carried:
    """Weights of the first paths of a pool, and logs of ratios to those at β ± h.

    `log_w` and `log_coarse` (B,) are of the paths themselves, by once and twice the time step, `log_favour` (B,) is by how much
    they were favoured in resampling; `fine` and `coarse` (maps, 2, B) are the ratios of their weights; `starts` (maps, 2, B)
    those of the density of starts, 0 where a map has none; `log_norm` is that of their pool.
    """

    log_w: np.ndarray
    log_coarse: np.ndarray
    log_favour: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    starts: np.ndarray
    log_norm: float


def carry(bridges: Bridges, fitted: Fitted, paths: Paths, log_density: Tensor, beta: float) -> tuple[Tensor, ...]:
    """`fine`, `coarse` and `starts` of paths, for the log of the density of their starts (B,)."""
    assert fitted.theta is not None
    ref, starts, count = bridges.reference, fitted.starts, len(log_density)
    log_f = bridges.log_integrand(paths)
    log_coarse = log_f + bridges.coarse_change(paths)
    other = beta * torch.tensor([1 + STEP, 1 - STEP], dtype=torch.float64)
    scale = ref.width(other[:, None, None]) / ref.width(beta)
    by_map = []
    for moved, log_size in (
        bridges.about_centroid(paths, other, torch.ones_like(scale)),
        bridges.about_centroid(paths, other, scale),
        bridges.carry(fitted.theta, paths, other, scale),
    ):
        log_other = (bridges.log_integrand(moved) + log_size).view(2, count)
        coarse = log_other + bridges.coarse_change(moved).view(2, count)
        by_map.append([log_other - log_f, coarse - log_coarse, torch.zeros_like(log_other)])
    begin = starts.log_density(fitted.start_theta, moved.y[0], moved.sent, moved.beta).view(2, count)
    by_map[-1][2] = begin - log_density + ref.total(scale.log())[:, None]
    return tuple(torch.stack(parts) for parts in zip(*by_map, strict=True))


def slopes(pools: list[Carried], beta: float, gain: float) -> tuple[Estimate, Estimate, float]:
    """−∂ log Z/∂β and β² ∂² log Z/∂β², extrapolated to time step 0, and by how much twice the time step changes the first.

    `gain` is by how much halving the time step lowers its error, less one.

    The combination for one half of the pools is that of least variance in the other: estimators with a long tail would lose
    their weight just when they are high.
    """
    halves = [_Sides(pools[first::2]) for first in (0, 1)]
    best = [_best(half, beta) for half in halves]
    one, other = (_of_half(half, mixes, beta, gain) for half, mixes in zip(halves, reversed(best), strict=True))
    return 0.5 * (one[0] + other[0]), 0.5 * (one[1] + other[1]), 0.5 * (one[2] + other[2])


def _best(sides: _Sides, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """The combinations of estimators with the least variance for the first and the second derivative."""
    h, every = STEP * beta, sides.of_paths()
    first, second = (every[:, 0] - every[:, 1]) / (2 * h), (every.sum(1) - 2 * sides.share) / h**2
    slope, bend = first.mean(-1, keepdims=True), second.mean(-1, keepdims=True)
    influence = first - slope * sides.share
    curved = second - bend * sides.share - 2 * slope * influence
    return _least_variance(influence), _least_variance(curved)


def _of_half(
    sides: _Sides, mixes: tuple[np.ndarray, np.ndarray], beta: float, gain: float
) -> tuple[Estimate, Estimate, float]:
    """The numbers of `slopes` from one half, for given combinations."""
    h = STEP * beta
    mixed, bent = mixes

    def capacity(logs: np.ndarray) -> np.ndarray:
        return np.asarray(logs.sum(-1) @ bent / h**2 * beta**2)

    def energy(logs: np.ndarray) -> np.ndarray:
        # exact for log Z = a + b log β + c β, of the classical limit and of the ground state
        curvature = STEP**2 / (3 * beta) * capacity(logs)
        return np.asarray((logs[..., 1] - logs[..., 0]) @ mixed / (2 * h) - curvature)

    def extrapolated(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        def value(means: np.ndarray) -> np.ndarray:
            fine, coarse = (function(sides.of_means(means, kind)) for kind in (0, 1))
            return np.asarray(fine + (fine - coarse) / gain)

        return value

    means = sides.means()
    fine, coarse = (float(energy(sides.of_means(means.mean(0), kind))) for kind in (0, 1))
    first, second = (Estimate(*jackknife(means, extrapolated(function))) for function in (energy, capacity))
    return first, second, coarse - fine


class _Sides:
    """Z(β ± h)/Z of all estimators: each map alone, and with the known integral of the density of starts."""

    def __init__(self, pools: list[Carried]) -> None:
        self.pools = pools
        self.maps = len(pools[0].fine)
        self.top = max(float(pool.log_w.max()) for pool in pools)
        self.norm = max(pool.log_norm for pool in pools)
        weights = np.concatenate([np.exp(pool.log_w - self.top) for pool in pools])
        #: the share of each path of Z, of mean 1
        self.share = weights / weights.mean()
        self.log_unit = self.top + math.log(weights.mean())
        norms = np.array([pool.log_norm for pool in pools])
        self.log_norm = float(np.logaddexp.reduce(norms) - math.log(len(norms)))

    def _known(self, pool: Carried) -> np.ndarray:
        """What has the mean 0: (maps, 2, B)."""
        return np.asarray(np.exp(pool.log_norm - self.log_norm - pool.log_favour) * np.expm1(pool.starts))

    def of_paths(self) -> np.ndarray:
        """What each path adds to Z(β ± h)/Z, of all estimators (2 maps, 2, paths)."""
        plain = np.concatenate([_weights(pool.log_w - self.log_unit, pool.fine) for pool in self.pools], -1)
        known = np.concatenate([self._known(pool) for pool in self.pools], -1)
        return np.concatenate([plain, plain - plain.mean(-1, keepdims=True) * known])

    def means(self) -> np.ndarray:
        """Means over the paths of each pool (pools, k): weights, their ratios and what is known, for `of_means`."""
        rows = []
        for pool in self.pools:
            log_w, log_coarse = pool.log_w - self.log_unit, pool.log_coarse - self.log_unit
            parts = [np.exp(log_w), np.exp(log_coarse), _weights(log_w, pool.fine), _weights(log_coarse, pool.coarse)]
            rows.append(np.concatenate([x.mean(-1).ravel() for x in (*parts, self._known(pool))]))
        return np.array(rows)

    def of_means(self, means: np.ndarray, kind: int) -> np.ndarray:
        """log Z(β ± h)/Z (…, 2 maps, 2) of means (…, k), by once (kind 0) or twice (1) the time step."""
        width = 2 * self.maps
        begin = 2 + kind * width
        both, plain = means[..., begin : begin + width], means[..., kind : kind + 1]
        logs: np.ndarray = np.log(both / plain)
        found = np.concatenate([logs, logs - means[..., -width:]], -1)
        return np.asarray(found.reshape(*means.shape[:-1], 2 * self.maps, 2))


def _weights(log_w: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Weights (maps, 2, B) at β ± h; what has no weight at all has none there."""
    return np.asarray(np.exp(np.where(np.isfinite(log_w), log_w + ratio, -math.inf)))


def _least_variance(rows: np.ndarray) -> np.ndarray:
    """Weights (k,) of sum 1 with the least variance of the weighted mean of rows (k, paths)."""
    matrix = rows @ rows.T
    # what is nearly the same must not be played off against one another
    matrix += 1e-3 * np.diag(np.diag(matrix)) + 1e-300 * np.eye(len(matrix))
    solved = np.linalg.solve(matrix / np.diag(matrix).min(), np.ones(len(matrix)))
    return np.asarray(solved / solved.sum())


def jackknife(means: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """The value of a function of the mean over pools, means (pools, k), and its error from leaving each pool out."""
    count, total = len(means), means.sum(0)
    value = float(function(total / count))
    if count < 2:
        return value, math.inf
    without = function((total - means) / (count - 1))
    return value, float(math.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
