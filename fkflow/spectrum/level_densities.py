"""Densities, functions and transition strengths of levels, from the configurations of a pool."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.masses import to_user_coordinates
from fkflow.hamiltonian.system import System
from fkflow.measurement.views import View
from fkflow.results.records import Axis
from fkflow.spectrum.candidates import Candidate
from fkflow.spectrum.images import Family, SectorFunctions, families_of
from fkflow.spectrum.pool import Pool

#: configurations whose values are computed at once
PART = 2048
#: bins of the densities of the levels
BINS = 50


def densities_of(
    system: System, view: View, pool: Pool, levels: list[Candidate]
) -> tuple[Axis, np.ndarray, list[tuple[np.ndarray, np.ndarray, dict[str, float]]]]:
    """The axis, the density of ψ², and for each level its density, the mean of f, and its strengths."""
    x = to_user_coordinates(system, pool.x)
    points = view.coordinates(x)[..., 0]
    weights = pool.weights.cpu().numpy()
    spread = points.cpu().numpy()
    low, high = np.quantile(spread, [0.0005, 0.9995])
    if view.shells[0] > 1:
        low = 0.0
    edges = np.linspace(low, high, BINS + 1)
    volumes = view.volumes([edges])
    particles = spread.shape[1]

    def histogram(values: np.ndarray) -> np.ndarray:
        return np.histogram(spread.ravel(), edges, weights=np.repeat(values, particles))[0]

    total = weights.sum()
    plain = histogram(weights)
    ground = plain / (particles * volumes * total)
    box = sides(system)
    found = []
    columns = values_of([(level.functions, level.coefficients) for level in levels], pool.x)
    for f in columns:
        f = f / math.sqrt(float((weights * f * f).sum() / total))
        density = histogram(weights * f * f) / (particles * volumes * total)
        with np.errstate(invalid="ignore"):
            mean = np.where(plain > 0, histogram(weights * f) / np.where(plain > 0, plain, 1.0), np.nan)
        w, share = torch.from_numpy(weights * f) / total, torch.from_numpy(weights) / total
        found.append((density, mean, _strengths(x, w) if box is None else _wave_strength(pool.x, w, share, box)))
    words = view.axis_name(view.axes[0])
    return Axis(view.axes[0], system.length_unit, words, edges), ground, found


def _strengths(x: Tensor, w: Tensor) -> dict[str, float]:
    """|⟨f ψ|A ψ⟩|² of Σ_i x_i and Σ_i x_i², for walkers x (B, N, D) in the user's coordinates; `w` (B,) is weight times f."""
    first, square = x.sum(1), x.square().sum((1, 2))
    dipole = float(((w[:, None] * (first - first.mean(0))).sum(0)).square().sum())
    return {"dipole": dipole, "monopole": float((w * (square - square.mean())).sum() ** 2)}


def _wave_strength(x: Tensor, w: Tensor, share: Tensor, box: tuple[float, ...]) -> dict[str, float]:
    """The largest share that the level has in a density wave Σ_i cos k·x_i or sin along an axis, of |⟨fψ|ρψ⟩|²/⟨ψ|ρ²|ψ⟩ over
    walkers x (B, N, D) with weights `share` (B,), which sum up to 1."""
    most = 0.0
    for axis, side in enumerate(box):
        for number in range(1, x.shape[1] + 2) if math.isfinite(side) else ():
            angle = 2 * math.pi * number / side * x[..., axis]
            for wave in (angle.cos().sum(1), angle.sin().sum(1)):
                wave = wave - (share * wave).sum()
                most = max(most, float((w * wave).sum() ** 2 / (share * wave.square()).sum().clamp_min(1e-300)))
    return {"density wave": min(1.0, most)}


def values_of(states: Sequence[tuple[SectorFunctions, np.ndarray]], x: Tensor) -> list[np.ndarray]:
    """Each f (B,) of states, functions with coefficients (n,), at x (B, N, D)."""
    found: dict[int, np.ndarray] = {}
    for numbers in families_of([functions for functions, _ in states]):
        family = Family([states[k][0] for k in numbers])
        coefficients = [torch.from_numpy(states[k][1]).to(x)[:, None] for k in numbers]
        parts = [family.states(some, coefficients, flat=True) for some in x.split(PART)]
        for k, jets in zip(numbers, zip(*parts, strict=True), strict=True):
            found[k] = torch.cat([jet.value[:, 0] for jet in jets]).cpu().numpy()
    return [found[k] for k in range(len(states))]
