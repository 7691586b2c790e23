"""Persistent walkers distributed as ψ²: Metropolis-adjusted Langevin steps, free of time-step bias.

The proposal is the Euler–Maruyama step of the model's own diffusion, dX = v dt + dW with v = ∇ log ψ. Near Coulomb
singularities and wherever |v|²τ is large the drift is limited as by Umrigar, Nightingale, Runge, JCP 99, 2865 (1993);
accept/reject makes the density exactly ψ² for every step size.

The centre of mass of a free system diffuses with the walkers. It is put back after the moves, which changes neither log ψ nor
the drift nor any average (`hamiltonian.free`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import squared_lengths
from fkflow.networks.choice import LogPsi
from fkflow.networks.single_precision import value_and_drift
from fkflow.sampling.broad import BroadDensity

#: acceptance at which Langevin proposals of a smooth density explore fastest (Roberts & Rosenthal 1998)
TARGET_ACCEPTANCE = 0.6


def limited_drift(v: Tensor, step: float) -> Tensor:
    """Umrigar's limited drift v (√(1 + 2 v²τ) − 1)/(v²τ), of each particle, v (B, N, D)."""
    v2 = squared_lengths(v) * step
    return v * (2 / (1 + (1 + 2 * v2).sqrt()))


@dataclass
class Walkers:
    """Positions x (B, N, D) with log ψ (B,) and drift (B, N, D) there, and the Langevin step τ they move by.

    Positions have double precision, log ψ and drift are computed in single precision (`single_precision.value_and_drift`).
    Walkers are distributed as ψ^(2 power): with a power below 1 they visit the tails more often than ψ² does, and averages
    over ψ² take `weights`. With a `broad` density some of them have that one.
    """

    x: Tensor
    step: float
    power: float = 1.0
    log_psi: Tensor | None = None
    drift: Tensor | None = None
    acceptance: float = 0.0
    broad: BroadDensity | None = None

    def refresh(self, psi: LogPsi) -> None:
        """Recompute log ψ and drift after the network changed."""
        self.log_psi, self.drift = value_and_drift(psi, self.x)

    def follow(self, everyone: Walkers) -> None:
        """Take over places and step of the first of `everyone`, which are these walkers with others behind them."""
        count = len(self.x)
        self.x, self.log_psi, self.drift = (tensor[:count] for tensor in (everyone.x, *everyone.known))
        self.step, self.acceptance = everyone.step, everyone.acceptance

    def with_others_of(self, everyone: Walkers) -> Walkers:
        """These walkers, which have moved since, with the others of `everyone` behind them."""
        count = len(self.x)
        both = zip((self.x, *self.known), (everyone.x, *everyone.known), strict=True)
        x, log_psi, drift = (torch.cat([own, of_all[count:]]) for own, of_all in both)
        return Walkers(x, self.step, self.power, log_psi, drift, broad=self.broad)

    @property
    def known(self) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and drift (B, N, D) where the walkers are, for the network they last moved by."""
        assert self.log_psi is not None and self.drift is not None
        return self.log_psi, self.drift

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], device: torch.device) -> Walkers:
        """The walkers that gave this `state_dict`."""
        moved: dict[str, Any] = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in state.items()}
        return cls(**moved)

    def weights(self, log_ratio: Tensor | None = None) -> Tensor:
        """Importance weights (B,), of mean 1, that turn averages over the walkers into averages over ψ².

        `log_ratio` is that of all walkers, if there are others of the same density beside these.
        """
        log_ratio = self.log_ratio() if log_ratio is None else log_ratio
        return importance_weights(-log_ratio) if self.broad is None else self.broad.weights(log_ratio)

    def log_ratio(self) -> Tensor:
        """log of their density, or of the broad density of some, over ψ² (B,) where the walkers are, but for a constant."""
        log_psi, _ = self.known
        if self.broad is not None:
            return self.broad.log_ratio(self.x, log_psi)
        return torch.zeros_like(log_psi) if self.power == 1 else 2 * (self.power - 1) * log_psi

    def exponents(self) -> Tensor | float:
        """Half the powers of ψ that their densities have: a number, or (B, 1, 1) with a broad density."""
        if self.broad is None:
            return self.power
        return torch.where(self.broad.has(len(self.x), self.x.device), self.broad.power, 1.0)[:, None, None].to(self.x)

    def log_gain(self, x: Tensor, log_psi: Tensor, which: Tensor | None = None) -> Tensor:
        """log of the density at x (B', N, D), where log ψ is `log_psi` (B',), over that where the walkers are.

        `which` has the numbers (B',) of the walkers that would move there, all if it is None.
        """
        here, before = self.x, self.known[0]
        if which is not None:
            here, before = here[which], before[which]
        gain = 2 * self.power * (log_psi - before)
        if self.broad is None:
            return gain
        broad = self.broad.has(len(self.x), here.device)
        more = self.broad.log_ratio(x, log_psi) - self.broad.log_ratio(here, before)
        return gain + torch.where(broad if which is None else broad[which], more, 0.0)


def importance_weights(log_weights: Tensor) -> Tensor:
    """Weights (B,), of mean 1, from their logarithms (B,), which need no common norm."""
    return len(log_weights) * torch.softmax(log_weights, 0)


def langevin_move(
    psi: LogPsi, walkers: Walkers, generator: torch.Generator, shape: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Move the walkers in place by one Metropolis-adjusted Langevin step from their stored log ψ and drift.

    With a symmetric `shape` S (N D, N D) they move in the coordinates S⁻¹x: not by the diffusion of the system.

    Returns which walkers moved (B,) bool, and the squared length of the noise of each, |ξ|²τ (B,).
    """
    x, step, (value, v) = walkers.x, walkers.step, walkers.known
    options: dict[str, Any] = {"generator": generator, "device": x.device, "dtype": x.dtype}
    # normals of single precision take a fifth of the time; what is rounded is the noise, not where it leads
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=torch.float32).to(x.dtype)
    power = walkers.exponents()
    towards, at_random = step * limited_drift(_shaped(power * v, shape), step), step**0.5 * noise
    proposal = x + _shaped(towards, shape) + _shaped(at_random, shape)
    new_value, new_v = value_and_drift(psi, proposal)
    # in the coordinates of the moves
    way_back = x - proposal if shape is None else -(towards + at_random)
    back = way_back - step * limited_drift(_shaped(power * new_v, shape), step)
    thrown = noise.square().sum((1, 2))
    log_ratio = walkers.log_gain(proposal, new_value) + 0.5 * (thrown - back.square().sum((1, 2)) / step)
    # A NaN ratio compares false: such a proposal is rejected.
    accept = torch.rand(len(x), **options).log() < log_ratio
    mask = accept[:, None, None]
    walkers.x = torch.where(mask, proposal, x)
    walkers.log_psi = torch.where(accept, new_value, value)
    walkers.drift = torch.where(mask, new_v, v)
    return accept, step * thrown


def _shaped(v: Tensor, shape: Tensor | None) -> Tensor:
    """S v for vectors v (B, N, D)."""
    return v if shape is None else (v.flatten(1) @ shape.to(v)).view(v.shape)


def metropolis(
    psi: LogPsi,
    walkers: Walkers,
    generator: torch.Generator,
    moves: int,
    *,
    adapt: bool = True,
    frozen: bool = False,
    first: int | None = None,
) -> None:
    """Move the walkers in place by `moves` Metropolis-adjusted Langevin steps.

    Sets walkers.acceptance to the mean over these moves, of the `first` walkers if given. With `adapt` the step size
    then moves towards the target acceptance; not to be used while measuring, for adaptation breaks detailed balance. With
    `frozen` psi has not changed since these walkers last moved, so that their log ψ and drift still hold.
    """
    accepted = torch.zeros((), dtype=torch.float64, device=walkers.x.device)
    if not frozen or walkers.log_psi is None:
        walkers.refresh(psi)
    for _ in range(moves):
        accepted += langevin_move(psi, walkers, generator, psi.step_shape)[0][:first].double().mean()
    walkers.x = psi.recentre(walkers.x)
    walkers.acceptance = float(accepted) / max(moves, 1)
    if adapt and moves:
        walkers.step *= min(max(2.0 ** (2 * (walkers.acceptance - TARGET_ACCEPTANCE)), 0.5), 2.0)


def draw_evenly(total: int, count: int, generator: torch.Generator) -> Tensor:
    """Indices (count,) of walkers drawn at random from `total`, each as often as any other or once more."""
    rounds = -(-count // total)
    device = generator.device
    return torch.cat([torch.randperm(total, generator=generator, device=device) for _ in range(rounds)])[:count]
