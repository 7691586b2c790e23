"""The natural scale seen by walkers, which corrects the one found from the potential alone.

V alone does not tell how far a weakly bound state reaches, or how narrow one in a singular well is. The kinetic energy of the
walkers does: a harmonic mode of natural length ℓ has ⟨v²⟩ = 1/(2ℓ²), so that ℓ² = d/(2⟨|v|²⟩) for d coordinates. A state that
is weakly bound reaches beyond the well that holds it, and changes as slowly there as its distance from the threshold is small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.species import groups_of, mean_by_species
from fkflow.hamiltonian.system import System

#: factor by which the natural length must be wrong to be corrected; those of systems with a good guess are within 1.6
WRONG = 2.0
#: most coordinates whose covariance is that of the walkers; of more, the guess is scaled
MOST_COORDINATES = 64
#: names under which a corrected scale is stored beside the weights of a network
PREFIX = "landscape."


def kinetic_length(drift: Tensor, weights: Tensor, moving: float = 1.0) -> float:
    """The natural length from the drift (B, N, D) of walkers with weights (B,), infinite where nothing drifts.

    `moving` is the share of the coordinates along which ψ changes.
    """
    squares = drift.square().sum((1, 2))
    mean = float((weights * squares).sum() / weights.sum())
    return math.sqrt(moving * drift[0].numel() / (2 * mean)) if mean > 0 else math.inf


def binding_length(landscape: Landscape, energy: float) -> float:
    """The natural length of a state of this energy below the threshold, 1/√(2 binding): how far it reaches; 0 without one."""
    if landscape.threshold is None or not energy < landscape.threshold:
        return 0.0
    return 1 / math.sqrt(2 * (landscape.threshold - energy))


def is_wrong(landscape: Landscape, length: float) -> bool:
    """Whether the natural length of the walkers says that the one of the landscape must be corrected."""
    return math.isfinite(length) and not 1 / WRONG <= length / landscape.length <= WRONG


def corrected(landscape: Landscape, system: System, x: Tensor, weights: Tensor, length: float) -> Landscape:
    """The landscape with the scale of walkers x (B, N, D) with weights (B,) and the natural `length` of their drift."""
    n, dim = landscape.centre.shape
    x, share = x.cpu(), (weights / weights.sum()).cpu()
    if n * dim > MOST_COORDINATES:
        ratio = length / landscape.length
        return replace(
            landscape, length=length, covariance=ratio**2 * landscape.covariance, harmonic=False, corrected=True
        )
    centre = torch.einsum("b,bid->id", share, x)
    if system.isotropic:
        centre = torch.zeros_like(centre)
    else:
        centre = mean_by_species(system, centre)
    offsets = (x - centre).flatten(1)
    covariance = _symmetrised(system, ((share[:, None] * offsets).T @ offsets).view(n, dim, n, dim))
    return replace(
        landscape,
        length=length,
        centre=centre,
        covariance=covariance.reshape(n * dim, -1),
        harmonic=False,
        corrected=True,
    )


def _symmetrised(system: System, covariance: Tensor) -> Tensor:
    """A covariance (N, D, N, D) with the symmetries of the system."""
    n, dim = covariance.shape[:2]
    if system.isotropic:
        one = torch.eye(dim, dtype=covariance.dtype)
        covariance = torch.einsum("iaja,bc->ibjc", covariance, one) / dim
    groups = [list(group) for group in groups_of(system)]
    one, before = torch.eye(n, dtype=covariance.dtype), covariance
    covariance = torch.empty_like(before)
    for first, second in product(groups, groups):
        block = before[first][:, :, second]
        found = torch.einsum("ij,ab->iajb", torch.ones(len(first), len(second), dtype=block.dtype), block.mean((0, 2)))
        if first is second and (count := len(first)) > 1:
            own = torch.einsum("iaib->ab", block) / count
            other = (block.sum((0, 2)) - count * own) / (count * (count - 1))
            same = one[first][:, first]
            found = torch.einsum("ij,ab->iajb", same, own) + torch.einsum("ij,ab->iajb", 1 - same, other)
        covariance[torch.tensor(first)[:, None], :, torch.tensor(second)] = found.transpose(1, 2)
    return covariance


def scale_state(landscape: Landscape) -> dict[str, Tensor]:
    """What is stored of a corrected landscape; nothing of another, which follows from the potential."""
    if not landscape.corrected:
        return {}
    numbers = {name: getattr(landscape, name) for name in ("length", "centre", "covariance")}
    return {PREFIX + name: torch.as_tensor(value, dtype=torch.float64) for name, value in numbers.items()}


def restored(landscape: Landscape, state: Mapping[str, Tensor]) -> Landscape:
    """The landscape with the corrected scale that `state` holds, or as it is if it holds none."""
    if PREFIX + "length" not in state:
        return landscape
    length, centre, covariance = (state[PREFIX + name] for name in ("length", "centre", "covariance"))
    return replace(
        landscape, length=float(length), centre=centre, covariance=covariance, harmonic=False, corrected=True
    )


def without_scale(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights alone of a state that may hold a scale."""
    return {name: value for name, value in state.items() if not name.startswith(PREFIX)}
