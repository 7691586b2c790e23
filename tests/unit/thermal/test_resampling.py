"""Resampled paths: Z and its derivatives for any drift and any forecast, and forecasts that tell what paths will gain."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.registry import find_system
from fkflow.statistics import z_score
from fkflow.thermal import resampling
from fkflow.thermal.estimate import Sums, batches
from fkflow.thermal.resampling import Resampling, learn
from tests.unit.thermal.conftest import bridges_of, oscillators_log_z, random_fit

trap = find_system("harmonic")
BETA, STEPS, PATHS = 1.5, 12, 256


@pytest.fixture(scope="module")
def solved():
    """Three bosons in a line with a wrong reference, a random drift and random starts."""
    bridges = bridges_of(trap(particles=3, dimensions=1), BETA, factor=0.7)
    beta = BETA / bridges.problem.length**2
    return bridges, random_fit(bridges, 1.2 / bridges.problem.length, beta, size=0.2), beta


def pools_of(solved, how: Resampling | None, count: int, seed: int):
    bridges, fitted, beta = solved
    generator = torch.Generator().manual_seed(seed)
    return list(islice(batches(bridges, fitted, beta, STEPS, PATHS, generator, True, how), count))


def learned(solved, monkeypatch) -> Resampling:
    """At all points where paths may be resampled."""
    monkeypatch.setattr(resampling, "SEGMENT", 1e-3)
    return learn(solved[0], [(pool.paths, pool.log_w) for pool in pools_of(solved, None, 4, 1)])


def test_z_and_its_derivatives_for_a_wrong_forecast(solved, monkeypatch) -> None:
    bridges, _, beta = solved
    how = learned(solved, monkeypatch)
    assert list(how.coefficients) == [4, 8]
    how = Resampling(STEPS, {number: -0.5 * row for number, row in how.coefficients.items()})
    square, sums = bridges.problem.length**2, Sums(beta, bridges.problem.gain)
    pools = pools_of(solved, how, 24, 2)
    for pool in pools:
        sums.add(pool)
    found, logs = sums.log_z(), [oscillators_log_z(BETA + side * 1e-3, 3, 1) for side in (-1, 0, 1)]
    assert abs(z_score(found.value, found.error, logs[1])) < 3.5 and found.error < 0.04
    energy, capacity, _ = sums.slopes()
    assert abs(z_score(energy.value / square, energy.error / square, (logs[0] - logs[2]) / 2e-3)) < 3.5
    exact_capacity = BETA**2 * (logs[0] - 2 * logs[1] + logs[2]) / 1e-6
    assert abs(z_score(capacity.value, capacity.error, exact_capacity)) < 3.5 and capacity.error < 1.0
    # that paths were favoured must be in their density
    forgotten = Sums(beta, bridges.problem.gain)
    for pool in pools:
        assert pool.carried is not None
        logs_w = torch.from_numpy(pool.carried.log_w + pool.carried.log_favour)
        forgotten.add(replace(pool, log_w=logs_w, log_coarse=logs_w, log_coarser=logs_w))
    wrong = forgotten.log_z()
    assert abs(z_score(wrong.value, wrong.error, logs[1])) > 3.5


def test_a_forecast_tells_what_paths_will_gain(solved, monkeypatch) -> None:
    """Of the variance of what is gained after the middle of the path, on paths that were not used to learn it."""
    bridges, fitted, beta = solved
    solved = bridges, replace(fitted, theta=None), beta
    how = learned(solved, monkeypatch)
    pools = pools_of(solved, None, 4, 3)
    rows, gain = (
        torch.cat(part) for part in zip(*(resampling.rest_of(bridges, pool.paths, 8) for pool in pools), strict=True)
    )
    log_w = torch.cat([pool.log_w for pool in pools])
    share = (0.5 * log_w).softmax(0)

    def variance(x: torch.Tensor) -> float:
        return float(share @ (x - share @ x).square())

    assert variance(gain - rows @ how.coefficients[8]) < 0.5 * variance(gain)


def test_the_effective_share_comes_from_the_scatter_of_pools(solved, monkeypatch) -> None:
    """The weights of resampled paths are even, whatever Z a pool has."""
    bridges, _, beta = solved
    sums = Sums(beta, bridges.problem.gain)
    (pool,) = pools_of(solved, learned(solved, monkeypatch), 1, 4)
    generator = torch.Generator().manual_seed(5)
    for _ in range(400):
        shift = 0.05 * float(torch.randn((), generator=generator, dtype=torch.float64))
        even = torch.full_like(pool.log_w, shift)
        sums.add(replace(pool, log_w=even, log_coarse=even, log_coarser=even, carried=None))
    # the means of pools have a relative variance of 0.0025
    assert sums.ess() == pytest.approx(1 / (1 + PATHS * 0.0025), rel=0.15)
    assert np.isclose(float(1 / (PATHS * sums.log_z().error ** 2 * len(sums.means) + 1)), sums.ess(), rtol=0.05)
