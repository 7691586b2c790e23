"""What every log ψ network is: a scalar function whose gradient is the drift; and the perceptron they are made of.

Inside a network walkers are the last axis: (features, particles or pairs, walkers B). Sums over anything else, and choices
of particles, then go along contiguous memory, which takes half the time.

The gradient of log ψ with respect to the parameters is wanted walker by walker (`gradients.jacobian`). For that, every
walker gets its own copy of them: a network that is `walkerwise` also computes with parameters that have a leading axis of
walkers, (B, …). Its layers are `affine`, and `spread_out` brings any other parameter to the layout of the walkers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


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

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), both detached."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient


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
