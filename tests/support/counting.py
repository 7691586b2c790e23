"""Histograms of given walkers, and how far bins are from a normal distribution."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.stats import chi

from fkflow.hamiltonian.system import System
from fkflow.measurement.histograms import Histograms
from fkflow.results.records import Axis, Histogram

#: frequency of the trap that is called "round 3D"
OMEGA = 2.0


def counted(system: System, x: torch.Tensor, bins: int = 40, sweeps: int = 1) -> list[Histogram]:
    histograms = Histograms(system, x, bins)
    for part in x.view(sweeps, -1, *x.shape[1:]):
        histograms.add(part)
    return histograms.results()


def volumes(axis: Axis, measure: str) -> np.ndarray:
    """Volume of each bin of one axis, by the words of the measure."""
    low, high, r = axis.edges[:-1], axis.edges[1:], axis.name
    if f"4 pi {r}^2 d{r}" in measure:
        return 4 * math.pi / 3 * (high**3 - low**3)
    if f"2 pi {r} d" in measure:
        return math.pi * (high**2 - low**2)
    if measure.startswith("S_5"):
        return 8 * math.pi**2 / 15 * (high**5 - low**5)
    if measure.startswith("S_4"):
        return math.pi**2 / 2 * (high**4 - low**4)
    return high - low


def shell_deviations(histogram: Histogram, spread: float) -> np.ndarray:
    """z of each well-filled bin against a normal distribution of that spread per coordinate in 3D."""
    edges = histogram.axes[0].edges
    exact = np.diff(chi(3, scale=spread).cdf(edges)) / volumes(histogram.axes[0], histogram.measure)
    weight = histogram.values * volumes(histogram.axes[0], histogram.measure)
    use = weight > 2e-3
    assert use.sum() > 15
    return (histogram.values - exact)[use] / histogram.errors[use]
