"""How the walkers of a projection move, and the energies and actions that their weights are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.sampling.local_energy import fastest_local_energy
from fkflow.sampling.metropolis import Walkers, langevin_move, limited_drift


@dataclass(frozen=True)
class Mover:
    """Moves of time step dt along a drift, `stride` of them between two weighings; `natural_time` scales the paths of E_L."""

    net: LogPsi | PairDrift
    system: System
    dt: float
    stride: int
    girsanov: bool
    natural_time: float
    generator: torch.Generator

    def langevin(self, walkers: Walkers) -> tuple[Tensor, Tensor]:
        """One Metropolis-adjusted move; returns the probabilities of acceptance and the squared distances (B,) proposed."""
        assert isinstance(self.net, LogPsi)
        moved = langevin_move(self.net, walkers, self.generator)
        walkers.x = self.net.recentre(walkers.x)
        return moved

    def equilibrate(self, walkers: Walkers, moves: int) -> float:
        """Metropolis-adjusted moves without weights; sets the acceptance, and returns the effective time step over dt."""
        assert isinstance(self.net, LogPsi)
        walkers.refresh(self.net)
        totals = torch.zeros(3, dtype=torch.float64, device=walkers.x.device)
        for _ in range(moves):
            accept, far = self.langevin(walkers)
            totals += torch.stack([(accept * far).sum(), far.sum(), accept.double().mean()])
        # read once: each read waits for the device
        kept, thrown, accepted = totals.tolist()
        kept, thrown = ranks.reduce_mean(kept, thrown)
        walkers.acceptance = accepted / moves
        effective: float = kept / thrown
        return effective

    def local_energy(self, walkers: Walkers) -> Tensor:
        """E_L (B,) where the walkers are."""
        assert isinstance(self.net, LogPsi)
        return fastest_local_energy(self.net, self.system, walkers.x, self.generator, self.natural_time)

    def euler_maruyama(self, walkers: Walkers) -> Tensor:
        """One free step; returns its action ΔA (B,)."""
        net, dt, x = self.net, self.dt, walkers.x
        value, v = net.value_and_drift(x) if isinstance(net, LogPsi) else (x.new_zeros(len(x)), net.drift(x))
        # Girsanov's theorem holds for any drift: the limited one does not throw walkers far
        v = limited_drift(v, dt)
        dw = dt**0.5 * torch.randn(x.shape, generator=self.generator, device=x.device, dtype=x.dtype)
        walkers.x = x + v * dt + dw
        walkers.acceptance = 1.0
        action: Tensor = (v * dw).sum((1, 2)) + 0.5 * dt * v.square().sum((1, 2))
        action = action + 0.5 * dt * (self.system.potential(x) + self.system.potential(walkers.x))
        if isinstance(net, LogPsi):
            action = action + value - net.value(walkers.x)
            walkers.x = net.recentre(walkers.x)
        return action
