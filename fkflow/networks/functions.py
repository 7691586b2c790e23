"""Functions that networks see distances through: their values and two derivatives, beside each other.

A subclass of `SquareFunction` is a feature of particles or pairs for `SymmetricNet`; the same tests check every subclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.networks.parts import Node, Part
from fkflow.networks.tangents import Tangent


class SquareFunction(nn.Module):
    """`count` functions of a squared length s (…, B), in rows (count, …, B)."""

    count: int = 1

    def value(self, square: Tensor, out: Tensor | None = None) -> Tensor:
        """The functions, written to `out` if that is given; nothing that differentiation needs is changed in place."""
        raise NotImplementedError

    def derivative(self, square: Tensor, value: Tensor) -> Tensor:
        """Their derivatives by s, from s and their values."""
        raise NotImplementedError

    def second_derivative(self, square: Tensor, value: Tensor) -> Tensor:
        """Their second derivatives by s, from s and their values."""
        raise NotImplementedError

    def pull_back(self, square: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """Σ gradient · derivative over the functions (…, B), which a subclass may find in fewer steps."""
        found = self.derivative(square, value).mul_(gradient)
        return found.sum(0) if self.count > 1 else found.squeeze(0)


class Gaussians(SquareFunction):
    """h_k exp(−s/w_k²) for some widths w_k."""

    exponents: Tensor
    log_heights: Tensor

    def __init__(self, widths: tuple[float, ...] = (0.5, 1.0), heights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.count = len(widths)
        given = torch.tensor(heights or (1.0,) * len(widths))
        self.register_buffer("exponents", -1 / torch.tensor(widths)[:, None, None] ** 2, persistent=False)
        self.register_buffer("log_heights", given.log()[:, None, None], persistent=False)

    def value(self, square: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.addcmul(self.log_heights, square, self.exponents, out=out).exp_()

    def derivative(self, square: Tensor, value: Tensor) -> Tensor:
        return self.exponents.to(value.dtype) * value

    def second_derivative(self, square: Tensor, value: Tensor) -> Tensor:
        return self.exponents.to(value.dtype).square() * value

    def pull_back(self, square: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        return (self.exponents.view(1, -1) @ (value * gradient).flatten(1)).view(square.shape)


class Root(SquareFunction):
    """√(1 + s): the distance far out, smooth where it vanishes."""

    def value(self, square: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.add(square.unsqueeze(0), 1, out=out).sqrt_()

    def derivative(self, square: Tensor, value: Tensor) -> Tensor:
        return 0.5 / value

    def second_derivative(self, square: Tensor, value: Tensor) -> Tensor:
        return -0.25 / value**3

    def pull_back(self, square: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        return torch.div(gradient, value).mul_(0.5).squeeze(0)


class Features(Part):
    """Functions of a squared length (…, B) one behind the other: (features, …, B)."""

    curved: ClassVar[bool] = True

    def __init__(self, *functions: SquareFunction) -> None:
        super().__init__()
        self.functions = nn.ModuleList(functions)
        self.counts = [function.count for function in functions]

    def value(self, *inputs: Tensor) -> Tensor:
        return torch.cat([function.value(inputs[0]) for function in self.functions])

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        (square,) = inputs
        out = square.new_empty(sum(self.counts), *square.shape)
        for function, rows in zip(self.functions, out.split(self.counts), strict=True):
            function.value(square, out=rows)
        return out, None

    def _all(self, name: str, square: Tensor, value: Tensor) -> Tensor:
        """A derivative of all functions."""
        pieces = zip(self.functions, value.split(self.counts), strict=True)
        return torch.cat([getattr(function, name)(square, rows) for function, rows in pieces])

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        (square,) = node.inputs
        rows = zip(self.functions, node.value.split(self.counts), gradient.split(self.counts), strict=True)
        for function, value, of_value in rows:
            square.add(function.pull_back(square.value, value, of_value))

    def tangent(self, node: Node) -> Tangent:
        (square,) = node.inputs
        return square.tangent.scaled(self._all("derivative", square.rounded, node.rounded))

    def laplacian_term(self, node: Node) -> Tensor:
        (square,) = node.inputs
        curvature = self._all("second_derivative", square.rounded, node.rounded)
        return curvature.mul_(square.tangent.squares().view(square.value.shape))

    if TYPE_CHECKING:
        functions: Any


class DistanceFunction:
    """A function of a distance r and its two derivatives, in any shape. It leaves cusps alone: it has no term linear in r."""

    @staticmethod
    def value(r: Tensor) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def derivative(r: Tensor) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def second_derivative(r: Tensor) -> Tensor:
        raise NotImplementedError


class Logarithm(DistanceFunction):
    """½ log(1 + r²); far out it gives the growth that ψ ~ r^p e^(−ζr) asks for."""

    @staticmethod
    def value(r: Tensor) -> Tensor:
        return 0.5 * torch.log1p(r.square())

    @staticmethod
    def derivative(r: Tensor) -> Tensor:
        return r / (1.0 + r.square())

    @staticmethod
    def second_derivative(r: Tensor) -> Tensor:
        square = r.square()
        return (1.0 - square) / (1.0 + square).square_()


class Saturating(DistanceFunction):
    """(r/(1 + r))², with a cubic term at 0, and 1 far out."""

    @staticmethod
    def value(r: Tensor) -> Tensor:
        return (r / (1.0 + r)).square()

    @staticmethod
    def derivative(r: Tensor) -> Tensor:
        return 2.0 * r / (1.0 + r) ** 3

    @staticmethod
    def second_derivative(r: Tensor) -> Tensor:
        return (2.0 - 4.0 * r) / (1.0 + r) ** 4


class Ratio(DistanceFunction):
    """r/(1 + r): linear in r, as a factor of what vanishes there."""

    @staticmethod
    def value(r: Tensor) -> Tensor:
        return r / (1.0 + r)

    @staticmethod
    def derivative(r: Tensor) -> Tensor:
        return (1.0 + r).square().reciprocal_()

    @staticmethod
    def second_derivative(r: Tensor) -> Tensor:
        return -2.0 / (1.0 + r) ** 3
