"""The harmonic reference: Mehler's kernel and its bridges.

Coordinates y (B, n, D) are those of n bodies along the D axes of the reference, V0 = ½ Σ ω_a² y_a² with the same D frequencies
for each body of a kind. k0(x, y; t) is the kernel of e^(−t H0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.thermal.kinds import Kinds


@dataclass(frozen=True)
class Bridge:
    """One step of the reference from y to the end: mean near·y + far·end, deviation `spread`, all (B, 1 or n, D)."""

    near: Tensor
    far: Tensor
    spread: Tensor


class Reference:
    """Frequencies (D,) of n `bodies`, or (n, D) where they are of several `kinds`; `bosons` of a kind may end in one another's
    places.
    """

    def __init__(self, frequencies: Tensor, bodies: int, bosons: bool, kinds: Kinds | None = None) -> None:
        self.frequencies, self.bodies, self.kinds = frequencies, bodies, kinds
        self.counts = (bodies,) if kinds is None else kinds.counts
        self.bosons = bosons and max(self.counts) > 1

    @property
    def axes(self) -> int:
        """The coordinates of a body, D."""
        return self.frequencies.shape[-1]

    @property
    def dimension(self) -> int:
        """All coordinates, n·D."""
        return self.bodies * self.axes

    @property
    def log_orders(self) -> float:
        """log of the number of permutations."""
        return sum(math.lgamma(count + 1) for count in self.counts) if self.bosons else 0.0

    def total(self, x: Tensor) -> Tensor:
        """The sum (…) over bodies and axes of x (…, 1 or n, D), of which one row stands for all bodies."""
        found: Tensor = x.sum((-2, -1)) * (self.bodies if x.shape[-2] == 1 else 1)
        return found

    def width(self, beta: Tensor | float) -> Tensor:
        """The thermal width √(coth(βω/2)/2ω) of each axis (D,) or (n, D); (B, 1 or n, D) for β (B, 1, 1)."""
        omega = self.frequencies
        return (2 * omega * (0.5 * beta * omega).tanh()).rsqrt()

    def potential(self, y: Tensor) -> Tensor:
        """V0 (B,)."""
        return 0.5 * (self.frequencies * y).square().sum((-1, -2))

    def bridge(self, dt: Tensor | float, left: Tensor | float) -> Bridge:
        """The bridge of a step dt with the time `left` to the end before it, numbers or (B,)."""
        omega, step, rest = self.frequencies, _column(dt), _column(left) - _column(dt)
        near, far = omega / (omega * step).tanh(), omega / (omega * rest).tanh()
        variance = 1 / (near + far)
        return Bridge(
            omega / (omega * step).sinh() * variance, omega / (omega * rest).sinh() * variance, variance.sqrt()
        )

    def log_kernel(self, x: Tensor, y: Tensor, time: Tensor | float) -> Tensor:
        """log k0 (…, B) from x (…, B, n, D) to y, body by body; the time is a number or (B,)."""
        omega = self.frequencies
        angle = omega * _column(time)
        log_sinh = angle + (-(-2 * angle).exp()).log1p() - math.log(2)
        exponent = omega * (0.5 * (x.square() + y.square()) / angle.tanh() - x * y / angle.sinh())
        constant = 0.5 * self.total(omega.log() - math.log(2 * math.pi) - log_sinh)
        return constant - exponent.sum((-1, -2))


def _column(time: Tensor | float) -> Tensor:
    return torch.as_tensor(time, dtype=torch.float64).reshape(-1, 1, 1)


def permuted(y: Tensor, sent: Tensor) -> Tensor:
    """P y (B, n, D): at i the place of body P(i) = `sent`[i] (B, n)."""
    return y.gather(1, sent[..., None].expand_as(y))


def cycles(sent: Tensor) -> Tensor:
    """(B, n, n): 1/k for two bodies of one cycle of k bodies of a permutation (B, n), else 0."""
    n = sent.shape[1]
    reached = torch.nn.functional.one_hot(sent, n).double() + torch.eye(n, dtype=torch.float64)
    for _ in range(max(1, n - 1).bit_length()):
        reached = (reached @ reached > 0).double()
    return reached / reached.sum(2, keepdim=True)
