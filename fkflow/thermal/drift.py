"""The learned part of a step: a shift of its mean and a change of its covariance, from networks of bodies and of pairs.

In a step from y with the time τ left to the end P y0 the reference moves to near·y + far·P y0 + s ξ. The learned step is
near·y + far·P y0 + s [κ tanh(u/κ) + (1 + G) ξ]: u and G are functions of y, P y0 and τ, not of β, and vanish as τ → 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from fkflow.thermal.kinds import apart as differences_of
from fkflow.thermal.kinds import differences
from fkflow.thermal.perceptron import Layers, Perceptron
from fkflow.thermal.reference import Bridge, Reference

#: most deviations by which a step is shifted, and largest change of its deviations in one direction
SHIFT, CHANGE = 4.0, 0.8
#: rate at which the drift fades as τ → 0, in natural times
FADE = 3.0
#: rates at which bodies feel the time, times over which pairs do, and widths of Gaussians of distances, in natural units
RATES, TIMES, WIDTHS = (0.5, 2.0, 8.0), (0.05, 0.2, 0.5, 1.0, 3.0), (0.25, 0.45, 0.8, 1.4)
#: widths of the Gaussians that count neighbours, and of that of the distance of two ends
CROWDS, NEAR = (0.5, 1.0), 0.45
#: force from which on an input grows no more
STRONG = 3.0


@dataclass(frozen=True)
class Step:
    """What a network sees in a step: its inputs of bodies (B, n, ·) and pairs (B, pairs, ·), and the vectors it scales.

    `gate` and `late` e^(−τ) are (B, 1, 1), `spread` (B, 1, D), or have one row for all.
    """

    bodies: Tensor
    pairs: Tensor | None
    force: Tensor
    apart: Tensor | None
    target: Tensor | None
    distance: Tensor | None
    gate: Tensor
    late: Tensor
    spread: Tensor


def joined(steps: list[Step]) -> Step:
    """The rows of all steps, one step after another."""
    count = len(steps[0].bodies)
    found: dict[str, Any] = {}
    for field in fields(Step):
        parts = [getattr(step, field.name) for step in steps]
        found[field.name] = None if parts[0] is None else torch.cat([p.expand(count, *p.shape[1:]) for p in parts])
    return Step(**found)


class Drift:
    """Networks of bodies and pairs; `theta` are the parameters of both, one after the other.

    The networks work in the `precision`; what they give is a function of the place, so that weights stay exact.
    """

    def __init__(
        self,
        reference: Reference,
        hidden: int,
        precision: torch.dtype = torch.float32,
        centres: Tensor | None = None,
    ) -> None:
        n, dim, kinds = reference.bodies, reference.axes, reference.kinds
        self.reference, self.dim, self.precision = reference, dim, precision
        #: pinned charges (A, n, D)
        self.centres = reference.frequencies.new_zeros(0, n, dim) if centres is None else centres
        self.signs = differences(n, kinds)
        #: (pairs, n) which bodies are in a pair
        self.adjacent = (self.signs != 0).double()
        #: kinds of bodies and pairs, where there are several
        self.kinds = None if kinds is None else (kinds.bodies(), kinds.of_pairs())
        self.both = 0.5 * self.signs[:, :, None] * self.signs[:, None, :]
        self.upper = torch.triu_indices(dim, dim)
        self.eye = torch.eye(n * dim, dtype=torch.float64)
        self.rates, self.times, self.widths = (torch.tensor(x, dtype=torch.float64) for x in (RATES, TIMES, WIDTHS))
        self.body_net = Perceptron(
            4 * dim + len(RATES) + 1 + len(CROWDS) * (n > 1) + self._kinds(0) + len(self.centres),
            hidden,
            dim + 1 + self.upper.shape[1],
        )
        inputs = len(WIDTHS) + 1 + len(TIMES) + 5 + (len(CROWDS) + 1) * (n > 2) + self._kinds(1)
        self.pair_net = Perceptron(inputs, hidden, 4) if n > 1 else None
        self.nets = [net for net in (self.body_net, self.pair_net) if net is not None]
        self.size = sum(net.size for net in self.nets)

    def _kinds(self, which: int) -> int:
        """Inputs that tell the kinds of a body (0) or of a pair (1)."""
        return 0 if self.kinds is None else self.kinds[which].shape[1]

    def start(self, generator: torch.Generator) -> Tensor:
        """Random parameters, with which the step is that of the reference."""
        return torch.cat([net.start(generator) for net in self.nets])

    def step(self, mean: Tensor, force: Tensor, target: Tensor, bridge: Bridge, left: Tensor) -> Step:
        """The inputs of a step.

        `mean` (B, n, D) is that of the reference, `target` the end P y0, `force` −∇(V − V0) at y, `left` the time τ, one
        for all or (B,).
        """
        time = left.view(-1, 1, 1)
        late, gate = (-time).exp(), (FADE * time).tanh()
        weak = force / (1 + force.square().sum(-1, keepdim=True) / STRONG**2).sqrt()
        away = mean.square().sum(-1, keepdim=True) / 4
        fading = (-time * self.rates).exp().expand(*mean.shape[:2], -1)
        bodies = [mean, target * late, target * late**3, weak, fading, away]
        if len(self.centres):
            bodies.append(nearness(self.centres, mean))
        if self.pair_net is None:
            return Step(
                torch.cat(bodies, -1).to(self.precision), None, weak, None, None, None, gate, late, bridge.spread
            )
        apart, towards = self._apart(mean), self._apart(target)
        distance, wanted = apart.norm(dim=-1, keepdim=True), towards.norm(dim=-1, keepdim=True)
        near = (-0.5 * (wanted / NEAR).square()).exp()
        along = (apart * towards).sum(-1, keepdim=True) / (distance + 0.3)
        times = (-time / self.times).exp().expand(*distance.shape[:2], -1)
        pair = [(-0.5 * (distance / self.widths).square()).exp(), distance, times]
        pair += [along * late**0.5, wanted * late**0.5, wanted * late, near * late, near]
        crowds = []
        for width in CROWDS:
            gauss = (-0.5 * (distance[..., 0] / width).square()).exp()
            crowd = gauss @ self.adjacent
            bodies.append(crowd[..., None])
            crowds.append((crowd @ self.adjacent.T - 2 * gauss)[..., None])
        if self.reference.bodies > 2:
            pair += [*crowds, (away[..., 0] @ self.adjacent.T)[..., None]]
        if self.kinds is not None:
            for parts, kinds in zip((bodies, pair), self.kinds, strict=True):
                parts.append(kinds.expand(len(mean), -1, -1))
        inputs = torch.cat(bodies, -1).to(self.precision), torch.cat(pair, -1).to(self.precision)
        return Step(*inputs, weak, apart, towards, distance, gate, late, bridge.spread)

    def _apart(self, y: Tensor) -> Tensor:
        return differences_of(self.signs, self.reference.kinds, y)

    def _parts(self, theta: Tensor) -> list[Tensor]:
        return list(theta.to(self.precision).split([net.size for net in self.nets]))

    def outputs(self, theta: Tensor, step: Step) -> tuple[list[Tensor], list[Layers]]:
        """The outputs of the networks for a step, and the layers that their Jacobian needs."""
        found = [
            net(part, inputs)
            for net, part, inputs in zip(self.nets, self._parts(theta), (step.bodies, step.pairs), strict=False)
            if inputs is not None
        ]
        return [output.double() for output, _ in found], [layers for _, layers in found]

    def jacobian(self, theta: Tensor, layers: list[Layers], slopes: list[Tensor]) -> Tensor:
        """Σ over the rows of each b of slopes·∂outputs/∂theta (B, size), layers and slopes (B, rows, ·) of both networks."""
        return torch.cat(
            [
                net.jacobian(part, hidden, slope.to(self.precision))
                for net, part, hidden, slope in zip(self.nets, self._parts(theta), layers, slopes, strict=True)
            ],
            1,
        ).double()

    def change(self, outputs: list[Tensor], step: Step) -> tuple[Tensor, Tensor]:
        """The shift (B, nD) of the mean and 1 + G (B, nD, nD), both in deviations of the bridge."""
        n, dim = self.reference.bodies, self.dim
        body = outputs[0]
        push = body[..., :dim] + body[..., dim : dim + 1] * step.force
        variance = 0.5 * step.gate * step.spread.square().mean(-1, keepdim=True)
        entries = CHANGE * (variance / CHANGE * body[..., dim + 1 :]).tanh()
        if self.pair_net is not None:
            assert step.apart is not None and step.target is not None and step.distance is not None
            pair = outputs[1]
            vector = pair[..., :1] / (step.distance + 0.05) * step.apart + pair[..., 1:2] * step.late * step.target
            push = push + self.signs.T @ vector
        shift = SHIFT * (step.gate * step.spread / SHIFT * push).tanh()
        if n * dim == 1:
            return shift.flatten(1), 1 + entries
        a, b = self.upper
        matrix = body.new_zeros(len(body), n, dim, n, dim)
        bodies = torch.arange(n)
        for k in range(entries.shape[-1]):
            matrix[:, bodies, a[k], bodies, b[k]] = entries[..., k]
            if a[k] != b[k]:
                matrix[:, bodies, b[k], bodies, a[k]] = entries[..., k]
        matrix = matrix.flatten(3).flatten(1, 2) + self.eye
        if self.pair_net is not None:
            most = 2 * CHANGE / n
            if variance.shape[1] > 1:
                # bodies of several kinds have deviations of their own, of which a pair has the mean
                variance = 0.5 * self.adjacent @ variance
            radial, across = (most * (variance / most * pair[..., 2:]).tanh()).unbind(-1)
            assert step.apart is not None and step.distance is not None
            unit = step.apart / (step.distance + 1e-9)
            block = (radial - across)[..., None, None] * unit[..., :, None] * unit[..., None, :]
            block = block + across[..., None, None] * torch.eye(dim, dtype=torch.float64)
            spread = block.flatten(2).mT @ self.both.flatten(1)
            matrix = matrix + spread.view(-1, dim, dim, n, n).permute(0, 3, 1, 4, 2).reshape(-1, n * dim, n * dim)
        return shift.flatten(1), matrix


def nearness(centres: Tensor, y: Tensor) -> Tensor:
    """e^(−r) (B, n, A) of the distances r of bodies at y (B, n, D) from centres (A, n, D)."""
    found: Tensor = (-(y[:, None] - centres).norm(dim=-1)).exp().mT
    return found
