"""Levels lowered by imaginary time: correlations of their functions along paths of the learned diffusion.

A path from x_0 to x_t has the weight W = exp(−∫ (E_L − E) dt). With averages over ψ² of x_0,

    S_ij(t) = ⟨f_i(x_0) W f_j(x_t)⟩,      A_ij(t) = ⟨f_i(x_0) W (L + E_L) f_j(x_t)⟩

are the matrices of e^(−tH) and e^(−tH) H between the states f ψ. Their eigenvalues are upper bounds of the levels at every t
and fall towards them (Ceperley and Bernu, J. Chem. Phys. 89, 6316, 1988). How far they fall is known better than they are
themselves, since the same paths show both ends.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from fkflow.spectrum.eigen import Functions, apply_generator, jackknife_error, part_states
from fkflow.spectrum.pool import GROUPS, Pool

#: paths, their length in natural times, their steps, and how often they are looked at
PATHS, TIME, STEPS, LOOKS = 6000, 1.2, 36, 6
#: mean absolute deviations at which local energies are clipped in the weights
CLIP = 20.0
#: statistical errors by which a level must fall for this to count
SURE = 4.0

#: the functions of a sector, and its frozen states (n, k)
States = tuple[Functions, np.ndarray]


def find_drops(
    net: LogPsi, system: System, landscape: Landscape, pool: Pool, states: Sequence[States], seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each sector how far imaginary time lowers its states (k,), and the errors of that; 0 where noise hides it.

    The error has the change over the second half of the paths in it, which is about what longer ones would bring.
    """
    rows = min(PATHS, len(pool.x))
    generator = torch.Generator(pool.x.device).manual_seed(seed)
    x, weights, group = pool.x[:rows].clone(), pool.weights[:rows], pool.group[:rows]
    heights = pool.energies[:rows]
    mean = (weights * heights).sum() / weights.sum()
    first = [_values(functions, c, x) for functions, c in states]
    step = TIME * landscape.length**2 / STEPS
    walkers = Walkers(x, step)
    walkers.refresh(net)
    energies = analytic_local_energy if net.analytic else local_energy
    log_weight = torch.zeros_like(weights)
    looks: list[list[np.ndarray]] = []
    for number in range(STEPS + 1):
        if number % (STEPS // LOOKS) == 0:
            drift = chunks.value_and_drift(net, walkers.x)[1].double().flatten(1)
            total = weights * log_weight.exp()
            looks.append(
                [
                    _matrices(functions, c, walkers.x, drift, heights - mean, total[:, None] * f, group)
                    for (functions, c), f in zip(states, first, strict=True)
                ]
            )
        if number < STEPS:
            accepted, _ = langevin_move(net, walkers, generator)
            walkers.x = net.recentre(walkers.x)
            before, heights = heights, energies(net, system, walkers.x).detach().double()
            both = clip(torch.cat([before, heights]), CLIP).view(2, -1).mean(0) - mean
            # a path that stands still for a share of its steps is shorter
            log_weight = log_weight - step * float(accepted.double().mean()) * both
    return [_drops([look[k] for look in looks]) for k in range(len(states))]


def _values(functions: Functions, c: np.ndarray, x: Tensor) -> Tensor:
    coefficients = torch.from_numpy(c).to(x)
    return torch.cat([functions(part).value @ coefficients for part in x.split(512)])


def _matrices(
    functions: Functions, c: np.ndarray, x: Tensor, drift: Tensor, heights: Tensor, left: Tensor, group: Tensor
) -> np.ndarray:
    """S and A (groups, 2, k, k) of states c (n, k) at the ends x, for what stands to the left of them (B, k)."""
    coefficients = torch.from_numpy(c).to(x)
    found = np.zeros((GROUPS, 2, c.shape[1], c.shape[1]))
    for rows in torch.arange(len(x), device=x.device).split(512):
        f = functions(x[rows]) @ coefficients
        moved = apply_generator(f, drift[rows]) + heights[rows, None] * f.value
        products = torch.stack([torch.einsum("bi,bj->bij", left[rows], t) for t in (f.value, moved)], 1)
        sums = torch.zeros(found.shape, dtype=x.dtype, device=x.device).index_add_(0, group[rows], products)
        found += sums.cpu().numpy()
    return found


def _drops(looks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The drops (k,) and their errors from S and A (groups, 2, k, k) at each look."""
    energies, samples = [], []
    none = np.zeros(looks[0].shape[-1])
    if not np.isfinite(looks).all():
        return none, none
    for sums in looks:
        everything = sums.sum(0)
        energies.append(part_states(*everything)[0])
        samples.append(np.array([part_states(*(everything - one))[0] for one in sums]))
    drops = energies[0] - np.array(energies)
    noise = np.array([jackknife_error(samples[0] - one) for one in samples])
    # even looks, and those half-way
    ends = np.arange(2, len(looks), 2)
    errors = np.hypot(noise[ends], drops[ends] - drops[ends // 2])
    best = errors.argmin(0)
    columns = np.arange(len(best))
    found, error = drops[ends[best], columns], errors[best, columns]
    sure = (found > SURE * noise[ends[best], columns]) & (found > error)
    return np.where(sure, found, 0.0), np.where(sure, error, 0.0)
