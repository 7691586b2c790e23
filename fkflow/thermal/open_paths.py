"""Open paths: from given places, with a learned drift, to a function or a point; the mean of their weights is e^(−tH).

A path y_0 … y_M with dt = t/M and M even stands for the integrand

    f = k0(y_0, y_1; dt) … k0(y_(M−1), y_M; dt) exp(−Σ_i c_i dt W_i(y_i)) ψ(y_M)

with Simpson's weights c = 1/3, 4/3, 2/3, …, 4/3, 1/3, W = V1 at even i and V1 + dt²/12 |∇V1|² at odd ones: its integral over
y_1 … y_M is (e^(−tH) ψ)(y_0) to fourth order in dt, for open paths too (scheme A of S. A. Chin, Phys. Lett. A 226, 344 (1997),
with the oscillator for the kinetic energy). A step is that of the reference which ends in h ≈ |ψ| (`Ends`), shifted and widened
by the `Drift`: at the best one the drift is ∇ log(e^(−τH) ψ) and all paths from one place have the same weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fkflow.thermal.bridges import Bridges
from fkflow.thermal.drift import FADE
from fkflow.thermal.ends import Ends
from fkflow.thermal.perceptron import Layers
from fkflow.thermal.reference import Bridge

#: time, in natural units, added to what is left for the drift to fade: a function is not met exactly by its Gaussians
LATE = 0.3
#: what a training hears of each step: layers of the networks and the gradient of the log weight in their outputs
Heard = list[tuple[list[Layers], list[Tensor]]]


@dataclass(frozen=True)
class OpenPaths:
    """Open paths y (M + 1, B, n, D) from y_0 and their log weights without ψ (B,), at their step and at twice of it.

    `slopes` (M + 1, B, n, D) is ∇V1. `jacobian` (B, parameters) is that of the log weight in the parameters, if asked for.
    """

    time: float
    y: Tensor
    log_w: Tensor
    log_coarse: Tensor
    slopes: Tensor
    jacobian: Tensor | None

    @property
    def last(self) -> Tensor:
        """The last points (B, n, D)."""
        return self.y[-1]


class Sender(Bridges):
    """Sends open paths with the drift `theta`; all in natural units. The permutations of the reference play no part."""

    def send(
        self,
        theta: Tensor | None,
        start: Tensor,
        ends: Ends,
        time: float,
        steps: int,
        generator: torch.Generator,
        jacobian: bool = False,
    ) -> OpenPaths:
        """Paths from `start` (B, n, D) in the time `time`, of so many steps, a multiple of four."""
        ref, dt = self.reference, time / steps
        y, points = start, [start]
        value, gradient = self.problem.rest(y)
        rests, slopes = [value], [gradient]
        log_proposal = start.new_zeros(len(start))
        heard: Heard = []
        for i in range(steps - 1 if ends.points else steps):
            ahead, log_density, parts = self._step(theta, y, gradient, ends, dt, time - i * dt, generator, jacobian)
            heard += parts
            log_proposal += log_density
            y = ahead
            points.append(y)
            value, gradient = self.problem.rest(y)
            rests.append(value)
            slopes.append(gradient)
        if ends.points:
            points.append(ends.means[:, 0].view_as(start))
            value, gradient = self.problem.rest(points[-1])
            rests.append(value)
            slopes.append(gradient)
        every, rest, slope = torch.stack(points), torch.stack(rests), torch.stack(slopes)
        squares = slope.square().sum((2, 3))
        log_free = ref.log_kernel(every[:-1], every[1:], dt).sum(0) - log_proposal
        return OpenPaths(
            time,
            every,
            log_free - action(rest, squares, dt),
            log_free - action(rest[::2], squares[::2], 2 * dt),
            slope,
            self._heard(theta, heard) if jacobian and theta is not None else None,
        )

    def _step(
        self,
        theta: Tensor | None,
        y: Tensor,
        gradient: Tensor,
        ends: Ends,
        dt: float,
        left: float,
        generator: torch.Generator,
        jacobian: bool,
    ) -> tuple[Tensor, Tensor, Heard]:
        """One step from y (B, n, D): the next points, the log density of the step (B,), and what a training hears."""
        move = ends.move(y.flatten(1), dt, left)
        shares = move.log_shares.exp()
        xi = torch.randn(y.flatten(1).shape, generator=generator, dtype=torch.float64)
        if shares.shape[1] > 1:
            chosen = torch.multinomial(shares, 1, generator=generator)[:, 0]
            mean = (shares[..., None] * move.means).sum(1)
            target = (shares[..., None] * ends.means).sum(1)
        else:
            chosen = torch.zeros(len(y), dtype=torch.long)
            mean, target = move.means[:, 0], ends.means.expand(len(y), -1, -1)[:, 0]
        shift: Tensor = torch.zeros_like(xi)
        stretch: _Stretch | None = None
        moved = xi
        outputs: list[Tensor] = []
        layers: list[Layers] = []
        with torch.set_grad_enabled(jacobian):
            if theta is not None:
                end = target.view_as(y)
                wide = move.deviations.mean(0).view(y.shape[1:]).mean(0).view(1, 1, -1)
                rest = torch.tensor([left], dtype=torch.float64)
                step = self.drift.step(mean.view_as(y), -gradient, end, Bridge(wide, wide, wide), rest)
                if not ends.points:
                    step = replace(step, gate=(FADE * (rest.view(1, 1, 1) + LATE)).tanh())
                with torch.no_grad():
                    outputs, layers = self.drift.outputs(theta, step)
                outputs = [o.requires_grad_(jacobian) for o in outputs]
                shift, matrix = self.drift.change(outputs, step)
                stretch = _Stretch(matrix)
                moved = (matrix.detach() @ xi[..., None])[..., 0]
            about = shift.detach() + moved
            ahead = move.means.gather(1, chosen[:, None, None].expand(-1, 1, xi.shape[1]))[:, 0]
            ahead = ahead + move.deviations[chosen] * about
            inner = (ahead[:, None] - move.means) / move.deviations - shift[:, None]
            log_density = move.log_shares - move.deviations.log().sum(1)
            if stretch is not None:
                inner = stretch.undo(inner)
                log_density = log_density - stretch.log_size()[:, None]
            log_density = (log_density - 0.5 * inner.square().sum(2)).logsumexp(1)
        log_density = log_density - 0.5 * xi.shape[1] * math.log(2 * math.pi)
        heard: Heard = []
        if jacobian and theta is not None:
            heard.append((layers, list(torch.autograd.grad(-log_density.sum(), outputs))))
        return ahead.view_as(y), log_density.detach(), heard

    def _heard(self, theta: Tensor, heard: Heard) -> Tensor:
        """The gradient of the log weight in theta (B, parameters), of all steps together."""
        count = len(heard[0][1])
        layers = [tuple(torch.cat([step[0][k][part] for step in heard], 1) for part in range(3)) for k in range(count)]
        slopes = [torch.cat([step[1][k] for step in heard], 1) for k in range(count)]
        return self.drift.jacobian(theta, layers, slopes)  # type: ignore[arg-type]


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


def weights(steps: int) -> Tensor:
    """Simpson's weights (M + 1,) of M steps: 1/3, 4/3, 2/3, …, 4/3, 1/3."""
    found = torch.full((steps + 1,), 2 / 3, dtype=torch.float64)
    found[1::2], found[0], found[-1] = 4 / 3, 1 / 3, 1 / 3
    return found


def action(rest: Tensor, squares: Tensor, dt: float) -> Tensor:
    """Σ_i c_i dt W_i (B,) of V1 and |∇V1|² (M + 1, B) at the points of paths."""
    part = rest.clone()
    part[1::2] += dt**2 / 12 * squares[1::2]
    return dt * (weights(len(rest) - 1)[:, None] * part).sum(0)
