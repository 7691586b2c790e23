"""The ground state of one particle on a coarse grid within walls of any shape: only its scale and its places matter."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.system import System

#: points along an axis in one, two and three dimensions, and configurations of the other particles that V is averaged over
POINTS, OTHERS = (96, 40, 14), 4


def grid_state(system: System, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, float] | None:
    """Centres (m, D) of cells between `low` and `high` (D,), the density (m,) of the first particle there, its kinetic energy.

    V is the mean over some configurations x (M, N, D). None in more than three dimensions, or where V is finite nowhere.
    """
    dim = x.shape[2]
    if dim > len(POINTS):
        return None
    count = POINTS[dim - 1]
    steps = (high - low) / count
    axes = [low[a] + steps[a] * (torch.arange(count, dtype=x.dtype) + 0.5) for a in range(dim)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, dim)
    others = x[: 1 if x.shape[1] == 1 else OTHERS, None].repeat(1, len(places), 1, 1)
    others[:, :, 0] = places
    energy = system.potential(others.flatten(0, 1)).detach().view(len(others), -1)
    inside = energy.isfinite().any(0)
    if not bool(inside.any()):
        return None
    energy = torch.where(energy.isfinite(), energy, 0.0).sum(0) / energy.isfinite().sum(0).clamp(min=1)
    one = torch.eye(count, dtype=x.dtype)
    second = one - 0.5 * torch.diag(torch.ones(count - 1, dtype=x.dtype), 1)
    second = second - 0.5 * torch.diag(torch.ones(count - 1, dtype=x.dtype), -1)
    kinetic = torch.zeros(1, 1, dtype=x.dtype)
    for step in steps:
        kinetic = torch.kron(kinetic, one) + torch.kron(torch.eye(len(kinetic), dtype=x.dtype), second / step**2)
    rows = inside.nonzero()[:, 0]
    kinetic = kinetic[rows][:, rows]
    state = torch.linalg.eigh(kinetic + torch.diag(energy[rows]))[1][:, 0]
    return places[rows], state.square(), float(state @ kinetic @ state)
