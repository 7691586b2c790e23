"""Pairs of particles and their distances, in arrays with configurations last: PyTorch sums short last axes ten times slower."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@lru_cache(maxsize=16)
def pairs(particles: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Numbers i and j of the particles of all pairs i < j, (pairs,) each; cached on the device."""
    import torch  # systems use this module, and a recipe is read without PyTorch

    first, second = torch.triu_indices(particles, particles, 1, device=device)
    return first, second


#: up to so many particles a product with the incidence matrix is faster than indexing
FEW = 8


@lru_cache(maxsize=32)
def _incidence(particles: int, device: torch.device, dtype: torch.dtype, sign: int) -> Tensor:
    """(1, pairs, N): 1 where a particle is the first of a pair, `sign` where it is the second; cached on the device."""
    first, second = pairs(particles, device)
    matrix = first.new_zeros((1, len(first), particles), dtype=dtype)
    matrix[0].scatter_(1, first[:, None], 1.0).scatter_(1, second[:, None], float(sign))
    return matrix


def add_to_pairs(of_pairs: Tensor, y: Tensor, weight: float = 1.0) -> Tensor:
    """`of_pairs` (C, pairs, B), in place, with weight · (y_i + y_j) added for y (C, N, B)."""
    n = int(y.shape[1])  # while a tracer records it is a tensor, which the cache would not find
    if n <= FEW:
        matrix = _incidence(n, y.device, y.dtype, 1)
        return of_pairs.baddbmm_(matrix.expand(len(y), -1, -1), y, alpha=weight)
    for ends in pairs(n, y.device):
        of_pairs.add_(y.index_select(1, ends), alpha=weight)
    return of_pairs


def add_to_particles(y: Tensor, of_pairs: Tensor, weight: float = 1.0, *, sign: int = 1, keep: bool = True) -> Tensor:
    """y (C, N, B), in place, with weight · `of_pairs` (C, pairs, B) added to the first particle of each pair and, times
    `sign`, to the second; without `keep` y is overwritten."""
    n = int(y.shape[1])  # as above
    if n <= FEW:
        matrix = _incidence(n, y.device, y.dtype, sign).mT.expand(len(y), -1, -1)
        return y.baddbmm_(matrix, of_pairs, beta=float(keep), alpha=weight)
    if not keep:
        y.zero_()
    first, second = pairs(n, y.device)
    return y.index_add_(1, first, of_pairs, alpha=weight).index_add_(1, second, of_pairs, alpha=sign * weight)


def coordinates_first(x: Tensor) -> Tensor:
    """Configurations x (…, N, D) with coordinates first and configurations last, (D, N, …)."""
    return x.movedim((-1, -2), (0, 1)).contiguous()


def pair_differences(y: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Differences (D, pairs, …) of the particles with these numbers (pairs,) in y (D, N, …)."""
    return y.index_select(1, first) - y.index_select(1, second)


def coordinates_last(y: Tensor) -> Tensor:
    """The inverse of `coordinates_first`: y (D, N, …) as configurations (…, N, D)."""
    return y.movedim((0, 1), (-1, -2)).contiguous()


def add_pair_gradients(gradient: Tensor, of_pairs: Tensor) -> Tensor:
    """`gradient` (D, N, B), in place, with the gradient `of_pairs` (D, pairs, B) of `pair_differences` added."""
    return add_to_particles(gradient, of_pairs, sign=-1)


def nearest_images(differences: Tensor, box: float | Sequence[float | None]) -> Tensor:
    """The nearest images of differences (D, …) in a periodic box with one side, or one for each dimension.

    Along an axis whose side is None, 0 or infinite a difference stays as it is.
    """
    given = [box] if isinstance(box, int | float) else box
    side = differences.new_tensor([one or math.inf for one in given]).view(-1, *[1] * (differences.dim() - 1))
    return differences - side.nan_to_num(posinf=0.0) * (differences / side).round()


def pair_squares(x: Tensor, box: float | Sequence[float | None] | None = None) -> Tensor:
    """Squared distances (pairs, …) of all pairs of particles in x (…, N, D), any shape in front.

    With the side, or the sides (D,), of a periodic `box` they are those of nearest images.
    """
    apart = pair_differences(coordinates_first(x), *pairs(x.shape[-2], x.device))
    return (apart if box is None else nearest_images(apart, box)).square().sum(0)


def squared_lengths(v: Tensor) -> Tensor:
    """Squares of the vectors v (…, D), with an axis in the place of D: (…, 1)."""
    return v.square() @ v.new_ones(v.shape[-1], 1)
