"""Permutations of identical bosons: drawn from all n! by their probability, which is a ratio to a permanent.

A closed path from y0 ends in P y0. P has the probability Π_i a_iP(i) / perm a, with a_ij the kernel of the reference from body
i to the place of body j over that of staying, times e^c for j ≠ i, with a learned c. a_ij is 0 for bodies of different kinds.
Sums over permutations are sums over subsets: F(S) of the first k bodies, sent to the places S, is Σ_j a_kj F(S without j). They
take n 2^n terms, none of them negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from fkflow.thermal.perceptron import Perceptron
from fkflow.thermal.reference import Reference

#: widths of Gaussians of distances, in natural units, and width of the layers
WIDTHS, HIDDEN = (0.3, 0.6, 1.0, 1.8), 10


@dataclass(frozen=True)
class Exchange:
    """Permutations `sent` (B, n), i to P(i), and the log of their probability (B,), with its Jacobian if it was asked for."""

    sent: Tensor
    log_probability: Tensor
    jacobian: Tensor | None = None


class Exchanges:
    """Draws permutations of n bosons at β; `theta` are the parameters of c."""

    def __init__(self, reference: Reference) -> None:
        self.reference, self.bodies = reference, reference.bodies
        kinds = reference.kinds
        self.rows = None if kinds is None else kinds.bodies()
        self.other = None if kinds is None else ~kinds.same()
        self.net = Perceptron(len(WIDTHS) + 4 + (0 if self.rows is None else self.rows.shape[1]), HIDDEN, 1)
        self.size = self.net.size

    def start(self, generator: torch.Generator) -> Tensor:
        """Random parameters, with c = 0."""
        return self.net.start(generator)

    def _log_steps(
        self, theta: Tensor, y: Tensor, beta: Tensor | float
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """log a (B, n, n), and the layers of c."""
        apart = y[:, :, None] - y[:, None]
        squares = apart.square().sum(-1)
        omega, time = (
            self.reference.frequencies.unsqueeze(-2),
            torch.as_tensor(beta, dtype=torch.float64).reshape(-1, 1, 1, 1),
        )
        action = 0.5 * (omega / (omega * time).sinh() * apart.square()).sum(-1)
        crowd = (-0.5 * squares).exp().sum(2) - 1
        both = crowd[:, :, None] + crowd[:, None]
        away = y.square().sum(-1)
        inputs = [(-0.5 * squares / width**2).exp() for width in WIDTHS]
        inputs += [squares.sqrt(), action.neg().exp(), both, 0.1 * (away[:, :, None] + away[:, None])]
        rows = torch.stack(inputs, -1)
        if self.rows is not None:
            rows = torch.cat([rows, self.rows[:, None].expand(*rows.shape[:3], -1)], -1)
        rows = rows.flatten(1, 2)
        learned, layers = self.net(theta, rows)
        off = 1 - torch.eye(self.bodies, dtype=torch.float64)
        log_a = off * learned.view(squares.shape) - action
        # no body takes the place of one of another kind
        return log_a if self.other is None else log_a.masked_fill(self.other, -math.inf), layers

    def draw(
        self, theta: Tensor, y: Tensor, beta: float, generator: torch.Generator, jacobian: bool = False
    ) -> Exchange:
        """A permutation for each y0 = `y` (B, n, D)."""
        log_a, layers = self._log_steps(theta, y, beta)
        a = log_a.exp()
        sums = _subset_sums(a)
        count = len(y)
        sent = torch.empty(count, self.bodies, dtype=torch.long)
        left = torch.full((count,), 2**self.bodies - 1)
        bits = 2 ** torch.arange(self.bodies)
        for k in reversed(range(self.bodies)):
            inside = (left[:, None] & bits) > 0
            without = (left[:, None] - bits).clamp_min(0)
            share = torch.where(inside, a[:, k] * sums.gather(1, without), 0.0)
            chosen = torch.multinomial(share, 1, generator=generator)[:, 0]
            sent[:, k] = chosen
            left = left - bits[chosen]
        log_probability = _along(log_a, sent) - sums[:, -1].log()
        if not jacobian:
            return Exchange(sent, log_probability)
        slope = torch.nn.functional.one_hot(sent, self.bodies).double() - _shares(log_a)
        slope = slope * (1 - torch.eye(self.bodies, dtype=torch.float64))
        rows = self.net.jacobian(theta, layers, slope.view(count, -1, 1))
        return Exchange(sent, log_probability, rows)

    def log_probability(self, theta: Tensor, y: Tensor, sent: Tensor, beta: Tensor | float) -> Tensor:
        """log of the probability (B,) of given permutations at β, a number or (B,)."""
        log_a, _ = self._log_steps(theta, y, beta)
        return _along(log_a, sent) - _subset_sums(log_a.exp())[:, -1].log()


def _along(log_a: Tensor, sent: Tensor) -> Tensor:
    """Σ_i log a_iP(i) (B,)."""
    return log_a.gather(2, sent[..., None])[..., 0].sum(1)


def _shares(log_a: Tensor) -> Tensor:
    """The probability (B, n, n) that P sends i to j: the slope of the log of the permanent."""
    with torch.enable_grad():
        log_a = log_a.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(_subset_sums(log_a.exp())[:, -1].log().sum(), log_a)
    return slope


def _subset_sums(a: Tensor) -> Tensor:
    """F (B, 2^n) of all subsets by their bits, the last the permanent of a (B, n, n)."""
    layers = [torch.ones_like(a[:, 0, :1])]
    order = _subsets(a.shape[1])
    for k, (members, before) in enumerate(order.layers):
        layers.append((a[:, k, members] * layers[-1][:, before]).sum(-1))
    return torch.cat(layers, 1)[:, order.place]


@dataclass(frozen=True)
class _Subsets:
    """For each size k the members (S, k) of its subsets, and where the subset without each is; `place` (2^n,) by bits."""

    layers: list[tuple[Tensor, Tensor]]
    place: Tensor


@cache
def _subsets(bodies: int) -> _Subsets:
    by_size: list[list[int]] = [[] for _ in range(bodies + 1)]
    for bits in range(2**bodies):
        by_size[bits.bit_count()].append(bits)
    layers = []
    for smaller, sets in zip(by_size, by_size[1:], strict=False):
        where = {bits: k for k, bits in enumerate(smaller)}
        members = [[j for j in range(bodies) if bits >> j & 1] for bits in sets]
        before = [[where[bits - (1 << j)] for j in inside] for bits, inside in zip(sets, members, strict=True)]
        layers.append((torch.tensor(members), torch.tensor(before)))
    flat = [bits for sets in by_size for bits in sets]
    place = torch.empty(2**bodies, dtype=torch.long)
    place[torch.tensor(flat)] = torch.arange(2**bodies)
    return _Subsets(layers, place)
