"""The density q of the starts of closed paths: a mixture of Gaussians for each body, times e^U with a learned U.

The integral of base · v with the factor v = e^(U − c) + ε is not known. Starts are picked from a pool of cheap draws of the
base in proportion to v. The mean of v over the pool times the mean of f/(base · v · proposal) over its picks is Z without a
bias, pool by pool: the scatter between pools has the error of the normalisation too. A pool is a scrambled Sobol sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pairs
from fkflow.thermal.cloud import Mixture
from fkflow.thermal.perceptron import Perceptron

#: ε, so that no place of the base is left out
DEFENCE = 0.01
#: draws of a pool over which the mean gradient of U is taken
MEAN = 4096
#: widths of Gaussians of distances, in natural units, and width of the layers
WIDTHS, HIDDEN = (0.2, 0.35, 0.6, 1.0, 1.8), 10


@dataclass(frozen=True)
class Start:
    """Starts y (B, n, D), log base + log v of each (B,), and the log of the mean of v over their pool.

    `effective` is the effective share of the pool; `jacobian` (B, parameters) is that of −log q, if it was asked for.
    """

    y: Tensor
    log_density: Tensor
    log_norm: Tensor
    effective: float
    jacobian: Tensor | None


class Starts:
    """q of n bodies in D dimensions; `theta` are the parameters of U, `level` is c."""

    def __init__(self, base: Mixture, bodies: int) -> None:
        self.base, self.bodies = base, bodies
        self.dim = base.means.shape[1]
        self.body_net = Perceptron(2 * self.dim + 1, HIDDEN, 1)
        self.pair_net = Perceptron(len(WIDTHS) + 1, HIDDEN, 1) if bodies > 1 else None
        self.size = self.body_net.size + (self.pair_net.size if self.pair_net else 0)
        self.level = 0.0

    def start(self, generator: torch.Generator) -> Tensor:
        """Random parameters, with U = 0."""
        nets = [net for net in (self.body_net, self.pair_net) if net is not None]
        return torch.cat([net.start(generator) for net in nets])

    def _inputs(self, y: Tensor) -> list[Tensor]:
        squares = y.square()
        inputs = [torch.cat([y, squares / (1 + 0.1 * squares), squares.sum(-1, keepdim=True) / 8], -1)]
        if self.pair_net is not None:
            first, second = pairs(self.bodies, y.device)
            square = (y[:, first] - y[:, second]).square().sum(-1, keepdim=True)
            inputs.append(torch.cat([*((-0.5 * square / w**2).exp() for w in WIDTHS), 0.1 * square], -1))
        return inputs

    def _exponent(self, theta: Tensor, y: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        """U (B,) and the layers of the networks."""
        total, layers, begin = y.new_zeros(len(y)), [], 0
        nets = (self.body_net, self.pair_net)
        for net, inputs in zip(nets, self._inputs(y), strict=False):
            assert net is not None
            found, hidden = net(theta[begin : begin + net.size], inputs)
            total = total + found.sum((1, 2))
            layers.append(hidden)
            begin += net.size
        return total, layers

    def _jacobian(self, theta: Tensor, layers: list[tuple[Tensor, Tensor, Tensor]], slope: Tensor) -> Tensor:
        found, begin = [], 0
        for net, hidden in zip((self.body_net, self.pair_net), layers, strict=False):
            assert net is not None
            column = slope[:, None, None].expand(-1, hidden[0].shape[1], 1)
            found.append(net.jacobian(theta[begin : begin + net.size], hidden, column))
            begin += net.size
        return torch.cat(found, 1)

    def draw(self, theta: Tensor, count: int, pool: int, seed: int, jacobian: bool = False) -> Start:
        """`count` starts from a pool of so many draws."""
        sobol = torch.quasirandom.SobolEngine(self.bodies * (self.dim + 1), scramble=True, seed=seed)
        uniform = sobol.draw(pool, dtype=torch.float64).view(pool * self.bodies, self.dim + 1)
        y = self.base.draw(uniform).view(pool, self.bodies, self.dim)
        exponent, layers = self._exponent(theta, y)
        learned = (exponent - self.level).exp()
        factor = learned + DEFENCE
        generator = torch.Generator().manual_seed(seed)
        # one pick in each of `count` equal parts of the pool, in random order
        share = factor / factor.sum()
        at = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
        pick = torch.searchsorted(share.cumsum(0), at).clamp_max(pool - 1)
        pick = pick[torch.randperm(count, generator=generator)]
        log_density = self.base.log_density(y[pick]).sum(1) + factor[pick].log()
        slope = None
        if jacobian:
            part = learned / factor
            chosen = [(x[pick], h[pick], g[pick]) for x, h, g in layers]
            rows = self._jacobian(theta, chosen, part[pick])
            some = slice(0, MEAN)
            weights = learned[some] / factor[some].sum()
            mean = self._jacobian(theta, [(x[some], h[some], g[some]) for x, h, g in layers], weights).sum(0)
            slope = mean - rows
        effective = float(1 / (share.square().sum() * pool))
        return Start(y[pick], log_density, factor.mean().log(), effective, slope)
