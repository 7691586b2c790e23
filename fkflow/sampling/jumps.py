"""Metropolis jumps by the distance of two other walkers, which carry walkers from one well of ψ² to another.

Local moves take e^(barrier) steps from well to well. A walker that moves by x_a − x_b, with a and b drawn from the other half
of the walkers, goes straight there (ter Braak, Statistics and Computing 16, 239, 2006). The proposal is symmetric, so that the
usual acceptance leaves ψ² as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fkflow.networks.choice import LogPsi
from fkflow.networks.single_precision import value_and_drift
from fkflow.sampling.metropolis import Walkers


def jump(psi: LogPsi, walkers: Walkers, generator: torch.Generator, shifts: Tensor | None = None) -> float:
    """Propose one jump to every walker, in place; returns the share that was accepted.

    Half of the proposals move all coordinates, the others one particle or, of a single particle, one coordinate. With `shifts`
    (m, N, D), each with its opposite, every other walker moves by one of them instead: they lead to wells without walkers too.
    """
    x = walkers.x
    draw: dict[str, Any] = {"generator": generator, "device": x.device}
    # walkers may stand in the order of their wells
    order = torch.randperm(len(x), **draw)
    halves = order.tensor_split(2)
    accepted = 0.0
    for movers, others in (halves, halves[::-1]):
        count, particles, dim = len(movers), *x.shape[1:]
        pick = others[torch.randint(len(others), (2, count), **draw)]
        parts = particles if particles > 1 else dim
        one = torch.randint(parts, (count, 1), **draw) == torch.arange(parts, device=x.device)
        moved = one | (torch.rand(count, 1, **draw) < 0.5)
        mask = moved[:, :, None] if particles > 1 else moved[:, None, :]
        proposal = walkers.x[movers] + torch.where(mask, walkers.x[pick[0]] - walkers.x[pick[1]], 0.0)
        if shifts is not None and len(shifts):
            by = shifts.to(x)[torch.randint(len(shifts), (count,), **draw)]
            shifted = torch.rand(count, 1, 1, **draw) < 0.5
            proposal = torch.where(shifted, walkers.x[movers] + by, proposal)
        value, drift = value_and_drift(psi, proposal)
        log_psi, old_drift = walkers.known
        # a NaN ratio compares false
        accept = torch.rand(count, dtype=x.dtype, **draw).log() < walkers.log_gain(proposal, value, movers)
        gone = movers[accept]
        walkers.x = walkers.x.index_copy(0, gone, proposal[accept])
        walkers.log_psi = log_psi.index_copy(0, gone, value[accept])
        walkers.drift = old_drift.index_copy(0, gone, drift[accept])
        accepted += float(accept.double().sum())
    return accepted / len(x)
