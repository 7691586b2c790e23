"""Exploring walkers: configurations in which particles crowd, where |ψ|² is small and a network may go wrong unseen.

A training step fits the network to δU(x) = −η (E_L(x) − E), imaginary time at every x. A fit to the walkers alone does not
bound the network where no walker goes: it may grow a second maximum there, which walkers find late and cannot leave. Such
places exist where particles repel each other. Exploring walkers have particles contracted towards one another, move a
little, and take part in the fit with a small weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.system import System
from fkflow.sampling.metropolis import Walkers

#: moves after the contraction, and the share of the exploring walkers that start again in each iteration
MOVES, RENEWED = 3, 0.5
#: particles that are contracted, on average, and their largest share of all
CONTRACTED, MOST_CONTRACTED = 3.0, 0.75
#: weight of a walker in a crowd, where that of others is 1 on average: the step is explicit there, and with a weight of 1 it
#: overshoots: log ψ rises and falls by turns, until it has a second maximum
WEIGHT = 0.25
#: bound of the energy of an exploring walker above the mean, in natural energies, where |ψ|² is at least its median over the
#: walkers; in proportion to |ψ|² elsewhere
REACH = 5.0


def useful(system: System) -> bool:
    """Whether there are identical particles that may crowd; the network itself keeps apart those whose repulsion diverges."""
    if not system.identical or system.particles < 2 or system.nuclei() is not None:
        return False
    if system.point_charges() is not None:
        return False
    at_contact = system.pair(torch.zeros(1, device="cpu", dtype=torch.float64))
    return at_contact is None or bool(at_contact.isfinite().all())


@dataclass(frozen=True)
class Scouts:
    """Exploring walkers of one iteration: places x (B', N, D), A/T (B',), weights (B',), and the bound of each energy above the
    mean (B',) in natural units.
    """

    x: Tensor
    energies: Tensor
    weights: Tensor
    reach: Tensor

    def bounded_energies(self, of_walkers: Tensor, natural_time: float) -> Tensor:
        """Their energies (B',), clamped to those of the walkers (B,) or, against second maxima, to `reach` above the mean."""
        mean = of_walkers.mean()
        highest = torch.maximum(of_walkers.max(), mean + self.reach / natural_time)
        return torch.minimum(self.energies.nan_to_num(float(mean)), highest).clamp(min=of_walkers.min())


def evaluate(everyone: Walkers, energies: Tensor, of_walkers: Tensor, count: int, crowding: int) -> Scouts:
    """The exploring walkers, after the first `count` of `everyone`; `of_walkers` is log ψ (B,) of the walkers of all ranks.

    The first `crowding` of them are those that were contracted.
    """
    log_psi, energies = everyone.known[0][count:], energies[count:]
    counted = (energies.isfinite() & log_psi.isfinite()).to(energies)
    counted[:crowding] *= WEIGHT
    bounds = torch.full_like(energies, REACH)
    bounds[:crowding] = reach(log_psi[:crowding], of_walkers)
    return Scouts(everyone.x[count:], energies, counted, bounds)


def begin(
    x: Tensor, before: Tensor | None, count: int, crowding: int, wells: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Start places (B', N, D) of `count` exploring walkers, or where those `before` are now.

    The first `crowding` of them begin as contracted walkers x (B, N, D), the others as walkers that are taken to the `wells`.
    """
    started = x[torch.randint(len(x), (count,), generator=generator, device=x.device)]
    if crowding:
        started[:crowding] = contract(started[:crowding], generator)
    if wells is not None and crowding < count:
        started[crowding:] = carry(started[crowding:], wells, generator)
    if before is None or len(before) != count:
        return started
    anew = torch.rand(count, generator=generator, device=x.device) < RENEWED
    return torch.where(anew[:, None, None], started, before)


def contract(x: Tensor, generator: torch.Generator) -> Tensor:
    """Configurations x (B, N, D) with some particles contracted towards one of them, by one random factor each."""
    batch, particles, _ = x.shape
    options: dict[str, Any] = {"generator": generator, "device": x.device}
    chosen = torch.randint(particles, (batch,), **options)
    centre = x[torch.arange(batch, device=x.device), chosen][:, None]
    left = torch.rand(batch, 1, 1, dtype=x.dtype, **options)
    follow = torch.rand(batch, particles, 1, dtype=x.dtype, **options) < min(MOST_CONTRACTED, CONTRACTED / particles)
    return torch.where(follow, centre + left * (x - centre), x)


def carry(x: Tensor, wells: Tensor, generator: torch.Generator) -> Tensor:
    """Configurations x (B, N, D), each taken from the nearest of the `wells` (m, N, D) to any of them."""
    wells = wells.to(x)
    # of identical particles the wells have the mean places, and so do these vectors
    nearest = torch.cdist(x.flatten(1), wells.flatten(1)).argmin(1)
    other = torch.randint(len(wells), (len(x),), generator=generator, device=x.device)
    return x + wells[other] - wells[nearest]


def reach(log_psi: Tensor, of_walkers: Tensor) -> Tensor:
    """Bounds (B',) above the mean of the energies of exploring walkers with `log_psi` (B',), in natural units.

    The local energy is high in a second maximum, which would last for hundreds of iterations if energies were clamped to those
    of the walkers. Where ψ is small the bound falls: a hole deeper than that of the ground state keeps walkers out, and the
    projected energy becomes too high.
    """
    return REACH * (2 * (log_psi - of_walkers.median())).exp().clamp(max=1.0).nan_to_num(0.0)
