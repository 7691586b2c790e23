"""What open paths end in: a sum of Gaussians h, or points, whose evolution under the reference is known in closed form.

With h(z) = Σ_k c_k N(z; μ_k, σ_k²) and the kernel k0 of H0 the function g(y, τ) = (e^(−τ H0) h)(y) is a sum of Gaussians of y.
The process of the reference that ends in h (Doob's h-transform) steps from y with a mixture over k of Gaussians, with shares
c_k g_k(y, τ). σ_k = 0 is a point, and the process a bridge. All coordinates are those of the axes of the reference, (B, d).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.thermal.cloud import BREADTH, STRETCH

#: Gaussians of a sum, rounds of its fit, the weight of the broad one, and the least share of a variance
COMPONENTS, ROUNDS, BROAD, LEAST = 5, 80, 0.05, 1e-4


@dataclass(frozen=True)
class Move:
    """A step of the reference: means (B, K, d), deviations (K, d) and log shares (B, K) of its mixture."""

    means: Tensor
    deviations: Tensor
    log_shares: Tensor


class Ends:
    """h with log weights (K,), means (K, d), or (B, K, d) for each path its own, and deviations (K, d); all 0 for points."""

    def __init__(self, frequencies: Tensor, log_weights: Tensor, means: Tensor, deviations: Tensor) -> None:
        self.frequencies = frequencies
        self.log_weights, self.means, self.deviations = log_weights, means, deviations
        self.points = not bool(deviations.any())

    def rows(self, which: Tensor) -> Ends:
        """The ends of the paths of these numbers."""
        if self.means.dim() == 2:
            return self
        return Ends(self.frequencies, self.log_weights, self.means[which], self.deviations)

    def _slopes(self, left: float) -> tuple[Tensor, Tensor]:
        """P (K, d) and Q (…, K, d) of g_k ∝ exp(−½ P y² + Q y)."""
        variance = self.deviations.square()
        if left <= 0:
            return 1 / variance, self.means / variance
        c, s = _angles(self.frequencies, left)
        size = 1 + variance * c
        return c - variance * s.square() / size, s * self.means / size

    def log_parts(self, y: Tensor, left: float) -> Tensor:
        """log c_k + log g_k (B, K) at y (B, d) with the time `left`, which is above 0 for points."""
        variance = self.deviations.square()
        precision, slope = self._slopes(left)
        if left <= 0:
            constant = -0.5 * (self.means.square() / variance) - 0.5 * (2 * math.pi * variance).log()
        else:
            omega = self.frequencies
            c, _ = _angles(omega, left)
            size = 1 + variance * c
            angle = omega * left
            log_sinh = angle + (-(-2 * angle).exp()).log1p() - math.log(2)
            constant = 0.5 * (omega.log() - log_sinh - math.log(2 * math.pi) - size.log())
            constant = constant - 0.5 * self.means.square() * c / size
        exponent = -0.5 * precision * y[:, None].square() + slope * y[:, None]
        found: Tensor = self.log_weights + (constant + exponent).sum(-1)
        return found

    def log_value(self, y: Tensor, left: float = 0.0) -> Tensor:
        """log g (B,), or log h with no time left."""
        return self.log_parts(y, left).logsumexp(1)

    def move(self, y: Tensor, dt: float, left: float) -> Move:
        """The step `dt` of the reference from y (B, d) with the time `left` before it; for points not the last one."""
        c, s = _angles(self.frequencies, dt)
        precision, slope = self._slopes(left - dt if left - dt > 1e-9 * dt else 0.0)
        variance = 1 / (c + precision)
        means = variance * (s * y[:, None] + slope)
        return Move(means, variance.sqrt(), self.log_parts(y, left).log_softmax(1))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Places (count, d) distributed as h."""
        which = torch.multinomial(self.log_weights.softmax(0), count, True, generator=generator)
        normal = torch.randn(count, self.means.shape[-1], generator=generator, dtype=torch.float64)
        return self.means[which] + self.deviations[which] * normal


def points(frequencies: Tensor, places: Tensor) -> Ends:
    """The points (B, d) in which the paths end."""
    return Ends(frequencies, torch.zeros(1, dtype=torch.float64), places[:, None], torch.zeros_like(places[:1]))


def fitted(
    frequencies: Tensor, cloud: Tensor, log_value: Callable[[Tensor], Tensor], generator: torch.Generator
) -> Ends:
    """The sum of Gaussians of most likelihood for places (S, d), of which one is broad, at the height of e^`log_value`."""
    count, dim = cloud.shape
    spread = cloud.var(0) + 1e-12
    means = cloud[torch.randperm(count, generator=generator)[:COMPONENTS]]
    variances = (0.25 * spread).expand(COMPONENTS, dim).clone()
    weights = torch.full((COMPONENTS,), 1 / COMPONENTS, dtype=torch.float64)
    for _ in range(ROUNDS):
        belongs = Ends(frequencies, weights.log(), means, variances.sqrt()).log_parts(cloud, 0.0).softmax(1)
        counts = belongs.sum(0) + 1e-3
        weights = counts / counts.sum()
        means = (belongs.T @ cloud) / counts[:, None]
        apart = (cloud[:, None] - means).square()
        variances = torch.einsum("sk,ska->ka", belongs, apart) / counts[:, None] + LEAST * spread
    found = Ends(
        frequencies,
        torch.cat([((1 - BROAD) * weights).log(), weights.new_tensor([math.log(BROAD)])]),
        torch.cat([means, cloud.mean(0, keepdim=True)]),
        torch.cat([STRETCH * variances.sqrt(), BREADTH * spread.sqrt()[None]]),
    )
    off = log_value(cloud) - found.log_value(cloud)
    level = off[off.isfinite()].median()
    return Ends(frequencies, found.log_weights + level, found.means, found.deviations)


def _angles(omega: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """ω coth ωt and ω/sinh ωt."""
    return omega / (omega * time).tanh(), omega / (omega * time).sinh()
