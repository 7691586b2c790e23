"""Error bars: the `Estimate` of a measured number, blocking, autocorrelation, R̂, z-scores."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A measured `value` with its one-σ statistical `error`, in the unit of the measured quantity.

    `n_effective` is the number of independent samples that would give this error. Printed: -1.17448(2), the error in units of
    the last digit.

    Estimates are added, subtracted, multiplied and divided, with numbers and with one another. Errors propagate to first order,
    as those of independent values: x − x has the error √2 σ.

    >>> bond = Estimate(-1.17448, 2e-5) - 2 * Estimate(-0.5, 1e-5)
    >>> print(bond, f"{27.2114 * bond:.3f}", round(float(bond), 3))
    -0.17448(3) -4.748 ± 0.001 -0.174
    """

    value: float
    error: float
    n_effective: float = math.inf

    #: numpy leaves operations with its numbers to this class
    __array_ufunc__: ClassVar[None] = None

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

    def __format__(self, spec: str) -> str:
        """As `str`, at a place of a width such as ``>16``; with the format of a number value ± error, both in it."""
        if re.fullmatch(r"(.?[<>^])?\d*s?", spec):
            return f"{str(self):{spec}}"
        return f"{self.value:{spec}} ± {self.error:{spec}}"

    def __float__(self) -> float:
        """The value alone."""
        return float(self.value)

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, self.error, self.n_effective)

    def __add__(self, other: object) -> Estimate:
        """The sum with a number or an independent estimate."""
        return self._combine(other, lambda x, y: (x + y, 1.0, 1.0))

    __radd__ = __add__

    def __sub__(self, other: object) -> Estimate:
        """The difference from a number or an independent estimate."""
        return self._combine(other, lambda x, y: (x - y, 1.0, -1.0))

    def __rsub__(self, other: object) -> Estimate:
        return -self + other

    def __mul__(self, other: object) -> Estimate:
        """The product with a number or an independent estimate."""
        return self._combine(other, lambda x, y: (x * y, y, x))

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Estimate:
        """The quotient by a number or an independent estimate."""
        return self._combine(other, lambda x, y: (x / y, 1 / y, -x / y**2))

    def __rtruediv__(self, other: object) -> Estimate:
        return self._combine(other, lambda x, y: (y / x, -y / x**2, 1 / x))

    def _combine(self, other: object, function: Callable[[float, float], tuple[float, float, float]]) -> Estimate:
        """A function of this and another value, which returns its value and its two derivatives."""
        if isinstance(other, Real):
            other = Estimate(float(other), 0.0)
        if not isinstance(other, Estimate):
            return NotImplemented  # type: ignore[no-any-return]
        value, *slopes = function(self.value, other.value)
        parts = [
            (slope * each.error, each.n_effective)
            for slope, each in zip(slopes, (self, other), strict=True)
            if each.error
        ]
        error = math.hypot(*(part for part, _ in parts))
        # Welch and Satterthwaite
        inverse = math.fsum((part / error) ** 4 / count for part, count in parts) if error > 0 else 0.0
        return Estimate(value, error, 1 / inverse if inverse > 0 else math.inf)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The text in notebooks."""
        printer.text(str(self))

    def _repr_html_(self) -> str:
        """The text in notebooks that show HTML; value and error in full when the pointer is on it."""
        return f'<span title="{self.value!r} ± {self.error!r}">{self}</span>'


def combined_error(value: float, error: float, other: float, other_error: float = 0.0) -> float:
    """Error of value − other for independent errors, with the rounding of their last bits."""
    rounding = 1e-12 * max(abs(value), abs(other), 1.0)
    return math.sqrt(error**2 + other_error**2 + rounding**2)


def z_score(value: float, error: float, reference: float, reference_error: float = 0.0) -> float:
    """(value − reference) over the combined error."""
    return (value - reference) / combined_error(value, error, reference, reference_error)


def chains_estimate(samples: np.ndarray, weights: np.ndarray | None = None) -> Estimate:
    """Mean of samples (T, B) from B independent walkers, each followed for T sweeps.

    With `weights` (T, B), `samples` are weight × value, and the mean is the ratio of their sums. A block is the whole history
    of one walker: walkers are independent of one another, whatever the autocorrelation along each. n_effective is the number of
    independent samples that would give the same error.
    """
    weights = np.ones_like(samples) if weights is None else weights
    value = float(samples.sum() / weights.sum())
    residuals = (samples - value * weights) / weights.mean()
    means = residuals.mean(0)
    error = float(means.std(ddof=1) / math.sqrt(len(means)))
    spread = float(residuals.std())
    return Estimate(value, error, (spread / error) ** 2 if error > 0 else math.inf)


def halves_shift(samples: np.ndarray) -> float:
    """Second half minus first half of samples (T, B), in σ: of order 1 for equilibrated walkers.

    The difference is taken walker by walker, so that correlations along each do not matter (Geweke's test on chains).
    """
    half = len(samples) // 2
    shift = samples[-half:].mean(0) - samples[:half].mean(0)
    error = shift.std(ddof=1) / math.sqrt(len(shift))
    return float(shift.mean() / error) if error > 0 else 0.0


def blocking(series: np.ndarray) -> tuple[np.ndarray, float]:
    """Standard error of the mean against block length, and its value on the plateau.

    `series` is (T,), or (T, G) for G independent groups that are only correlated in time. Flyvbjerg & Petersen, J. Chem.
    Phys. 91, 461 (1989): neighbours in time are averaged in pairs as long as 8 blocks are left; the plateau is the first
    error that no later one exceeds by more than its own uncertainty. Infinite for a single number.
    """
    x = np.asarray(series, dtype=float)
    errors, slack = [], []
    for blocks in _pairings(x.reshape(len(x), -1)):
        error = blocks.std(ddof=1) / math.sqrt(blocks.size) if blocks.size > 1 else math.inf
        errors.append(error)
        slack.append(error / math.sqrt(2 * (blocks.size - 1)) if blocks.size > 1 else 0.0)
    level = next(
        i
        for i, error in enumerate(errors)
        if all(later <= error + extra for later, extra in zip(errors[i + 1 :], slack[i + 1 :], strict=True))
    )
    return np.array(errors), float(errors[level])


def blocked_covariance(series: np.ndarray) -> tuple[np.ndarray, int]:
    """Covariance (K, K) of the means of K series (K, T, G) that are correlated with one another and in time.

    The block length is the shortest at which all K errors have reached their plateau. Also returns the number of blocks.
    """
    x = np.asarray(series, dtype=float)
    levels = []
    for one in x:
        errors, plateau = blocking(one)
        levels.append(int(np.flatnonzero(errors == plateau)[0]))
    for level, blocks in enumerate(_pairings(np.moveaxis(x, 0, -1))):
        if level == max(levels):
            flat = blocks.reshape(-1, len(x))
            break
    return np.atleast_2d(np.cov(flat, rowvar=False)) / len(flat), len(flat)


def _pairings(x: np.ndarray) -> Iterator[np.ndarray]:
    """x (T, G, ...), then averages over pairs of neighbours in time, over fours, ... while 8 or more blocks are left."""
    yield x
    while len(x) >= 2 and (len(x) // 2) * x.shape[1] >= 8:
        # the first of an odd number, the least equilibrated, is dropped
        x = x[len(x) % 2 :].reshape(-1, 2, *x.shape[1:]).mean(1)
        yield x


def least_squares_weights(variances: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Weights (n,) of independent data in the first parameter of their least-squares fit.

    The data have `variances` (n,), the model is design (n, P) @ parameters. Data without variance are exact to rounding.
    """
    floor = 1e-26 + 1e-12 * variances.max()
    weighted = design / np.sqrt(variances + floor)[:, None]
    return np.asarray(np.linalg.pinv(weighted)[0] / np.sqrt(variances + floor))


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

    Gelman et al., Bayesian Data Analysis (2013), §11.4, for the mean of each group in time. Near 1 when equilibrated; above
    about 1.1 the run still depends on its start.
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
