"""Closed paths: learned bridges from y0 to its permutations, with weights whose mean is the partition function.

A path y_0 … y_(M−1) at times i dt, dt = β/M, stands for the integrand of Z = Tr e^(−βH),

    f = 1/n! Σ_P k0(y_0, y_1; dt) … k0(y_(M−1), P y_0; dt) exp(−dt Σ_i [V1 + dt² |∇V1|²/24](y_i)),   V1 = V − V0,

whose integral is Z to fourth order in dt (Takahashi & Imada, J. Phys. Soc. Jpn. 53, 3765 (1984)). y_0 is drawn from q, each
step from a mixture over P of Gaussians about the bridges of the reference (Mehler kernel), shifted and widened by the `Drift`.
The weight f/density is right for any drift, and the same for all paths at the best one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.thermal.drift import Drift
from fkflow.thermal.problem import Problem

#: what a training hears of each step: outputs of the networks, their layers and the gradient of log w in the outputs
Heard = list[tuple[list[tuple[Tensor, Tensor, Tensor]], list[Tensor]]]


@dataclass(frozen=True)
class Paths:
    """Closed paths and their parts of log w.

    `y` (M, B, n, D); `log_proposal` (B,) the log density of y_1 … y_(M−1) for the start y_0; `noise` (M − 1, B, nD) and
    `log_stretch` (B,), with which `Bridges.carry` makes the same paths at another β; `rest` and `squares` (M, B): V1 and
    |∇V1|² at the points.
    """

    beta: float
    y: Tensor
    log_proposal: Tensor
    noise: Tensor
    log_stretch: Tensor
    rest: Tensor
    squares: Tensor


class Bridges:
    """Draws closed paths with the drift `theta`, of M steps at the inverse temperature β, both in natural units."""

    def __init__(self, problem: Problem, drift: Drift) -> None:
        self.problem, self.drift, self.reference = problem, drift, problem.reference

    def draw(
        self,
        theta: Tensor | None,
        start: Tensor,
        beta: float,
        steps: int,
        generator: torch.Generator,
        jacobian: bool = False,
    ) -> tuple[Paths, Tensor | None]:
        """Paths from y_0 = `start` (B, n, D), and the Jacobian of log w in theta (B, parameters) if it is asked for.

        Without `theta` the bridges are those of the reference.
        """
        ref, dt = self.reference, beta / steps
        count, dim = len(start), ref.dimension
        y, points, noises, heard = start, [start], [], []
        log_proposal, log_stretch = start.new_zeros(count), start.new_zeros(count)
        value, gradient = self.problem.rest(y)
        rests, squares = [value], [gradient.square().sum((1, 2))]
        several = len(ref.permutations) > 1
        for i in range(steps - 1):
            left = beta - i * dt
            bridge = ref.bridge(dt, left)
            log_share = ref.log_shares(y, start, bridge.overlap).log_softmax(1)
            share = log_share.exp()
            target = self._target(share, start)
            mean = bridge.near * y + bridge.far * target
            deviation = bridge.spread.repeat(ref.bodies)
            xi = torch.randn(count, dim, generator=generator, dtype=torch.float64)
            shift = start.new_zeros(count, ref.bodies, len(ref.frequencies))
            stretch: Tensor | None = None
            factored: _Stretch | None = None
            outputs: list[Tensor] = []
            with torch.set_grad_enabled(jacobian):
                if theta is not None:
                    step = self.drift.step(mean, -gradient, start, share, target, left)
                    with torch.no_grad():
                        outputs, layers = self.drift.outputs(theta, step)
                    outputs = [o.requires_grad_(jacobian) for o in outputs]
                    shift, stretch = self.drift.change(outputs, step, bridge, left)
                    factored = _Stretch(stretch)
                moved = xi if stretch is None else (stretch.detach() @ xi[..., None])[..., 0]
                if several:
                    chosen = torch.multinomial(share, 1, generator=generator)[:, 0]
                    end = start.gather(1, ref.permutations[chosen][..., None].expand_as(start))
                else:
                    end = start
                ahead = (bridge.near * y + bridge.far * end).flatten(1) + deviation * (
                    shift.detach().flatten(1) + moved
                )
                # in deviations, about the mean of the mixture
                about = (ahead - mean.flatten(1)) / deviation - shift.flatten(1)
                log_density = self._log_mixture(about, factored, log_share, start, target, bridge.far / bridge.spread)
            if jacobian:
                slopes = list(torch.autograd.grad(-log_density.sum(), outputs))
                heard.append((layers, slopes))
                log_density, about = log_density.detach(), about.detach()
            log_proposal += log_density - deviation.log().sum()
            log_stretch += deviation.log().sum()
            if factored is not None:
                about = factored.undo(about).detach()
                log_stretch += factored.log_size().detach()
            noises.append(about)
            y = ahead.detach().view_as(start)
            points.append(y)
            value, gradient = self.problem.rest(y)
            rests.append(value)
            squares.append(gradient.square().sum((1, 2)))
        stacked = [torch.stack(part) for part in (points, rests, squares)]
        paths = Paths(beta, stacked[0], log_proposal, torch.stack(noises), log_stretch, stacked[1], stacked[2])
        return paths, self._jacobian(theta, heard) if jacobian and theta is not None else None

    def _target(self, share: Tensor, start: Tensor) -> Tensor:
        """Σ_P share_P P y0 (B, n, D)."""
        if share.shape[1] == 1:
            return start
        n = self.reference.bodies
        target: Tensor = (share @ self.reference.sent).unflatten(1, (n, n)) @ start
        return target

    def _log_mixture(
        self, about: Tensor, stretch: _Stretch | None, log_share: Tensor, start: Tensor, target: Tensor, far: Tensor
    ) -> Tensor:
        """log density (B,) of a step in deviations, `about` (B, nD) the mean of the mixture."""
        dim = self.reference.dimension
        constant = -0.5 * dim * math.log(2 * math.pi)
        size: Tensor | float = 0.0 if stretch is None else stretch.log_size()
        if log_share.shape[1] == 1:
            inner = about if stretch is None else stretch.undo(about)
            return constant - size - 0.5 * inner.square().sum(1)
        ends = (start[:, self.reference.permutations] - target[:, None]) * far
        offsets = about[:, None] - ends.flatten(2)
        if stretch is not None:
            offsets = stretch.undo(offsets)
        return constant - size + (log_share - 0.5 * offsets.square().sum(2)).logsumexp(1)

    def _jacobian(self, theta: Tensor, heard: Heard) -> Tensor:
        """The gradient of log w in theta (B, parameters), of all steps together."""
        nets = [net for net in (self.drift.body_net, self.drift.pair_net) if net is not None]
        found, begin = [], 0
        for k, net in enumerate(nets):
            layers = tuple(torch.cat([step[0][k][part] for step in heard], 1) for part in range(3))
            slope = torch.cat([step[1][k] for step in heard], 1)
            found.append(net.jacobian(theta[begin : begin + net.size], layers, slope))  # type: ignore[arg-type]
            begin += net.size
        return torch.cat(found, 1)

    def log_integrand(self, y: Tensor, rest: Tensor, squares: Tensor, beta: float) -> Tensor:
        """log f (B,) of closed paths y (M, B, n, D) at β, with V1 and |∇V1|² (M, B) at their points."""
        ref, steps = self.reference, len(y)
        dt = beta / steps
        log_f = ref.log_kernel(y[:-1], y[1:], dt).sum(0) - dt * (rest + dt**2 / 24 * squares).sum(0)
        return log_f + ref.log_closed_kernel(y[-1], y[0], dt)

    def coarse_change(self, paths: Paths, beta: float) -> Tensor:
        """log f with every second point alone minus log f (B,): the same kernels, with V1 summed in steps of 2 dt."""
        dt = beta / len(paths.y)
        fine = dt * (paths.rest + dt**2 / 24 * paths.squares).sum(0)
        coarse = 2 * dt * (paths.rest + 4 * dt**2 / 24 * paths.squares)[::2].sum(0)
        return fine - coarse

    def carry(self, theta: Tensor, paths: Paths, beta: float, scale: Tensor) -> tuple[Tensor, Tensor]:
        """log f (B,) of the same paths carried to another β, and the log of the Jacobian of the map (B,).

        The start is stretched by `scale` (D,), and each step has the same noise, about the mean over the permutations.
        """
        ref, steps = self.reference, len(paths.y)
        dt = beta / steps
        start = paths.y[0] * scale
        log_size = ref.bodies * scale.log().sum() - paths.log_stretch
        y = start
        value, gradient = self.problem.rest(y)
        points, rests, squares = [y], [value], [gradient.square().sum((1, 2))]
        for i in range(steps - 1):
            left = beta - i * dt
            bridge = ref.bridge(dt, left)
            share = ref.log_shares(y, start, bridge.overlap).softmax(1)
            target = self._target(share, start)
            mean = bridge.near * y + bridge.far * target
            deviation = bridge.spread.repeat(ref.bodies)
            step = self.drift.step(mean, -gradient, start, share, target, left)
            shift, stretch = self.drift.change(self.drift.outputs(theta, step)[0], step, bridge, left)
            moved = shift.flatten(1) + (stretch @ paths.noise[i][..., None])[..., 0]
            log_size = log_size + deviation.log().sum() + _Stretch(stretch).log_size()
            y = mean + (deviation * moved).view_as(start)
            points.append(y)
            value, gradient = self.problem.rest(y)
            rests.append(value)
            squares.append(gradient.square().sum((1, 2)))
        return self.log_integrand(torch.stack(points), torch.stack(rests), torch.stack(squares), beta), log_size

    def about_centroid(self, paths: Paths, beta: float, scale: Tensor) -> tuple[Tensor, Tensor]:
        """As `carry`, with paths stretched about their centroids as free ones would be, and the centroids by `scale` (D,)."""
        steps, before = len(paths.y), paths.beta
        centroid = paths.y.mean(0, keepdim=True)
        root = math.sqrt(beta / before)
        y = centroid * scale + root * (paths.y - centroid)
        log_size = self.reference.bodies * scale.log().sum() + (steps - 1) * self.reference.dimension * math.log(root)
        value, gradient = self.problem.rest(y.flatten(0, 1))
        squares = gradient.square().sum((1, 2)).view(steps, -1)
        return self.log_integrand(y, value.view(steps, -1), squares, beta), log_size.expand(y.shape[1])


class _Stretch:
    """A batch of matrices (B, d, d), factored once: their inverses applied, and the logs of their determinants."""

    def __init__(self, matrices: Tensor) -> None:
        self._one = matrices[:, 0] if matrices.shape[1] == 1 else None
        self._factors, self._pivots = matrices, matrices
        if self._one is None:
            self._factors, self._pivots = torch.linalg.lu_factor(matrices)

    def undo(self, x: Tensor) -> Tensor:
        """The inverses applied to x (B, d) or (B, k, d)."""
        if self._one is not None:
            return x / (self._one if x.dim() == 2 else self._one[:, None])
        columns = x[..., None] if x.dim() == 2 else x.mT
        solved: Tensor = torch.linalg.lu_solve(self._factors, self._pivots, columns)
        return solved[..., 0] if x.dim() == 2 else solved.mT

    def log_size(self) -> Tensor:
        """log |det| (B,)."""
        size: Tensor = self._factors.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        return size
