"""A small perceptron whose gradient is known for each row: Gauss–Newton needs the Jacobian of log w, row by row."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: the inputs and both hidden layers of a call
Layers = tuple[Tensor, Tensor, Tensor]


class Perceptron:
    """Two hidden layers of tanh; its parameters are a slice of one vector. The output is 0 at the start."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        self.shapes = ((hidden, inputs), (hidden,), (hidden, hidden), (hidden,), (outputs, hidden), (outputs,))
        self.size = sum(math.prod(shape) for shape in self.shapes)

    def start(self, generator: torch.Generator) -> Tensor:
        """Random parameters (size,)."""
        parts = []
        for shape, scale in zip(self.shapes, (1.3, 0.4, 1.2, 0.0, 0.0, 0.0), strict=True):
            fan = math.sqrt(shape[1]) if len(shape) == 2 else 1.0
            parts.append(scale / fan * torch.randn(shape, generator=generator, dtype=torch.float64).flatten())
        return torch.cat(parts)

    def _matrices(self, theta: Tensor) -> list[Tensor]:
        sizes = [math.prod(shape) for shape in self.shapes]
        return [part.view(shape) for part, shape in zip(theta.split(sizes), self.shapes, strict=True)]

    def __call__(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Layers]:
        """The outputs (…, outputs) of the inputs x (…, inputs), and what `jacobian` needs."""
        w1, b1, w2, b2, w3, b3 = self._matrices(theta)
        first = torch.tanh(x @ w1.T + b1)
        second = torch.tanh(first @ w2.T + b2)
        return second @ w3.T + b3, (x, first, second)

    def jacobian(self, theta: Tensor, layers: Layers, slope: Tensor) -> Tensor:
        """The gradient of Σ_r slope_br·output_br for each b (B, size), layers (B, rows, …), slopes (B, rows, outputs)."""
        _, _, w2, _, w3, _ = self._matrices(theta)
        x, first, second = layers
        upper = (slope @ w3) * (1 - second.square())
        lower = (upper @ w2) * (1 - first.square())
        parts = []
        for delta, below in ((lower, x), (upper, first), (slope, second)):
            parts += [(delta.mT @ below).flatten(1), delta.sum(1)]
        return torch.cat(parts, 1)
