"""What every log ψ network is: a scalar function whose gradient is the drift; and the perceptron they are made of.

Inside a network walkers are the last axis: (features, particles or pairs, walkers B). Sums over anything else, and choices
of particles, then go along contiguous memory, which takes half the time.

The gradient of log ψ with respect to the parameters is wanted walker by walker (`gradients.jacobian`). For that, every
walker gets its own copy of them: a network that is `walkerwise` also computes with parameters that have a leading axis of
walkers, (B, …). Its layers are `affine`, and `spread_out` brings any other parameter to the layout of the walkers.

The gradient with respect to the positions, the drift, is wanted by far most often. The networks here write out its chain rule:
automatic differentiation takes twice as long, most of it for small batches to launch operations. What it is made of stands
beside what it is the gradient of: `tails`, `Perceptron`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from fkflow.replay import replayed


class LogPsi(nn.Module):
    """A real function U(x) = log ψ(x) whose gradient is the drift of the diffusion."""

    #: the network has the right tails by construction: training need not visit them more often than ψ² does
    knows_tails: ClassVar[bool] = False
    #: `forward` also takes parameters with a leading axis of walkers; subclasses do not inherit this, they say it again
    walkerwise: ClassVar[bool] = False
    #: configurations worked on at once; 0: as many as suit cache or device
    chunk: int = 0

    @property
    def width(self) -> int:
        """Numbers that the widest layer holds for one configuration: what decides how many fit in memory."""
        return 256

    def forward(self, x: Tensor) -> Tensor:
        """log ψ, x (B, N, D) → (B,)."""
        raise NotImplementedError

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def drift(self, x: Tensor) -> Tensor:
        """Drift v = ∇ log ψ (B, N, D), detached from the parameters."""
        return self.value_and_drift(x)[1]

    def value(self, x: Tensor) -> Tensor:
        """log ψ (B,), detached."""
        value: Tensor = replayed(self, self._value, x) if self.written_out else self._value(x)
        return value

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), both detached."""
        if not self.written_out:
            return self._value_and_drift(x)
        both: tuple[Tensor, Tensor] = replayed(self, self._value_and_drift, x)
        return both

    @property
    def written_out(self) -> bool:
        """Whether `_value_and_drift` is a chain rule written out, which can be recorded and replayed."""
        return False

    def _value(self, x: Tensor) -> Tensor:
        """`forward`, unless a network knows a faster way."""
        with torch.no_grad():
            return self(x)

    def _value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """By automatic differentiation, unless a network knows better."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    def writes_out(self, network: type[LogPsi]) -> bool:
        """Whether the chain rule that `network` writes out is this network's: its class may have a `forward` of its own."""
        return type(self).forward is network.forward


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

    def slope(self, of_out: Tensor, kept: list[Activated]) -> Tensor:
        """Gradient (in, B) with respect to what went in, for a gradient `of_out` (out, B) of what came out."""
        for layer in reversed(self):
            if isinstance(layer, nn.Linear):
                of_out = layer.weight.mT @ of_out
            else:
                of_out = silu_slope(of_out, kept.pop())
        return of_out


class Activated(NamedTuple):
    """SiLU of a, a σ(a), and σ(a) where its slope is wanted too: their exponential, most of the work, is then taken once."""

    value: Tensor
    gate: Tensor | None


def activated(a: Tensor, *, slope: bool = True) -> Activated:
    """SiLU of a, which is used up, without a graph; `slope`: its slope will be asked for."""
    if not slope:
        return Activated(silu(a, inplace=True), None)
    gate = a.sigmoid()
    return Activated(a.mul_(gate), gate)


def silu_slope(of_out: Tensor, of: Activated) -> Tensor:
    """The gradient with respect to what went into a SiLU, for a gradient `of_out` of what came out."""
    assert of.gate is not None
    # σ + y (1 − σ) for y = a σ
    return torch.lerp(of.value, of.value.new_ones(()), of.gate).mul_(of_out)


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


#: share of the start's curvature that sits in a Gaussian where tails may be softer; the rest is √(1 + z²). A start that
#: is too broad is seen by its walkers and corrected; the tail of one that is too narrow is never visited.
GAUSSIAN_SHARE = 0.25
#: weight of the steeper tail at the start: hardly there, yet within reach of a gradient
FAINT = 0.02


def tails(square: Tensor, weights: Tensor) -> Tensor:
    """Confining part −Σ [w_0 (√(1+z²) − 1) + w_1 ((1+z²)^{3/2} − 1)] for z² (n, B): exponential and steeper tails."""
    root = (1 + square).sqrt() - 1
    steep = (1 + square) * (1 + root) - 1
    return -(weights[..., 0] * root.sum(0) + weights[..., 1] * steep.sum(0))


def tails_slope(square: Tensor, weights: Tensor) -> Tensor:
    """The derivative (n, B) of `tails` with respect to z²."""
    root = (1 + square).sqrt()
    return -0.5 * (weights[..., 0] / root + 3 * weights[..., 1] * root)
