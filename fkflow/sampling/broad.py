"""A density broader than ψ², which some walkers of a training have: they visit rare places before a network goes wrong there.

Rare places are tails, and places where two to four particles meet. One walker in a thousand that comes there decides a fit
alone, or none comes and nothing is learned. Every so-many-th walker is therefore drawn from

    q = ψ^(2 power) h(x),   h = 1/2 + mean over pairs of 1/((r/contact)² + CLOSEST²)
          + mean over i, j, k of near_ij near_ik + mean over i, j, k, l of near_ij near_ik near_il,

where near_ij = 1/((r_ij/contact)² + CLOSE²)

(without h in one dimension, where pairs meet often). All walkers together are those of the mixture (1 − a) ψ² + a q, whatever
density each was drawn from: their weights ψ²/mixture are at most 1/(1 − a) before they are brought to the mean 1 (multiple
importance sampling: Veach and Guibas, SIGGRAPH 95, 419).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.geometry import add_to_particles, pair_squares, pairs
from fkflow.hamiltonian.masses import user_masses
from fkflow.hamiltonian.system import System

#: price in effective samples that measurements pay for visiting the tails
TAIL_COST = 1.15
#: one walker in so many is drawn from the broad density, whose power alone would cost this factor in effective samples
EVERY, COST = 4, 2.4
#: least power: in one dimension that of COST would send walkers where V is all there is to learn
LEAST_POWER = 0.3
#: distances below which pairs, and groups, do not crowd further, in the length of contact, and h of particles far apart
CLOSEST, CLOSE, APART = 0.05, 0.3, 0.5
#: halvings of the interval in which the ratio of the two norms is looked for
HALVINGS = 40


@dataclass(frozen=True)
class BroadDensity:
    """The density q of one walker in `every`: the power of ψ², and particles that crowd below `contact` (0: none do).

    `masses` are those of the particles, of which positions are in coordinates of unit mass, `box` the sides of a periodic box.
    """

    power: float
    contact: float = 0.0
    masses: tuple[float, ...] = ()
    box: tuple[float, ...] | None = None
    every: int = EVERY

    def has(self, count: int, device: torch.device) -> Tensor:
        """Which of so many walkers, (count,) bool, are drawn from q; they stay the same when the walkers are repeated."""
        return torch.arange(count, device=device) % self.every == 0

    def log_ratio(self, x: Tensor, log_psi: Tensor) -> Tensor:
        """log q/ψ² (B,) at x (B, N, D), where log ψ is `log_psi` (B,), but for a constant."""
        return 2 * (self.power - 1) * log_psi + self.log_crowding(x)

    def log_crowding(self, x: Tensor) -> Tensor | float:
        """log h (B,) at x (B, N, D)."""
        if not self.contact or min(x.shape[1:]) < 2:
            return 0.0
        close = pair_squares(x, self.box) if len(set(self.masses)) < 2 else self._reduced_squares(x)
        close = close / self.contact**2
        crowding = APART + (close + CLOSEST**2).reciprocal().mean(0)
        if x.shape[1] > 2:
            crowding = crowding + _groups((close + CLOSE**2).reciprocal(), x.shape[1])
        return crowding.log()

    def _reduced_squares(self, x: Tensor) -> Tensor:
        """2μ r² (pairs, B) with the reduced mass μ of each pair: the squared distance, if both masses are equal."""
        first, second = pairs(x.shape[1], x.device)
        root = x.new_tensor(self.masses).sqrt()[:, None]
        own = (x / root).transpose(0, 1)
        twice = 2 / (1 / root[first].square() + 1 / root[second].square())
        return twice * (own[first] - own[second]).square().sum(2)

    def weights(self, log_ratio: Tensor) -> Tensor:
        """Weights (B,), of mean 1, that turn averages over all walkers into those over ψ², from log q/ψ² (B,).

        The ratio of the norms of q and ψ² follows from the walkers themselves: the part of ψ² in the mixture, averaged over
        them, is 1 − a (Bennett, J. Comput. Phys. 22, 245, 1976). A walker whose ratio is not finite has the least weight.
        """
        finite = log_ratio.isfinite()
        if not bool(finite.any()):
            return torch.ones_like(log_ratio)
        odds = log_ratio.where(finite, log_ratio[finite].max()) - math.log(self.every - 1)
        low, high = (float(bound) for bound in odds.aminmax())
        low, high = low - 40.0, high + 40.0
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            enough = float(torch.sigmoid(middle - odds).mean()) > 1 - 1 / self.every
            low, high = (low, middle) if enough else (middle, high)
        found = torch.sigmoid(high - odds)
        return found / found.mean()


def _groups(near: Tensor, particles: int) -> Tensor:
    """Means (B,) over three and over four different particles of near_ij near_ik and near_ij near_ik near_il, added up.

    `near` (pairs, B). The sums over different j, k, l follow from sums of powers (Newton's identities).
    """
    powers = torch.stack([near, near.square(), near.pow(3)])
    p, p2, p3 = add_to_particles(near.new_zeros(3, particles, near.shape[1]), powers, keep=False)
    others = particles - 1
    groups = (p.square() - p2) / (others * (others - 1))
    if others > 2:
        groups = groups + (p.pow(3) - 3 * p * p2 + 2 * p3) / (others * (others - 1) * (others - 2))
    found: Tensor = groups.mean(0)
    return found


def sampling_power(coordinates: int, cost: float = TAIL_COST) -> float:
    """The power at which importance weights cost a factor `cost` of the samples, for a Gaussian in so many coordinates.

    For power a, ⟨w²⟩/⟨w⟩² = (a (2 − a))^(−d/2).
    """
    return 1 - math.sqrt(1 - cost ** (-2 / coordinates))


def broad_density(system: System, length: float) -> BroadDensity:
    """The broad density of the walkers of a training, of a system with the natural `length`."""
    masses, coordinates = user_masses(system), system.particles * system.dimensions
    power = max(LEAST_POWER, sampling_power(coordinates, COST))
    return BroadDensity(power, length, masses, sides(system))
