"""Scouts: a few more configurations in which particles crowd, where |ψ|² hardly ever goes and a network may go astray.

Imaginary time acts on every place by itself, δU(x) = −η (E_L(x) − E), and a training step is a fit to that. A fit to walkers
alone says nothing of places that none of them sees: there a network may grow a second maximum, which walkers find late and
cannot leave. Particles that repel each other leave such places between them. Scouts are walkers with particles drawn
together, moved a little, that take part in the fit with a small weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.system import System
from fkflow.sampling.metropolis import Walkers

#: moves after particles were drawn together, and the share of the scouts that begin anew in each iteration
MOVES, RENEWED = 3, 0.5
#: particles that are drawn to another one, on average, but no larger share of all
DRAWN, MOST_DRAWN = 3.0, 0.75
#: weight of a scout, where that of a walker is 1 on average: the one |ψ|² gives it within these bounds
LEAST, MOST = 1.0, 20.0
#: natural energies above the mean that a scout's energy may lie where |ψ|² is at least what it is about half of the walkers;
#: elsewhere so many times the ratio of the two
REACH = 5.0


def useful(system: System) -> bool:
    """Whether particles are alike and may crowd: where they repel each other without bound the network has that built in."""
    if not system.identical or system.particles < 2 or system.nuclei() is not None:
        return False
    at_contact = system.pair(torch.zeros(1, device="cpu", dtype=torch.float64))
    return at_contact is None or bool(at_contact.isfinite().all())


@dataclass(frozen=True)
class Scouts:
    """Scouts of one iteration: their places x (B', N, D), A/T (B',) of the paths from there, how much each counts (B',), and
    how far above the mean its energy may lie (B',) in natural units.
    """

    x: Tensor
    energies: Tensor
    weights: Tensor
    reach: Tensor

    def bounded_energies(self, of_walkers: Tensor, natural_time: float) -> Tensor:
        """Their energies (B',) within those of the walkers (B,), but for what presses a second maximum down."""
        mean = of_walkers.mean()
        highest = torch.maximum(of_walkers.max(), mean + self.reach / natural_time)
        return torch.minimum(self.energies.nan_to_num(float(mean)), highest).clamp(min=of_walkers.min())


def evaluate(everyone: Walkers, energies: Tensor, of_walkers: Tensor, count: int) -> Scouts:
    """The scouts behind the first `count` of `everyone` with their A/T, beside walkers of all ranks with log ψ (B,)."""
    log_psi, energies = everyone.known[0][count:], energies[count:]
    counted = torch.where(energies.isfinite(), weights(log_psi, of_walkers, everyone.power), 0.0)
    return Scouts(everyone.x[count:], energies, counted, reach(log_psi, of_walkers))


def begin(x: Tensor, before: Tensor | None, count: int, generator: torch.Generator) -> Tensor:
    """Where `count` scouts begin (B', N, D): from walkers x (B, N, D), but some of those `before` go on from where they are."""
    begun = drawn_together(x[torch.randint(len(x), (count,), generator=generator, device=x.device)], generator)
    if before is None or len(before) != count:
        return begun
    anew = torch.rand(count, generator=generator, device=x.device) < RENEWED
    return torch.where(anew[:, None, None], begun, before)


def drawn_together(x: Tensor, generator: torch.Generator) -> Tensor:
    """Configurations x (B, N, D) with some particles drawn towards one of them, all by one random share of the way."""
    batch, particles, _ = x.shape
    options: dict[str, Any] = {"generator": generator, "device": x.device}
    chosen = torch.randint(particles, (batch,), **options)
    centre = x[torch.arange(batch, device=x.device), chosen][:, None]
    left = torch.rand(batch, 1, 1, dtype=x.dtype, **options)
    follow = torch.rand(batch, particles, 1, dtype=x.dtype, **options) < min(MOST_DRAWN, DRAWN / particles)
    return torch.where(follow, centre + left * (x - centre), x)


def weights(log_psi: Tensor, of_walkers: Tensor, power: float) -> Tensor:
    """Weights (B',) of scouts with `log_psi` (B',) on the scale of those that walkers (B,) of all ranks have, within bounds.

    Walkers of a `power` have the weights `sampling.importance_weights`; 0 where log ψ is not finite.
    """
    power = 2 * (1 - power)
    level = torch.logsumexp(power * of_walkers, 0) - math.log(len(of_walkers))
    found = (power * log_psi - level).exp().clamp(LEAST, MOST)
    return torch.where(log_psi.isfinite(), found, 0.0)


def reach(log_psi: Tensor, of_walkers: Tensor) -> Tensor:
    """How far above the mean the energies of scouts with `log_psi` (B',) may lie, in natural units, beside walkers (B,).

    In a second maximum the local energy is high, and with energies within those of the walkers it would take hundreds of
    iterations to go. Where ψ is small already it is not to be pressed down further: a hole deeper than that of the ground
    state keeps walkers out, and the projected energy becomes too high.
    """
    return REACH * (2 * (log_psi - of_walkers.median())).exp().clamp(max=1.0).nan_to_num(0.0)
