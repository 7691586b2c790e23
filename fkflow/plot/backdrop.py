"""What lies behind moving walkers: the density in the plane that they are seen in."""

from __future__ import annotations

import numpy as np

from fkflow.errors import StoreError
from fkflow.results import Axis, Histogram, Result

#: bins an axis of a density made from samples, the part of them beyond each edge, and how often it is smoothed
BINS, BEYOND, PASSES = 60, 1e-3, 8


def ground(result: Result) -> tuple[list[int], tuple[Axis, Axis], np.ndarray, str]:
    """Columns of the plane in which a system of two or more dimensions is shown, its axes, the density there, and in words.

    The measured density (n, m) where there is one, about a line of nuclei that of the plane through them; else one
    counted from the stored samples, over all other coordinates.
    """
    columns = [0, 1] if result.nuclei is None else [2, 0]
    measured = {h.name: h for h in result.measurement.histograms if h.group == "density"}
    if result.nuclei is None and result.dimensions == 2 and "xy" in measured:
        return columns, *_known(measured["xy"]), "density |ψ|²"
    if "zrho" in measured:
        return columns, *_mirrored(measured["zrho"]), "root of the density in the plane of the nuclei"
    points = result.measurement.samples.reshape(-1, result.dimensions)[:, columns]
    names = ["xyz"[c] if result.dimensions <= 3 else f"x{c + 1}" for c in columns]
    axes = []
    for name, values in zip(names, points.T, strict=True):
        low, high = np.quantile(values, [BEYOND, 1 - BEYOND])
        pad = 0.1 * max(high - low, 1e-300)
        axes.append(Axis(name, result.length_unit, f"coordinate {name}", np.linspace(low - pad, high + pad, BINS + 1)))
    counts, _ = np.histogramdd(points, bins=[axis.edges for axis in axes], density=True)
    return columns, (axes[0], axes[1]), smoothed(counts, PASSES), "density |ψ|² over all other coordinates"


def line(result: Result) -> Histogram:
    """The measured density of one coordinate; StoreError if the run has none."""
    for histogram in result.measurement.histograms:
        if histogram.group == "density" and len(histogram.axes) == 1:
            return histogram
    raise StoreError(f"{result.path} is not a complete result: it has no density to draw")


def smoothed(values: np.ndarray, passes: int = 1) -> np.ndarray:
    """A density (n[, m]) whose bins are averaged with their neighbours as 1 : 2 : 1 along each axis, so many times."""
    for _ in range(passes):
        for axis in range(values.ndim):
            width = [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)]
            padded = np.moveaxis(np.pad(values, width, mode="edge"), axis, 0)
            values = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return values


def _known(histogram: Histogram) -> tuple[tuple[Axis, Axis], np.ndarray]:
    first, second = histogram.axes
    return (first, second), smoothed(np.nan_to_num(histogram.values), 3)


def _mirrored(histogram: Histogram) -> tuple[tuple[Axis, Axis], np.ndarray]:
    """The root of a density of (z, rho) in (z, x), the same on both sides of the axis: next to a nucleus, the rest is seen.

    What is smoothed are the samples in each ring: those next to the axis hold few.
    """
    first, second = histogram.axes
    edges = np.concatenate([-second.edges[:0:-1], second.edges])
    values = np.nan_to_num(histogram.values)
    rings = np.broadcast_to(np.diff(second.edges**2), values.shape)
    both = [np.concatenate([half[:, ::-1], half], 1) for half in (values * rings, rings)]
    samples, volume = (smoothed(half, 2) for half in both)
    return (first, Axis("x", second.unit, "coordinate x", edges)), np.sqrt(samples / volume)
