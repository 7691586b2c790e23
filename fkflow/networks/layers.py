"""Linear layers, SiLU and perceptrons, whose parameters may be one copy per walker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from fkflow.networks.parts import Node, Part, Term
from fkflow.networks.tangents import Tangent


def spread_out(parameter: Tensor, axes: int) -> Tensor:
    """A parameter of so many axes, (…), or one copy of it per walker, (B, …), with a last axis for walkers, (…, 1 or B)."""
    return (parameter if parameter.dim() > axes else parameter[None]).movedim(0, -1)


def affine(a: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """W a + b (out, …, B) for a (in, …, B), weight (out, in) and bias (out,), or for a copy of both per walker (B, …)."""
    if weight.dim() == 2:
        return _product(a, weight, bias)
    out: Tensor = PerWalkerLinear.apply(a, weight, bias)  # type: ignore[no-untyped-call]
    return out


def _product(a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # products of two transposed matrices take three times as long
    flat = a.flatten(1).contiguous()
    out = weight @ flat if bias is None else torch.addmm(bias[:, None], weight, flat)
    return out.view(len(weight), *a.shape[1:])


class PerWalkerLinear(torch.autograd.Function):
    """The linear layer of walkers that all have the same weights, with a gradient per walker: weight (B, out, in).

    The copies are views of one weight, so that the layer costs what a shared one does; only their gradients differ.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert len(weight) == 1 or weight.stride(0) == 0, "copies of one weight"
        ctx.save_for_backward(a, weight)
        return _product(a, weight[0], None if bias is None else bias[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        a, weight = ctx.saved_tensors
        to_a = _product(gradient, weight[0].mT, None) if ctx.needs_input_grad[0] else None
        # batches of matrices side by side in memory: products of views would copy them one by one
        out, ins = (t.reshape(len(t), -1, t.shape[-1]).movedim(-1, 0).contiguous() for t in (gradient, a))
        return to_a, out @ ins.mT, out.sum(-1) if ctx.needs_input_grad[2] else None


class Linear(Part, nn.Linear):
    """W a + b (out, …, B) for a (in, …, B), which may come in several pieces, one behind the other along its first axis."""

    def value(self, *inputs: Tensor) -> Tensor:
        return affine(inputs[0] if len(inputs) == 1 else torch.cat(inputs), self.weight, self.bias)

    def pieces(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The columns of the weight that belong to each input."""
        return self.weight.split([len(one) for one in inputs], -1) if len(inputs) > 1 else (self.weight,)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        weights = self.pieces(inputs)
        out = torch.addmm(self.bias.unsqueeze(1), weights[0], inputs[0].flatten(1))
        for one, weight in zip(inputs[1:], weights[1:], strict=True):
            out.addmm_(weight, one.flatten(1))
        return out.view(len(self.weight), *inputs[0].shape[1:]), None

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        weights = self.pieces([one.value for one in node.inputs])
        for one, weight in zip(node.inputs, weights, strict=True):
            one.add_product(weight.mT, gradient)

    def tangent(self, node: Node) -> Tangent:
        weights = self.pieces([one.value for one in node.inputs])
        found = node.inputs[0].tangent.linear(weights[0])
        for one, weight in zip(node.inputs[1:], weights[1:], strict=True):
            found = found + one.tangent.linear(weight)
        return found


class SiLU(Part):
    """a σ(a). It is smooth, does not saturate (log ψ grows far out) and is the cheapest smooth function on CPUs.

    On a tape its value takes the place of the linear layer below it, which nothing else may use.
    """

    curved: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        return silu(inputs[0])

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Tensor | None]:
        (a,) = inputs
        if not derivatives:
            return silu(a, inplace=True), None
        # its exponential, most of the work, is taken once for the value and the derivatives
        gate = a.sigmoid()
        return a.mul_(gate), gate

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        node.inputs[0].add(silu_derivative(node.value, node.saved).mul_(gradient))

    def tangent(self, node: Node) -> Tangent:
        return node.inputs[0].tangent.scaled(silu_derivative(node.rounded, node.rounded_saved))

    def laplacian_term(self, node: Node) -> Tensor:
        curvature = silu_second_derivative(node.rounded, node.rounded_saved)
        curvature.flatten(1).mul_(node.inputs[0].tangent.squares())
        return curvature


def silu_derivative(value: Tensor, gate: Tensor) -> Tensor:
    """σ + y (1 − σ) for y = a σ(a) and σ = `gate`."""
    return torch.lerp(value, value.new_ones(()), gate)


def silu_second_derivative(value: Tensor, gate: Tensor) -> Tensor:
    """(1 − σ) (2 σ + y (1 − 2 σ)) for y = a σ(a) and σ = `gate`."""
    double = 2 * gate
    return (1 - gate).mul_((1 - double).mul_(value).add_(double))


class Perceptron(nn.Sequential):
    """Linear layers with SiLU between them; `sizes` are the numbers that go in, between its layers, and out."""

    def __init__(self, sizes: Sequence[int], *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.sizes = tuple(sizes)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output (out, …, B) for inputs as those of `Linear`."""
        first, *others = self
        out: Tensor = first(*inputs)
        for layer in others:
            out = layer(out)
        return out

    if TYPE_CHECKING:

        def __call__(self, *inputs: Tensor) -> Tensor: ...


def mlp(sizes: Sequence[int], final_scale: float = 1.0, first: Callable[[int, int], Linear] = Linear) -> Perceptron:
    """A perceptron; the last layer's weights are multiplied by `final_scale`, the first layer may be another kind of linear."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layer = Linear(a, b) if layers else first(a, b)
        nn.init.normal_(layer.weight, std=1.0 / math.sqrt(a))
        nn.init.normal_(layer.bias, std=0.5)
        layers += [layer, SiLU()]
        if i == len(sizes) - 2:
            layers.pop()
            with torch.no_grad():
                layer.weight.mul_(final_scale)
                layer.bias.zero_()
    return Perceptron(sizes, *layers)


class Sum(Term):
    """The sum (B,) of everything in a value (1, …, B): the contributions of particles or pairs to log ψ."""

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].flatten(0, -2).sum(0)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        (a,) = node.inputs
        a.add(torch.ones_like(a.value))


class SumOverPairs(Part):
    """The sums (C, B) over the pairs of a value (C, pairs, B)."""

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].sum(1)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        (a,) = node.inputs
        a.add(gradient.unsqueeze(1).expand(a.value.shape), new=False)


class Weighted(Term):
    """The sum Σ_c w_c a_c (B,) of a value a (C, B) with weights w (C,), or a copy of them per walker (B, C)."""

    def value(self, *inputs: Tensor) -> Tensor:
        a, weights = inputs
        return (a * spread_out(weights, 1)).sum(0)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        a, weights = inputs
        return (weights.unsqueeze(0) @ a).squeeze(0), None

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        a, weights = node.inputs
        a.add(weights.unsqueeze(1).expand(a.value.shape), new=False)
