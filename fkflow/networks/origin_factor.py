"""The factor of ψ of one particle that a singular repulsion keeps from the origin (`hamiltonian.repulsion`)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fkflow.networks.parts import TermOfCoordinates

#: squares of distances below this count as this
SMALLEST = 1e-200


class OriginFactor(TermOfCoordinates):
    """λ log(r/√(r² + 1)) (B,) of the distance r of one particle from the origin, in natural lengths, from y (D, 1, B).

    The solver's coordinates are x = `origin` (1, D) + `length` · y.
    """

    #: ψ vanishes just where V is infinite
    exact: ClassVar[tuple[str, ...]] = ("place", "power")

    place: Tensor
    power: Tensor

    def __init__(self, power: float, origin: Tensor, length: float) -> None:
        super().__init__()
        self.register_buffer("place", -origin.mT[:, :, None] / length)
        self.register_buffer("power", origin.new_tensor(power))

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        (y,) = inputs
        apart = y.to(self.place.dtype) - self.place
        square = apart.square().sum((0, 1)).clamp_min(SMALLEST)
        value = -0.5 * self.power * torch.log1p(1 / square)
        if not derivatives:
            return value, None
        # derivatives by the square
        near, wide = square.reciprocal(), (1 + square).reciprocal()
        slope = 0.5 * self.power * near * wide
        laplacian = 2 * self.power * (0.5 * len(y) * near * wide - near + square * wide.square())
        return value, (2 * slope * apart, laplacian)
