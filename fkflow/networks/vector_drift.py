"""The free vector drift of the original paper, for comparison: no log ψ, a curl that can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import coordinates_first, pair_differences
from fkflow.networks.layers import mlp
from fkflow.networks.stored_numbers import StoredNumbers


class PairDrift(StoredNumbers):
    """The free vector drift of Barr, Gispen, Lamacraft (2020): v need not be a gradient, its curl is measured.

    v_i = −κ(x_i − c) + Σ_j f(r_ij, x_i, x_j) (x_i − x_j) + g(x_i, m_i), with m_i = Σ_j of messages, plus unit vectors with the
    Coulomb cusps where there are nuclei; f, g are perceptrons of bounded features, so that free-running paths cannot
    explode. Equivariant under permutations; rotations are learned. κ is that of the Gaussian approximation.
    """

    numbers: ClassVar[tuple[str, ...]] = ("length", "stiffness")

    centre: Tensor
    nuclei: Tensor | None
    charges: Tensor | None
    first: Tensor
    second: Tensor

    def __init__(
        self,
        length: float,
        centre: Tensor,
        stiffness: float,
        particles: int,
        hidden: int,
        layers: int,
        nuclei_positions: Tensor | None = None,
        charges: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.length, self.particles = length, particles
        self.stiffness = stiffness
        self.register_buffer("centre", centre)
        self.register_buffer("nuclei", nuclei_positions)
        self.register_buffer("charges", charges)
        first, second = torch.triu_indices(particles, particles, 1)
        self.register_buffer("first", torch.cat([first, second]))
        self.register_buffer("second", torch.cat([second, first]))
        own = 2 + centre.numel()
        self.pair = mlp([3 + 2 * own] + [hidden] * layers + [1 + hidden], final_scale=0.01) if particles > 1 else None
        self.single = mlp(
            [own + (hidden if particles > 1 else 0)] + [hidden] * layers + [centre.numel()], final_scale=0.01
        )

    #: configurations worked on at once; 0: as many as suit cache or device
    chunk: int = 0

    @property
    def width(self) -> int:
        """Numbers that the widest layer holds for one configuration."""
        layers = self.single if self.pair is None else self.pair
        return max(1, len(self.first)) * max(layers.sizes[:2])

    def forward(self, x: Tensor) -> Tensor:
        """Drift v (B, N, D) at x (B, N, D)."""
        z = coordinates_first(x)
        y = (z - self.centre[:, None, None]) / self.length
        square = y.square().sum(0, keepdim=True)
        own = torch.cat([1 / (1 + square), (-0.5 * square).exp(), y / (1 + square).sqrt()])
        v = -self.stiffness * y
        features = own
        if self.pair is not None:
            between = pair_differences(y, self.first, self.second)
            r2 = between.square().sum(0, keepdim=True)
            ends = torch.cat([own.index_select(1, self.first), own.index_select(1, self.second)])
            out = self.pair(torch.cat([(-4 * r2).exp(), (-0.5 * r2).exp(), 1 / (1 + r2), ends]))
            v = v.index_add(1, self.first, out[:1] * between / (1 + r2).sqrt())
            sums = torch.zeros(len(out) - 1, *y.shape[1:], dtype=x.dtype, device=x.device)
            features = torch.cat([own, sums.index_add(1, self.first, out[1:])])
        v = (v + self.single(features)) / self.length
        if self.nuclei is not None and self.charges is not None:
            offset = z[:, :, None] - self.nuclei.mT[:, None, :, None]
            r = (offset.square().sum(0, keepdim=True) + 1e-24).sqrt()
            v = v - (self.charges[:, None] * offset / r).sum(2)
            if self.pair is not None:
                between = pair_differences(z, self.first, self.second)
                r = (between.square().sum(0, keepdim=True) + 1e-24).sqrt()
                v = v.index_add(1, self.first, 0.5 * between / (r * (1 + r) ** 2))
        return v.permute(2, 1, 0)

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def drift(self, x: Tensor) -> Tensor:
        """The drift without graph."""
        with torch.no_grad():
            return self(x)
