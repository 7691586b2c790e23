"""What every log ψ network is, a scalar function whose gradient is the drift; and the tails that some have in common.

Inside a network walkers are the last axis: (features, particles or pairs, walkers B). Sums over anything else, and choices
of particles, then go along contiguous memory, which takes half the time.

The gradient of log ψ with respect to the parameters is wanted walker by walker (`gradients.jacobian`). For that, every
walker gets its own copy of them: a network that is `walkerwise` also computes with parameters that have a leading axis of
walkers, (B, …). Its layers are `affine`, and `spread_out` brings any other parameter to the layout of the walkers.

The gradient with respect to the positions, the drift, is wanted by far most often. The networks here write out its chain rule:
automatic differentiation takes twice as long, most of it for small batches to launch operations. What it is made of stands
beside what it is the gradient of: `tails`, `Perceptron`. The Laplacian, which the local energy needs, is written out as well:
`bends.Laplacian`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from fkflow.networks.laplacian import Laplacian
from fkflow.networks.recorded_graph import replayed


class LogPsi(nn.Module):
    """A real function U(x) = log ψ(x) whose gradient is the drift of the diffusion."""

    #: the network has the right tails by construction: training need not visit them more often than ψ² does
    knows_tails: ClassVar[bool] = False
    #: `forward` also takes parameters with a leading axis of walkers; subclasses do not inherit this, they say it again
    walkerwise: ClassVar[bool] = False
    #: buffers that stay in double precision where the network is rounded (`single`): origins, which places are far from
    exact: ClassVar[tuple[str, ...]] = ()
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
        """Whether `_derivatives` is a chain rule written out, which can be recorded and replayed."""
        return False

    def _value(self, x: Tensor) -> Tensor:
        """`forward`, unless a network knows a faster way."""
        with torch.no_grad():
            return self(x)

    def _value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._derivatives(x) if self.written_out else self._differentiated(x)

    def _differentiated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), detached, of any network: by automatic differentiation."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    @property
    def knows_laplacian(self) -> bool:
        """Whether there is a `value_drift_and_laplacian`: it takes a few times as long as the drift alone."""
        return self.written_out

    def value_drift_and_laplacian(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log ψ (B,), its gradient (B, N, D) and its Laplacian (B,), detached, of a network that `knows_laplacian`."""
        found: tuple[Tensor, Tensor, Tensor] = replayed(self, self._value_drift_and_laplacian, x)
        return found

    def _value_drift_and_laplacian(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        laplacian = Laplacian(x.new_zeros(x.shape[0]))
        value, drift = self._derivatives(x, laplacian)
        return value, drift, laplacian.total

    def _derivatives(self, x: Tensor, laplacian: Laplacian | None = None) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), detached, by a chain rule that is `written_out`; a `laplacian` of nothing
        (B,), if any, becomes that of log ψ."""
        raise NotImplementedError

    def writes_out(self, network: type[LogPsi]) -> bool:
        """Whether the chain rule that `network` writes out is this network's: its class may have a `forward` of its own."""
        return type(self).forward is network.forward


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


def tails_bend(square: Tensor, weights: Tensor) -> Tensor:
    """The second derivative (n, B) of `tails` with respect to z²."""
    inverse = (1 + square).rsqrt()
    return 0.25 * weights[..., 0] * inverse**3 - 0.75 * weights[..., 1] * inverse


def tails_slope(square: Tensor, weights: Tensor) -> Tensor:
    """The derivative (n, B) of `tails` with respect to z²."""
    root = (1 + square).sqrt()
    return -0.5 * (weights[..., 0] / root + 3 * weights[..., 1] * root)
