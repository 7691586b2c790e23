"""What every log ψ network is: a scalar function whose gradient is the drift; and the perceptron they are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn


class LogPsi(nn.Module):
    """A real function U(x) = log ψ(x) whose gradient is the drift of the diffusion."""

    #: the network has the right tails by construction: training need not visit them more often than ψ² does
    knows_tails: ClassVar[bool] = False
    #: configurations worked on at once; 0: as many as suit cache or device
    chunk: int = 0

    @property
    def width(self) -> int:
        """Numbers that the widest layer holds for one configuration: what decides how many fit in memory."""
        return 256

    def forward(self, x: Tensor) -> Tensor:
        """log ψ, x (B, N, D) → (B,)."""
        raise NotImplementedError

    def drift(self, x: Tensor) -> Tensor:
        """Drift v = ∇ log ψ (B, N, D), detached from the parameters."""
        return self.value_and_drift(x)[1]

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), both detached."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient


def mlp(sizes: Sequence[int], final_scale: float = 1.0) -> nn.Sequential:
    """Linear layers with SiLU between them; the last layer's weights are multiplied by `final_scale`.

    SiLU is smooth, does not saturate (log ψ grows far out) and is the cheapest smooth function on CPUs.
    """
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        linear = nn.Linear(a, b)
        nn.init.normal_(linear.weight, std=1.0 / math.sqrt(a))
        nn.init.normal_(linear.bias, std=0.5)
        layers += [linear, nn.SiLU()]
        if i == len(sizes) - 2:
            layers.pop()
            with torch.no_grad():
                linear.weight.mul_(final_scale)
                linear.bias.zero_()
    return nn.Sequential(*layers)
