"""Averages of observables over φ0²: forward walking, with the weight of a window about the configuration that is averaged.

Walkers that are distributed as ψ² at the start of a window of length t, with the weight of the window, are distributed as
(e^(−tH/2) ψ)² in its middle, which tends to φ0² (Liu, Kalos & Chester, PRA 10, 303, 1974). Where walkers are never resampled,
the average without the weight is that of ψ²: only the difference is taken, in which the common noise cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.measurement.observables import ObservableAverages
from fkflow.statistics import Estimate, least_squares_weights

#: configurations in the middles of a window, at successive times, that make it usable
FEWEST = 4
#: σ that the difference of two windows must exceed to be more than noise
SEEN = 2.0


class ForwardWalking:
    """Observables at the stored places of a population's walkers, and their sums over windows, in groups of walkers.

    `places` past places of this rank's walkers x (B, N, D) are stored; `windows` is the number of windows, `groups` that of
    groups on this rank: walker b belongs to group b mod groups.
    """

    def __init__(self, measured: ObservableAverages, x: Tensor, places: int, windows: int, groups: int) -> None:
        assert measured.offset is not None, "the observables are measured first"
        self.measured, self.groups = measured, groups
        self.offset = torch.from_numpy(measured.offset).to(x.device)
        columns = len(self.offset)
        self.values = torch.zeros(places, len(x), columns, dtype=torch.float64, device=x.device)
        #: sums of each window and group: weight × value for each column, then the weight
        self.weighted = np.zeros((windows, columns + 1, groups))
        #: the same without weights
        self.plain = np.zeros_like(self.weighted)
        #: how often a window was added
        self.counts = [0] * windows

    def reset(self) -> None:
        """Forget the sums, and keep the places."""
        self.weighted, self.plain = np.zeros_like(self.weighted), np.zeros_like(self.plain)
        self.counts = [0] * len(self.counts)

    def store(self, place: int, x: Tensor) -> None:
        """Take the observables at x (B, N, D), the walkers at place number `place`."""
        self.values[place] = self.measured.values(x) - self.offset

    def copy(self, parents: Tensor) -> None:
        """Give each walker the past of its parent, a number of a walker (B,)."""
        self.values = self.values[:, parents]

    def add(self, window: int, place: int, weights: Tensor) -> None:
        """Add the place in the middle of a window, with the weights (B,) of that window."""
        values = torch.cat([self.values[place], torch.ones_like(weights)[:, None]], 1)
        for sums, factor in ((self.weighted, weights), (self.plain, torch.ones_like(weights))):
            grouped = (factor[:, None] * values).view(-1, self.groups, values.shape[1]).sum(0)
            sums[window] += grouped.T.cpu().numpy()
        self.counts[window] += 1

    def state_dict(self) -> dict[str, Any]:
        """The stored observables and the sums of this rank."""
        return {
            "values": self.values,
            "weighted": torch.from_numpy(self.weighted),
            "plain": torch.from_numpy(self.plain),
            "counts": list(self.counts),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.values = state["values"].to(self.values.device)
        self.weighted, self.plain = state["weighted"].numpy(), state["plain"].numpy()
        self.counts = list(state["counts"])


@dataclass(frozen=True)
class Window:
    """The averages of one window: distances (columns,) from ψ², or from the offset, and those with a group left out."""

    value: np.ndarray
    #: deviations from their mean, (columns, groups), scaled so that the sum of squares is the variance
    deviations: np.ndarray


def average(walking: ForwardWalking, window: int, resampled: bool) -> Window:
    """The average over one window with its jackknife over the groups of all ranks; collective."""
    sums = ranks.gather_columns([walking.weighted[window], walking.plain[window]])
    values, without = zip(*(_jackknife(part) for part in sums), strict=True)
    if resampled:
        return Window(values[0], _centred(without[0]))
    return Window(values[0] - values[1], _centred(without[0] - without[1]))


def _jackknife(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratios of sums (columns + 1, groups) to the last row: of all groups (columns,), and with each left out."""
    total = sums.sum(1, keepdims=True)
    left = total - sums
    return total[:-1, 0] / total[-1, 0], left[:-1] / left[-1]


def _centred(without: np.ndarray) -> np.ndarray:
    """Deviations of values with a group left out (columns, groups) from their mean, with the variance as sum of squares."""
    groups = without.shape[1]
    centred: np.ndarray = (without - without.mean(1, keepdims=True)) * math.sqrt((groups - 1) / groups)
    return centred


def project_observables(
    walkings: Sequence[ForwardWalking],
    sizes: Sequence[float],
    times: Sequence[float],
    resampled: bool,
    gap: float | None,
) -> list[Estimate] | None:
    """The average over φ0² of each column, extrapolated to time step 0; None if no window has been passed.

    One of the `walkings` and one of the `sizes` of its bias (dt, or dt² for Girsanov weights) for each population; `times`
    are the imaginary times of the windows. What the longest window still leaves, by its distance from the one before and the
    `gap`, is part of the error.
    """
    usable = find_window(walkings)
    if usable is None:
        return None
    design = np.stack([np.ones(len(sizes)), np.array(sizes) / max(sizes)], 1)[:, : len(set(sizes))]
    found = [average(walking, usable, resampled) for walking in walkings]
    shorter = [average(walking, usable - 1, resampled) for walking in walkings] if usable else None
    measured = walkings[0].measured
    estimates = []
    assert measured.offset is not None
    for column, (variational, offset) in enumerate(zip(measured.estimates(), measured.offset, strict=True)):
        variances = np.array([np.sum(each.deviations[column] ** 2) for each in found])
        if not np.isfinite(variances).all():
            estimates.append(Estimate(math.nan, math.nan))
            continue
        counts = least_squares_weights(variances, design)
        value = float(counts @ [each.value[column] for each in found])
        variance = float(counts**2 @ variances)
        left = 0.0
        if shorter is not None:
            pairs = list(zip(found, shorter, strict=True))
            fall = counts @ [a.value[column] - b.value[column] for a, b in pairs]
            noise = counts**2 @ [np.sum((a.deviations[column] - b.deviations[column]) ** 2) for a, b in pairs]
            more = 0.5 * (times[usable] - times[usable - 1])
            # the halves of a window on both sides of its middle damp an excited state as e^(−gap t/2)
            left = max(0.0, abs(fall) - SEEN * math.sqrt(noise)) / (math.expm1(gap * more) if gap else 1.0)
        base, apart = (float(offset), 0.0) if resampled else (variational.value, variational.error)
        error = math.hypot(math.sqrt(variance), apart, left)
        single = variational.error**2 * variational.n_effective
        estimates.append(Estimate(base + value, error, single / error**2 if error > 0 else math.inf))
    return estimates


def find_window(walkings: Sequence[ForwardWalking]) -> int | None:
    """The longest window that all populations have passed often enough, or at least once; None if there is none."""
    for fewest in (FEWEST, 1):
        passed = [
            number for number in range(len(walkings[0].counts)) if all(w.counts[number] >= fewest for w in walkings)
        ]
        if passed:
            return passed[-1]
    return None
