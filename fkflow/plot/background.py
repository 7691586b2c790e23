"""What lies behind moving walkers: the density in the plane, or on the line, that they move in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fkflow.errors import StoreError
from fkflow.plot.grid import grid_of, smooth
from fkflow.results.records import Axis, Histogram
from fkflow.results.result import Result

#: bins an axis of a density that was not measured on a plane, and how often one counted from samples is smoothed
BINS, PASSES = 60, 12
#: part of the stored walkers beyond each edge of the picture, and the margin about the others
BEYOND, MARGIN = 5e-3, 0.12


@dataclass(frozen=True)
class Background:
    """A plane through configuration space: which two `columns` of a particle's place it shows, and the density there.

    `values` (n, m) belong to the bins of the two `axes`; `words` say what they are. The picture goes from `low` to `high`
    (2,).
    """

    columns: list[int]
    axes: tuple[Axis, Axis]
    values: np.ndarray
    words: str
    low: np.ndarray
    high: np.ndarray


def background(result: Result) -> Background:
    """The plane in which a system of two or more dimensions is shown: xy, or that of the nuclei.

    The density is the measured one in two dimensions, of a radius alone, or of z and rho about a line of nuclei; otherwise
    it is counted from the stored samples.
    """
    columns = _columns(result)
    measured = {h.name: h for h in result.measurement.histograms if h.group == "density"}
    points = result.measurement.samples.reshape(-1, result.dimensions)[:, columns]
    if "r" in measured:
        # the density is isotropic
        points = np.concatenate([points, -points])
    low, high = np.quantile(points, [BEYOND, 1 - BEYOND], axis=0)
    margin = MARGIN * (high - low)
    low, high = low - margin, high + margin
    names = ["xyz"[c] if result.dimensions <= 3 else f"x{c + 1}" for c in columns]
    first, second = (
        Axis(name, result.length_unit, f"coordinate {name}", np.linspace(start, end, BINS + 1))
        for name, start, end in zip(names, low, high, strict=True)
    )
    axes = first, second
    if result.dimensions == 2 and "xy" in measured:
        grid = grid_of(measured["xy"])
        axes, values, words = grid.axes, grid.smoothed(max(3, grid.passes())), "density"
    elif "zrho" in measured:
        grid = grid_of(measured["zrho"])
        axes, values, words = grid.axes, grid.smoothed(max(2, grid.passes())), "density in the plane of the nuclei"
    elif "r" in measured:
        values = _radial_density(measured["r"], axes, result.dimensions)
        words = "density in the plane through the centre"
    else:
        values, _ = np.histogramdd(points, bins=[axis.edges for axis in axes], density=True)
        values, words = smooth(values, PASSES), "density over all other coordinates"
    if result.nuclei is not None:
        # beside the peaks at the nuclei the rest would be invisible
        values, words = np.sqrt(values), f"root of the {words}"
    return Background(columns, axes, values, words, low, high)


def density_line(result: Result) -> Histogram:
    """The measured density of one coordinate; StoreError if the run has none."""
    for histogram in result.measurement.histograms:
        if histogram.group == "density" and len(histogram.axes) == 1:
            return histogram
    raise StoreError(f"{result.file} is not a complete result: it has no density to draw")


def _columns(result: Result) -> list[int]:
    if result.nuclei is None:
        return [0, 1]
    spread = np.ptp(result.nuclei, axis=0)
    return [2, 1 if spread[1] > spread[0] else 0]


def _radial_density(histogram: Histogram, axes: tuple[Axis, Axis], dimensions: int) -> np.ndarray:
    """A density of the distance from the origin, in a plane through it."""
    (radius,) = histogram.axes
    shells = np.diff(radius.edges**dimensions)
    samples, volume = (smooth(s, 3) for s in (np.nan_to_num(histogram.values) * shells, shells))
    distance = np.hypot(*np.meshgrid(*(axis.centres for axis in axes), indexing="ij"))
    return np.asarray(np.interp(distance, radius.centres, samples / volume, right=0.0))
