"""Where particles are at a temperature, roughly: walkers annealed in V, and a mixture of Gaussians fitted to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: walkers, stages of annealing and Metropolis moves of each
WALKERS, STAGES, MOVES = 2048, 24, 8
#: Gaussians of a mixture, rounds of its fit, and by how much its widths are stretched
COMPONENTS, ROUNDS, STRETCH = 4, 60, 1.15
#: weight and widths of the broad component that leaves no well out
BROAD, BREADTH = 0.1, 2.0


def anneal(
    energy: Callable[[Tensor], Tensor], shape: tuple[int, int], beta: float, generator: torch.Generator
) -> Tensor:
    """Walkers (WALKERS, n, D) distributed about as e^(−βV), V the `energy` (B,) of coordinates (B, n, D).

    They begin far out, where V is many temperatures high, and are cooled: all wells that count are filled by their weights.
    """
    dim = math.prod(shape)
    normal = torch.randn(WALKERS, *shape, generator=generator, dtype=torch.float64)
    width = 0.5
    for _ in range(40):
        value = energy(width * normal)
        if float(beta * (value.median() - value.min())) > 4 * dim:
            break
        width *= 1.3
    y = width * normal
    value = energy(y)
    log_start = -0.5 * (y / width).square().sum((1, 2))
    reach, before = 0.5 * width, 0.0
    for stage in range(1, STAGES + 1):
        share = (stage / STAGES) ** 3
        # from the Gaussian to e^(−βV)
        weight = ((share - before) * (-beta * value - log_start)).softmax(0)
        at = (
            torch.arange(WALKERS, dtype=torch.float64) + torch.rand(1, generator=generator, dtype=torch.float64)
        ) / WALKERS
        pick = torch.searchsorted(weight.cumsum(0), at).clamp_max(WALKERS - 1)
        y, value, log_start = y[pick], value[pick], log_start[pick]
        for _ in range(MOVES):
            trial = y + reach * torch.randn(y.shape, generator=generator, dtype=torch.float64)
            other, other_start = energy(trial), -0.5 * (trial / width).square().sum((1, 2))
            change = share * beta * (value - other) + (1 - share) * (other_start - log_start)
            accepted = torch.rand(WALKERS, generator=generator, dtype=torch.float64).log() < change
            y = torch.where(accepted[:, None, None], trial, y)
            value, log_start = torch.where(accepted, other, value), torch.where(accepted, other_start, log_start)
            reach *= 1.1 if float(accepted.double().mean()) > 0.35 else 0.9
        before = share
    return y


@dataclass(frozen=True)
class Mixture:
    """Gaussians in D dimensions: weights (K,), means (K, D) and lower triangular factors (K, D, D) of the covariances."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    @classmethod
    def fitted(cls, y: Tensor, generator: torch.Generator) -> Mixture:
        """The mixture of most likelihood for places y (S, D), stretched, with a broad component."""
        count, dim = y.shape
        spread = torch.cov(y.T).view(dim, dim)
        means = y[torch.randperm(count, generator=generator)[:COMPONENTS]]
        covariances = 0.25 * spread.expand(COMPONENTS, dim, dim).clone()
        weights = torch.full((COMPONENTS,), 1 / COMPONENTS, dtype=torch.float64)
        for _ in range(ROUNDS):
            parts = cls(weights, means, torch.linalg.cholesky(covariances)).log_parts(y)
            belongs = parts.softmax(1)
            counts = belongs.sum(0) + 1e-3
            weights = counts / counts.sum()
            means = (belongs.T @ y) / counts[:, None]
            apart = y[:, None] - means
            covariances = torch.einsum("sk,ska,skb->kab", belongs, apart, apart) / counts[:, None, None]
            covariances = covariances + 1e-2 * spread
        every = torch.cat([STRETCH**2 * covariances, BREADTH**2 * spread[None]])
        centre = y.mean(0, keepdim=True)
        return cls(
            torch.cat([(1 - BROAD) * weights, weights.new_tensor([BROAD])]),
            torch.cat([means, centre]),
            torch.linalg.cholesky(every),
        )

    def log_parts(self, y: Tensor) -> Tensor:
        """log of weight times density of each component (S, K) at y (S, D)."""
        apart = y[:, None] - self.means
        inner = torch.linalg.solve_triangular(self.factors, apart.permute(1, 2, 0), upper=False)
        size = self.factors.diagonal(dim1=-1, dim2=-2).log().sum(-1)
        constant = self.weights.log() - size - 0.5 * y.shape[1] * math.log(2 * math.pi)
        found: Tensor = constant - 0.5 * inner.square().sum(1).T
        return found

    def log_density(self, y: Tensor) -> Tensor:
        """log density (…) at y (…, D)."""
        return self.log_parts(y.flatten(0, -2)).logsumexp(1).view(y.shape[:-1])

    def draw(self, uniform: Tensor) -> Tensor:
        """Places (S, D) of uniform numbers (S, D + 1) in (0, 1)."""
        which = torch.searchsorted(self.weights.cumsum(0), uniform[:, 0].contiguous()).clamp_max(len(self.weights) - 1)
        normal = math.sqrt(2) * torch.erfinv((2 * uniform[:, 1:] - 1).clamp(-1 + 1e-15, 1 - 1e-15))
        return self.means[which] + (self.factors[which] @ normal[..., None])[..., 0]


@dataclass(frozen=True)
class Bases:
    """The density of independent bodies: a mixture for each kind, and the kind of each body."""

    mixtures: tuple[Mixture, ...]
    of_body: tuple[int, ...]

    @classmethod
    def fitted(cls, y: Tensor, of_body: tuple[int, ...], generator: torch.Generator) -> Bases:
        """Mixtures for the places of bodies y (S, n, D)."""
        kinds = range(max(of_body) + 1)
        of_kind = [[i for i, kind in enumerate(of_body) if kind == k] for k in kinds]
        return cls(tuple(Mixture.fitted(y[:, bodies].flatten(0, 1), generator) for bodies in of_kind), of_body)

    def _parts(self, x: Tensor) -> list[tuple[Mixture, Tensor]]:
        """The part of x (…, n, ·) of each kind, whose bodies follow one another."""
        counts = [self.of_body.count(kind) for kind in range(len(self.mixtures))]
        return list(zip(self.mixtures, x.split(counts, -2), strict=True))

    def log_density(self, y: Tensor) -> Tensor:
        """log density (…) of all bodies at y (…, n, D)."""
        return torch.cat([mixture.log_density(part) for mixture, part in self._parts(y)], -1).sum(-1)

    def draw(self, uniform: Tensor) -> Tensor:
        """Places (S, n, D) of uniform numbers (S, n, D + 1) in (0, 1)."""
        parts = self._parts(uniform)
        return torch.cat([m.draw(u.flatten(0, 1)).view(*u.shape[:2], -1) for m, u in parts], 1)
