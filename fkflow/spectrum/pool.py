"""Configurations from which levels are computed: broader than ψ², so that they reach where excited states are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.execution import chunks
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks import single_precision
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.jumps import jump
from fkflow.sampling.local_energy import derivatives
from fkflow.sampling.metropolis import Walkers, metropolis

#: Metropolis moves before the first sweep and between sweeps
BURN_IN, MOVES = 60, 6
#: the same of few coordinates, whose levels are known well, and about nuclei, where a few walkers of ψ² are far out
LONG_BURN_IN = 300
#: share of walkers of ψ² itself, and of its power that `choose_power` finds times factors: excited states reach farther
ITSELF, SHARES = 0.4, {1.0: 0.3, 0.5: 0.2, 0.25: 0.1}
#: configurations at which V is computed at once
PART = 4096
#: groups of walkers for the jackknife
GROUPS = 20
#: powers a of ψ^(2a) that are tried, broadest first, and the least effective share of the walkers
POWERS, LEAST_SHARE = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 0.3


class BroadPsi(LogPsi):
    """log √q of the density q = ψ² (1 + Σ_i (1 + 0.3 r_i)² e^{2 b s(r_i)}): one electron may be far from the nuclei."""

    def __init__(self, net: LogPsi, centre: Tensor, growth: float) -> None:
        super().__init__()
        self.net, self.centre, self.growth = net, centre, growth

    def extra(self, x: Tensor) -> Tensor:
        """log q/ψ² (B,) at x (B, N, D)."""
        r = (x - self.centre).norm(dim=-1)
        extra: Tensor = ((1 + 0.3 * r).square() * (2 * self.growth * r * r / (1 + r)).exp()).sum(-1).log1p()
        return extra

    def forward(self, x: Tensor) -> Tensor:
        """log √q (B,)."""
        return self.net(x) + 0.5 * self.extra(x)


class MixedPsi(LogPsi):
    """log √q of the density q = Σ_k c_k ψ^(2 a_k) with powers a_k, and so with weights ψ²/q of limited size.

    The c_k follow from the walkers: each part is to have its share of them (`adapt`).
    """

    def __init__(self, net: LogPsi, power: float) -> None:
        super().__init__()
        self.net, self.chunk = net, net.chunk
        self.powers = torch.tensor([1.0, *(power * factor for factor in SHARES)], dtype=torch.float64)
        self.shares = torch.tensor([ITSELF, *SHARES.values()], dtype=torch.float64)
        self.heights = self.shares.log()

    @property
    def width(self) -> int:
        """That of the network."""
        return self.net.width

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log √q (B,) and its gradient (B, N, D), both detached."""
        value, drift = single_precision.value_and_drift(self.net, x)
        slope = self._parts(value).softmax(-1) @ self.powers.to(x)
        return 0.5 * self.log_density(value), slope[:, None, None] * drift

    def log_density(self, log_psi: Tensor) -> Tensor:
        """log q (B,), but for a constant, where log ψ is `log_psi` (B,)."""
        return self._parts(log_psi).logsumexp(-1)

    def adapt(self, log_psi: Tensor) -> None:
        """Change c_k so that parts get their shares of walkers that have this log ψ (B,)."""
        found = self._parts(log_psi).softmax(-1).mean(0).to(self.shares)
        self.heights += (self.shares / found.clamp_min(1e-3)).log()

    def _parts(self, log_psi: Tensor) -> Tensor:
        return self.heights.to(log_psi) + 2 * log_psi[:, None] * self.powers.to(log_psi)


@dataclass(frozen=True)
class Pool:
    """Configurations x (n, N, D) with their local energies, drifts ∇U (n, N·D), weights of ψ² and walker groups (n,).

    `values` and `curvature` are U and ΔU (n,).
    """

    x: Tensor
    energies: Tensor
    drift: Tensor
    weights: Tensor
    group: Tensor
    values: Tensor
    curvature: Tensor


def choose_power(log_psi: Tensor, power: float) -> float:
    """The smallest of `POWERS` whose weights keep `LEAST_SHARE` of walkers distributed as ψ^(2·power) with this log ψ (B,)."""
    for trial in POWERS:
        # walkers of ψ^(2a) from walkers of ψ²; the share is ⟨w⟩²/⟨w²⟩ over them with w = ψ^(2 − 2a)
        shift = log_psi - log_psi.mean()
        to_trial = torch.softmax(2 * (trial - power) * shift, 0)
        w = (2 * (1 - trial) * shift).exp()
        share = float((to_trial * w).sum() ** 2 / (to_trial * w.square()).sum())
        if share >= LEAST_SHARE:
            return trial
    return 1.0


def find_starts(psi: LogPsi, x: Tensor, walkers: int, generator: torch.Generator) -> Tensor:
    """So many of the walkers x (B, N, D) of ψ² as starts of a pool, about nuclei as often as its density has them.

    There, where few of them are far out, those that start from one place are neighbours and so in one group of the jackknife:
    what they have in common is in the errors.
    """
    if not isinstance(psi, BroadPsi):
        return x[torch.randint(len(x), (walkers,), generator=generator, device=x.device)].clone()
    rows = torch.multinomial(psi.extra(x).double().softmax(0), walkers, True, generator=generator)
    return x[rows.sort().values].clone()


def draw_pool(
    net: LogPsi,
    system: System,
    landscape: Landscape,
    x: Tensor,
    *,
    walkers: int,
    sweeps: int,
    seed: int,
    growth: float | None = None,
    symmetric: LogPsi | None = None,
) -> Pool:
    """A pool of `walkers` × `sweeps` configurations, starting from walkers x (B, N, D) of ψ².

    They are distributed as a mixture of powers of ψ², or, with a `growth`, as `BroadPsi` says. Energies, drifts and weights are
    those of the `symmetric` ψ, if there is another.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    taken = net if symmetric is None else symmetric
    power = 1.0
    psi: LogPsi = net
    if growth is None:
        power = choose_power(chunks.value_and_drift(net, x)[0], 1.0)
        if symmetric is not None:
            psi, power = MixedPsi(net, power), 1.0
    else:
        nuclei = system.nuclei()
        if nuclei is None:
            raise UsageError("a growth of the density is for electrons about nuclei")
        charges = x.new_tensor(nuclei.charges)
        centre = (charges[:, None] * x.new_tensor(nuclei.positions)).sum(0) / charges.sum()
        psi = BroadPsi(net, centre, growth)
    moving = Walkers(find_starts(psi, x, walkers, generator), 0.1 * landscape.length**2, power)
    shifts = landscape.shifts(system)
    few = symmetric is not None
    for _ in range((LONG_BURN_IN if few or growth is not None else BURN_IN) // 6):
        metropolis(psi, moving, generator, 6)
        jump(psi, moving, generator, shifts)
        if isinstance(psi, MixedPsi):
            psi.adapt(single_precision.value_and_drift(net, moving.x)[0])
    found = []
    for _ in range(sweeps):
        metropolis(psi, moving, generator, MOVES, adapt=False)
        found.append(moving.x.clone())
    places = torch.cat(found)
    # short paths, which measurements prefer for few coordinates, add noise that the energies of levels would show
    values, drift, curvature = derivatives(taken, places)
    energies = torch.cat([system.potential(part) for part in places.split(PART)])
    energies = energies - 0.5 * (curvature + drift.square().sum((1, 2)))
    if isinstance(psi, BroadPsi):
        log_weights = -psi.extra(places)
    else:
        own = values if taken is net else chunks.value_and_drift(net, places)[0]
        log_weights = 2 * values - (psi.log_density(own) if isinstance(psi, MixedPsi) else 2 * power * own)
    group = (torch.arange(walkers, device=x.device) * GROUPS // walkers).repeat(sweeps)
    # a walker may stand on a wall, where rounding decides whether V is finite
    finite = energies.isfinite() & log_weights.isfinite() & drift.flatten(1).isfinite().all(1)
    weights = torch.softmax(log_weights[finite].double(), 0) * int(finite.sum())
    known = (part[finite].double() for part in (energies, drift.flatten(1), values, curvature))
    energies, drift, values, curvature = known
    return Pool(places[finite], energies, drift, weights, group[finite], values, curvature)
