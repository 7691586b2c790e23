"""How the learned part of `SymmetricNet` bends: what its Laplacian needs besides its gradient (`bends.Laplacian`).

What a pair sends depends on its distance r alone. So the gradient of what particle i makes of its messages is −A_ik r_ik by
the position of another particle k, r_ik = z_i − z_k, with a number A_ik for each feature; by its own position it is
F_i = Σ_k A_ik r_ik + E_i, E_i by the place z_i itself; and all of them less E_i/N where places are relative to the centre of
mass. Layers of particles act on A, F and E alike: together they are the *tangent* (features, N + D + D, N, B).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import FEW, add_to_pairs, pairs, pulled
from fkflow.networks.laplacian import BENDS
from fkflow.networks.layers import silu_bend, silu_slope
from fkflow.networks.symmetric_slopes import NO_BENDS, Bends, Kept, Pairs

#: the network itself, whose module imports this one
SymmetricNet = Any


def learned_bends(net: SymmetricNet, kept: Kept, y: Tensor, between: Tensor, square: Tensor, r2: Tensor) -> Bends:
    """The bends of what is `kept`, in its shapes, for places y (D, N, B) and their squares (N, B), and for the differences
    `between` (D, pairs, B) of pairs and their squares r2 (pairs, B). In the precision BENDS."""
    y, between, square, r2 = (tensor.to(BENDS) for tensor in (y, between, square, r2))
    seen, layer = kept.seen.to(BENDS), kept.layer.to(BENDS)
    own, n, dim, hidden = len(net.OWN_WIDTHS), net.particles, net.dimensions, net.message.sizes[1]
    share, into = net.centred, net.message.layer.weight.to(BENDS)
    # functions of the place, by its square z², whose gradient has the square 4 z² (1 − share)
    own_slope, own_bend = _by_square(seen[: 1 + own], net.own_rates.to(BENDS), 0)
    own_bend.mul_(square).mul_(4 * (1 - share))
    rows = n + dim + (dim if share else 0)
    tangent, metric = y.new_empty(hidden, rows, *square.shape), y.new_empty(rows, *square.shape)
    by_others, by_own, by_place = tangent[:, :n], tangent[:, n : n + dim], tangent[:, rows - dim :]
    torch.mul((into[:, : 1 + own] @ own_slope.flatten(1)).mul_(2).view(-1, 1, *square.shape), y, out=by_place)
    if not net.isotropic:
        by_place += into[:, 1 + own : 1 + own + dim, None, None]
    metric[n:] = 1.0
    if share:
        by_own.copy_(by_place)
        metric[n + dim :] = -share
    pairs_bent, sends = NO_BENDS, None
    if kept.pairs is None:
        by_others.zero_()
        metric[:n] = 0.0
    else:
        pairs_bent, sends = _sends(net, kept.pairs, r2)
        received = (into[:, -hidden:] @ sends.of_pair).mul_(2 * n**-0.5).view(hidden, *r2.shape)
        _to_matrix(received, by_others)
        _to_matrix(r2.unsqueeze(0), metric[:n].unsqueeze(0))
        arrives = received.unsqueeze(1) * between
        by_own += pulled(arrives.new_zeros(hidden * dim, *square.shape), arrives.flatten(0, 1)).view(by_own.shape)
    tangent, metric = tangent.flatten(2), metric.flatten(1)
    layer_bend = silu_bend(layer).mul_(tangent.square().mul_(metric).sum(1))
    tangent = silu_slope(tangent, layer)
    if kept.pairs is not None and sends is not None:
        _, of_ends, _ = net.pair_weights()
        ends = (of_ends.to(BENDS) @ tangent.flatten(1)).view(hidden, rows, *square.shape)
        gradients = pair_gradients(ends, sends.apart, between, r2, metric.view(rows, *square.shape), share)
        second_bend = silu_bend(kept.pairs.second.to(BENDS)).mul_(gradients.flatten(1))
        pairs_bent = pairs_bent._replace(second=second_bend)
    to_readout = (net.readout.layer.weight.to(BENDS) @ tangent.flatten(1)).view(-1, *tangent.shape[1:])
    readout = net.readout.bends(to_readout, kept.of_readout, metric)
    return pairs_bent._replace(seen=own_bend.flatten(1), layer=layer_bend, readout=readout)


class Sends(NamedTuple):
    """Derivatives by the squared distance (hidden, pairs · B) of what a pair sends, and twice that of what it gets by itself
    (hidden, pairs, B)."""

    of_pair: Tensor
    apart: Tensor


def _sends(net: SymmetricNet, of_pairs: Pairs, r2: Tensor) -> tuple[Bends, Sends]:
    """What depends on the distance of a pair alone: its bends, and its change with r², whose gradient has the square 8 r²."""
    seen, first = of_pairs.seen.to(BENDS), of_pairs.first.to(BENDS)
    eight, hidden = 8 * r2, net.message.sizes[1]
    assert net.pair_in is not None
    slope, bend = _by_square(seen, net.pair_rates.to(BENDS), -1)
    bend.mul_(eight)
    to_first = net.pair_in.layer.weight.to(BENDS) @ slope.flatten(1)
    first_bend = silu_bend(first).mul_(to_first.square()).view(hidden, *r2.shape).mul_(eight).flatten(1)
    sent = silu_slope(to_first, first)
    of_pair, _, of_distance = (weight.to(BENDS) for weight in net.pair_weights())
    apart = (of_pair @ sent).addmm_(of_distance, slope.flatten(1)).mul_(2).view(hidden, *r2.shape)
    return Bends(pair=bend.flatten(1), first=first_bend), Sends(sent, apart)


def _by_square(functions: Tensor, rates: Tensor, root: int) -> tuple[Tensor, Tensor]:
    """First and second derivatives by z² of exp(rate z²) and, in place `root`, of √(1 + z²)."""
    inverse = functions[root].reciprocal()
    slope = functions * rates.view(-1, 1, 1)
    bend = slope * rates.view(-1, 1, 1)
    torch.mul(inverse, 0.5, out=slope[root])
    torch.pow(inverse, 3, out=bend[root]).mul_(-0.25)
    return slope, bend


@lru_cache(maxsize=32)
def _ends(particles: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, N·N, pairs): the elements of a symmetric matrix from those above its diagonal; kept on the device."""
    first, second = pairs(particles, device)
    matrix = first.new_zeros((1, particles**2, len(first)), dtype=dtype)
    column = torch.arange(len(first), device=device)
    matrix[0, first * particles + second, column] = 1.0
    matrix[0, second * particles + first, column] = 1.0
    return matrix


def _to_matrix(of_pairs: Tensor, out: Tensor) -> None:
    """Write numbers of pairs (C, pairs, B) into `out` (C, N, N, B), a symmetric matrix without a diagonal."""
    n = int(out.shape[1])  # a tensor while a tracer records, which no cache would know
    flat = out.flatten(1, 2)
    if n <= FEW:
        flat.copy_(_ends(n, out.device, out.dtype).expand(len(out), -1, -1) @ of_pairs)
        return
    first, second = pairs(n, out.device)
    flat.index_copy_(1, first * n + second, of_pairs).index_copy_(1, second * n + first, of_pairs)
    flat[:, :: n + 1] = 0.0


def pair_gradients(ends: Tensor, apart: Tensor, between: Tensor, r2: Tensor, metric: Tensor, share: float) -> Tensor:
    """|∇a|² (C, pairs, B) of what a pair gets: from its two particles, with tangents `ends` (C, rows, N, B), and from its
    distance, by the position of its first particle `apart` (C, pairs, B) times r, by that of the second the opposite."""
    dim, n = len(between), int(metric.shape[1])
    first, second = pairs(n, ends.device)
    by_others, by_own = ends[:, :n], ends[:, n : n + dim]
    gradients = ends.square().mul_(metric).sum(1)
    found = add_to_pairs(torch.zeros_like(apart), gradients)
    # A_ik A_jk r_ik·r_jk, summed over k
    found.add_(_products(by_others, r2, metric[:n]), alpha=2)
    flat = by_others.flatten(1, 2)
    forth, back = flat.index_select(1, first * n + second), flat.index_select(1, second * n + first)
    found.addcmul_(apart + forth + back, apart * r2, value=2)
    for ends_at, number, sign in ((first, forth, 2), (second, back, -2)):
        along = (by_own.index_select(2, ends_at) * between).sum(1)
        found.addcmul_(number + apart, along, value=sign)
    if share:
        by_place = ends[:, n + dim :]
        both = (by_place.index_select(2, first) * by_place.index_select(2, second)).sum(1)
        found.sub_(both, alpha=2 * share)
    return found


def _products(by_others: Tensor, r2: Tensor, squares: Tensor) -> Tensor:
    """Σ_k A_ik A_jk r_ik·r_jk (C, pairs, B) for A (C, N, N, B) by k and i, and squared distances (pairs, B) and (N, N, B)."""
    n, batch = int(by_others.shape[1]), by_others.shape[3]
    first, second = pairs(n, by_others.device)
    if n <= FEW:
        # r_ik·r_jk = ½ (r_ik² + r_jk² − r_ij²)
        angles = squares.index_select(1, first).add_(squares.index_select(1, second)).sub_(r2).mul_(0.5)
        return by_others.index_select(2, first).mul_(by_others.index_select(2, second)).mul_(angles).sum(1)
    # products of matrices, one for each feature and walker: those of A with A and with A r²
    right = by_others.new_empty(by_others.shape[0], batch, n, 2 * n)
    left = right[..., :n].copy_(by_others.movedim(-1, 1))
    torch.mul(left, squares.movedim(-1, 0), out=right[..., n:])
    found = (left.mT @ right).flatten(2)
    even = found.index_select(2, 2 * n * first + second)
    odd = found.index_select(2, (2 * first + 1) * n + second).add_(found.index_select(2, (2 * second + 1) * n + first))
    return odd.sub_(even.mul_(r2.mT)).mul_(0.5).mT
