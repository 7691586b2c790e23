"""One energy at dt = 0 from the sums of several populations, with its statistical and its time-step error."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fkflow.projection.population import Population
from fkflow.statistics import Estimate, blocked_covariance, least_squares_weights

#: σ between extrapolations by different powers of dt above which their difference is an error
DOUBTFUL = 2.0


def find_longest_window(populations: list[Population]) -> int | None:
    """Index of the longest window over which every population has sums of at least half its length; None before the first."""
    usable = None
    for index in range(1, len(populations[0].lags)):
        # sums of a window begin once the walkers have a past of its length
        if all(1.5 * p.lags[index] <= p.count and len(p.sums.of_window(index)) >= 2 for p in populations):
            usable = index
    return usable


@dataclass(frozen=True)
class Extrapolation:
    """An energy at dt = 0, its statistical error, the error of the extrapolation, and the independent blocks behind them."""

    value: float
    error: float
    time_step_error: float
    blocks: int
    #: contributions to the variance of each population and, last, of the measurement
    shares: list[float]

    @property
    def total(self) -> float:
        """Both errors together; the statistical one if there is a single time step."""
        return math.hypot(self.error, self.time_step_error) if math.isfinite(self.time_step_error) else self.error

    def with_error_of_finest(self, error: float) -> Extrapolation:
        """The same with one more statistical error, of the population with the smallest time step, the last one."""
        shares = list(self.shares)
        shares[-2] += error**2
        return replace(self, error=math.hypot(self.error, error), shares=shares)


@dataclass(frozen=True)
class Averages:
    """One population: (variational, projected − variational) energies as distances from the reference, covariance (2, 2)."""

    plain: float
    correction: float
    covariance: np.ndarray
    blocks: int
    #: residuals of the projected energy (T, groups): zero mean
    residuals: np.ndarray


def average_window(population: Population, lag: int) -> Averages:
    """Ratio estimates over one window and their covariance, by blocking in time over independent groups."""
    energy, weight, plain = np.moveaxis(population.sums.of_window(lag), 1, 0)
    walkers = population.size * len(weight) * population.sums.merged / weight.size
    projected = energy.sum() / weight.sum()
    simple = plain.mean() / walkers
    if population.mover.girsanov:
        # the mean loss of a step gives the rate exactly, not only to first order in dt
        step = population.mover.dt
        projected = -math.log1p(-projected * step) / step
    residuals = (energy - energy.sum() / weight.sum() * weight) / weight.mean()
    series = np.stack([plain / walkers - simple, residuals - (plain / walkers - simple)])
    covariance, blocks = blocked_covariance(series)
    return Averages(simple, projected - simple, covariance, blocks, residuals)


def extrapolate(populations: list[Population], lag: int, variational: Estimate) -> Extrapolation:
    """Extrapolate to dt = 0 by generalised least squares.

    The unknowns are the variational energy, its difference from the projected one at dt = 0, and the slope of that in dt, or in
    dt² for Girsanov weights, which follow Trotter's formula. Resampled populations say nothing about the variational energy.
    """
    reference = populations[0].energy_reference
    sizes = [p.mover.dt ** (2 if p.mover.girsanov else 1) for p in populations]
    found = [average_window(p, lag) for p in populations]
    fewest = min(each.blocks for each in found)
    # all populations are resampled, or none
    resampled = populations[0].branching
    if resampled:
        data = np.array([each.plain + each.correction for each in found])
        variances = np.array([each.covariance.sum() for each in found])
    else:
        data = np.array([*(each.correction for each in found), variational.value - reference])
        variances = np.array([*(each.covariance[1, 1] for each in found), variational.error**2])
    slopes = np.array(sizes) / max(sizes)

    def fit(power: int | None) -> np.ndarray:
        """The coefficient of each datum in the energy at dt = 0, for a bias that goes as sizes ** power."""
        design = np.ones((len(found), 1)) if power is None else np.stack([np.ones(len(found)), slopes**power], 1)
        counts = np.zeros(len(data))
        counts[: len(found)] = least_squares_weights(variances[: len(found)], design)
        counts[len(found) :] = 1.0
        return counts

    def combined(counts: np.ndarray, variance: float, time_step_error: float) -> Extrapolation:
        parts = (counts**2 * variances).tolist()
        # the measurement comes last
        shares = [*parts, 0.0] if resampled else parts
        return Extrapolation(reference + float(counts @ data), math.sqrt(variance), time_step_error, fewest, shares)

    flat = fit(None)
    variance = float(flat**2 @ variances)
    if len(set(sizes)) == 1:
        return combined(flat, variance, math.nan)
    straight = fit(1)
    full = float(straight**2 @ variances)
    # the change with a bias of the next power instead is an error of its own where it is not just noise
    noise = float((straight - fit(2)) ** 2 @ variances)
    doubt = float((straight - fit(2)) @ data) ** 2
    doubt = doubt - noise if doubt > DOUBTFUL**2 * noise else 0.0
    return combined(straight, variance, math.sqrt(max(0.0, full - variance) + doubt))


def energy_at_time_step(found: Averages, population: Population, variational: Estimate) -> tuple[float, float, float]:
    """Projected energy at one population's time step, its error, and the error of its distance from the variational one.

    As in `extrapolate`, walkers that were never resampled give its distance from the measured variational energy.
    """
    apart = math.sqrt(max(0.0, found.covariance[1, 1]))
    if not population.branching:
        return variational.value + found.correction, math.hypot(variational.error, apart), apart
    value = population.energy_reference + found.plain + found.correction
    return value, math.sqrt(max(0.0, found.covariance.sum())), apart
