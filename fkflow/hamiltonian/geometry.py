"""Pairs of particles and their distances, in arrays with configurations last: PyTorch sums short last axes ten times slower."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    #: numbers of the first and of the second particle of pairs: (pairs,) each, or (pairs, B), other ones for each configuration
    Ends = tuple[Tensor, Tensor]


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


def add_to_particles(
    y: Tensor, of_pairs: Tensor, weight: float = 1.0, *, sign: int = 1, keep: bool = True, ends: Ends | None = None
) -> Tensor:
    """y (C, N, B), in place, with weight · `of_pairs` (C, pairs, B) added to the first particle of each pair and, times
    `sign`, to the second; without `keep` y is overwritten. The pairs are all, or each configuration has `ends` of its own."""
    n = int(y.shape[1])  # as above
    own = ends is not None and ends[0].dim() > 1
    if n <= FEW and not own:
        matrix = _incidence(n, y.device, y.dtype, sign).mT.expand(len(y), -1, -1)
        return y.baddbmm_(matrix, of_pairs, beta=float(keep), alpha=weight)
    if not keep:
        y.zero_()
    if ends is not None and own:
        given = of_pairs if weight == 1 else of_pairs * weight
        first, second = (one.expand_as(of_pairs) for one in ends)
        return y.scatter_add_(1, first, given).scatter_add_(1, second, given if sign == 1 else sign * given)
    first, second = pairs(n, y.device)
    return y.index_add_(1, first, of_pairs, alpha=weight).index_add_(1, second, of_pairs, alpha=sign * weight)


def sum_at_ends(of_pairs: Tensor, particles: int, ends: Ends, *, sign: int = 1) -> Tensor:
    """As `add_to_particles`, into a new array (C, N, B) that can be differentiated."""
    found = of_pairs.new_zeros(len(of_pairs), particles, of_pairs.shape[-1])
    first, second = ends
    if first.dim() == 1:
        return found.index_add(1, first, of_pairs).index_add(1, second, of_pairs, alpha=sign)
    first, second = (one.expand_as(of_pairs) for one in ends)
    return found.scatter_add(1, first, of_pairs).scatter_add(1, second, sign * of_pairs)


def coordinates_first(x: Tensor) -> Tensor:
    """Configurations x (…, N, D) with coordinates first and configurations last, (D, N, …)."""
    return x.movedim((-1, -2), (0, 1)).contiguous()


def at_ends(y: Tensor, ends: Tensor) -> Tensor:
    """Values (C, pairs, …) of the particles with the numbers `ends` (pairs,) in y (C, N, …), or (pairs, B), which are other
    ones for each configuration."""
    return y.index_select(1, ends) if ends.dim() == 1 else y.gather(1, ends.expand(len(y), -1, -1))


def pair_differences(y: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Differences (D, pairs, …) of the particles with these numbers, as in `at_ends`, in y (D, N, …)."""
    return at_ends(y, first) - at_ends(y, second)


def near_pairs(y: Tensor, box: Sequence[float], reach: float) -> Ends:
    """Numbers i and j (pairs, B) of the particles of all pairs that are nearer than `reach` in y (D, N, B), i < j.

    Distances are those of nearest images in a box of these sides, to single precision. Configurations with fewer pairs than
    others have their farthest pair again and again.
    """
    import torch

    first, second = pairs(int(y.shape[1]), y.device)
    squares = first.new_zeros(len(first), y.shape[2], dtype=torch.float32)
    for along, side in zip(y.detach().float(), box, strict=True):
        apart = along.index_select(0, first).sub_(along.index_select(0, second))
        apart.sub_((apart / side).round_(), alpha=side)
        squares.addcmul_(apart, apart)
    near = squares < reach**2
    counts = near.sum(0)
    configuration, pair = near.mT.nonzero(as_tuple=True)
    found = squares.argmax(0).repeat(int(counts.max()), 1)
    begin = (counts.cumsum(0) - counts).index_select(0, configuration)
    found[counts.new_ones(len(pair)).cumsum(0) - 1 - begin, configuration] = pair
    return first[found], second[found]


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
