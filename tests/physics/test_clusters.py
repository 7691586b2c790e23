"""Clusters free in space: two neon atoms are exact from the start, three helium atoms have the energy of the literature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import eigh_tridiagonal

import fkflow
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_solver_coordinates, to_unit_masses, to_user_coordinates
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.recipe.config import MeasureConfig
from fkflow.runs.model import restore_model
from fkflow.sampling.local_energy import analytic_local_energy
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.systems.clusters import Neon


def test_two_neon_atoms() -> None:
    """The local energy does not vary, and their distance is that of the radial state."""
    own = Neon(particles=2)
    system = to_unit_masses(own)
    land, generator = explore(system), torch.Generator().manual_seed(0)
    net, config = build(system, land, "auto", 4, 1, 0), MeasureConfig(walkers=1024, target_error=1e9)
    found = VariationalEstimator(net, system, land, config, land.start(1024, generator), 0, dt=0.0)
    for _ in range(15):
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


def test_three_helium_atoms_with_vector_messages() -> None:
    """A short training gives the energy of Gaussian expansions to 2 %, and local energies that vary little.

    The twin is the same network without what its vectors say: its local energies vary twice as much or more.
    """
    found = fkflow.solve(
        fkflow.make_system("helium", particles=3),
        seed=0,
        threads=1,
        progress=False,
        train={"iterations": 50, "walkers": 512},
        measure={"walkers": 1024, "target_error": 5e-3, "seconds": 600.0},
        project={"seconds": 0},
    )
    assert found.reference is not None and found.reference.energy == -0.1264
    # what so short a training leaves is above the energy of the literature
    assert abs(found.energy.value - found.reference.energy) < 4 * math.hypot(found.energy.error, 1e-3)
    model, generator = restore_model(found.result), torch.Generator().manual_seed(0)
    start = to_solver_coordinates(model.system, torch.as_tensor(found.samples, dtype=torch.float64))

    def deviation() -> float:
        """The mean absolute deviation of the local energy (K) over ψ²."""
        walkers, energies = Walkers(start.clone(), 0.03 * model.landscape.length**2), []
        metropolis(model.net, walkers, generator, 60)
        for _ in range(4):
            metropolis(model.net, walkers, generator, 10)
            energies.append(analytic_local_energy(model.net, model.system, walkers.x))
        every = torch.cat(energies)
        return float((every - every.median()).abs().mean())

    own = deviation()
    model.net.vector_messages.weights.data.zero_()
    assert own < 0.06 and deviation() > 2 * own
