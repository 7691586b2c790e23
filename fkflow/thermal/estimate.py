"""Free energy, energy and heat capacity from weighted closed paths, with errors that include that of the normalisation.

Z(β) is the mean of the weights. The same paths, carried to β ± h by a smooth map, give Z(β ± h) with nearly the same noise:
E = −∂ log Z/∂β and C = β² ∂² log Z/∂β² are differences of them. Maps differ in their noise only, so that the best combination
of their energies is that of least variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.statistics import Estimate
from fkflow.thermal.bridges import Bridges, Paths
from fkflow.thermal.fit import Fitted

#: relative step of β in the differences
STEP = 0.01
#: pools at least, and pools, of several bodies or one, of which one is carried to other β
POOLS, CARRIED = 24, (2, 8)
#: draws of a pool for each of its paths
DRAWS = 32


@dataclass(frozen=True)
class Batch:
    """The paths of one pool: log w (B,), with every second point (B,), and log ratios to β ± h by maps (maps, 2, B) or none."""

    paths: Paths
    log_w: Tensor
    log_coarse: Tensor
    carried: Tensor | None


def batches(
    bridges: Bridges, fitted: Fitted, beta: float, steps: int, count: int, generator: torch.Generator
) -> Iterator[Batch]:
    """Paths of one pool after another, without end, at β in natural units."""
    every = CARRIED[0] if bridges.reference.bodies > 1 else CARRIED[1]
    number = 0
    while True:
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        start = fitted.starts.draw(fitted.start_theta, count, DRAWS * count, seed)
        paths, _ = bridges.draw(fitted.theta, start.y, beta, steps, generator)
        log_f = bridges.log_integrand(paths.y, paths.rest, paths.squares, beta)
        log_w = log_f - paths.log_proposal - start.log_density + start.log_norm
        if not bool((log_w < math.inf).all()):
            raise NumericalError("a path has no weight: the potential is not a number where it went")
        carried = None
        if fitted.theta is not None and number % every == 0:
            ratios = [_ratios(bridges, fitted.theta, paths, beta * (1 + side * STEP), beta) for side in (1, -1)]
            carried = torch.stack(ratios, 1) - log_f
        yield Batch(paths, log_w, log_w + bridges.coarse_change(paths, beta), carried)
        number += 1


def _ratios(bridges: Bridges, theta: Tensor, paths: Paths, other: float, beta: float) -> Tensor:
    """log f with the log of the Jacobian (maps, B) of the paths carried to the inverse temperature `other`."""
    ref = bridges.reference
    stretch = ref.width(other) / ref.width(beta)
    maps = [bridges.about_centroid(paths, other, scale) for scale in (torch.ones_like(stretch), stretch)]
    if ref.bodies == 1:
        # with several bodies the mean over their permutations jumps, and with it the paths that follow it
        maps += [bridges.carry(theta, paths, other, scale) for scale in (torch.ones_like(stretch), stretch)]
    return torch.stack([log_f + log_size for log_f, log_size in maps])


class Sums:
    """What is kept of all batches: weights of paths by pools, and their ratios to other β."""

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self.log_w: list[np.ndarray] = []
        self.log_coarse: list[np.ndarray] = []
        self.carried: dict[int, np.ndarray] = {}

    def add(self, batch: Batch) -> None:
        """Add the paths of one pool."""
        if batch.carried is not None:
            self.carried[len(self.log_w)] = batch.carried.numpy()
        self.log_w.append(batch.log_w.numpy())
        self.log_coarse.append(batch.log_coarse.numpy())

    @property
    def pools(self) -> int:
        """The number of pools."""
        return len(self.log_w)

    @property
    def paths(self) -> int:
        """The number of paths."""
        return sum(map(len, self.log_w))

    def ess(self) -> float:
        """The effective share of the paths."""
        weights = np.exp(np.concatenate(self.log_w) - self._top())
        return float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))

    def _top(self) -> float:
        return float(max(pool.max() for pool in self.log_w))

    def log_z(self, part: slice = slice(None)) -> Estimate:
        """log Z and its error, from the scatter of the pools, or from that of paths if it is larger."""
        top = self._top()
        weights = [np.exp(pool - top) for pool in self.log_w[part]]
        value, error = _jackknife(np.array([[pool.mean()] for pool in weights]), lambda z: np.log(z[..., 0]))
        every = np.concatenate(weights)
        alone = float(every.std() / every.mean() / math.sqrt(len(every)))
        return Estimate(top + value, max(error, alone))

    def step_change(self) -> Estimate:
        """log Z of twice the time step minus log Z, of the same paths."""
        top = self._top()
        means = [
            [np.exp(pool - top).mean() for pool in (fine, coarse)]
            for fine, coarse in zip(self.log_w, self.log_coarse, strict=True)
        ]
        return Estimate(*_jackknife(np.array(means), lambda z: np.log(z[..., 1] / z[..., 0])))

    def slopes(self) -> tuple[Estimate, Estimate]:
        """−∂ log Z/∂β and β² ∂² log Z/∂β², in natural units, each the best combination of the maps."""
        top, h = self._top(), STEP * self.beta
        weights = [np.exp(self.log_w[pool] - top) for pool in self.carried]
        # at the other β: a path of hardly any weight may have much more there, but no more than others
        others = []
        for pool, ratio in self.carried.items():
            share = self.log_w[pool] - top
            # what has no weight at all has none there
            others.append(np.exp(np.where(np.isfinite(share), share + ratio, -math.inf)))
        w, r = np.concatenate(weights), np.concatenate(others, -1)
        first, second = (r[:, 0] - r[:, 1]) / (2 * h), (r.sum(1) - 2 * w) / h**2
        z = w.sum()
        slope, bend = first.sum(-1) / z, second.sum(-1) / z
        influence = first - slope[:, None] * w
        curved = second - bend[:, None] * w - 2 * slope[:, None] * influence
        # rows of pools: Z, then Z(β + h) and Z(β − h) of each map
        means = np.array([[y.mean(), *each.mean(-1).ravel()] for y, each in zip(weights, others, strict=True)])
        mixed, bent = _least_variance(influence), _least_variance(curved)

        def energy(m: np.ndarray) -> np.ndarray:
            logs = np.log(m[..., 1:] / m[..., :1]).reshape(*m.shape[:-1], -1, 2)
            return np.asarray(-(logs[..., 0] - logs[..., 1]) @ mixed / (2 * h))

        def capacity(m: np.ndarray) -> np.ndarray:
            logs = np.log(m[..., 1:] / m[..., :1]).reshape(*m.shape[:-1], -1, 2)
            return np.asarray(logs.sum(-1) @ bent / h**2 * self.beta**2)

        found = []
        for function, rows in ((energy, mixed @ influence), (capacity, self.beta**2 * bent @ curved)):
            value, error = _jackknife(means, function)
            # few pools do not tell their scatter well
            found.append(Estimate(value, max(error, float(np.linalg.norm(rows) / z))))
        return found[0], found[1]


def _least_variance(rows: np.ndarray) -> np.ndarray:
    """Weights (maps,) of sum 1 with the least variance of the weighted mean of rows (maps, paths)."""
    matrix = rows @ rows.T
    # maps that are nearly the same must not be played off against one another
    matrix += 1e-3 * np.diag(np.diag(matrix)) + 1e-300 * np.eye(len(matrix))
    solved = np.linalg.solve(matrix / np.diag(matrix).min(), np.ones(len(matrix)))
    return np.asarray(solved / solved.sum())


def _jackknife(means: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """The value of a function of the mean over pools, means (pools, k), and its error from leaving each pool out."""
    count, total = len(means), means.sum(0)
    value = float(function(total / count))
    if count < 2:
        return value, math.inf
    without = function((total - means) / (count - 1))
    return value, float(math.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
