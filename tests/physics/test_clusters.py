"""Two neon atoms free in space: their network is exact from the start, and walkers have the distance of the radial state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import eigh_tridiagonal

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses, to_user_coordinates
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.recipe.config import MeasureConfig
from fkflow.systems.clusters import Neon


def test_two_neon_atoms() -> None:
    """The local energy does not vary, and their distance is that of the radial state."""
    own = Neon(particles=2)
    system = to_unit_masses(own)
    land, generator = explore(system), torch.Generator().manual_seed(0)
    net, config = build(system, land, "auto", 4, 1, 0), MeasureConfig(walkers=1024, target_error=1e9)
    found = VariationalEstimator(net, system, land, config, land.start(1024, generator), 0, dt=0.0)
    for _ in range(30):
        found.sweep()
    estimate, level = found.estimate(), own.known(2)
    assert level is not None and estimate.value == pytest.approx(level.energy, abs=1e-4) and found.spread() < 1e-3
    x = to_user_coordinates(found.system, found.walkers.x)
    r, weights = (x[:, 0] - x[:, 1]).norm(dim=1), found.walkers.weights()
    mean = float((weights * r).mean() / weights.mean())
    error = float((weights * (r - mean)).std() / weights.mean()) / math.sqrt(len(r))

    def distance(potential: str) -> float:
        """⟨r⟩ on a fine grid: u'' = m (V − E) u/ħ² by finite differences."""
        grid = np.linspace(2.0, 14.0, 2400)
        step, pair = grid[1] - grid[0], Neon(particles=2, potential=potential)
        v = pair.pair(torch.from_numpy(grid)).numpy()
        kinetic = 1 / pair.mass / step**2
        _, states = eigh_tridiagonal(2 * kinetic + v, np.full(len(grid) - 1, -kinetic), select="i", select_range=(0, 0))
        return float((states[:, 0] ** 2 @ grid) / (states[:, 0] ** 2).sum())

    assert abs(mean - distance("HFD-B")) < 4 * error and error < 0.02
    # the twin: the other potential
    assert abs(mean - distance("LJ")) > 4 * error
