"""The factor of ψ for waves of the density in a periodic box, by which crystals of an earlier version held their particles.

log ψ = −Σ_k w_k (|ρ_k|² − N)/N with ρ_k = Σ_i e^(ik·y_i), over one of each two opposite wave vectors of the box. It is kept
for the files of that version: crystals have a `site_factor` now, which holds them better (docs/notes/boxes.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.box import nearest_distance, wave_vectors
from fkflow.networks.layers import spread_out
from fkflow.networks.parts import TermOfCoordinates

#: share of N² in |ρ_k|² of the sites from which on a wave is a Bragg peak, and the longest wave in shortest ones of them
PEAK, LONGEST = 0.5, 1.5
#: difference of heights that are the same
SAME = 1e-6


class WaveFactor(TermOfCoordinates):
    """The term (B,) from coordinates y (D, N, B), rounded to the given precision.

    `sides` (D,) of the box are in units of the coordinates, `orders` (K, D) are k in units of 2π/L. Waves of the same one of
    the `kinds` (K,) have the same weight.
    """

    orders: Tensor
    kinds: Tensor

    def __init__(self, sides: Sequence[float], orders: Tensor, kinds: Tensor) -> None:
        super().__init__()
        self.sides = tuple(sides)
        self.register_buffer("orders", orders.to(torch.float64), persistent=False)
        self.register_buffer("kinds", kinds, persistent=False)
        self.weights = nn.Parameter(torch.zeros(int(kinds.max()) + 1))

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        y, precision = inputs
        n, sides = y.shape[1], y.new_tensor(self.sides)
        turns = torch.tensordot(self.orders.to(y), y / sides[:, None, None], 1)
        # particles may be many sides away
        angle = (2 * math.pi) * (turns - turns.round()).to(precision)
        cosine, sine = angle.cos(), angle.sin()
        even, odd = cosine.sum(1), sine.sum(1)
        weights = spread_out(self.weights, 1).index_select(0, self.kinds) / -n
        excess = even.square() + odd.square() - n
        value = (weights * excess).sum(0)
        if not derivatives:
            return value, None
        waves = (2 * math.pi * self.orders.to(y) / sides).to(precision)
        turned = (cosine * odd.unsqueeze(1) - sine * even.unsqueeze(1)) * (2 * weights).unsqueeze(1)
        laplacian = -2 * (weights * waves.square().sum(1, keepdim=True) * excess).sum(0)
        return value, (torch.tensordot(waves.T, turned, 1).to(y), laplacian)


def waves_of(sites: Tensor, box: Sequence[float], length: float) -> WaveFactor:
    """The factor for a crystal with these sites (N, D) in the coordinates of the landscape, whose unit is `length`."""
    # two planes of sites are hardly nearer than half of the distance of nearest sites
    most = LONGEST * 4 * math.pi / nearest_distance(sites, box)
    waves = sites.new_tensor(wave_vectors(box, [math.floor(most * side / (2 * math.pi)) for side in box]))
    angle = waves @ sites.T
    height = (angle.cos().sum(1).square() + angle.sin().sum(1).square()) / len(sites) ** 2
    size = waves.norm(dim=1)
    near = size <= LONGEST * size[(height >= PEAK) & (size <= most / LONGEST)].min()
    waves, height = waves[near], height[near]
    orders = (waves * waves.new_tensor(box) / (2 * math.pi)).round()
    # those that a reflection of the box makes of one another, and as high
    _, kinds = torch.cat([orders.abs(), (height[:, None] / SAME).round()], 1).unique(dim=0, return_inverse=True)
    return WaveFactor([side / length for side in box], orders, kinds)
