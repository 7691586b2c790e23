"""Error bars of walkers that are followed in time, with and without weights; whether they have settled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from series import autoregressive

from fkflow.statistics import chains_estimate, halves_shift, split_rhat


def test_rhat_is_one_when_equilibrated() -> None:
    for memory in (0.0, 0.5):
        assert split_rhat(autoregressive((400, 64), memory, 1)) == pytest.approx(1.0, abs=0.02)
    assert split_rhat(autoregressive((10, 4096), 0.3, 2)) < 1.1  # as short as a measurement may be
    assert math.isnan(split_rhat(np.ones((3, 8))))
    assert split_rhat(np.ones((10, 8))) == 1.0


def test_rhat_sees_stuck_groups_and_drift() -> None:
    series = autoregressive((400, 64), 0.5, 1)
    stuck = series + np.repeat(np.arange(16), 4) / 4
    assert split_rhat(stuck) > 1.5
    drifting = series + 2 * np.linspace(-1, 1, 400)[:, None]
    assert split_rhat(drifting) > 1.2


def test_error_bars_of_chains_are_calibrated() -> None:
    """Over 200 seeds: z-scores of unit width, for walkers with long memory."""
    steps, walkers, seeds, memory = 30, 64, 200, 0.9
    z, naive, effective = [], [], []
    for seed in range(seeds):
        samples = autoregressive((steps, walkers), memory, seed)
        estimate = chains_estimate(samples)
        assert estimate.value == pytest.approx(samples.mean(), abs=1e-12)
        z.append(estimate.value / estimate.error)
        effective.append(estimate.n_effective)
        naive.append(estimate.value / (samples.std() / math.sqrt(samples.size)))
    z = np.array(z)
    # variance of z is 1 up to √(2/200) = 0.1 (and a little more from Student's t)
    assert z.var() == pytest.approx(1.0, abs=0.35)
    assert abs(z.mean()) < 4 / math.sqrt(seeds)
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=4 * math.sqrt(0.683 * 0.317 / seeds))
    assert np.mean(np.abs(z) < 2) == pytest.approx(0.954, abs=4 * math.sqrt(0.954 * 0.046 / seeds))
    assert walkers < np.mean(effective) < 0.3 * steps * walkers
    # the twin: all samples taken for independent are far outside the same band
    assert np.var(naive) > 5
    assert np.mean(np.abs(naive) < 1) < 0.5


def weighted_walkers(steps: int, walkers: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights e^(0.4 g) and values 2 + g + noise, g a slow standard normal: the weighted mean of the values is 2.4."""
    memory = 0.9
    g = autoregressive((steps, walkers), memory, seed) * math.sqrt(1 - memory**2)
    values = 2 + g + 0.5 * np.random.default_rng(seed + 10**6).normal(size=g.shape)
    weights = np.exp(0.4 * g)
    return weights * values, weights


def test_error_bars_of_weighted_chains_are_calibrated() -> None:
    """Over 300 seeds: the error of a ratio of sums is its scatter, numerator and denominator correlated."""
    steps, walkers, seeds = 10, 256, 300
    z, numerator, plain = [], [], []
    for seed in range(seeds):
        weighted, weights = weighted_walkers(steps, walkers, seed)
        estimate = chains_estimate(weighted, weights)
        assert estimate.value == pytest.approx(weighted.sum() / weights.sum(), rel=1e-12)
        z.append((estimate.value - 2.4) / estimate.error)
        # the twins: the denominator taken for exact, and the weights left out
        scatter = weighted.mean(0).std(ddof=1) / math.sqrt(walkers) / weights.mean()
        numerator.append((estimate.value - 2.4) / scatter)
        plain.append(chains_estimate(weighted / weights))
    z = np.array(z)
    assert abs(z.mean()) < 4 / math.sqrt(seeds)
    assert z.var() == pytest.approx(1.0, abs=4 * math.sqrt(2 / seeds))
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=4 * math.sqrt(0.683 * 0.317 / seeds))
    assert np.var(numerator) < 0.5
    assert np.mean([(p.value - 2.4) / p.error for p in plain]) < -6


def test_even_weights_change_nothing() -> None:
    samples = autoregressive((20, 32), 0.5, 1)
    plain = chains_estimate(samples)
    for factor in (1.0, 7.0):
        weighted = chains_estimate(factor * samples, np.full_like(samples, factor))
        assert weighted.value == pytest.approx(plain.value, rel=1e-12)
        assert weighted.error == pytest.approx(plain.error, rel=1e-12)
        assert weighted.n_effective == pytest.approx(plain.n_effective, rel=1e-9)


def test_walkers_without_weight_count_as_absent() -> None:
    samples = autoregressive((20, 64), 0.5, 1)
    weights = np.ones_like(samples)
    weights[:, 32:] = 0
    half, alone = chains_estimate(weights * samples, weights), chains_estimate(samples[:, :32])
    assert half.value == pytest.approx(alone.value, rel=1e-12)
    assert half.error == pytest.approx(alone.error, rel=0.02)  # but for the degrees of freedom


def test_halves_of_a_measurement() -> None:
    """Equilibrated walkers of any memory: a shift of order 1; the twin drifts by a fifth of their spread."""
    shifts = np.array([halves_shift(autoregressive((40, 64), 0.9, seed)) for seed in range(100)])
    assert shifts.std() == pytest.approx(1.0, abs=4 / math.sqrt(200)) and abs(shifts.mean()) < 0.4
    drift = np.linspace(-1, 1, 40)[:, None]
    assert np.mean([halves_shift(autoregressive((40, 64), 0.0, seed) + 0.2 * drift) for seed in range(100)]) > 3
    assert halves_shift(np.ones((10, 4))) == 0.0


def test_chains_without_scatter() -> None:
    estimate = chains_estimate(np.full((5, 4), -0.5))
    assert (estimate.value, estimate.error, estimate.n_effective) == (-0.5, 0.0, math.inf)


def test_the_effective_number_of_samples() -> None:
    """As many independent samples give the same error, whatever the autocorrelation: chains of τ sweeps count 1/τ."""
    sizes = [chains_estimate(autoregressive((400, 64), memory, 5)).n_effective for memory in (0.0, 0.5, 0.9)]
    for size, memory in zip(sizes, (0.0, 0.5, 0.9), strict=True):
        # 63 degrees of freedom
        assert size == pytest.approx(400 * 64 * (1 - memory) / (1 + memory), rel=4 * math.sqrt(2 / 63))
    assert sizes[0] > 10 * sizes[2]
