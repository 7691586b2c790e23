"""The learned part of `SymmetricNet` without a graph, and its gradient: the chain rule written out.

Layers work on (features, particles or pairs · B): `flat` views of what is (features, particles or pairs, B). `…_slope` is the
gradient of log ψ with respect to `…`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import add_to_pairs, add_to_particles
from fkflow.networks.laplacian import Laplacian, bend
from fkflow.networks.layers import Activated, activated, silu_slope

#: the network itself, whose module imports this one
SymmetricNet = Any


class Pairs(NamedTuple):
    """Layers of pairs that the gradient needs."""

    seen: Tensor
    first: Activated
    second: Activated


class Kept(NamedTuple):
    """Layers of particles that the gradient needs, and those of pairs where there are any."""

    seen: Tensor
    layer: Activated
    read: Tensor
    of_readout: list[Activated]
    pairs: Pairs | None


class Bends(NamedTuple):
    """φ''(a) |∇a|² (`bends.Laplacian`) of functions of places, of layers of particles, and of pairs where there are any."""

    seen: Tensor | None = None
    layer: Tensor | None = None
    readout: Sequence[Tensor] = ()
    pair: Tensor | None = None
    first: Tensor | None = None
    second: Tensor | None = None


NO_BENDS = Bends()


def learned(net: SymmetricNet, y: Tensor, square: Tensor, r2: Tensor, *, slopes: bool = True) -> tuple[Tensor, Kept]:
    """The part of log ψ (B,) that is learned, and what its gradient, if wanted, needs.

    For places y (D, N, B), their squares (N, B), and the squared distances r2 (pairs, B).
    """
    n, own, batch = net.particles, len(net.OWN_WIDTHS), square.shape[1]
    hidden = net.message.sizes[1]
    # particles: functions of their place
    seen = y.new_empty(net.message.layer.in_features, *square.shape)
    torch.add(square, 1, out=seen[0]).sqrt_()
    torch.mul(square, net.own_exponents.view(-1, 1, 1), out=seen[1 : 1 + own]).exp_()
    if not net.isotropic:
        seen[1 + own : 1 + own + net.dimensions] = y
    first = pair = None
    if net.pair_in is not None:
        # pairs: functions of their distance, which they send to their particles
        pair = y.new_empty(len(net.exponents) + 1, *r2.shape)
        torch.mul(r2, net.exponents.view(-1, 1, 1), out=pair[:-1]).exp_().mul_(net.heights.view(-1, 1, 1))
        torch.add(r2, 1, out=pair[-1]).sqrt_()
        first = _activated(net.pair_in.layer, pair, slopes)
        add_to_particles(seen[-hidden:], first.value.view(hidden, *r2.shape), n**-0.5, keep=False)
    layer = _activated(net.message.layer, seen, slopes)
    read, kept = net.readout.kept(layer.value, slope=slopes)
    value = read.view(n, batch).sum(0)
    if first is None or pair is None:
        return value, Kept(seen, layer, read, kept, None)
    # pairs again: with what their particles found
    of_pair, of_ends, of_distance = net.pair_weights()
    ends = (of_ends @ layer.value).view(hidden, n, batch)
    second_in = torch.addmm(net.pair_out.layer.bias.unsqueeze(1), of_pair, first.value).addmm_(
        of_distance, pair.flatten(1)
    )
    both = add_to_pairs(second_in.view(hidden, *r2.shape), ends)
    second = activated(second_in, slope=slopes)
    summed, last = second.value.view(both.shape).sum(1), net.pair_readout.layer
    value += torch.addmm(last.bias.unsqueeze(1), last.weight, summed).addmm_(net.jastrow[None], pair.sum(1))[0]
    return value, Kept(seen, layer, read, kept, Pairs(pair, first, second))


def _activated(layer: nn.Linear, a: Tensor, slopes: bool) -> Activated:
    """SiLU of a layer of a (in, particles or pairs, B)."""
    return activated(torch.addmm(layer.bias.unsqueeze(1), layer.weight, a.flatten(1)), slope=slopes)


def learned_slopes(
    net: SymmetricNet, kept: Kept, laplacian: Laplacian | None = None, bends: Bends = NO_BENDS
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Its gradients with respect to `square`, `r2` and y, None where there are no pairs or y itself is not seen.

    What was `kept` is used up. A `laplacian` gets what all this adds to it, if the `bends` are given.
    """
    seen, layer, read, of_readout, pairs = kept
    own = len(net.OWN_WIDTHS)
    layer_slope = net.readout.slope(torch.ones_like(read), of_readout, laplacian, bends.readout)
    into = net.message.layer
    r2_slope = None
    if pairs is None:
        seen_slope = into.weight.mT @ silu_slope(layer_slope, layer)
    else:
        pair, first, second = pairs
        hidden = net.message.sizes[1]
        of_pair, of_ends, of_distance = net.pair_weights()
        second_slope = silu_slope(net.pair_readout.layer.weight.mT, second)
        bend(laplacian, net.pair_readout.layer.weight.mT, bends.second)
        to_ends = seen.new_empty(hidden, *seen.shape[1:])
        add_to_particles(to_ends, second_slope.view(hidden, *pair.shape[1:]), keep=False)
        layer_slope.addmm_(of_ends.mT, to_ends.flatten(1))
        seen_slope = into.weight.mT @ silu_slope(layer_slope, layer)
        first_slope = of_pair.mT @ second_slope
        add_to_pairs(
            first_slope.view(hidden, *pair.shape[1:]), seen_slope[-hidden:].view(to_ends.shape), net.particles**-0.5
        )
        bend(laplacian, first_slope, bends.first)
        pair_slope = torch.addmm(net.jastrow.unsqueeze(1), of_distance.mT, second_slope)
        assert net.pair_in is not None
        pair_slope.addmm_(net.pair_in.layer.weight.mT, silu_slope(first_slope, first))
        bend(laplacian, pair_slope, bends.pair)
        # d√(1 + z²)/dz² = ½/√(1 + z²)
        pair[-1].reciprocal_()
        r2_slope = (net.pair_rates @ pair_slope.mul_(pair.view(pair_slope.shape))).view(pair.shape[1:])
    seen[0].reciprocal_()
    near = seen_slope[: 1 + own]
    bend(laplacian, layer_slope, bends.layer)
    bend(laplacian, near, bends.seen)
    square_slope = (net.own_rates @ near.mul_(seen[: 1 + own].view(near.shape))).view(seen.shape[1:])
    if net.isotropic:
        return square_slope, r2_slope, None
    y_slope = seen_slope[1 + own : 1 + own + net.dimensions].view(net.dimensions, *seen.shape[1:])
    return square_slope, r2_slope, y_slope
