"""Factors of ψ that confine the particles: Gaussians, and tails for states that fall more slowly."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fkflow.networks.layers import affine
from fkflow.networks.pair_tangents import CoordinateTangent
from fkflow.networks.parts import Node, Part, Term, TermOfCoordinates
from fkflow.networks.tangents import rounded

#: share of the start's curvature that sits in a Gaussian where tails may be softer; the rest is √(1 + z²). A start that
#: is too broad is seen by its walkers and corrected; the tail of one that is too narrow is never visited.
GAUSSIAN_SHARE = 0.25
#: weight of the steeper tail at the start: hardly there, yet within reach of a gradient
FAINT = 0.02
#: where the wider of two exponential tails sets in, in the unit of the narrower one
WIDE = 4.0
#: where coordinates are far out, in standard deviations of ψ² in the Gaussian approximation
FAR = 8.0


class RoundGaussian(Term):
    """−½ c L² Σ_i s_i (B,) of squared lengths s (n, B), for a number L or one per walker (B,) and a factor c."""

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=True)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Tensor]:
        square, root, factor = inputs
        weight = root.square() * (-0.5 * factor)
        return square.sum(0) * weight, weight

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        square = node.inputs[0]
        square.add(node.saved.expand(square.value.shape), new=False)


class Gaussian(Term):
    """−½ c Σ_i |Lᵀ a_i|² (B,) of coordinates a (D, n, B), for L (D, D) or one per walker (B, D, D) and a factor c."""

    curved: ClassVar[bool] = True

    def value(self, *inputs: Any) -> Tensor:
        a, root, factor = inputs
        return -0.5 * factor * affine(a, root.mT).square().sum((0, 1))

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Tensor]:
        a, root, factor = inputs
        turned = (root.mT @ a.flatten(1)).view(a.shape)
        return turned.square().sum((0, 1)).mul_(-0.5 * factor), turned

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        a, root, factor = node.inputs
        a.add_product(root, node.saved, -factor)

    def laplacian_term(self, node: Node) -> Tensor:
        a, root, factor = node.inputs
        if isinstance(a.tangent, CoordinateTangent):
            return -factor * a.tangent.squares_of(root.mT)
        return -factor * a.tangent.linear(root.mT).squares().sum()


class ElementSquares(Part):
    """a² for each element of coordinates a."""

    curved: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].square()

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        (a,) = node.inputs
        a.add(2 * a.value * gradient)

    def tangent(self, node: Node) -> Any:
        (a,) = node.inputs
        return a.tangent.scaled(rounded(2 * a.value))

    def laplacian_term(self, node: Node) -> Tensor:
        return 2 * node.inputs[0].tangent.squares().view(len(node.value), *(1,) * (node.value.dim() - 1))


class Tails(Term):
    """−Σ [w_0 (√(1 + s) − 1) + w_1 ((1 + s)^{3/2} − 1)] (B,) of squares s (…, B): exponential and steeper tails.

    The weights w are (2,), or one copy per walker (B, 2).
    """

    curved: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        return self.evaluate(*inputs, derivatives=True)[0]

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Tensor]:
        square, weights = inputs
        root = (1 + square).sqrt()
        soft, steep = root - 1, torch.addcmul(root, square, root) - 1
        soft, steep = soft.flatten(0, -2).sum(0), steep.flatten(0, -2).sum(0)
        return -(weights[..., 0] * soft + weights[..., 1] * steep), root

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        (square, weights), root = node.inputs, node.saved
        square.add((weights[0] / root).add_(3 * weights[1] * root).mul_(-0.5))

    def laplacian_term(self, node: Node) -> Tensor:
        square, weights = node.inputs
        inverse = node.saved.reciprocal()
        curvature = 0.25 * weights[0] * inverse**3 - 0.75 * weights[1] * inverse
        return (curvature * square.tangent.squares().view(curvature.shape)).flatten(0, -2).sum(0)


class Saturated(Part):
    """a/√(1 + a²/FAR²) for each element of coordinates a: what a network of it does is constant far out."""

    curved: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0] * _flattening(inputs[0])

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        (a,) = node.inputs
        a.add(_flattening(a.value) ** 3 * gradient)

    def tangent(self, node: Node) -> Any:
        (a,) = node.inputs
        return a.tangent.scaled(rounded(_flattening(a.value) ** 3))

    def laplacian_term(self, node: Node) -> Tensor:
        (a,) = node.inputs
        curvature = a.value * _flattening(a.value) ** 5 * (-3 / FAR**2)
        return curvature * a.tangent.squares().view(len(node.value), *(1,) * (node.value.dim() - 1))


def _flattening(a: Tensor) -> Tensor:
    return (1 + (a / FAR).square()).rsqrt()


class RoundTails(TermOfCoordinates):
    """−w_0 (√(1 + s) − 1) − w_1 (√(WIDE² + s) − WIDE) (B,) of s = |W y|² for all coordinates y (D, N, B), and W (d, d).

    The weights w are (2,), or one copy per walker (B, 2).
    """

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        y, whiten, weights = inputs
        dim, n, batch = y.shape
        z = whiten.mT @ y.transpose(0, 1).reshape(n * dim, batch).to(whiten.dtype)
        square = z.square().sum(0)
        near, far = (1 + square).sqrt(), (WIDE**2 + square).sqrt()
        first, second = weights[..., 0], weights[..., 1]
        value = -(first * (near - 1) + second * (far - WIDE))
        if not derivatives:
            return value, None
        slope = -(first / near + second / far)
        curvature = first / near**3 + second / far**3
        turned = whiten @ z
        laplacian = slope * whiten.square().sum() + curvature * turned.square().sum(0)
        return value, ((slope * turned).view(n, dim, batch).transpose(0, 1).contiguous(), laplacian)
