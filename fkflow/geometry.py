"""Squares of lengths and distances, with configurations last: PyTorch sums short last axes ten times slower than long ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@lru_cache(maxsize=16)
def pairs(particles: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Numbers i and j of the particles of all pairs i < j, (pairs,) each; kept on the device."""
    import torch  # systems use this module, and a recipe is read without PyTorch

    first, second = torch.triu_indices(particles, particles, 1, device=device)
    return first, second


def inside(x: Tensor) -> Tensor:
    """Configurations x (…, N, D) as networks and potentials work on them, (D, N, …)."""
    return x.movedim((-1, -2), (0, 1)).contiguous()


def apart(y: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Differences (D, pairs, …) of the particles with these numbers (pairs,) in y (D, N, …)."""
    return y.index_select(1, first) - y.index_select(1, second)


def outside(y: Tensor) -> Tensor:
    """What `inside` made (D, N, …) as configurations (…, N, D) again."""
    return y.movedim((0, 1), (-1, -2)).contiguous()


def pulled(slope: Tensor, of_pairs: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """`slope` (D, N, B), in place, with what a gradient `of_pairs` (D, pairs, B) of their differences `apart` adds to it."""
    return slope.index_add_(1, first, of_pairs).index_add_(1, second, of_pairs, alpha=-1)


def pair_squares(x: Tensor) -> Tensor:
    """Squared distances (pairs, …) of all pairs of particles in x (…, N, D), any shape in front."""
    return apart(inside(x), *pairs(x.shape[-2], x.device)).square().sum(0)


def squared_lengths(v: Tensor) -> Tensor:
    """Squares of the vectors v (…, D), with an axis in the place of D: (…, 1)."""
    return v.square() @ v.new_ones(v.shape[-1], 1)
