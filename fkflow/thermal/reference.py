"""The harmonic reference: Mehler's kernel, its bridges, and sums over the permutations of identical particles.

Coordinates y (B, n, D) are those of n bodies along the D axes of the reference, V0 = ½ Σ ω_a² y_a² with the same D frequencies
for each body. k0(x, y; t) is the kernel of e^(−t H0).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bridge:
    """One step dt of the reference from y to the end y0 at the distance τ: mean near·y + far·y0, deviation `spread`, all (D,).

    `overlap` (D,) is ω/sinh ωτ: the end P y0 has the probability ∝ exp(Σ_i overlap·y_i·y0_P(i)).
    """

    near: Tensor
    far: Tensor
    spread: Tensor
    overlap: Tensor


class Reference:
    """Frequencies (D,) and the permutations (p, n) over which closed paths are summed."""

    def __init__(self, frequencies: Tensor, bodies: int, bosons: bool) -> None:
        self.frequencies, self.bodies = frequencies, bodies
        orders = list(itertools.permutations(range(bodies))) if bosons else [tuple(range(bodies))]
        self.permutations = torch.tensor(orders)
        #: (p, n·n): where each permutation sends each body
        self.sent = torch.nn.functional.one_hot(self.permutations, bodies).double().flatten(1)

    @property
    def dimension(self) -> int:
        """All coordinates, n·D."""
        return self.bodies * len(self.frequencies)

    def width(self, beta: float) -> Tensor:
        """The thermal width of each axis (D,), √(coth(βω/2)/2ω)."""
        omega = self.frequencies
        return (2 * omega * (0.5 * beta * omega).tanh()).rsqrt()

    def potential(self, y: Tensor) -> Tensor:
        """V0 (B,)."""
        return 0.5 * (self.frequencies * y).square().sum((-1, -2))

    def bridge(self, dt: float, left: float) -> Bridge:
        """The bridge of a step dt with the time `left` to the end before it."""
        omega = self.frequencies
        near, far = omega / (omega * dt).tanh(), omega / (omega * (left - dt)).tanh()
        variance = 1 / (near + far)
        after = omega / (omega * (left - dt)).sinh()
        return Bridge(
            omega / (omega * dt).sinh() * variance, after * variance, variance.sqrt(), omega / (omega * left).sinh()
        )

    def log_kernel(self, x: Tensor, y: Tensor, time: float) -> Tensor:
        """log k0 (…) from x (…, n, D) to y, body by body."""
        omega = self.frequencies
        angle = omega * time
        log_sinh = angle + (-(-2 * angle).exp()).log1p() - math.log(2)
        exponent = omega * (0.5 * (x.square() + y.square()) / angle.tanh() - x * y / angle.sinh())
        constant = 0.5 * (omega.log() - math.log(2 * math.pi) - log_sinh).sum()
        return self.bodies * constant - exponent.sum((-1, -2))

    def log_closed_kernel(self, x: Tensor, y: Tensor, time: float) -> Tensor:
        """log of 1/n! Σ_P k0(x, P y; t) for bosons (B,), of k0(x, y; t) for others."""
        straight = self.log_kernel(x, y, time)
        if len(self.permutations) == 1:
            return straight
        overlap = self.frequencies / (self.frequencies * time).sinh()
        log_share = self.log_shares(x, y, overlap)
        # the first permutation is the identity
        return straight - log_share[:, 0] + log_share.logsumexp(1) - math.log(len(self.permutations))

    def log_shares(self, x: Tensor, y: Tensor, overlap: Tensor) -> Tensor:
        """Σ_i overlap·x_i·y_P(i) (B, p), the part of log k0 that depends on the permutation."""
        matrix = ((x * overlap) @ y.mT).flatten(1)
        return matrix @ self.sent.T
