"""Error bars against series whose true error is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from series import autoregressive, mean_error

from fkflow.statistics import (
    Estimate,
    autocorrelation_time,
    blocked_covariance,
    blocking,
    combined_error,
    least_squares_weights,
    z_score,
)


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
def test_blocking_of_groups_that_are_followed_in_time(memory: float) -> None:
    """(T, G): blocks grow along time only, as far as the groups alone would give 8 of them."""
    steps, groups, seeds = 2**9, 16, 24
    series = [autoregressive((steps, groups), memory, seed) for seed in range(seeds)]
    ratios = np.array([blocking(x)[1] for x in series]) / mean_error(steps * groups, memory)
    # 16 short chains lose a part τ/T of the memory of a long one: below a hundredth here, where G blocks remain
    assert ratios.mean() == pytest.approx(1.0, abs=0.12)
    assert ratios.min() > 0.6
    # the twin: time and groups exchanged, so that what is correlated counts as independent
    exchanged = np.array([blocking(x.T)[1] for x in series]) / mean_error(steps * groups, memory)
    assert exchanged.mean() == pytest.approx(math.sqrt((1 - memory) / (1 + memory)), rel=0.1)


def test_blocking_goes_on_to_whole_histories() -> None:
    """Groups that never forget where they began: only their scatter is the error, and 8 are enough for that."""
    noise = np.random.default_rng(4)
    stuck = noise.normal(size=64) + 1e-3 * noise.normal(size=(128, 64))
    errors, plateau = blocking(stuck)
    assert len(errors) == 8 and plateau == pytest.approx(stuck.mean(0).std(ddof=1) / 8, rel=1e-12)
    assert plateau == pytest.approx(1 / 8, abs=4 / 8 / math.sqrt(2 * 64))
    # the twin: with 4 groups pairing ends where 8 blocks are left, before the groups are whole
    assert len(blocking(stuck[:, :4])[0]) == 7
    # of an odd number of rows the first is left out, as it may not be equilibrated
    jump = np.zeros((9, 4))
    jump[0] = 1e6
    assert blocking(jump)[0][1:].max() == 0.0 and blocking(jump)[1] > 1e4


def test_blocking_of_one_column_is_that_of_a_series() -> None:
    series = autoregressive((300,), 0.7, 5)
    errors, plateau = blocking(series)
    columns, same = blocking(series[:, None])
    assert np.array_equal(errors, columns) and plateau == same


def two_series(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Two autoregressive series (2, T, G) with memories 0.8 and 0.4, driven by noises with correlation 0.6."""
    noise = np.random.default_rng(seed)
    first, second = noise.normal(size=(2, *shape))
    second = 0.6 * first + 0.8 * second
    found = []
    for memory, drive in ((0.8, first), (0.4, second)):
        x = drive.copy()
        x[0] /= 1 - memory  # starts with the weight that a long past would have
        for t in range(1, shape[0]):
            x[t] += memory * x[t - 1]
        found.append(x)
    return np.stack(found)


def exact_covariance(n: int) -> np.ndarray:
    """Of the means of n ≫ τ terms of these series: each unit of noise adds 1/(1 − m) to its sum."""
    gain = np.array([1 / (1 - 0.8), 1 / (1 - 0.4)])
    return np.outer(gain, gain) * np.array([[1.0, 0.6], [0.6, 1.0]]) / n


def test_the_covariance_of_two_correlated_series() -> None:
    steps, groups, seeds = 256, 16, 40
    series = [two_series((steps, groups), seed) for seed in range(seeds)]
    found = [blocked_covariance(x) for x in series]
    ratios = np.array([covariance for covariance, _ in found]) / exact_covariance(steps * groups)
    assert (np.abs(ratios.mean(0) - 1) < 4 * ratios.std(0, ddof=1) / math.sqrt(seeds)).all()
    assert all(16 <= blocks <= steps * groups / 4 for _, blocks in found)
    for covariance, _ in found:
        assert np.array_equal(covariance, covariance.T) and np.linalg.eigvalsh(covariance).min() > 0
    # the twin: both taken for uncorrelated in time
    naive = np.array([np.cov(x.reshape(2, -1)) / x[0].size for x in series]) / exact_covariance(steps * groups)
    assert naive.mean(0).max() < 0.6
    # what it is for: the difference of the means, whose scatter over seeds is its error
    differences = np.array([x[0].mean() - x[1].mean() for x in series])
    errors = np.array([math.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1]) for c, _ in found])
    assert np.mean((differences / errors) ** 2) == pytest.approx(1.0, abs=4 * math.sqrt(2 / seeds))
    # the twin: without the correlation the error is a good deal too large
    apart = np.array([math.sqrt(c[0, 0] + c[1, 1]) for c, _ in found])
    assert apart.mean() > 1.2 * errors.mean()


def test_covariance_of_one_series_is_its_blocked_error() -> None:
    series = autoregressive((512, 16), 0.8, 2)
    covariance, blocks = blocked_covariance(series[None])
    errors, plateau = blocking(series)
    assert covariance.shape == (1, 1) and math.sqrt(covariance[0, 0]) == pytest.approx(plateau, rel=1e-12)
    assert blocks == 512 * 16 // 2 ** int(np.flatnonzero(errors == plateau)[0])
    # the slower of two sets the length of the blocks for both, in either order
    for order in (1, -1):
        both, fewer = blocked_covariance(np.stack([series, 0 * series])[::order])
        assert fewer == blocks and both[::order, ::order] == pytest.approx(np.diag([covariance[0, 0], 0.0]), rel=1e-12)


@pytest.mark.parametrize("variances", [[1.0, 1.0, 1.0], [1.0, 4.0, 0.25], [1e-12, 3e-12, 2e-12]])
@pytest.mark.parametrize("power", [1, 2])
def test_least_squares_weights_are_those_of_a_fit(variances: list[float], power: int) -> None:
    """The value at 0 of a straight line in x^power: numpy's polynomial fit and the normal equations written out."""
    x, y = np.array([0.3, 1.0, 2.0]), np.array([1.3, 0.9, 2.2])
    spread = np.sqrt(variances)
    weights = least_squares_weights(np.array(variances), np.stack([np.ones(3), x**power], 1))
    assert weights @ y == pytest.approx(np.polyfit(x**power, y, 1, w=1 / spread)[1], rel=1e-9)
    w, t = 1 / spread**2, x**power
    determinant = w.sum() * (w * t**2).sum() - (w * t).sum() ** 2
    assert weights == pytest.approx(w * ((w * t**2).sum() - t * (w * t).sum()) / determinant, rel=1e-8)
    # a line is extrapolated exactly, and the error is that of the normal equations
    assert weights @ (5 - 3 * t) == pytest.approx(5.0, rel=1e-9)
    assert weights**2 @ variances == pytest.approx((w * t**2).sum() / determinant, rel=1e-8)
    # the twin: another power does not extrapolate it
    assert abs(weights @ (5 - 3 * x ** (3 - power)) - 5) > 0.1


def test_least_squares_weights_of_a_mean() -> None:
    variances = np.array([1.0, 4.0, 0.5])
    expected = (1 / variances) / (1 / variances).sum()
    assert least_squares_weights(variances, np.ones((3, 1))) == pytest.approx(expected, rel=1e-9)


def test_least_squares_with_two_points_pass_through_both() -> None:
    """Nothing is left to weigh: (4 y₁ − y₀)/3 for steps 1 and ¼, whatever the errors, none included."""
    design = np.array([[1.0, 1.0], [1.0, 0.25]])
    for variances in ([1.0, 1.0], [1.0, 100.0], [0.0, 1.0], [0.0, 0.0]):
        assert least_squares_weights(np.array(variances), design) == pytest.approx([-1 / 3, 4 / 3], rel=1e-6)


def test_data_without_scatter_count_most() -> None:
    """An exact drift: no error at all, or none for one of the data. Finite weights that still sum to 1."""
    flat = np.ones((3, 1))
    assert least_squares_weights(np.zeros(3), flat) == pytest.approx([1 / 3] * 3, rel=1e-9)
    assert least_squares_weights(np.array([0.0, 1.0, 1.0]), flat) == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)
    # a straight line through two exact points, whatever the third says
    line = np.stack([np.ones(3), [1.0, 0.5, 0.25]], 1)
    weights = least_squares_weights(np.array([0.0, 1.0, 0.0]), line)
    assert weights == pytest.approx([-1 / 3, 0.0, 4 / 3], abs=1e-6)


def test_errors_add_in_squares_and_rounding_counts() -> None:
    assert combined_error(1.0, 0.3, 2.0, 0.4) == pytest.approx(0.5)
    assert combined_error(1.0, 0.3, 2.0) == pytest.approx(0.3)
    assert combined_error(0.5, 0.0, 0.5) == 1e-12
    # of large numbers the last bits are larger
    assert combined_error(-4000.0, 0.0, 0.5) == pytest.approx(4e-9) == combined_error(0.5, 0.0, -4000.0)
    assert combined_error(1.0, math.inf, 1.0) == math.inf and math.isnan(combined_error(1.0, math.nan, 1.0))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_autocorrelation_time(memory: float) -> None:
    tau = autocorrelation_time(autoregressive((2000, 64), memory, 3))
    assert tau == pytest.approx((1 + memory) / (1 - memory), rel=0.08)


def test_autocorrelation_time_of_nothing() -> None:
    assert autocorrelation_time(np.ones((50, 4))) == 1.0
    assert autocorrelation_time(np.ones((1, 4))) == 1.0


def test_estimates_as_numbers() -> None:
    a = Estimate(-1.17448, 2e-5, 400.0)
    assert (str(a), f"{a}", f"{a:.5f}", f"{a:+.2e}") == (
        "-1.17448(2)", "-1.17448(2)", "-1.17448 ± 0.00002", "-1.17e+00 ± +2.00e-05",
    )  # fmt: skip
    assert float(a) == -1.17448 and -a == Estimate(1.17448, 2e-5, 400.0)
    # a width alone is that of the whole
    assert (f"{a:>14}|", f"{a:*^13s}|", f"{a:12}|") == ("   -1.17448(2)|", "*-1.17448(2)*|", "-1.17448(2) |")
    assert a._repr_html_() == '<span title="-1.17448 ± 2e-05">-1.17448(2)</span>'
    for doubled in (2 * a, a * 2, a + a.value, np.float64(2) * a, a / 0.5, np.int64(1) + a - 1 + a.value):
        assert isinstance(doubled, Estimate) and doubled.value == pytest.approx(-2.34896)
        assert doubled.n_effective == 400.0
    assert (2 * a).error == 4e-5 and (a + 2).error == 2e-5 == (2 - a).error and (3 - a).value == 4.17448
    for wrong in (lambda: a + "1", lambda: [] * a, lambda: a / None):
        with pytest.raises(TypeError):
            wrong()


def test_errors_propagate_as_those_of_independent_values() -> None:
    """Against random numbers: mean and spread of each operation; the twin takes the two errors for one."""
    a, b = Estimate(3.0, 0.02, 50.0), Estimate(-1.7, 0.03, 80.0)
    noise = np.random.default_rng(3)
    x, y = (noise.normal(each.value, each.error, 200_000) for each in (a, b))
    for found, drawn in (
        (a + b, x + y), (a - b, x - y), (a * b, x * y), (a / b, x / y), (b / a, y / x), (2 / b, 2 / y),
        (1 - a * b / 2, 1 - x * y / 2),
    ):  # fmt: skip
        assert found.value == pytest.approx(drawn.mean(), abs=1e-3)
        assert found.error == pytest.approx(drawn.std(), rel=0.01)
    assert (a + b).error < 0.8 * (a.error + b.error)
    assert (a - a).value == 0 and (a - a).error == pytest.approx(math.sqrt(2) * 0.02)
    # Welch and Satterthwaite: as many samples as the larger part of the error has, or more
    assert (a + b).n_effective == pytest.approx(0.0013**2 / (0.02**4 / 50 + 0.03**4 / 80))
    assert (a + Estimate(1.0, 0.0)).n_effective == pytest.approx(50.0)
    assert (Estimate(1.0, 0.0) * 2).n_effective == math.inf and (a * 0).error == 0.0
