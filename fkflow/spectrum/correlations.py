"""Levels lowered by imaginary time: correlations of their functions along paths of the learned diffusion.

A path from x_0 to x_t has the weight W = exp(−∫ (E_L − E) dt). With averages over ψ² of x_0,

    S_ij(t) = ⟨f_i(x_0) W f_j(x_t)⟩,      A_ij(t) = ⟨f_i(x_0) W (L + E_L) f_j(x_t)⟩

are the matrices of e^(−tH) and e^(−tH) H between the states f ψ. Their eigenvalues are upper bounds of the levels at every t
and fall towards them (Ceperley and Bernu, J. Chem. Phys. 89, 6316, 1988). How far they fall is known better than they are
themselves, since the same paths show both ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import chunks
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.clipping import clip
from fkflow.sampling.local_energy import analytic_local_energy, local_energy
from fkflow.sampling.metropolis import Walkers, langevin_move
from fkflow.spectrum.eigen import apply_generator, jackknife_error, part_states
from fkflow.spectrum.images import Family, SectorFunctions, families_of
from fkflow.spectrum.pool import GROUPS, Pool
from fkflow.spectrum.symmetric_psi import SymmetricPsi

#: paths, their length in natural times, their steps, and how often they are looked at
PATHS, TIME, STEPS, LOOKS = 6000, 1.2, 36, 6
#: fewest paths, if there are more than so many
FEWEST = 1000
#: mean absolute deviations at which local energies are clipped in the weights
CLIP = 20.0
#: statistical errors by which a level must fall for this to count, and an average sign must differ from 0
SURE = 4.0
#: largest ratio of the falls in the second and the first half of the time from which what is left can be told
SLOWEST = 0.9
#: the least fall, in its whole error, for which the fallen value is better than the bound
CLEAR = 2.0

#: paths whose functions are computed at once
PART = 512

#: drop, by the largest energy of a sector above ψ's, that is rounding
ROUNDING = 1e-11

#: the functions of a sector, and its frozen states (n, k)
States = tuple[SectorFunctions, np.ndarray]


@dataclass(frozen=True)
class Falls:
    """How far imaginary time lowers the states of a sector, each array (k,).

    `drops` have the `errors`; `seen` tells which show above the noise. `signs` are the average signs ⟨f W f⟩/⟨|f W f|⟩ of the
    longest paths, from x_0 to x_t, and `sign_errors` their errors: where a sign is lost in its error, so is the drop.
    """

    drops: np.ndarray
    errors: np.ndarray
    seen: np.ndarray
    signs: np.ndarray
    sign_errors: np.ndarray

    def allowed(self, state: int, spread: float) -> bool:
        """Whether a state's sign is known well enough for a projected energy.

        A level lies within the `spread` of its state's local energy (Weinstein 1934): a drop far beyond is noise.
        """
        known = self.signs[state] > SURE * self.sign_errors[state] and np.isfinite(self.errors[state])
        return bool(known and abs(self.drops[state]) <= spread + SURE * self.errors[state])


def find_drops(
    net: LogPsi, system: System, landscape: Landscape, pool: Pool, states: Sequence[States], seed: int
) -> list[Falls]:
    """For each sector how far imaginary time lowers its states.

    A drop has what longer paths would bring, by the falls in both halves of the time, and as much in its error.
    """
    if not states:
        return []
    # a ψ that is averaged over many turns costs as many times more
    turns = len(net.turns) if isinstance(net, SymmetricPsi) else 1
    rows = min(PATHS, len(pool.x), max(FEWEST, 2 * PATHS // turns))
    shared = [
        FamilyStates(numbers, [states[k] for k in numbers]) for numbers in families_of([one[0] for one in states])
    ]
    generator = torch.Generator(pool.x.device).manual_seed(seed)
    x, weights, group = pool.x[:rows].clone(), pool.weights[:rows], pool.group[:rows]
    heights = pool.energies[:rows]
    mean = (weights * heights).sum() / weights.sum()
    first = [one.values(x) for one in shared]
    step = TIME * landscape.length**2 / STEPS
    walkers = Walkers(x, step)
    walkers.refresh(net)
    energies = analytic_local_energy if net.analytic else local_energy
    log_weight = torch.zeros_like(weights)
    looks: list[dict[int, np.ndarray]] = []
    for number in range(STEPS + 1):
        if number % (STEPS // LOOKS) == 0:
            drift = chunks.value_and_drift(net, walkers.x)[1].double().flatten(1)
            total = weights * log_weight.exp()
            looks.append({})
            for one, f in zip(shared, first, strict=True):
                left = [total[:, None] * each for each in f]
                looks[-1].update(one.matrices(walkers.x, drift, heights - mean, left, group))
        if number < STEPS:
            accepted, _ = langevin_move(net, walkers, generator)
            walkers.x = net.recentre(walkers.x)
            before, heights = heights, energies(net, system, walkers.x).detach().double()
            both = clip(torch.cat([before, heights]), CLIP).view(2, -1).mean(0) - mean
            # a path that stands still for a share of its steps is shorter
            log_weight = log_weight - step * float(accepted.double().mean()) * both
    unsigned: dict[int, np.ndarray] = {}
    for one, f in zip(shared, first, strict=True):
        for k, before, after in zip(one.numbers, f, one.values(walkers.x), strict=True):
            products = (total[:, None] * before * after).abs()
            sums = products.new_zeros(GROUPS, products.shape[1]).index_add_(0, group, products)
            unsigned[k] = sums.cpu().numpy()
    return [_falls([look[k] for look in looks], unsigned[k]) for k in range(len(states))]


class FamilyStates:
    """States of sectors of one family; `numbers` are those of the sectors among all."""

    def __init__(self, numbers: list[int], states: Sequence[States]) -> None:
        self.numbers, self.family = numbers, Family([functions for functions, _ in states])
        self.coefficients = [torch.from_numpy(c) for _, c in states]

    def values(self, x: Tensor) -> list[Tensor]:
        """The states (B, k) of each sector at x (B, N, D)."""
        parts = [self.family.states(some, self._on(x), flat=True) for some in x.split(PART)]
        return [torch.cat([jet.value for jet in each]) for each in zip(*parts, strict=True)]

    def matrices(
        self, x: Tensor, drift: Tensor, heights: Tensor, left: list[Tensor], group: Tensor
    ) -> dict[int, np.ndarray]:
        """S and A (groups, 2, k, k) of each sector: its states at the ends x, and what stands to the left of them (B, k)."""
        found = [
            torch.zeros(GROUPS, 2, c.shape[1], c.shape[1], dtype=x.dtype, device=x.device) for c in self.coefficients
        ]
        for rows in torch.arange(len(x), device=x.device).split(PART):
            for f, before, sums in zip(self.family.states(x[rows], self._on(x)), left, found, strict=True):
                moved = apply_generator(f, drift[rows]) + heights[rows, None] * f.value
                products = torch.stack([torch.einsum("bi,bj->bij", before[rows], t) for t in (f.value, moved)], 1)
                sums.index_add_(0, group[rows], products)
        return {number: sums.cpu().numpy() for number, sums in zip(self.numbers, found, strict=True)}

    def _on(self, x: Tensor) -> list[Tensor]:
        return [c.to(x) for c in self.coefficients]


def _falls(looks: list[np.ndarray], unsigned: np.ndarray) -> Falls:
    """The falls from S and A (groups, 2, k, k) at each look, and Σ |f W f| (groups, k) at the last."""
    none = np.zeros(looks[0].shape[-1])
    nothing = Falls(none, none + np.inf, none > 0, none, none)
    if not np.isfinite(looks).all():
        return nothing
    energies, samples = [], []
    try:
        for sums in looks:
            everything = sums.sum(0)
            energies.append(part_states(*everything)[0])
            samples.append(np.array([part_states(*(everything - one))[0] for one in sums]))
    except np.linalg.LinAlgError:  # all states of a group are lost in noise
        return nothing
    drops = energies[0] - np.array(energies)
    noise = np.array([jackknife_error(samples[0] - one) for one in samples])
    # even looks, and those half-way
    ends = np.arange(2, len(looks), 2)
    first, second = drops[ends // 2], drops[ends] - drops[ends // 2]
    # an exponential falls by the same share in each half; of several the slow ones are left
    falling = second > noise[ends]
    share = np.where(falling, second / np.where(falling, np.maximum(first, second), 1.0), 0.0)
    left = np.where(share < SLOWEST, second * share / (1 - np.minimum(share, SLOWEST)), np.inf)
    errors = np.hypot(noise[ends], np.where(falling, left, second))
    best, columns = errors.argmin(0), np.arange(len(none))
    drop, error = ((part[best, columns]) for part in (drops[ends] + np.where(falling, left, 0.0), errors))
    drop = np.where(np.abs(drop) > ROUNDING * np.abs(energies[0]).max(), drop, 0.0)
    seen = (drops[ends][best, columns] > SURE * noise[ends][best, columns]) & (drop > CLEAR * error)
    signed = np.einsum("gkk->gk", looks[-1][:, 0])
    signs = signed.sum(0) / unsigned.sum(0)
    without = (signed.sum(0) - signed) / (unsigned.sum(0) - unsigned)
    return Falls(drop, error, seen, signs, jackknife_error(without))
