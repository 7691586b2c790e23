"""Error bars against series whose true error is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fkflow.statistics import Estimate, autocorrelation_time, blocking, chains_estimate, split_rhat, z_score


def autoregressive(shape: tuple[int, ...], memory: float, seed: int) -> np.ndarray:
    """Stationary x_t = m x_{t−1} + ξ_t along the first axis; variance 1/(1 − m²), τ = (1 + m)/(1 − m)."""
    noise = np.random.default_rng(seed).normal(size=shape)
    noise[0] /= math.sqrt(1 - memory**2)
    for t in range(1, shape[0]):
        noise[t] += memory * noise[t - 1]
    return noise


def mean_error(n: int, memory: float) -> float:
    """Standard error of the mean of n ≫ τ terms of such a series."""
    return 1 / (1 - memory) / math.sqrt(n)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-1.1744759, 0.0002, "-1.1745(2)"),
        (-1.1744759, 0.00002, "-1.17448(2)"),
        (-1.1744759, 0.00012, "-1.17448(12)"),
        (-1.1744759, 0.00018, "-1.17448(18)"),
        (2.5, 0.95, "2.5(10)"),
        (2.5, 0.094, "2.50(9)"),
        (123.4, 12.0, "123(12)"),
        (123.4, 3.0, "123(3)"),
        (-0.5, 0.0, "-0.500000000(0)"),
        (-0.5, 1e-15, "-0.500000000(0)"),
        (math.nan, 0.1, "nan ± 0.1"),
        (1.0, math.inf, "1 ± inf"),
    ],
)
def test_an_estimate_shows_its_error_in_the_last_digits(value: float, error: float, text: str) -> None:
    assert str(Estimate(value, error)) == text


def test_z_score() -> None:
    assert z_score(1.3, 0.3, 1.0, 0.4) == pytest.approx(0.6)
    assert z_score(0.7, 0.3, 1.0) == pytest.approx(-1.0)
    assert abs(z_score(0.1 + 0.2, 0.0, 0.3)) < 1  # rounding is no deviation
    assert abs(z_score(0.3001, 0.0, 0.3)) > 1e6  # a real one without error bars is


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_blocking_finds_the_error_of_a_correlated_series(memory: float) -> None:
    n, seeds = 2**13, 24
    runs = [blocking(autoregressive((n,), memory, seed)) for seed in range(seeds)]
    ratios = np.array([plateau for _, plateau in runs]) / mean_error(n, memory)
    assert ratios.mean() == pytest.approx(1.0, abs=0.12)
    assert ratios.min() > 0.6
    # the twin: the same series taken for independent samples
    naive = np.array([errors[0] for errors, _ in runs]) / mean_error(n, memory)
    assert naive.mean() == pytest.approx(math.sqrt((1 - memory) / (1 + memory)), rel=0.05)


def test_blocking_of_a_few_numbers() -> None:
    errors, plateau = blocking(np.array([1.0, 2.0, 3.0]))
    assert plateau == pytest.approx(1 / math.sqrt(3)) and errors.tolist() == [plateau]
    assert blocking(np.array([1.0]))[1] == math.inf


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_autocorrelation_time(memory: float) -> None:
    tau = autocorrelation_time(autoregressive((2000, 64), memory, 3))
    assert tau == pytest.approx((1 + memory) / (1 - memory), rel=0.08)


def test_autocorrelation_time_of_nothing() -> None:
    assert autocorrelation_time(np.ones((50, 4))) == 1.0
    assert autocorrelation_time(np.ones((1, 4))) == 1.0


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


def test_chains_without_scatter() -> None:
    estimate = chains_estimate(np.full((5, 4), -0.5))
    assert (estimate.value, estimate.error, estimate.n_effective) == (-0.5, 0.0, math.inf)
