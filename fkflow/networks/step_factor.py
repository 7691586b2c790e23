"""The factor of ψ whose second derivative jumps with V on curved surfaces, and that decays behind high steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fkflow.hamiltonian.steps import Step
from fkflow.networks.parts import TermOfCoordinates


class StepFactor(TermOfCoordinates):
    """Σ log β (B,) over the surfaces of steps, from coordinates y (D, 1, B) of one particle.

    β(t) = t + ℓ at a distance t inside a step of height h, and ℓ e^(t/ℓ) outside, where t < 0, with ℓ = 1/√(2h): at a plane
    this is the state of energy 0, −½β'' + (h outside) β = 0. The second derivative of log β jumps by 2h on any surface. t is
    the function d of `Surfaces`, for a sphere of radius R bent so that it is the distance outside: R (1 − √(1 − 2d/R)).
    `steps` are in the solver's coordinates x = `origin` (1, D) + `length` · y.
    """

    def __init__(self, steps: Sequence[Step], origin: Tensor, length: float) -> None:
        super().__init__()
        constant, linear, square, decay, bend = [], [], [], [], []
        for step in steps:
            one, scale = step.surfaces, length / step.surfaces.size
            offset = (origin[0] - one.centre) / one.size
            constant.append(one.distances(origin[0]) / scale)
            linear.append(one.linear + 2 * one.square @ offset)
            square.append(scale * one.square)
            decay.append((2 * step.heights).rsqrt() / length)
            bend.append(torch.stack([origin.new_tensor(_curvature(scale * each)) for each in one.square]))
        #: (K,), (K, D), (K, D, D): d = constant + linear·y + yᵀ square y, in units of `length`; ℓ and 1/R (K,)
        self.register_buffer("constant", torch.cat(constant))
        self.register_buffer("linear", torch.cat(linear))
        self.register_buffer("square", torch.cat(square))
        self.register_buffer("decay", torch.cat(decay))
        self.register_buffer("bend", torch.cat(bend))
        #: stay in double precision where the network is rounded
        self.exact = ("constant", "linear", "square", "decay", "bend")

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        (y,) = inputs
        place = y[:, 0].to(self.constant.dtype)
        turned = self.square @ place
        d = self.constant[:, None] + ((self.linear[:, :, None] + turned) * place).sum(1)
        inside, bend, decay = d > 0, self.bend[:, None], self.decay[:, None]
        root = (1 - 2 * bend * d.clamp(max=0)).sqrt()
        # (1 − root)/bend without its cancellation
        t = torch.where(inside, d + 0.5 * bend * d.square(), 2 * d / (1 + root))
        near = t.clamp(min=0) + decay
        value = torch.where(inside, near.log(), decay.log() + t / decay).sum(0)
        if not derivatives:
            return value, None
        by_d = torch.where(inside, 1 + bend * d, 1 / root)
        by_d_twice = torch.where(inside, bend, bend / root**3)
        by_t = torch.where(inside, 1 / near, 1 / decay)
        by_t_twice = torch.where(inside, -1 / near.square(), 0.0)
        slope = self.linear[:, :, None] + 2 * turned
        first, second = by_t * by_d, by_t_twice * by_d.square() + by_t * by_d_twice
        laplacian = first * 2 * self.square.diagonal(dim1=1, dim2=2).sum(1)[:, None] + second * slope.square().sum(1)
        gradient = (first[:, None] * slope).sum(0)
        return value, (gradient[:, None], laplacian.sum(0))

    if TYPE_CHECKING:
        constant: Tensor
        linear: Tensor
        square: Tensor
        decay: Tensor
        bend: Tensor


def _curvature(square: Tensor) -> float:
    """1/R of a ball with d = … − |y|²/(2R); 0 for any other surface."""
    found = -2 * float(square[0, 0])
    round_ = torch.allclose(square, square[0, 0] * torch.eye(len(square), dtype=square.dtype), atol=1e-6 * abs(found))
    return found if found > 0 and round_ else 0.0
