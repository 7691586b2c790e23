"""Levels E_i of states f ψ in a basis of functions f, from configurations of ψ².

With averages over ψ² and minus the generator of the diffusion, L f = −½ Δf − ∇U·∇f = ψ⁻¹(H − E_L)(f ψ),

    S_ij = ⟨f_i f_j⟩,   A_ij = ⟨f_i (L + E_L) f_j⟩,   H_ij = ½⟨∇f_i·∇f_j⟩ + ⟨f_i f_j E_L⟩.

A and H have the same mean. The estimate of A has no variance at an eigenstate; it is not symmetric, and its right eigenvectors
are exact, from any configurations, where eigenstates lie in the basis (Nightingale and Melik-Alaverdian, PRL 87 043401, 2001).
They are found with one pool and kept for another, whose energies are then upper bounds for any ψ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fkflow.spectrum.jets import Jet
from fkflow.spectrum.pool import GROUPS, Pool


class Shared(Protocol):
    """Functions of one or more sectors, as `images.Family` has them."""

    def present(self, x: Tensor) -> list[Tensor]:
        """Which functions (n,) of each sector do not vanish at all configurations x (B, N, D)."""

    def jets(self, x: Tensor, *, chosen: Sequence[Tensor]) -> list[Jet]:
        """Those of each sector that are `chosen` (n,)."""

    def states(self, x: Tensor, coefficients: Sequence[Tensor]) -> list[Jet]:
        """Combinations (B, k) for each sector, by coefficients (n, k)."""


#: smallest eigenvalues of S, relative to the largest, that are tried; least mean square of a function, likewise
CUTOFFS, PRESENT = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11), 1e-14
#: numbers of one jet at a time, and the fewest configurations
NUMBERS, LEAST = 2**19, 64
#: configurations that show which functions vanish by symmetry
LOOKED = 64


@dataclass(frozen=True)
class Levels:
    """Energies (k,) of frozen states from one pool, lowest first, and their jackknife samples (groups, k).

    `variances` (k,) are those of their local energy, `noise` is that of ψ, `means` (groups,) are jackknife samples of ⟨E_L⟩,
    `mean` is its value; `turn` (k, k) turns the frozen states into those of these energies. `support` (k,) is the effective
    share of the configurations that the frozen states rest on.
    """

    energies: np.ndarray
    samples: np.ndarray
    variances: np.ndarray
    noise: float
    mean: float
    means: np.ndarray
    turn: np.ndarray
    support: np.ndarray


@dataclass(frozen=True)
class Matrices:
    """The matrices S, A, H and ⟨(L + E_L)f_i (L + E_L)f_j⟩ of a sector in both halves of a pool, each (4, m, m).

    They are those of the functions that do not vanish, the `present` (n,).
    """

    halves: tuple[np.ndarray, np.ndarray]
    present: np.ndarray

    def states(self, count: int, sizes: Sequence[int] = ()) -> np.ndarray:
        """The lowest `count` states as coefficients (n, k) of the functions, with ⟨φ²⟩ = 1; fewer if there are not so many.

        Combinations of functions that are nearly 0 are left out: how nearly is chosen so that states of one half of the pool
        have the smallest variances in the other half. How many functions are worth having, one of the `sizes`, is decided in
        the same way; all, if there are none.
        """
        first, second = self.halves
        kept = sorted({int(self.present[:size].sum()) for size in sizes or (len(self.present),)} - {0})
        if not kept:
            return np.zeros((len(self.present), 0))

        def spread(of: int, cutoff: float) -> float:
            one, other = (half[:, :of, :of] for half in (first, second))
            return _spread(one, other, count, cutoff) + _spread(other, one, count, cutoff)

        of, cutoff = min(((n, cutoff) for n in kept for cutoff in CUTOFFS), key=lambda choice: spread(*choice))
        s, a, h, _ = 0.5 * (first + second)[:, :of, :of]
        found = solve(s, a, h, count, cutoff)
        states = np.zeros((len(self.present), found.shape[1]))
        states[self.present.nonzero()[0][:of]] = found
        return states


def collect(functions: Shared, pool: Pool) -> list[Matrices]:
    """The matrices of each sector from a pool."""
    mean = _mean(pool)
    present = functions.present(pool.x[:LOOKED])
    halves: list[list[np.ndarray]] = [[] for _ in present]
    for half in range(2):
        members = (pool.group % 2 == half).nonzero()[:, 0]
        sums = [pool.x.new_zeros(4, int(there.sum()), int(there.sum()), dtype=torch.float64) for there in present]
        for part in _chunks(max(map(len, present)), pool, members):
            w, e = pool.weights[part][:, None], (pool.energies[part] - mean)[:, None]
            for f, total in zip(functions.jets(pool.x[part], chosen=present), sums, strict=True):
                moved = apply_generator(f, pool.drift[part]) + e * f.value
                weighted = w * f.value
                slopes = (f.gradient * w).flatten(0, 1)
                total[0].addmm_(weighted.T, f.value)
                total[1].addmm_(weighted.T, moved)
                total[2].addmm_(slopes.T, f.gradient.flatten(0, 1), alpha=0.5).addmm_((weighted * e).T, f.value)
                total[3].addmm_((w * moved).T, moved)
        weight = float(pool.weights[members].sum())
        for parts, total in zip(halves, sums, strict=True):
            parts.append(total.cpu().numpy() / weight)
    return [Matrices((one, other), there.cpu().numpy()) for (one, other), there in zip(halves, present, strict=True)]


def _spread(fitted: np.ndarray, tested: np.ndarray, count: int, cutoff: float) -> float:
    """The mean logarithm of the local-energy variances of the states of one half of a pool, in the other half."""
    c = solve(fitted[0], fitted[1], fitted[2], count, cutoff)
    if not c.shape[1]:
        return math.inf
    s, a, _, r = (np.einsum("ia,ij,ja->a", c, matrix, c) for matrix in tested)
    return float(np.log(np.maximum(r / s - (a / s) ** 2, 1e-300)).mean()) if (s > 0).all() else math.inf


def solve(s: np.ndarray, a: np.ndarray, h: np.ndarray, count: int, cutoff: float) -> np.ndarray:
    """The right eigenvectors (n, k) of (A, S) that are nearest to the lowest of the symmetric (H, S), lowest first."""
    s, h = 0.5 * (s + s.T), 0.5 * (h + h.T)
    diagonal = np.diag(s)
    there = diagonal > PRESENT * diagonal.max()
    scale = np.where(there, 1 / np.sqrt(np.where(there, diagonal, 1.0)), 0.0)
    values, vectors = np.linalg.eigh(s * np.outer(scale, scale))
    good = values > cutoff * values[-1]
    change = scale[:, None] * vectors[:, good] / np.sqrt(values[good])
    energies, right = np.linalg.eig(change.T @ a @ change)
    # noise makes pairs of neighbours complex: their real and imaginary parts span the same states
    right = np.where(energies.imag < 0, right.imag, right.real)
    right = right / np.linalg.norm(right, axis=0)
    _, symmetric = np.linalg.eigh(change.T @ h @ change)
    overlaps = np.abs(symmetric.T @ right) ** 2
    chosen: list[int] = []
    for row in overlaps[:count]:
        row[chosen] = -1.0
        chosen.append(int(row.argmax()))
    chosen.sort(key=lambda root: float(energies[root].real))
    c: np.ndarray = change @ right[:, chosen]
    return np.asarray(c / np.sqrt(np.einsum("ia,ij,ja->a", c, s, c)))


def evaluate(functions: Shared, vectors: Sequence[np.ndarray], pool: Pool) -> list[Levels]:
    """The energies of frozen states of each sector, coefficients (n, k), from a pool that they were not found with.

    A state that was found with noise has a little of those below it, and lies lower for that: the few states are parted once
    more, by the right eigenvectors of their A, which keep what has no variance free of noise.
    """
    coefficients = [torch.from_numpy(each).to(pool.x) for each in vectors]
    mean = _mean(pool)
    zero = torch.zeros(GROUPS, dtype=torch.float64, device=pool.x.device)
    square_shares = [zero.new_zeros(c.shape[1]) for c in coefficients]
    sums = [zero.new_zeros(GROUPS, 3, c.shape[1], c.shape[1]) for c in coefficients]
    # a small pool is one part: a group of it would take as long
    for part in _chunks(max(map(len, coefficients)), pool, pool.group.argsort(stable=True)):
        w = pool.weights[part][:, None]
        sizes = pool.group[part].bincount(minlength=GROUPS).tolist()
        for f, squares, total in zip(functions.states(pool.x[part], coefficients), square_shares, sums, strict=True):
            moved = apply_generator(f, pool.drift[part]) + (pool.energies[part] - mean)[:, None] * f.value
            weighted = w * f.value
            squares += (weighted * f.value).square().sum(0)
            of_each = (rows.split(sizes) for rows in (weighted, f.value, w * moved, moved))
            for group, (left, right, left_moved, right_moved) in enumerate(zip(*of_each, strict=True)):
                if len(left):
                    total[group] += torch.stack([left.T @ right, left.T @ right_moved, left_moved.T @ right_moved])
    return [
        _levels(total.cpu().numpy(), squares.cpu().numpy(), pool)
        for total, squares in zip(sums, square_shares, strict=True)
    ]


def _levels(of_groups: np.ndarray, square_shares: np.ndarray, pool: Pool) -> Levels:
    """Levels from S, A and ⟨(L + E_L)f (L + E_L)f⟩ of each group (groups, 3, k, k), and Σ (w f²)² (k,)."""
    mean, zero = _mean(pool), torch.zeros(GROUPS, dtype=torch.float64, device=pool.x.device)
    shares = zero.index_add(0, pool.group, pool.weights).cpu().numpy()
    heights = zero.index_add(0, pool.group, pool.weights * pool.energies).cpu().numpy()
    everything = of_groups.sum(0)
    found, turn = part_states(everything[0], everything[1])
    samples = np.array([part_states(everything[0] - s, everything[1] - a)[0] for s, a, _ in of_groups])
    norm, square = (np.einsum("ia,ij,ja->a", turn, everything[m], turn) for m in (0, 2))
    height = np.einsum("ia,ij,ja->a", turn, everything[1], turn) / norm
    means = (heights.sum() - heights) / (shares.sum() - shares)
    variances = np.maximum(square / norm - height**2, 0.0)
    noise = float((pool.weights * (pool.energies - mean).square()).sum() / pool.weights.sum())
    support = np.diag(everything[0]) ** 2 / (square_shares * len(pool.x))
    return Levels(found + mean, samples + mean, variances, noise, mean, means, turn, support)


def part_states(s: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies (k,) and right eigenvectors (k, k) of (A, S), each of the state that it has most of."""
    energies, right = np.linalg.eig(np.linalg.solve(0.5 * (s + s.T), a))
    right = np.where(energies.imag < 0, right.imag, right.real)
    shares = right**2 * np.diag(s)[:, None]
    order = np.full(len(s), -1)
    # the clearest first
    for root in np.argsort(-(shares / shares.sum(0)).max(0)):
        ranks = [k for k in np.argsort(-shares[:, root]) if order[k] < 0]
        order[ranks[0]] = root
    return energies[order].real, right[:, order]


def jackknife_error(samples: np.ndarray) -> np.ndarray:
    """The standard error of a number from its samples without one group each, (groups, …)."""
    return np.asarray(np.sqrt(len(samples) - 1) * samples.std(0))


def _mean(pool: Pool) -> float:
    return float((pool.weights * pool.energies).sum() / pool.weights.sum())


def apply_generator(f: Jet, drift: Tensor) -> Tensor:
    """L f (B, n) for the drift ∇U (B, d)."""
    return -0.5 * f.laplacian - (drift.T[:, :, None] * f.gradient).sum(0)


def _chunks(count: int, pool: Pool, members: Tensor) -> tuple[Tensor, ...]:
    """The configurations `members` in parts for whose `count` functions the cache has room."""
    parts: tuple[Tensor, ...] = members.split(max(LEAST, NUMBERS // (count * (pool.x[0].numel() + 2))))
    return parts
