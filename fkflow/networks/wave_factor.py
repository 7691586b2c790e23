"""The factor of ψ for waves of the density in a periodic box, by which a crystal holds its particles.

log ψ = −Σ_k w_k (|ρ_k|² − N)/N with ρ_k = Σ_i e^(ik·y_i), over one of each two opposite wave vectors of the box. It is a
function of differences, the same at every image and smooth everywhere, and it sees pairs in the corners of the box, where
functions of the nearest distance have ended. A w_k < 0 at the Bragg peaks of a crystal holds each particle where all others put
it, wherever the crystal is: what Gaussians about sites do, in a ψ that is symmetric and has no sites. Long waves are phonons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.box import nearest_distance, open_axes, wave_vectors
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.layers import spread_out
from fkflow.networks.parts import TermOfCoordinates

#: displacement √⟨u²⟩ that the Bragg peaks alone would leave at the start, in distances of nearest sites; crystals of bosons
#: melt at about so much
HELD = 0.2
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


def crystal_waves(system: System, landscape: Landscape) -> WaveFactor | None:
    """The factor that holds a crystal at the start, for a system with `crystal_sites()` in two or three periodic dimensions.

    None without sites, or where they have no Bragg peaks. The sites (N, D) are in the coordinates of the landscape.
    """
    given, box = system.crystal_sites(), landscape.box or ()
    if given is None or len(box) < 2 or open_axes(box):
        return None
    sites = torch.as_tensor(given).detach().to("cpu", torch.float64)
    nearest, (n, dim) = nearest_distance(sites, box), sites.shape
    # two planes of sites are hardly nearer than half of that
    most = LONGEST * 4 * math.pi / nearest
    waves = sites.new_tensor(wave_vectors(box, [math.floor(most * side / (2 * math.pi)) for side in box]))
    angle = waves @ sites.T
    height = (angle.cos().sum(1).square() + angle.sin().sum(1).square()) / n**2
    length = waves.norm(dim=1)
    peaks = (height >= PEAK) & (length <= most / LONGEST)
    if not peaks.any():
        return None
    near = length <= LONGEST * length[peaks].min()
    waves, height = waves[near], height[near]
    orders = (waves * waves.new_tensor(box) / (2 * math.pi)).round()
    # mirrors of a wave have its weight, unless the sites say that they differ
    alike, kinds = torch.cat([orders.abs(), (height[:, None] / SAME).round()], 1).unique(dim=0, return_inverse=True)
    found = WaveFactor([side / landscape.length for side in box], orders, kinds)
    # the curvature of log ψ along an axis that a particle feels, where all are held so well
    peaks, square, variance = height >= PEAK, waves.square().sum(1), (HELD * nearest) ** 2 / dim
    curvature = 2 / dim * (height * square * (-0.5 * variance * square).exp())[peaks].sum()
    with torch.no_grad():
        found.weights[kinds[peaks]] = -0.5 / (variance * float(curvature))
    return found
