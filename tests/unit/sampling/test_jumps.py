"""Jumps between wells: they keep ψ², and carry walkers where local moves do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.jumps import jump
from fkflow.sampling.metropolis import Walkers, metropolis

#: share of ψ² in the right well of the network below
SHARE = 0.8


class TwoWells(LogPsi):
    """ψ² = 0.2 N(−3, ¼) + 0.8 N(3, ¼) in the first coordinate, and a Gaussian in the others."""

    def forward(self, x: Tensor) -> Tensor:
        first, rest = x[:, 0, 0], x[:, 0, 1:]
        heights = torch.stack(
            [math.log(share) - 2 * (first - at).square() for share, at in ((1 - SHARE, -3), (SHARE, 3))]
        )
        return 0.5 * heights.logsumexp(0) - 0.25 * rest.square().sum(1)


@pytest.mark.parametrize("dim", [1, 3])
def test_jumps_fill_both_wells_as_psi_squared_says(dim: int) -> None:
    """From half and half, 4000 walkers reach 80 % within 4σ of independent ones; without jumps they stay."""
    generator = torch.Generator().manual_seed(3)
    x = 0.5 * torch.randn(4000, 1, dim, generator=generator, dtype=torch.float64)
    x[:2000, 0, 0] -= 3
    x[2000:, 0, 0] += 3
    psi, walkers, stuck = TwoWells(), Walkers(x.clone(), 0.2), Walkers(x.clone(), 0.2)
    for each in (walkers, stuck):
        metropolis(psi, each, generator, 1)
    for _ in range(60):
        jump(psi, walkers, generator)
        for each in (walkers, stuck):
            metropolis(psi, each, generator, 1, adapt=False, frozen=True)
    sigma = math.sqrt(SHARE * (1 - SHARE) / 4000)
    assert abs(float((walkers.x[:, 0, 0] > 0).double().mean()) - SHARE) < 4 * sigma
    assert abs(float((stuck.x[:, 0, 0] > 0).double().mean()) - 0.5) < 4 * sigma
    # the other coordinates keep their unit variance
    if dim > 1:
        assert abs(float(walkers.x[:, 0, 1:].var()) - 1) < 4 * math.sqrt(2 / 8000)
