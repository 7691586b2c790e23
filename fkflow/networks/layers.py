"""The layers that networks are made of, and their derivatives written out. Walkers are the last axis (`logpsi`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from fkflow.networks.laplacian import BENDS, Laplacian, bend


def spread_out(parameter: Tensor, axes: int) -> Tensor:
    """A parameter of so many axes, (…), or one copy of it per walker, (B, …), with a last axis for walkers, (…, 1 or B)."""
    return (parameter if parameter.dim() > axes else parameter[None]).movedim(0, -1)


def affine(a: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """W a + b (out, …, B) for a (in, …, B), weight (out, in) and bias (out,), or for a copy of both per walker (B, …)."""
    if weight.dim() == 2:
        return _layer(a, weight, bias)
    out: Tensor = PerWalkerLinear.apply(a, weight, bias)  # type: ignore[no-untyped-call]
    return out


def _layer(a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
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
        return _layer(a, weight[0], None if bias is None else bias[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        a, weight = ctx.saved_tensors
        to_a = _layer(slope, weight[0].mT, None) if ctx.needs_input_grad[0] else None
        # batches of matrices side by side in memory: products of views would copy them one by one
        out, ins = (t.reshape(len(t), -1, t.shape[-1]).movedim(-1, 0).contiguous() for t in (slope, a))
        return to_a, out @ ins.mT, out.sum(-1) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """A linear layer, `affine`, whose parameters may be one copy per walker."""

    def forward(self, input: Tensor) -> Tensor:
        return affine(input, self.weight, self.bias)


class Perceptron(nn.Sequential):
    """Linear layers with SiLU between them; `sizes` are the numbers that go in, between its layers, and out."""

    def __init__(self, sizes: Sequence[int], *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.sizes = tuple(sizes)

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    @property
    def layer(self) -> nn.Linear:
        """The first layer, the only one of most."""
        layer = self[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def kept(self, a: Tensor, *, slope: bool = True) -> tuple[Tensor, list[Activated]]:
        """What comes out (out, B) for a (in, B), without a graph, and what `slope`, if wanted, needs: that of each SiLU."""
        found = []
        for layer in self:
            if isinstance(layer, nn.Linear):
                a = torch.addmm(layer.bias.unsqueeze(1), layer.weight, a)
            else:
                found.append(activated(a, slope=slope))
                a = found[-1].value
        return a, found

    def slope(
        self, of_out: Tensor, kept: list[Activated], laplacian: Laplacian | None = None, bends: Sequence[Tensor] = ()
    ) -> Tensor:
        """Gradient (in, B) with respect to what went in, for a gradient `of_out` (out, B) of what came out.

        A `laplacian` gets what the layers add to it, if their `bends` are given.
        """
        for layer in reversed(self):
            if isinstance(layer, nn.Linear):
                of_out = layer.weight.mT @ of_out
            else:
                bend(laplacian, of_out, bends[len(kept) - 1] if bends else None)
                of_out = silu_slope(of_out, kept.pop())
        return of_out

    def bends(self, tangent: Tensor, kept: Sequence[Activated], metric: Tensor | None = None) -> list[Tensor]:
        """The bends (out, B) of each SiLU, in BENDS, for the gradient (out, directions, B) of what the first layer gives.

        It may be that of all walkers, (out, directions, 1). Its square is that of its components, weighted by the `metric`
        (directions, B) where there is one.
        """
        found: list[Tensor] = []
        behind = [layer.weight for layer in self if isinstance(layer, nn.Linear)][1:]
        for activation, weight in zip(kept, behind, strict=True):
            activation = activation.to(BENDS)
            squares = tangent.square()
            found.append(silu_bend(activation).mul_((squares if metric is None else squares.mul_(metric)).sum(1)))
            if len(found) < len(kept):
                tangent = silu_slope(tangent, activation)
                tangent = (weight.to(BENDS) @ tangent.flatten(1)).view(-1, *tangent.shape[1:])
        return found


class Activated(NamedTuple):
    """SiLU of a, a σ(a), and σ(a) where its slope is wanted too: their exponential, most of the work, is then taken once."""

    value: Tensor
    gate: Tensor | None

    def to(self, precision: torch.dtype) -> Activated:
        """The same in this precision."""
        return Activated(self.value.to(precision), None if self.gate is None else self.gate.to(precision))


def activated(a: Tensor, *, slope: bool = True) -> Activated:
    """SiLU of a, which is used up, without a graph; `slope`: its slope will be asked for."""
    if not slope:
        return Activated(silu(a, inplace=True), None)
    gate = a.sigmoid()
    return Activated(a.mul_(gate), gate)


def silu_slope(of_out: Tensor, of: Activated) -> Tensor:
    """The gradient with respect to what went into a SiLU, for a gradient `of_out` of what came out.

    And what comes out changes by for a change `of_out` of what went in, (out, directions, B) or (out, B).
    """
    assert of.gate is not None
    # σ + y (1 − σ) for y = a σ
    slope = torch.lerp(of.value, of.value.new_ones(()), of.gate)
    return slope.unsqueeze(1) * of_out if of_out.dim() > slope.dim() else slope.mul_(of_out)


def silu_bend(of: Activated) -> Tensor:
    """The second derivative of a SiLU by what went in."""
    value, gate = of
    assert gate is not None
    # (1 − σ) (2 σ + y (1 − 2 σ)) for y = a σ
    double = 2 * gate
    return (1 - gate).mul_((1 - double).mul_(value).add_(double))


def mlp(sizes: Sequence[int], final_scale: float = 1.0) -> Perceptron:
    """Linear layers with SiLU between them; the last layer's weights are multiplied by `final_scale`.

    SiLU is smooth, does not saturate (log ψ grows far out) and is the cheapest smooth function on CPUs.
    """
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layer = Linear(a, b)
        nn.init.normal_(layer.weight, std=1.0 / math.sqrt(a))
        nn.init.normal_(layer.bias, std=0.5)
        layers += [layer, nn.SiLU()]
        if i == len(sizes) - 2:
            layers.pop()
            with torch.no_grad():
                layer.weight.mul_(final_scale)
                layer.bias.zero_()
    return Perceptron(sizes, *layers)
