"""Persistent walkers distributed as ψ²: Metropolis-adjusted Langevin steps, free of time-step bias.

The proposal is the Euler–Maruyama step of the model's own diffusion, dX = v dt + dW with v = ∇ log ψ. Near Coulomb
singularities and wherever |v|²τ is large the drift is limited as by Umrigar, Nightingale, Runge, JCP 99, 2865 (1993);
accept/reject makes the density exactly ψ² for every step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.networks import LogPsi

#: acceptance at which Langevin proposals of a smooth density explore fastest (Roberts & Rosenthal 1998)
TARGET_ACCEPTANCE = 0.6


def limited_drift(v: Tensor, step: float) -> Tensor:
    """Umrigar's limited drift v (√(1 + 2 v²τ) − 1)/(v²τ), particle by particle, for v (B, N, D)."""
    v2 = v.square().sum(-1, keepdim=True) * step
    return v * (2 / (1 + (1 + 2 * v2).sqrt()))


@dataclass
class Walkers:
    """Positions x (B, N, D) with log ψ (B,) and drift (B, N, D) there, and the Langevin step τ they move by."""

    x: Tensor
    step: float
    log_psi: Tensor | None = None
    drift: Tensor | None = None
    acceptance: float = 0.0

    def refresh(self, psi: LogPsi) -> None:
        """Recompute log ψ and drift after the network changed."""
        self.log_psi, self.drift = psi.value_and_drift(self.x)


def metropolis(psi: LogPsi, walkers: Walkers, generator: torch.Generator, moves: int, *, adapt: bool = True) -> None:
    """Move the walkers in place by `moves` Metropolis-adjusted Langevin steps.

    Sets walkers.acceptance to the mean over these moves; with `adapt` the step size then moves towards the target
    acceptance (not to be used while measuring: adaptation breaks detailed balance).
    """
    accepted = torch.zeros((), dtype=torch.float64, device=walkers.x.device)
    walkers.refresh(psi)
    options = {"generator": generator, "device": walkers.x.device, "dtype": walkers.x.dtype}
    for _ in range(moves):
        x, value, v, step = walkers.x, walkers.log_psi, walkers.drift, walkers.step
        forward = limited_drift(v, step)
        noise = torch.randn(x.shape, **options)
        proposal = x + step * forward + step**0.5 * noise
        new_value, new_v = psi.value_and_drift(proposal)
        back = x - proposal - step * limited_drift(new_v, step)
        log_ratio = 2 * (new_value - value) + 0.5 * (noise.square().sum((1, 2)) - back.square().sum((1, 2)) / step)
        # A NaN ratio compares false: such a proposal is rejected.
        accept = torch.rand(len(x), **options).log() < log_ratio
        mask = accept[:, None, None]
        walkers.x = torch.where(mask, proposal, x)
        walkers.log_psi = torch.where(accept, new_value, value)
        walkers.drift = torch.where(mask, new_v, v)
        accepted += accept.sum() / len(x)
    walkers.acceptance = float(accepted) / max(moves, 1)
    if adapt and moves:
        walkers.step *= min(max(2.0 ** (2 * (walkers.acceptance - TARGET_ACCEPTANCE)), 0.5), 2.0)
