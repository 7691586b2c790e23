"""Mixtures: trained energies against a grid for unequal masses and traps, and against one species where nothing differs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.recipe.config import MeasureConfig, TrainConfig
from fkflow.statistics import z_score
from fkflow.systems.mixture import Mixture
from fkflow.training.loop import initial_state, train


def oscillator_grid(n: int, mass: float, frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n,) and kinetic matrix (n, n) of the first n states of an oscillator: a discrete variable representation."""
    points, states = np.linalg.eigh(
        np.diag(np.sqrt(np.arange(1, n) / 2), 1) + np.diag(np.sqrt(np.arange(1, n) / 2), -1)
    )
    k = np.arange(n)
    side = np.sqrt((k[:-2] + 1) * (k[:-2] + 2)) / 4
    kinetic = frequency * (np.diag((2 * k + 1) / 4) - np.diag(side, 2) - np.diag(side, -2))
    return points / math.sqrt(mass * frequency), states.T @ kinetic @ states


def two_on_a_line(system: Mixture, n: int = 28) -> float:
    """E0 of one particle of each species in one dimension, on a grid."""
    (x, of_x), (y, of_y) = (oscillator_grid(n, m, 1.5) for m in (system.mass_a, system.mass_b))
    places = torch.from_numpy(np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2, 1))
    one = np.eye(n)
    return float(
        np.linalg.eigvalsh(np.kron(of_x, one) + np.kron(one, of_y) + np.diag(system.potential(places).numpy()))[0]
    )


def solved(own: Mixture, iterations: int, target: float) -> tuple[float, float]:
    """The variational energy and its error after a short training."""
    system = to_unit_masses(own)
    land = explore(system)
    config = TrainConfig(walkers=256, iterations=iterations)
    state = initial_state(build(system, land, "auto", 8, 2, 0), land, config, 0, "cpu", system)
    list(train(system, land, config, state))
    measure = MeasureConfig(walkers=512, target_error=target, seconds=600.0)
    measuring = VariationalEstimator(
        state.net, system, land, measure, state.walkers.x, 0, dt=config.dt * land.length**2
    )
    measuring.run(target, 600.0, lambda *_: None)
    found = measuring.result().variational.estimate
    return found.value, found.error


def test_unequal_masses_and_traps_on_a_line() -> None:
    system = Mixture(dimensions=1, count_a=1, count_b=1, mass_b=7.0, omega_b=2.0, g_ab=2.0)
    exact = two_on_a_line(system)
    assert exact == pytest.approx(two_on_a_line(system, 34), abs=2e-5)
    value, error = solved(system, 15, 1e-3)
    assert -4 < z_score(value, error, exact) and value < exact + 2e-3 + 3 * error
    # the twin: another mass
    assert abs(z_score(value, error, two_on_a_line(Mixture(**{**system.parameters(), "mass_b": 1.0})))) > 8


def test_species_that_differ_in_name_only() -> None:
    """Two and one boson are three; the reference of the mixture is theirs, and what it trains to lies at it."""
    alike = {"count_a": 2, "count_b": 1, "mass_b": 1.0, "g_aa": 15.0, "g_ab": 15.0}
    system = Mixture(**alike)
    exact = find_system("bosons")(particles=3, g=15.0).reference()
    assert system.reference() == exact and Mixture(**alike | {"g_ab": 14.0}).reference() is None
    value, error = solved(system, 10, 1e-2)
    assert -4 < z_score(value, error, exact.energy) and value < exact.energy + 0.03 + 3 * error
    assert abs(z_score(value, error, 1.02 * exact.energy)) > 8


def test_references() -> None:
    """Limits: masses drop out without interaction, a pair alone is a radial equation, springs of one mass are Moshinsky's."""
    assert Mixture(g_aa=0.0, g_bb=0.0, g_ab=0.0, mass_b=9.0, omega_b=3.0).reference().energy == pytest.approx(3 + 6)
    springs = Mixture(interaction="spring", mass_b=1.0, g_aa=0.4, g_bb=0.4, g_ab=0.4).reference().energy
    assert springs == pytest.approx(find_system("moshinsky")(particles=5, dimensions=2, kappa=0.4).reference().energy)
    pair = Mixture(count_a=1, count_b=1, mass_a=2.0, mass_b=6.0, g_ab=4.0)
    # of the reduced mass 3/2: two bosons of mass 3
    alone = Mixture(count_a=2, count_b=1, mass_a=3.0, g_aa=4.0, g_ab=0.0)
    assert alone.reference().energy - pair.reference().energy == pytest.approx(1.0, abs=1e-9)
    assert pair.reference().energy == pytest.approx(two_in_a_plane(4.0, 1.5), abs=1e-6)
    assert Mixture().reference() is None and Mixture(interaction="hard_core", g_aa=0.1).reference() is None


def two_in_a_plane(g: float, reduced: float) -> float:
    """E0 of two particles in a round trap of frequency 1, s = ½, by states of the oscillator of r² with l = 0."""
    n = 60
    # Laguerre states: points and weights of r² reduced
    k = np.arange(n)
    points, states = np.linalg.eigh(
        np.diag(2.0 * k + 1) + np.diag(-k[1:].astype(float), 1) + np.diag(-k[1:].astype(float), -1)
    )
    v = g / (math.pi * 0.25) * np.exp(-points / reduced / 0.25)
    h = np.diag(2.0 * k + 1) + states @ np.diag(v) @ states.T
    return 1.0 + float(np.linalg.eigvalsh(h)[0])
