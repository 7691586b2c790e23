"""The ground state of one particle on a coarse grid within walls of any shape: only its scale and its places matter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.system import System

#: points along an axis in one, two and three dimensions, and configurations of the other particles that V is averaged over
POINTS, OTHERS = (96, 40, 14), 4
#: cells whose matrix is diagonalised as a whole
FEW = 32


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
    rows = inside.nonzero()[:, 0]
    state, kinetic = _lowest(energy[rows].numpy(), rows.numpy(), count, steps.tolist())
    return places[rows], torch.from_numpy(state).square(), kinetic


def _lowest(energy: np.ndarray, rows: np.ndarray, count: int, steps: list[float]) -> tuple[np.ndarray, float]:
    """The lowest state (m,) and its kinetic energy, of V (m,) in the cells `rows` of a grid of `count` cells an axis."""
    # here: SciPy takes a second to import, and few potentials need a grid
    from scipy import sparse
    from scipy.sparse.linalg import eigsh

    second = sparse.diags([-0.5, 1.0, -0.5], [-1, 0, 1], (count, count))
    kinetic = sparse.csr_matrix((1, 1))
    for step in steps:
        every = sparse.identity(kinetic.shape[0])
        kinetic = sparse.kron(kinetic, sparse.identity(count)) + sparse.kron(every, second / step**2)
    kinetic = kinetic.tocsr()[rows][:, rows]
    whole = kinetic + sparse.diags(energy)
    if len(rows) <= FEW:
        state = np.linalg.eigh(whole.toarray())[1][:, 0]
    else:
        # the state nearest to the bottom of V; it has no node, so that even a start has a part of it
        state = eigsh(whole.tocsc(), k=1, sigma=energy.min(), v0=np.ones(len(rows)))[1][:, 0]
    return state, float(state @ (kinetic @ state))
