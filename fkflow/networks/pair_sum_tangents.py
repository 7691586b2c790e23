"""How values of pairs change that are sums of one of each particle of a pair and of a function of their distance.

The gradients have as many directions as there are coordinates; their squares alone are computed, from A, F, E and r of
`pair_tangents`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import FEW, add_to_pairs, pairs
from fkflow.networks.pair_tangents import MessageTangent, PairTangent
from fkflow.networks.tangents import Tangent, rounded


class PairSumTangent(Tangent):
    """Values (C, pairs, B) that are sums of one of each particle of a pair and of a function of their distance."""

    def __init__(self, of_particles: MessageTangent, of_pair: PairTangent) -> None:
        self.of_particles, self.of_pair = of_particles, of_pair

    def squares(self) -> Tensor:
        """For A and F of the particles and the derivatives of the function of the distance, whose gradient is that times r."""
        made_of, between = self.of_particles.made_of, self.of_pair.pairs.values
        dim, n, batch = between.shape[0], *made_of.places.values.shape[1:]
        n = int(n)
        ends = self.of_particles.components.unflatten(2, (n, batch))
        metric = self.of_particles.metric
        assert metric is not None
        metric = metric.view(len(metric), n, batch)
        r2, distance = self.of_pair.pairs.lengths_squared, self.of_pair.derivative.mul(2)
        first, second = pairs(n, ends.device)
        squares, inverse = metric[:n], None
        #: 1/m of the particles of each pair, which are 1 without masses
        weights: tuple[Any, Any] = (1, 1)
        if (masses := made_of.places.masses) is not None:
            inverse, reduced = rounded(masses.inverse), rounded(masses.reduced)
            squares = squares / inverse.unsqueeze(1)
            r2, distance, between = r2 / reduced, distance * reduced, between / reduced.sqrt()
            weights = inverse.index_select(0, first), inverse.index_select(0, second)
        by_others, by_own = ends[:, :n], ends[:, n : n + dim]
        found = add_to_pairs(torch.zeros_like(distance), ends.square().mul_(metric).sum(1))
        # A_ik A_jk r_ik·r_jk, summed over k
        if self.of_pair.pairs.chained:
            found.add_(_products(by_others, r2, squares, inverse), alpha=2)
        else:
            found.add_(_unchained_products(by_others, between), alpha=2)
        flat = by_others.flatten(1, 2)
        forth, back = flat.index_select(1, first * n + second), flat.index_select(1, second * n + first)
        if masses is None:
            found.addcmul_(distance + forth + back, distance * r2, value=2)
        else:
            of_first, of_second = weights
            both = (0.5 * distance + forth) * of_first + (0.5 * distance + back) * of_second
            found.addcmul_(both, distance * r2, value=2)
        for at, number, sign, weight in ((first, forth, 2, weights[0]), (second, back, -2, weights[1])):
            along = (by_own.index_select(2, at) * between).sum(1)
            found.addcmul_(number + distance, along if masses is None else along * weight, value=sign)
        if made_of.share:
            by_place = ends[:, n + dim :]
            both = (by_place.index_select(2, first) * by_place.index_select(2, second)).sum(1)
            found.sub_(both, alpha=2 * made_of.share)
        return found.flatten(1)


def _unchained_products(by_others: Tensor, between: Tensor) -> Tensor:
    """As `_products`, for differences r_ij (D, pairs, B) that are not those of places: r_ij ≠ r_ik − r_jk."""
    n, batch = int(by_others.shape[1]), by_others.shape[3]
    first, second = pairs(n, by_others.device)
    found = by_others.new_zeros(len(by_others), len(first), batch)
    for along in between:
        matrix = along.new_zeros(n * n, batch)
        matrix.index_copy_(0, first * n + second, along).index_copy_(0, second * n + first, -along)
        vectors = (by_others * matrix.view(n, n, batch)).movedim(-1, 1)
        products = (vectors.mT @ vectors).flatten(2)
        found += products.index_select(2, first * n + second).mT
    return found


def _products(by_others: Tensor, r2: Tensor, squares: Tensor, inverse: Tensor | None) -> Tensor:
    """Σ_k A_ik A_jk r_ik·r_jk (C, pairs, B) for A (C, N, N, B) by k and i, and squared distances (pairs, B) and (N, N, B).

    With `inverse` masses (N, 1) each k has that weight.
    """
    n, batch = int(by_others.shape[1]), by_others.shape[3]
    first, second = pairs(n, by_others.device)
    if n <= FEW:
        # r_ik·r_jk = ½ (r_ik² + r_jk² − r_ij²)
        angles = squares.index_select(1, first).add_(squares.index_select(1, second)).sub_(r2).mul_(0.5)
        if inverse is not None:
            angles.mul_(inverse.unsqueeze(1))
        return by_others.index_select(2, first).mul_(by_others.index_select(2, second)).mul_(angles).sum(1)
    # products of matrices, one for each feature and walker: those of A with A and with A r²
    right = by_others.new_empty(by_others.shape[0], batch, n, 2 * n)
    left = right[..., :n].copy_(by_others.movedim(-1, 1))
    torch.mul(left, squares.movedim(-1, 0), out=right[..., n:])
    found = ((left if inverse is None else left * inverse).mT @ right).flatten(2)
    even = found.index_select(2, 2 * n * first + second)
    odd = found.index_select(2, (2 * first + 1) * n + second).add_(found.index_select(2, (2 * second + 1) * n + first))
    return odd.sub_(even.mul_(r2.mT)).mul_(0.5).mT
