"""The learned part of a step: a shift of its mean and a change of its covariance, from networks of bodies and of pairs.

In a step from y with the time τ left to the end y0 the reference moves to near·y + far·P y0 + s ξ. The learned step is
near·y + far·P y0 + s [κ tanh(u/κ) + (1 + G) ξ]: u and G are functions of y, y0 and τ, not of β, and vanish as τ → 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pairs
from fkflow.thermal.perceptron import Perceptron
from fkflow.thermal.reference import Bridge, Reference

#: most deviations by which a step is shifted, and largest change of its deviations in one direction
SHIFT, CHANGE = 4.0, 0.8
#: rate at which the drift fades as τ → 0, in natural times
FADE = 3.0
#: times over which the ends of a path are felt, and widths of Gaussians of distances, in natural units
TIMES, WIDTHS = (0.05, 0.2, 0.5, 1.0, 3.0), (0.25, 0.45, 0.8, 1.4)
#: force from which on an input grows no more
STRONG = 3.0


@dataclass(frozen=True)
class Step:
    """What a network sees in a step: its inputs of bodies (B, n, ·) and pairs (B, pairs, ·), and the vectors it scales."""

    bodies: Tensor
    pairs: Tensor | None
    force: Tensor
    apart: Tensor | None
    target: Tensor | None
    distance: Tensor | None


class Drift:
    """Networks of bodies and pairs; `theta` are the parameters of both, one after the other."""

    def __init__(self, reference: Reference, hidden: int) -> None:
        n, dim = reference.bodies, len(reference.frequencies)
        self.reference, self.dim = reference, dim
        self.first, self.second = pairs(n, torch.device("cpu"))
        self.signs = torch.zeros(len(self.first), n, dtype=torch.float64)
        rows = torch.arange(len(self.first))
        self.signs[rows, self.first], self.signs[rows, self.second] = 1.0, -1.0
        self.upper = torch.triu_indices(dim, dim)
        self.carried = self._carried_pairs() if len(reference.permutations) > 1 else None
        self.body_net = Perceptron(4 * dim + 4 + 2 * (n > 1), hidden, dim + 1 + self.upper.shape[1])
        self.pair_net = Perceptron(4 + 1 + 5 + 2 + 3 + 3 * (n > 2), hidden, 4) if n > 1 else None
        self.size = self.body_net.size + (self.pair_net.size if self.pair_net else 0)

    def start(self, generator: torch.Generator) -> Tensor:
        """Random parameters, with which the step is that of the reference."""
        nets = [net for net in (self.body_net, self.pair_net) if net is not None]
        return torch.cat([net.start(generator) for net in nets])

    def step(self, mean: Tensor, force: Tensor, start: Tensor, share: Tensor, target: Tensor, left: float) -> Step:
        """The inputs of a step.

        `mean` (B, n, D) is that of the reference over the permutations, of which `share` (B, p) are the probabilities, `target`
        the mean of the ends P y0 for the `start` y0, `force` −∇(V − V0) at y, `left` the time τ.
        """
        ones = torch.ones_like(mean[..., :1])
        tau = torch.tensor(left, dtype=torch.float64)
        weak = force / (1 + force.square().sum(-1, keepdim=True) / STRONG**2).sqrt()
        fading = [ones * (-tau * rate).exp() for rate in (0.5, 2.0, 8.0)]
        bodies = [mean, target * (-tau).exp(), target * (-3 * tau).exp(), weak, *fading]
        bodies.append(mean.square().sum(-1, keepdim=True) / 4)
        if self.pair_net is None:
            return Step(torch.cat(bodies, -1), None, weak, None, None, None)
        apart, towards = self._apart(mean), self._apart(target)
        distance, wanted = apart.norm(dim=-1), towards.norm(dim=-1)
        ends = self._apart(start).square().sum(-1)
        if self.carried is not None:
            # the distance of the ends of this pair, averaged over the permutations
            ends = ((share @ self.carried).unflatten(1, (len(self.signs), -1)) @ ends[..., None])[..., 0]
        end = ends.sqrt()
        near = (-0.5 * (end / 0.45).square()).exp()
        column = distance[..., None]
        pair = [(-0.5 * (column / width).square()).exp() for width in WIDTHS]
        pair += [column, *(torch.ones_like(column) * (-tau / time).exp() for time in TIMES)]
        along = (apart * towards).sum(-1) / (distance + 0.3)
        pair += [x[..., None] for x in (along * (-0.5 * tau).exp(), wanted * (-0.5 * tau).exp())]
        pair += [x[..., None] for x in (end * (-tau).exp(), near * (-tau).exp(), near)]
        adjacency = self.signs.abs()
        crowds = []
        for width in (0.5, 1.0):
            gauss = (-0.5 * (distance / width).square()).exp()
            crowd = gauss @ adjacency
            bodies.append(crowd[..., None])
            crowds.append((crowd @ adjacency.T - 2 * gauss)[..., None])
        if self.reference.bodies > 2:
            pair += [*crowds, ((mean.square().sum(-1) / 4) @ adjacency.T)[..., None]]
        return Step(torch.cat(bodies, -1), torch.cat(pair, -1), weak, apart, towards, distance)

    def _carried_pairs(self) -> Tensor:
        """(p, pairs·pairs): which pair the permutation P makes of each pair."""
        n, sent = self.reference.bodies, self.reference.permutations
        number = torch.zeros(n, n, dtype=torch.long)
        number[self.first, self.second] = number[self.second, self.first] = torch.arange(len(self.first))
        which = number[sent[:, self.first], sent[:, self.second]]
        return torch.nn.functional.one_hot(which, len(self.first)).double().flatten(1)

    def _apart(self, y: Tensor) -> Tensor:
        return y[:, self.first] - y[:, self.second]

    def outputs(self, theta: Tensor, step: Step) -> tuple[list[Tensor], list[tuple[Tensor, Tensor, Tensor]]]:
        """The outputs of the networks for a step, and the layers that their Jacobian needs."""
        body, layers = self.body_net(theta[: self.body_net.size], step.bodies)
        if self.pair_net is None:
            return [body], [layers]
        assert step.pairs is not None
        pair, more = self.pair_net(theta[self.body_net.size :], step.pairs)
        return [body, pair], [layers, more]

    def change(self, outputs: list[Tensor], step: Step, bridge: Bridge, left: float) -> tuple[Tensor, Tensor]:
        """The shift (B, n, D) of the mean and 1 + G (B, nD, nD), both in deviations of the bridge."""
        n, dim = self.reference.bodies, self.dim
        gate = float(torch.tanh(torch.tensor(FADE * left)))
        body = outputs[0]
        push = body[..., :dim] + body[..., dim : dim + 1] * step.force
        a, b = self.upper
        variance = bridge.spread.square().mean()
        entries = CHANGE * (0.5 * gate * variance * body[..., dim + 1 :] / CHANGE).tanh()
        square = body.new_zeros(*body.shape[:-1], dim, dim)
        square[..., a, b] = entries
        square[..., b, a] = entries
        matrix = torch.einsum("nm,bnde->bndme", torch.eye(n, dtype=torch.float64), square)
        if self.pair_net is not None:
            assert step.apart is not None and step.target is not None and step.distance is not None
            pair, distance = outputs[1], step.distance[..., None]
            vector = pair[..., :1] * step.apart / (distance + 0.05)
            vector = vector + pair[..., 1:2] * step.target * float(torch.exp(torch.tensor(-left)))
            push = push + self.signs.T @ vector
            most = 2 * CHANGE / n
            radial, across = (most * (0.5 * gate * variance * pair[..., k] / most).tanh() for k in (2, 3))
            unit = step.apart / (distance + 1e-9)
            block = (radial - across)[..., None, None] * unit[..., :, None] * unit[..., None, :]
            block = block + across[..., None, None] * torch.eye(dim, dtype=torch.float64)
            both = 0.5 * self.signs[:, :, None] * self.signs[:, None, :]
            matrix = matrix + torch.einsum("pnm,bpde->bndme", both, block)
        shift = SHIFT * (bridge.spread * gate * push / SHIFT).tanh()
        return shift, torch.eye(n * dim, dtype=torch.float64) + matrix.reshape(-1, n * dim, n * dim)
