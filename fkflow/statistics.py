"""Error bars: every measured number leaves as an `Estimate`. Blocking, autocorrelation, R̂, z-scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A measured value with its one-σ statistical error and the number of independent samples behind it."""

    value: float
    error: float
    n_effective: float = math.inf

    def __str__(self) -> str:
        """Value with the error in units of its last digit: -1.17448(2), two digits of error when it starts with 1."""
        if not (math.isfinite(self.value) and math.isfinite(self.error)):
            return f"{self.value:g} ± {self.error:g}"
        if self.error < 1e-9:
            return f"{self.value:.9f}(0)"
        digits = max(0, -math.floor(math.log10(self.error)))
        if int(self.error * 10**digits) == 1:
            digits += 1
        shown = round(self.error * 10**digits)
        if digits == 0:
            return f"{self.value:.0f}({round(self.error)})"
        return f"{self.value:.{digits}f}({shown})"


def z_score(value: float, error: float, reference: float, reference_error: float = 0.0) -> float:
    """(value − reference) in units of both errors; rounding of the last bits never counts as a deviation."""
    rounding = 1e-12 * max(abs(value), abs(reference), 1.0)
    return (value - reference) / math.sqrt(error**2 + reference_error**2 + rounding**2)


def chains_estimate(samples: np.ndarray) -> Estimate:
    """Mean of samples (T, B) from B independent walkers, each followed for T sweeps.

    A block is one walker's whole history, the longest there is: walkers are independent of one another, so their means
    are, whatever the autocorrelation along each. n_effective is the number of independent samples that would give the
    same error.
    """
    means = samples.mean(0)
    error = float(means.std(ddof=1) / math.sqrt(len(means)))
    spread = float(samples.std())
    return Estimate(float(means.mean()), error, (spread / error) ** 2 if error > 0 else math.inf)


def halves_shift(samples: np.ndarray) -> float:
    """Second half minus first half of samples (T, B), in σ: walkers that are equilibrated give a number of order 1.

    The difference is taken walker by walker, so correlations along each do not matter (Geweke's test on chains).
    """
    half = len(samples) // 2
    shift = samples[-half:].mean(0) - samples[:half].mean(0)
    error = shift.std(ddof=1) / math.sqrt(len(shift))
    return float(shift.mean() / error) if error > 0 else 0.0


def blocking(series: np.ndarray) -> tuple[np.ndarray, float]:
    """Standard error against block length for one series (n,), and the value on the plateau.

    Flyvbjerg & Petersen, J. Chem. Phys. 91, 461 (1989): neighbours are averaged in pairs until 8 blocks are left; the
    plateau is the first error that no later one exceeds by more than its own uncertainty.
    """
    x = np.asarray(series, dtype=float)
    errors, slack = [], []
    while len(x) >= 8:
        error = x.std(ddof=1) / math.sqrt(len(x))
        errors.append(error)
        slack.append(error / math.sqrt(2 * (len(x) - 1)))
        x = x[: len(x) // 2 * 2].reshape(-1, 2).mean(1)
    if not errors:
        error = float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else math.inf
        return np.array([error]), error
    for i, error in enumerate(errors):
        if all(later <= error + extra for later, extra in zip(errors[i + 1 :], slack[i + 1 :], strict=True)):
            return np.array(errors), float(error)
    return np.array(errors), float(max(errors))


def autocorrelation_time(samples: np.ndarray) -> float:
    """Integrated autocorrelation time τ = 1 + 2Σρ (in sweeps) of samples (T, B), averaged over walkers.

    The sum stops at the first lag with t ≥ 5τ (Sokal's window). 1 means independent sweeps.
    """
    steps = len(samples)
    centred = samples - samples.mean()
    variance = float((centred**2).mean())
    if steps < 2 or variance == 0:
        return 1.0
    tau = 1.0
    for lag in range(1, steps // 2):
        tau += 2 * float((centred[:-lag] * centred[lag:]).mean()) / variance
        if lag >= 5 * tau:
            break
    return max(tau, 1.0)


def split_rhat(samples: np.ndarray, groups: int = 16) -> float:
    """R̂ of samples (T, B): scatter between the means of walker groups and halves of the run against that inside them.

    Gelman et al., Bayesian Data Analysis (2013), §11.4, with each group's mean followed in time. Near 1 when
    equilibrated; above about 1.1 the run had not forgotten its start.
    """
    steps, walkers = samples.shape
    half = steps // 2
    groups = min(groups, walkers)
    if half < 2:
        return math.nan
    columns = samples[:, : walkers // groups * groups].reshape(steps, groups, -1).mean(2)
    chains = np.concatenate([columns[:half], columns[half : 2 * half]], axis=1)
    within = chains.var(axis=0, ddof=1).mean()
    between = half * chains.mean(0).var(ddof=1)
    if within == 0:
        return 1.0
    return float(math.sqrt((half - 1) / half + between / (half * within)))
