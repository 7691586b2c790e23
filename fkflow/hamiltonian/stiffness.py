"""Traps that are much stiffer along some directions than along others.

A narrow guide or a bent valley has modes whose frequencies differ by a factor of a hundred or a thousand. The natural time is
that of the stiff ones. Walkers that step as far along as across never come round, and updates of a fraction of the natural
time leave the soft modes as they are. Walkers therefore step in the shape of the well, and updates are as long as the soft
modes need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.species import groups_of
from fkflow.hamiltonian.system import System

#: ratio of the largest to the smallest frequency from which on a trap counts as stiff
STIFF = 30.0


@dataclass(frozen=True)
class Stiffness:
    """`ratio` of the largest to the smallest frequency; `shape` (d, d), the symmetric root of the covariance of the well.

    `shape` is in units of the natural length: walkers step as far along each direction as ψ is wide there.
    """

    ratio: float
    shape: Tensor


def find_stiffness(system: System, landscape: Landscape) -> Stiffness | None:
    """How stiff a smooth trap is along some directions, None where frequencies differ by less than STIFF.

    The widths of the minima tell: variances of ψ² are inverse frequencies. Those of identical particles are averaged.
    """
    smooth = landscape.walls is None and landscape.box is None and not landscape.lines and not landscape.steps
    charged = system.nuclei() is not None or system.point_charges() is not None or landscape.centres is not None
    if not smooth or charged or landscape.harmonic or landscape.together is not None:
        return None
    n, dim = landscape.centre.shape
    covariance = (landscape.widths @ landscape.widths.mT).mean(0)
    if len(groups_of(system)) < n:
        blocks, covariance = covariance.view(n, dim, n, dim), torch.zeros_like(covariance).view(n, dim, n, dim)
        for group in groups_of(system):
            own = torch.stack([blocks[i, :, i] for i in group]).mean(0)
            for i in group:
                covariance[i, :, i] = own
        covariance = covariance.view(n * dim, n * dim)
    values, vectors = torch.linalg.eigh(covariance)
    if not (values > 0).all() or not math.isfinite(float(values.sum())):
        return None
    ratio = float(values[-1] / values[0])
    if ratio < STIFF:
        return None
    shape = (vectors * values.sqrt()) @ vectors.mT
    return Stiffness(ratio, math.sqrt(2) / landscape.length * shape)
