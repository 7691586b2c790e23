"""How the perceptron of `MolecularNet` bends: what its Laplacian needs besides its gradient (`bends.Laplacian`).

It sees functions of the distances r_iA of electrons and nuclei and r_12 of electrons. Their gradients by the position of
electron i are the unit vectors e_iA and ±e_12.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fkflow.networks.distances import (
    Seen,
    logarithm_bend,
    logarithm_slope,
    ratio_bend,
    ratio_slope,
    saturating_bend,
    saturating_slope,
)
from fkflow.networks.laplacian import BENDS

#: the network itself, whose module imports this one
MolecularNet = Any


def features_bend(net: MolecularNet, seen: Seen, unit: Tensor, along: Tensor | None) -> Tensor:
    """What the `features` (F, B) add to their Laplacian beside that of the distances: Σ ∂²F/∂r∂r' ∇r·∇r', over all distances.

    `unit` are the vectors e_iA (3, n, M, B), `along` is e_12 (3, B).
    """
    near, apart, charged, ratio, of_near, of_apart = seen
    pulls = net.pulls.square()
    out = [(logarithm_bend(charged) * pulls).flatten(0, 1), (saturating_bend(charged) * pulls).flatten(0, 1)]
    if near.shape[1] == 1 and apart is None:
        return torch.cat(out)
    slope, bend, log_slope, log_bend = ratio_slope(near), ratio_bend(near), logarithm_slope(near), logarithm_bend(near)
    if near.shape[1] > 1:
        # r_iA (s(r_iB) - s(R_AB)) for A != B
        angle = (unit.unsqueeze(3) * unit.unsqueeze(2)).sum(0)
        cross = bend.unsqueeze(2) * (of_near.unsqueeze(1) - net.of_bonds)
        cross += ratio.unsqueeze(2) * log_bend.unsqueeze(1)
        cross.addcmul_(slope.unsqueeze(2) * log_slope.unsqueeze(1), angle, value=2.0)
        out.append(cross.flatten(1, 2).index_select(1, net.unequal).transpose(0, 1).flatten(0, 1))
    if apart is not None and of_apart is not None and along is not None:
        of_both = 2.0 * logarithm_bend(apart)
        out += [of_both.unsqueeze(0), 2.0 * saturating_bend(apart).unsqueeze(0)]
        angle = (unit * along.unsqueeze(1).unsqueeze(1)).sum(0) * net.signs
        with_other = bend * (of_apart - of_near.flip(0)) + ratio * (of_both - log_bend.flip(0))
        out.append(with_other.addcmul_(slope * logarithm_slope(apart), angle, value=2.0).flatten(0, 1))
    return torch.cat(out)


def features_tangent(net: MolecularNet, seen: Seen, unit: Tensor, along: Tensor | None) -> Tensor:
    """Gradients (F, 3 n, B) of the `features` by the positions of all electrons, in the precision BENDS; rest as above."""
    near, apart, charged, ratio, of_near = (None if t is None else t.to(BENDS) for t in seen[:5])
    assert near is not None and charged is not None and ratio is not None and of_near is not None
    n, m, batch = near.shape
    pulls = net.pulls.to(BENDS)
    unit = unit.to(BENDS).movedim(0, 2)  # (n, M, 3, B)
    out = unit.new_zeros(net.orders.shape[1], 3, n, batch)
    plain = out[: 2 * n * m].view(2, n, m, 3, n, batch).diagonal(dim1=1, dim2=4)
    slopes = torch.stack([logarithm_slope(charged) * pulls, saturating_slope(charged) * pulls])
    plain.copy_((slopes.unsqueeze(3) * unit).movedim(1, -1))
    slope, log_slope = ratio_slope(near), logarithm_slope(near)
    if m > 1:
        by_first = slope.unsqueeze(2) * (of_near.unsqueeze(1) - net.of_bonds.to(BENDS))
        by_second = ratio.unsqueeze(2) * log_slope.unsqueeze(1)
        cross = by_first.unsqueeze(3) * unit.unsqueeze(2) + by_second.unsqueeze(3) * unit.unsqueeze(1)
        cross = cross.flatten(1, 2).index_select(1, net.unequal)
        place = out[2 * n * m : 2 * n * m + n * m * (m - 1)].view(m * (m - 1), n, 3, n, batch)
        place.diagonal(dim1=1, dim2=3).copy_(cross.permute(1, 2, 3, 0))
    if apart is not None and along is not None:
        assert seen.of_apart is not None
        of_apart, along = seen.of_apart.to(BENDS), along.to(BENDS)
        both = torch.stack([along, -along], 1)  # (3, 2, B)
        rest = out[n * m * (m + 1) :]
        torch.mul(both, logarithm_slope(apart), out=rest[0])
        torch.mul(both, saturating_slope(apart), out=rest[1])
        place = rest[2:].view(n, m, 3, n, batch)
        place += (ratio * logarithm_slope(apart)).unsqueeze(2).unsqueeze(2) * both
        own = (slope * (of_apart - of_near.flip(0))).unsqueeze(2) * unit
        other = (ratio * log_slope.flip(0)).unsqueeze(2) * unit.flip(0)
        for electron in range(n):
            place[electron, :, :, electron] += own[electron]
            place[electron, :, :, 1 - electron] -= other[electron]
    return out.view(len(out), 3 * n, batch)
