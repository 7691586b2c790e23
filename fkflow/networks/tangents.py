"""How values in a network change with the positions of the particles: the gradients that Laplacian terms are made of.

A value a (C, …, B) has gradients ∇a by all coordinates of all particles. Linear layers act on them as on the values, what
is nonlinear needs their squares |∇a|². A flat shape (C, M) has M = everything but the first axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: six digits of tangents take half the time of fifteen, and leave seven of the Laplacian: they hold nothing of what cancels
#: between kinetic and potential energy where particles meet
PRECISION = torch.float32


def rounded(tensor: Tensor) -> Tensor:
    """A tensor in the precision of tangents."""
    return tensor.to(PRECISION)


class Tangent:
    """The gradients of a value (C, …, B)."""

    def linear(self, weight: Tensor) -> Tangent:
        """Those of weight (out, C) @ value."""
        raise NotImplementedError

    def scaled(self, factor: Tensor) -> Tangent:
        """Those of a function of each element whose derivative is `factor` (C, …, B)."""
        raise NotImplementedError

    def squares(self) -> Tensor:
        """|∇a|², flat: (C, M), or (C, 1) if they are the same everywhere."""
        raise NotImplementedError

    def __add__(self, other: Tangent) -> Tangent:
        raise NotImplementedError


class DenseTangent(Tangent):
    """Gradients in components (C, directions, M), or, in full precision, (C, directions, 1) if they are the same everywhere.

    The square of a gradient is the sum of the squares of its components, weighted by the `metric` (directions, M) if any.
    """

    def __init__(self, components: Tensor, metric: Tensor | None = None) -> None:
        self.components, self.metric = components, metric

    def linear(self, weight: Tensor) -> DenseTangent:
        found = self.components
        out = (weight.to(found.dtype) @ found.flatten(1)).view(len(weight), *found.shape[1:])
        if self.metric is None and out.shape[2] == 1 and out.shape[0] < out.shape[1]:
            # only scalar products of the rows matter: those of a square matrix are the same
            out = torch.linalg.qr(out.squeeze(2).mT, mode="r")[1].mT.unsqueeze(2)
        return DenseTangent(out, self.metric)

    def scaled(self, factor: Tensor) -> DenseTangent:
        return DenseTangent(factor.flatten(1).unsqueeze(1) * rounded(self.components), self.metric)

    def squares(self) -> Tensor:
        squares = self.components.square()
        return (squares if self.metric is None else squares.mul_(self.metric)).sum(1)
