"""Energies far off in a tail that projected walkers hardly visit: the stated error knows what is missed of their fall."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.projection.project import Projector
from fkflow.projection.rare import missed_fall
from fkflow.recipe.sections import MeasureConfig, ProjectConfig

OSCILLATOR = find_system("harmonic")(particles=1, dimensions=1)
EDGE, RISE, FAR = 1.9, 0.45, 0.5


class LongTail(LogPsi):
    """The ground state of the oscillator with a tail that is too long beyond EDGE."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.rise = torch.nn.Parameter(torch.tensor(RISE, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return -0.5 * x.square().sum((1, 2)) + self.rise * (x[:, 0, 0] - EDGE).relu().square()


def exact_rare_energy() -> float:
    """What energies more than FAR from 1/2 add to the mean of E_L − 1/2 over ψ², by quadrature."""
    x = np.linspace(-6.0, 9.0, 300001)
    beyond = np.maximum(x - EDGE, 0.0)
    slope, curvature = -x + 2 * RISE * beyond, -1 + 2 * RISE * (beyond > 0)
    excess = -0.5 * (curvature + slope**2) + 0.5 * x**2 - 0.5
    density = np.exp(-(x**2) + 2 * RISE * beyond**2)
    return float((density * excess)[np.abs(excess) > FAR].sum() / density.sum())


@pytest.fixture(scope="module")
def measuring() -> VariationalEstimator:
    """A measurement of the long tail, which visits it often."""
    start = torch.randn(2048, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 2**0.5
    settings = MeasureConfig(walkers=2048, target_error=1e-3, seconds=60.0)
    found = VariationalEstimator(LongTail(), OSCILLATOR, explore(OSCILLATOR), settings, start, 1, dt=1e-8)
    for _ in range(60):
        found.sweep()
    return found


def test_rare_energies_of_a_measurement(measuring: VariationalEstimator) -> None:
    """As by quadrature; without them the mean lies below that."""
    exact = exact_rare_energy()
    assert exact > 1e-4
    assert measuring.energies.rare_energy(0.5, FAR) == pytest.approx(exact, rel=0.15)
    # the exact ground state has none
    assert measuring.energies.rare_energy(0.5, 1e3) == 0.0


def test_what_a_population_has_not_met_is_an_error_of_its_fall(measuring: VariationalEstimator) -> None:
    """All of it for one that never was in the tail, next to nothing for one that was there as often as ψ² is."""
    projector = Projector(measuring, ProjectConfig(target_error=1e-3, seconds=60.0, walkers=2048), 3)
    population = projector.populations[-1]
    population.energy_reference, population.far = 0.5, FAR
    known = measuring.energies.rare_energy(0.5, FAR)
    population.count, population.rare = 100, 0.0
    assert missed_fall(measuring, population) == pytest.approx(known / math.sqrt(3), rel=1e-12)
    population.count = 0
    for _ in range(2 * population.length):
        population.step()
    assert missed_fall(measuring, population) < 0.5 * known / math.sqrt(3)
    # one that is resampled gives the projected energy itself
    population.branching = True
    assert missed_fall(measuring, population) == 0.0
