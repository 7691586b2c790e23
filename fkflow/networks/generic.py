"""log ψ of distinguishable particles, or of one, in a smooth potential."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.landscape import Landscape
from fkflow.networks.laplacian import BENDS, Laplacian
from fkflow.networks.layers import Activated, affine, mlp
from fkflow.networks.log_psi import FAINT, GAUSSIAN_SHARE, LogPsi, tails, tails_bend, tails_slope
from fkflow.networks.two_body_factor import PairFactor


class GenericNet(LogPsi):
    """Distinguishable particles (or one): −½|Lz|² with a full learnable L, tails, and a perceptron of z.

    z are the whitened coordinates and L starts so that ψ is the harmonic approximation, which solves any set of coupled
    oscillators exactly. LᵀL cannot become negative: ψ stays normalisable whatever the optimiser does.
    """

    walkerwise: ClassVar[bool] = True
    exact: ClassVar[tuple[str, ...]] = ("centre",)

    centre: Tensor
    whiten: Tensor

    def __init__(self, landscape: Landscape, hidden: int, layers: int, meeting: PairFactor | None = None) -> None:
        super().__init__()
        d = landscape.centre.numel()
        self.meeting = meeting
        self.register_buffer("centre", landscape.centre.reshape(-1).clone())
        # Whitening z = W (x − c): unit variance of ψ² in the Gaussian approximation.
        self.register_buffer("whiten", landscape.whitening())
        # ψ² of unit variance in z: log ψ = −z²/4, with tails d²/dz² = w_0 at the centre
        soft = d <= 3 and not landscape.harmonic
        self.root = nn.Parameter(torch.eye(d) * math.sqrt(0.5 * (GAUSSIAN_SHARE if soft else 1.0)))
        self.log_tails = nn.Parameter(torch.tensor([0.5 * (1 - GAUSSIAN_SHARE), FAINT]).log()) if soft else None
        self.net = mlp([d] + [hidden] * layers + [1], final_scale=0.0)

    @property
    def width(self) -> int:
        return max(layer.in_features + layer.out_features for layer in self.net if isinstance(layer, nn.Linear))

    def whitened(self, x: Tensor) -> Tensor:
        """z (d, B)."""
        return ((x.flatten(1) - self.centre).to(self.whiten.dtype) @ self.whiten).mT.contiguous()

    def forward(self, x: Tensor) -> Tensor:
        z = self.whitened(x)
        value = -0.5 * affine(z, self.root.mT).square().sum(0) + self.net(z)[0]
        if self.meeting is not None:
            value = value + self.meeting(x)
        return value if self.log_tails is None else value + tails(z.square(), self.log_tails.exp())

    @property
    def written_out(self) -> bool:
        return self.writes_out(GenericNet)

    def _derivatives(self, x: Tensor, laplacian: Laplacian | None = None) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            z = self.whitened(x)
            turned = self.root.mT @ z
            out, kept = self.net.kept(z)
            value = out[0] - 0.5 * turned.square().sum(0)
            bends = () if laplacian is None else self._bends(kept)
            slope = self.net.slope(torch.ones_like(out), kept, laplacian, bends).addmm_(self.root, turned, alpha=-1)
            if laplacian is not None:
                laplacian.total.sub_((self.whiten @ self.root).square().sum())
            if self.log_tails is not None:
                square, weights = z.square(), self.log_tails.exp()
                value += tails(square, weights)
                of_square = tails_slope(square, weights)
                slope.addcmul_(z, of_square, value=2)
                if laplacian is not None:
                    moves = self.whiten.square().sum(0).unsqueeze(1)
                    laplacian.add(of_square.mul_(2).addcmul_(tails_bend(square, weights), square, value=4), moves)
            drift = (self.whiten @ slope).mT.contiguous().view(x.shape)
            if self.meeting is not None:
                met, toward = self.meeting.value_and_slope(x, laplacian)
                value, drift = value + met, drift + toward
        return value, drift

    def _bends(self, kept: Sequence[Activated]) -> Sequence[Tensor]:
        """The bends of the layers of the perceptron, whose first moves with x alike everywhere."""
        by_x = self.net.layer.weight @ self.whiten.mT
        if by_x.shape[0] < by_x.shape[1]:
            # only scalar products of the rows matter: those of a square matrix are the same
            by_x = torch.linalg.qr(by_x.mT, mode="r")[1].mT
        return self.net.bends(by_x.to(BENDS).unsqueeze(2), kept)
