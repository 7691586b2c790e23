"""The density q of the starts of closed paths: a mixture of Gaussians for each body, by its kind, times e^U with a learned U.

Where bodies are bosons, a permutation is drawn with each start.

The integral of base · v with the factor v = e^(U − c) + ε is not known. Starts are picked from a pool of cheap draws of the
base in proportion to v. The mean of v over the pool times the mean of f/(base · v · proposal) over its picks is Z without a
bias, pool by pool: the scatter between pools has the error of the normalisation too. A pool is a scrambled Sobol sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.thermal.cloud import Bases
from fkflow.thermal.drift import nearness
from fkflow.thermal.exchanges import Exchanges
from fkflow.thermal.kinds import apart, differences
from fkflow.thermal.perceptron import Layers, Perceptron
from fkflow.thermal.reference import Reference

#: ε, so that no place of the base is left out
DEFENCE = 0.01
#: draws of a pool over which the mean gradient of U is taken
MEAN = 4096
#: widths of Gaussians of distances, in natural units, and width of the layers
WIDTHS, HIDDEN = (0.2, 0.35, 0.6, 1.0, 1.8), 10


@dataclass(frozen=True)
class Start:
    """Starts y (B, n, D), permutations `sent` (B, n), log base + log v + log of the probability of P (B,), and the log of
    the mean of v over their pool.

    `effective` is the effective share of the pool; `jacobian` (B, parameters) is that of −log q, if it was asked for.
    """

    y: Tensor
    sent: Tensor
    log_density: Tensor
    log_norm: Tensor
    effective: float
    jacobian: Tensor | None


class Starts:
    """q of the bodies of a reference at β; `theta` are the parameters of U and of the exchanges, `level` is c."""

    def __init__(self, base: Bases, reference: Reference, beta: float, centres: Tensor | None = None) -> None:
        self.base, self.bodies, self.beta, self.dim = base, reference.bodies, beta, reference.axes
        self.kinds = reference.kinds
        self.signs = differences(self.bodies, self.kinds)
        told = () if self.kinds is None else (self.kinds.bodies(), self.kinds.of_pairs())
        #: pinned charges (A, n, D)
        self.centres = reference.frequencies.new_zeros(0, self.bodies, self.dim) if centres is None else centres
        inputs = 2 * self.dim + 1 + len(self.centres) + (told[0].shape[1] if told else 0)
        self.body_net = Perceptron(inputs, HIDDEN, 1)
        inputs = len(WIDTHS) + 1 + (told[1].shape[1] if told else 0)
        self.pair_net = Perceptron(inputs, HIDDEN, 1) if self.bodies > 1 else None
        self.told = told
        self.nets = [net for net in (self.body_net, self.pair_net) if net is not None]
        self.own = sum(net.size for net in self.nets)
        self.exchanges = Exchanges(reference) if reference.bosons else None
        self.size = self.own + (self.exchanges.size if self.exchanges else 0)
        self.level = 0.0

    def start(self, generator: torch.Generator) -> Tensor:
        """Random parameters, with U = 0."""
        parts = [net.start(generator) for net in self.nets]
        if self.exchanges is not None:
            parts.append(self.exchanges.start(generator))
        return torch.cat(parts)

    def _inputs(self, y: Tensor) -> list[Tensor]:
        squares = y.square()
        alone = [y, squares / (1 + 0.1 * squares), squares.sum(-1, keepdim=True) / 8]
        inputs = [torch.cat([*alone, nearness(self.centres, y)] if len(self.centres) else alone, -1)]
        if self.pair_net is not None:
            square = apart(self.signs, self.kinds, y).square().sum(-1, keepdim=True)
            inputs.append(torch.cat([*((-0.5 * square / w**2).exp() for w in WIDTHS), 0.1 * square], -1))
        if self.told:
            told = zip(inputs, self.told, strict=False)
            return [torch.cat([found, kinds.expand(len(y), -1, -1)], -1) for found, kinds in told]
        return inputs

    def _exponent(self, theta: Tensor, y: Tensor) -> tuple[Tensor, list[Layers]]:
        """U (B,) and the layers of the networks."""
        total, layers, begin = y.new_zeros(len(y)), [], 0
        for net, inputs in zip(self.nets, self._inputs(y), strict=True):
            found, hidden = net(theta[begin : begin + net.size], inputs)
            total = total + found.sum((1, 2))
            layers.append(hidden)
            begin += net.size
        return total, layers

    def _jacobian(self, theta: Tensor, layers: list[Layers], slope: Tensor) -> Tensor:
        found, begin = [], 0
        for net, hidden in zip(self.nets, layers, strict=True):
            column = slope[:, None, None].expand(-1, hidden[0].shape[1], 1)
            found.append(net.jacobian(theta[begin : begin + net.size], hidden, column))
            begin += net.size
        return torch.cat(found, 1)

    def _sum(self, theta: Tensor, layers: list[Layers], slope: Tensor) -> Tensor:
        """The sum (1, own) over the rows of the Jacobian."""
        every = [tuple(part.flatten(0, 1)[None] for part in hidden) for hidden in layers]
        found, begin = [], 0
        for net, hidden in zip(self.nets, every, strict=True):
            column = slope.repeat_interleave(hidden[0].shape[1] // len(slope))[None, :, None]
            found.append(net.jacobian(theta[begin : begin + net.size], hidden, column))  # type: ignore[arg-type]
            begin += net.size
        return torch.cat(found, 1)

    def draw(self, theta: Tensor, count: int, pool: int, seed: int, jacobian: bool = False, others: int = 0) -> Start:
        """`count` starts from a pool of so many draws, the last `others` of them picked as if v were 1."""
        sobol = torch.quasirandom.SobolEngine(self.bodies * (self.dim + 1), scramble=True, seed=seed)
        y = self.base.draw(sobol.draw(pool, dtype=torch.float64).view(pool, self.bodies, self.dim + 1))
        if self.bodies * self.dim == 1:
            # in the order of their places, of which the picks then have each its share
            y = y.sort(0).values
        exponent, layers = self._exponent(theta, y)
        learned = (exponent - self.level).exp()
        factor = learned + DEFENCE
        generator = torch.Generator().manual_seed(seed)
        share = factor / factor.sum()
        pick = picks(share, count - others, generator)
        if others:
            pick = torch.cat([pick, picks(torch.full_like(share, 1 / pool), others, generator)])
        picked = y[pick]
        log_density = self.base.log_density(picked) + factor[pick].log()
        slope = None
        if jacobian:
            part = learned / factor
            rows = self._jacobian(theta, [(x[pick], h[pick], g[pick]) for x, h, g in layers], part[pick])
            # a part of the pool, evenly
            some = slice(0, None, max(1, pool // MEAN))
            weights = learned[some] / factor[some].sum()
            slope = self._sum(theta, [(x[some], h[some], g[some]) for x, h, g in layers], weights) - rows
        effective = float(1 / (share.square().sum() * pool))
        sent = torch.arange(self.bodies).expand(count, -1)
        if self.exchanges is not None:
            exchange = self.exchanges.draw(theta[self.own :], picked, self.beta, generator, jacobian)
            sent, log_density = exchange.sent, log_density + exchange.log_probability
            if slope is not None and exchange.jacobian is not None:
                slope = torch.cat([slope, -exchange.jacobian], 1)
        return Start(picked, sent, log_density, factor.mean().log(), effective, slope)

    def log_density(self, theta: Tensor, y: Tensor, sent: Tensor, beta: Tensor | float) -> Tensor:
        """log base + log v + log of the probability of P at β of starts y (B, n, D) and permutations (B, n)."""
        factor = (self._exponent(theta, y)[0] - self.level).exp() + DEFENCE
        found = self.base.log_density(y) + factor.log()
        if self.exchanges is not None:
            found = found + self.exchanges.log_probability(theta[self.own :], y, sent, beta)
        return found


def picks(share: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers (count,) of draws by their `share`: one in each of so many equal parts of the pool, in random order."""
    at = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
    pick = torch.searchsorted(share.cumsum(0), at).clamp_max(len(share) - 1)
    return pick[torch.randperm(count, generator=generator)]
