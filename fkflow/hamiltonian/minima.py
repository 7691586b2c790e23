"""Minima of a potential: the length at which it balances the kinetic energy, descents, and the widths of ψ² at a minimum."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.derivatives import gradient_error, value_and_gradient
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.trial_width import LENGTHS, energies_at_lengths, variational_length

#: a mode is harmonic when V rises along it as its curvature says, within this factor
ANHARMONIC = 2.0
#: a descent must stay below the largest of so many last values
MEMORY = 6
#: places among which those are looked for that are lower than so many neighbours, octaves of their distance, and most of them
SEARCHED, NEIGHBOURS, OCTAVES, MOST_LOW = 512, 6, (-1, 4), 32
#: random directions that find the natural length: at least, and times N² for N particles
LEAST, DIRECTIONS = 64, 2**14


def zero_point_energies(widths: Tensor) -> Tensor:
    """Σ 1/(4 width²), half the frequencies of all modes, (m,) for the square roots of covariances `widths` (m, d, d)."""
    energies: Tensor = 0.25 * torch.linalg.eigvalsh(widths).square().reciprocal().sum(1)
    return energies


def is_harmonic(system: System, minimum: Tensor, hessian: Tensor, width: Tensor, generator: torch.Generator) -> bool:
    """Whether V equals its second-order expansion to rounding, out to several widths."""
    shift = 4 * torch.randn(64, len(hessian), generator=generator, dtype=torch.float64) @ width
    rise = system.potential(minimum + shift.view(-1, *minimum.shape)) - system.potential(minimum[None])
    return torch.allclose(rise, 0.5 * ((shift @ hessian) * shift).sum(1), rtol=1e-8, atol=0)


def mode_widths(system: System, minimum: Tensor, hessian: Tensor, length: float) -> Tensor:
    """(d, d) square root of the covariance of ψ² at a minimum (N, D): one width per eigenvector of the Hessian.

    A harmonic mode of frequency ω has width² = 1/(2ω), where V has risen by 1/(8 width²). Anharmonic modes (rotations,
    rings, flat wells) get the width at which the true V has risen by that much.
    """
    values, vectors = torch.linalg.eigh(hessian)
    origin = system.potential(minimum[None])

    def rise(width: Tensor, along: Tensor) -> Tensor:
        """Mean rise of V (w, m) when each of the modes `along` (d, m) is displaced by ± width (w, m)."""
        shift = (width[..., None] * along.T).reshape(-1, *minimum.shape)
        both = 0.5 * (system.potential(minimum + shift) + system.potential(minimum - shift)) - origin
        return both.reshape(width.shape)

    width = (2 * values.clamp_min(1e-12 / length**4).sqrt()).rsqrt()
    ratio = rise(width[None], vectors)[0] * 8 * width**2
    # NaN counts as anharmonic
    for mode in (~((ratio < ANHARMONIC) & (ratio > 1 / ANHARMONIC))).nonzero()[:, 0].tolist():
        grid = length * torch.logspace(-6, 6, 241, base=2, dtype=torch.float64)[:, None]
        confined = (rise(grid, vectors[:, mode : mode + 1]) * 8 * grid**2 >= 1)[:, 0]
        width[mode] = grid[int(confined.int().argmax()) if confined.any() else -1, 0]
    widths: Tensor = (vectors * width) @ vectors.T
    return widths


def balance_length(system: System, origin: Tensor, generator: torch.Generator) -> float:
    """ℓ with mean |V(o + ℓz) − V(o)| per degree of freedom ≈ 1/(2ℓ²) over random directions z: independent of units.

    Where V(o) is not finite (repelling particles all at o), the median replaces it, and ℓ is the largest length at which V
    balances, or nearly: a hard core outweighs the kinetic energy at small lengths too. Where V falls off far
    away, ℓ is that of the best Gaussian.
    """
    n, dim = system.particles, system.dimensions
    # few particles come close to one another in few of the directions
    directions = max(LEAST, DIRECTIONS // n**2) if n > 1 else LEAST
    z = torch.randn(directions, n, dim, generator=generator, dtype=torch.float64)
    height = system.potential(origin[None])
    singular = not bool(height.isfinite())
    best: float | None = None
    least = math.inf
    for lengths, energies in energies_at_lengths(system, origin, z):
        heights = energies.nanmedian(1, keepdim=True).values if singular else height
        values = (energies - heights).abs().nanmean(1) / (n * dim) * 2 * lengths**2
        length: float
        for length, value in zip(lengths.tolist(), values.tolist(), strict=True):
            if not math.isfinite(value):
                continue
            if not singular and value >= 1.0:
                return length
            if singular and value < max(1.0, least):
                best, least = length, min(least, value)
    # far out anything that falls off is less than the kinetic energy
    return variational_length(system, origin, generator) if best in (None, float(LENGTHS[-1])) else best


def descend(system: System, x: Tensor, length: float | Tensor, steps: int = 400) -> Tensor:
    """Descend along the gradient of V from each start (S, N, D), in units where ℓ = 1: one length, or (S, 1, 1).

    The steps are those of Barzilai & Borwein, IMA J. Numer. Anal. 8, 141 (1988); a value may rise above the last one, not above
    the last MEMORY. An optimiser class would take a second to import.
    """
    z = x / length
    value, gradient = _scaled_value_and_gradient(system, z, length)
    rate = 1e-2 / (1 + gradient.flatten(1).norm(dim=1))
    recent = value[None].repeat(MEMORY, 1)
    for step in range(steps):
        trial = z - rate[:, None, None] * gradient
        trial_value, trial_gradient = _scaled_value_and_gradient(system, trial, length)
        squared = gradient.square().sum((1, 2))
        # NaN compares false: such a step is rejected
        accepted = trial_value <= recent.amax(0) - 1e-4 * rate * squared
        change = trial - z
        curvature = (change * (trial_gradient - gradient)).sum((1, 2))
        guess = change.square().sum((1, 2)) / curvature
        guess = torch.where(curvature > 0, guess, 10 * rate).clamp(1e-12, 1e6)
        rate = torch.where(accepted, guess, 0.25 * rate)
        mask = accepted[:, None, None]
        z, gradient = torch.where(mask, trial, z), torch.where(mask, trial_gradient, gradient)
        value = torch.where(accepted, trial_value, value)
        recent[step % MEMORY] = value
        if not bool((gradient.abs().amax((1, 2)) > 1e-9 + gradient_error(system, value)).any()):
            break
    return z * length


def low_places(system: System, centre: Tensor, length: float, generator: torch.Generator) -> Tensor:
    """Random configurations (M, N, D) about `centre` that are lower than their neighbours, the lowest first.

    Narrow wells, which descents from elsewhere step over, have some of them (Törn and Viitanen, "Topographical global
    optimization", in Recent Advances in Global Optimization, Princeton University Press, 1992).
    """
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    spread = torch.logspace(*OCTAVES, SEARCHED, base=2, dtype=torch.float64)[:, None, None]
    x = centre + length * spread * torch.randn(SEARCHED, *centre.shape, **options)
    energies = system.potential(x).detach().nan_to_num(nan=math.inf)
    near = torch.cdist(x.flatten(1), x.flatten(1)).topk(NEIGHBOURS + 1, largest=False).indices[:, 1:]
    low = energies.isfinite() & (energies < energies[near].amin(1))
    return x[low][energies[low].argsort()[:MOST_LOW]]


def _scaled_value_and_gradient(system: System, z: Tensor, length: float | Tensor) -> tuple[Tensor, Tensor]:
    """V ℓ² (S,) and its gradient (S, N, D) at z, in units where ℓ = 1."""
    value, gradient = value_and_gradient(system, z * length, length)
    unit = length.flatten() if isinstance(length, Tensor) else length
    return value * unit**2, gradient * length**3


def distinct_minima(x: Tensor, energies: Tensor, tolerance: float, most: int = 64) -> Tensor:
    """The configurations that differ by more than `tolerance` from all lower ones, lowest first."""
    found: list[Tensor] = []
    for i in energies.argsort():
        if all((x[i] - other).norm() > tolerance for other in found):
            found.append(x[i])
        if len(found) == most:
            break
    return torch.stack(found)
