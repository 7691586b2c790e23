"""Closed paths: learned bridges from y0 to a permutation of it, with weights whose mean is the partition function.

A path y_0 … y_(M−1) at times i dt, dt = β/M, that ends in P y_0 stands for the integrand of Z = Tr e^(−βH),

    f = 1/n! k0(y_0, y_1; dt) … k0(y_(M−1), P y_0; dt) exp(−dt Σ_i [V1 + dt² |∇V1|²/24](y_i)),   V1 = V − V0,

whose integral and sum over P is Z to fourth order in dt (Takahashi & Imada, J. Phys. Soc. Jpn. 53, 3765 (1984)). y_0 and P are
drawn first, then each step from a Gaussian about the bridge of the reference to P y_0 (Mehler kernel), shifted and widened by
the `Drift`. The weight f/density is right for any drift, and the same for all paths at the best one.

Point charges are left out of V1: f has the ratio e^(−u) of the exact kernel of each pair to the free one in each step (D. M.
Ceperley, Rev. Mod. Phys. 67, 279 (1995)), which makes it right to second order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.thermal.drift import Drift, Step, joined
from fkflow.thermal.perceptron import Layers
from fkflow.thermal.problem import Problem
from fkflow.thermal.reference import cycles, permuted


@dataclass(frozen=True)
class Moved:
    """Closed paths `y` (M, B, n, D) to P y_0 at β, (1,) or (B,).

    `sent` (B, n) is i to P(i); `rest` and `squares` (M, B) are V1 and |∇V1|² at the points.
    """

    beta: Tensor
    y: Tensor
    sent: Tensor
    rest: Tensor
    squares: Tensor


@dataclass(frozen=True)
class Paths(Moved):
    """Closed paths that were drawn at β, and their parts of log w.

    `log_proposal` (B,) is the log density of y_1 … y_(M−1) for y_0 and P. With `noise` (M − 1, B, nD) and `log_stretch`
    (M − 1, B) of each step `Bridges.carry` makes the same paths at another β.
    """

    log_proposal: Tensor
    noise: Tensor
    log_stretch: Tensor

    def first(self, count: int) -> Paths:
        """The first paths."""
        by_step = (self.rest, self.squares, self.noise, self.log_stretch)
        rest, squares, noise, log_stretch = (part[:, :count] for part in by_step)
        y, sent, log_proposal = self.y[:, :count], self.sent[:count], self.log_proposal[:count]
        return Paths(self.beta, y, sent, rest, squares, log_proposal, noise, log_stretch)


@dataclass
class Walk:
    """Points of paths on their way, and what was met there."""

    points: list[Tensor]
    rests: list[Tensor]
    squares: list[Tensor]
    log_stretches: list[Tensor]
    steps: list[Step]
    layers: list[list[Layers]]
    outputs: list[list[Tensor]]

    @property
    def log_stretch(self) -> Tensor:
        """The log of the determinant of each step (k, B)."""
        return torch.stack(self.log_stretches)


class Bridges:
    """Draws closed paths with the drift `theta`, of M steps at the inverse temperature β, both in natural units."""

    def __init__(self, problem: Problem, drift: Drift) -> None:
        self.problem, self.drift, self.reference = problem, drift, problem.reference

    def draw(
        self,
        theta: Tensor | None,
        start: Tensor,
        sent: Tensor,
        beta: float,
        steps: int,
        generator: torch.Generator,
        jacobian: bool = False,
    ) -> tuple[Paths, Tensor | None]:
        """Paths from y_0 = `start` (B, n, D) to P y_0, `sent` (B, n).

        Beside them stands the Jacobian of log w in theta (B, parameters) if it is asked for. Without `theta` the bridges are
        those of the reference.
        """
        count, dim, at = len(start), self.reference.dimension, torch.tensor([beta], dtype=torch.float64)
        noise = torch.randn(steps - 1, count, dim, generator=generator, dtype=torch.float64)
        walk = self.walk(theta, start, permuted(start, sent), at, noise, keep=jacobian)
        parts = [torch.stack(part) for part in (walk.points, walk.rests, walk.squares)]
        log_stretch = walk.log_stretch
        log_proposal = log_density(noise, log_stretch)
        paths = Paths(at, parts[0], sent, parts[1], parts[2], log_proposal, noise, log_stretch)
        return paths, self._jacobian(theta, walk, noise) if jacobian and theta is not None else None

    def walk(
        self,
        theta: Tensor | None,
        start: Tensor,
        end: Tensor,
        beta: Tensor,
        noise: Tensor,
        first: int = 0,
        steps: int | None = None,
        keep: bool = False,
    ) -> Walk:
        """Parts of paths of so many `steps`, from the point number `first`, with given noise (k, B, nD): k steps.

        Without `steps` the paths are whole, and the noise is that of all steps but the last. With `keep` it has what the
        networks saw.
        """
        ref, steps = self.reference, steps or len(noise) + 1
        dt, y = beta / steps, start
        value, gradient = self.problem.rest(y)
        walk = Walk([y], [value], [gradient.square().sum((1, 2))], [], [], [], [])
        for i, xi in enumerate(noise, first):
            left = beta - i * dt
            bridge = ref.bridge(dt, left)
            mean = bridge.near * y + bridge.far * end
            moved, log_stretch = xi, ref.total(bridge.spread.log()).expand(len(y))
            if theta is not None:
                step = self.drift.step(mean, -gradient - self.problem.pull(y), end, bridge, left)
                outputs, layers = self.drift.outputs(theta, step)
                shift, stretch = self.drift.change(outputs, step)
                moved = shift + (stretch @ xi[..., None])[..., 0]
                log_stretch = log_stretch + _log_size(stretch)
                if keep:
                    walk.steps.append(step)
                    walk.layers.append(layers)
                    walk.outputs.append(outputs)
            walk.log_stretches.append(log_stretch)
            y = mean + bridge.spread * moved.view_as(start)
            walk.points.append(y)
            value, gradient = self.problem.rest(y)
            walk.rests.append(value)
            walk.squares.append(gradient.square().sum((1, 2)))
        return walk

    def _jacobian(self, theta: Tensor, walk: Walk, noise: Tensor) -> Tensor:
        """The gradient of log w in theta (B, parameters), the points held fixed.

        −log density of a step is log |A| + ½ |ξ|² with A = 1 + G and ξ = A⁻¹ (what was moved − shift): its slopes are −A⁻ᵀ ξ in
        the shift and A⁻ᵀ (1 − ξ ξᵀ) in A.
        """
        step, count = joined(walk.steps), noise.shape[1]
        with torch.enable_grad():
            outputs = [torch.cat(parts).requires_grad_(True) for parts in zip(*walk.outputs, strict=True)]
            shift, stretch = self.drift.change(outputs, step)
        xi = noise.flatten(0, 1)
        inverse = torch.linalg.inv(stretch.detach()).mT if stretch.shape[1] > 1 else 1 / stretch.detach()
        along = (inverse @ xi[..., None])[..., 0]
        by = [-along, inverse - along[..., None] * xi[:, None]]
        slopes = torch.autograd.grad([shift, stretch], outputs, by)
        steps = len(noise)

        def by_path(x: Tensor) -> Tensor:
            return x.view(steps, count, *x.shape[1:]).transpose(0, 1).flatten(1, 2)

        layers = [
            tuple(
                torch.stack(parts, 1).flatten(1, 2) for parts in zip(*(layer[k] for layer in walk.layers), strict=True)
            )
            for k in range(len(outputs))
        ]
        return self.drift.jacobian(theta, layers, [by_path(slope) for slope in slopes])  # type: ignore[arg-type]

    def log_integrand(self, paths: Moved) -> Tensor:
        """log f (B,) of paths."""
        return log_closed(self.problem, paths) - self.reference.log_orders

    def coarse_change(self, paths: Moved, every: int = 2) -> Tensor:
        """log f with V1 in steps of `every` dt alone minus log f (B,), with the same kernels."""
        dt = paths.beta / len(paths.y)
        fine = dt * (paths.rest + dt**2 / 24 * paths.squares).sum(0)
        coarse = every * dt * (paths.rest + (every * dt) ** 2 / 24 * paths.squares)[::every].sum(0)
        if self.problem.charges is not None:
            y = closed(paths)
            coarse = coarse + self.problem.pair_action(y[::every], every * dt)
            fine = fine + self.problem.pair_action(y, dt)
        return fine - coarse

    def carry(self, theta: Tensor, paths: Paths, beta: Tensor, scale: Tensor) -> tuple[Moved, Tensor]:
        """The same paths carried to each other β (K,), K times as many, and the log of the Jacobian of the maps (K·B,).

        Starts are stretched by `scale` (K, 1 or n, D), and each step has the same noise.
        """
        times, count = len(beta), len(paths.sent)
        start = (scale[:, None] * paths.y[0]).flatten(0, 1)
        sent, every = paths.sent.repeat(times, 1), beta.repeat_interleave(count)
        walk = self.walk(theta, start, permuted(start, sent), every, paths.noise.repeat(1, times, 1))
        y, rest, squares = (torch.stack(part) for part in (walk.points, walk.rests, walk.squares))
        log_size = self.reference.total(scale.log()).repeat_interleave(count)
        log_stretch = walk.log_stretch.sum(0) - paths.log_stretch.sum(0).repeat(times)
        return Moved(every, y, sent, rest, squares), log_size + log_stretch

    def about_centroid(self, paths: Paths, beta: Tensor, scale: Tensor) -> tuple[Moved, Tensor]:
        """As `carry`, with paths stretched about their centroids as free ones would be, and the centroids by `scale`.

        Bodies that take one another's places are one long path, with one centroid.
        """
        ref, (steps, count) = self.reference, paths.y.shape[:2]
        times = len(beta)
        together = cycles(paths.sent)
        centroid = together @ paths.y.mean(0)
        root = (beta / paths.beta).sqrt()
        y = scale[:, None] * centroid + root[:, None, None, None] * (paths.y - centroid)[:, None]
        y = y.flatten(1, 2)
        # each cycle of the permutation has a centroid
        shares = together.diagonal(dim1=1, dim2=2)
        inside = (steps * ref.bodies - shares.sum(1)) * ref.axes
        log_size = scale.log().sum(2).expand(-1, ref.bodies) @ shares.T + root.log()[:, None] * inside
        value, gradient = self.problem.rest(y.flatten(0, 1))
        squares = gradient.square().sum((1, 2)).view(steps, -1)
        every = beta.repeat_interleave(count)
        return Moved(every, y, paths.sent.repeat(times, 1), value.view(steps, -1), squares), log_size.flatten()


def closed(paths: Moved) -> Tensor:
    """The points (M + 1, B, n, D) of closed paths with their ends."""
    return torch.cat([paths.y, permuted(paths.y[0], paths.sent)[None]])


def log_closed(problem: Problem, paths: Moved) -> Tensor:
    """log f (B,) of closed paths, without 1/n!."""
    return log_part(problem, closed(paths), paths.rest, paths.squares, paths.beta / len(paths.y))


def log_density(noise: Tensor, log_stretch: Tensor) -> Tensor:
    """The log density (B,) of k steps with this noise (k, B, nD), `log_stretch` (k, B) of their deviations."""
    constant = 0.5 * noise.shape[0] * noise.shape[2] * math.log(2 * math.pi)
    return -constant - 0.5 * noise.square().sum((0, 2)) - log_stretch.sum(0)


def log_part(problem: Problem, y: Tensor, rest: Tensor, squares: Tensor, dt: Tensor) -> Tensor:
    """What k steps dt from y_0 to y_k of points y (k + 1, B, n, D) add to log f (B,).

    `rest` and `squares` (k, B) are V1 and |∇V1|² at the points before the last.
    """
    log_free = problem.reference.log_kernel(y[:-1], y[1:], dt).sum(0) - problem.pair_action(y, dt)
    return log_free - dt * (rest + dt**2 / 24 * squares).sum(0)


def _log_size(matrices: Tensor) -> Tensor:
    """log |det| (B,) of (B, d, d)."""
    if matrices.shape[1] == 1:
        return matrices[:, 0, 0].log()
    size: Tensor = torch.linalg.slogdet(matrices)[1]
    return size
