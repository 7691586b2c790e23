"""Hard rods on a ring as points: the length of the rods is taken out of the places, and ψ of the points is known.

Rods of length a that cannot pass each other have the energies of points on the ring L − N a. ψ depends on the gaps between
neighbours alone, and in each order along the ring places of the points differ from those of the rods by constants: derivatives
are the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fkflow.hamiltonian.cores import pair_energy
from fkflow.hamiltonian.system import System
from fkflow.networks.two_body_equation import SHORTEST

#: what stays of a rod, in natural lengths: points that touch have no ψ, as rods that overlap; less of it would not be seen
LEFT = 2 * SHORTEST
#: energies r² v beyond the core that are none, and distances at which they are looked at
NOTHING, TRIED = 1e-12, 64


def rod_length(system: System, length: float, diameter: float | None, box: tuple[float, ...], *, even: bool) -> float:
    """The length that is taken out of particles on a ring: that of hard rods without any other energy, else 0.

    `length` is the natural one. `even`: V is the same where all particles move together.
    """
    if diameter is None or diameter <= LEFT * length or len(box) > 1 or not even or math.isinf(box[0]):
        return 0.0
    pair = pair_energy(system, diameter)
    assert pair is not None
    r = torch.linspace(diameter, 0.5 * box[0], TRIED + 1, dtype=torch.float64)[1:]
    return diameter - LEFT * length if bool((pair(r) * r.square()).abs().max() <= NOTHING) else 0.0


def as_points(x: Tensor, side: float, rod: float | Tensor) -> Tensor:
    """Places (B, N, 1) on the ring `side` − N `rod` from those of rods of that length; rods that overlap are at one place.

    The first of them is that behind the largest gap.
    """
    along, order = x[..., 0].remainder(side).sort(1)
    ahead = torch.cat([along[:, 1:], along[:, :1] + side], 1)
    gaps = ahead - along - rod
    turn = torch.arange(x.shape[1], device=x.device) + gaps.argmax(1, keepdim=True) + 1
    turn = turn.remainder(x.shape[1])
    gaps = gaps.gather(1, turn).clamp(min=0.0)
    places = torch.cat([torch.zeros_like(gaps[:, :1]), gaps[:, :-1].cumsum(1)], 1)
    return torch.zeros_like(places).scatter(1, order.gather(1, turn), places)[..., None]
