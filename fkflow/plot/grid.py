"""Densities on grids: cells of a map with their samples and volumes, both sides of an axis, smoothing, bins that are joined."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fkflow.results.records import Axis, Histogram

#: error of a density as a part of its maximum that is hardly seen in a map, and the numbers of passes that are tried for it
CLEAR, PASSES = 0.03, (0, 1, 2, 3, 5, 8, 12, 18, 26)


@dataclass(frozen=True)
class Grid:
    """A density (n, m) over two axes, its errors, and the volumes of its cells but for a factor."""

    axes: tuple[Axis, Axis]
    values: np.ndarray
    errors: np.ndarray
    volumes: np.ndarray

    @property
    def samples(self) -> np.ndarray:
        """Samples in the cells, but for a factor."""
        samples: np.ndarray = self.values * self.volumes
        return samples

    def smoothed(self, passes: int) -> np.ndarray:
        """The smooth density; samples and volumes are smoothed apart, so that cells with few samples count for little."""
        if not passes:
            return self.values
        values: np.ndarray = smooth(self.samples, passes) / smooth(self.volumes, passes)
        return values

    def error(self, passes: int) -> float:
        """The error of the smooth density, as a part of its maximum: the median over the cells above half of that."""
        values = self.smoothed(passes)
        # the cells are independent, or nearly: their variances add with the squares of the weights
        variance = (self.errors * self.volumes) ** 2
        weights = np.array([math.comb(2 * passes, j) for j in range(2 * passes + 1)]) / 4.0**passes
        for axis in (0, 1):
            width = [(passes, passes) if a == axis else (0, 0) for a in (0, 1)]
            padded = np.pad(variance, width, mode="edge")
            variance = np.apply_along_axis(np.convolve, axis, padded, weights**2, mode="valid")
        high = values >= 0.5 * values.max()
        return float(np.median((np.sqrt(variance) / smooth(self.volumes, passes))[high]) / values.max())

    def passes(self) -> int:
        """How often the density is smoothed so that its noise is not seen: CLEAR of its maximum, where that can be reached."""
        if not self.values.max() > 0:
            return 0
        return next((passes for passes in PASSES if self.error(passes) <= CLEAR), PASSES[-1])


def grid_of(histogram: Histogram) -> Grid:
    """The grid of a map. A distance `rho` from an axis becomes a coordinate x: the density is the same on both sides."""
    first, second = histogram.axes
    values, errors = (np.nan_to_num(numbers) for numbers in (histogram.values, histogram.errors))
    radial = second.name == "rho"
    volumes = np.diff(first.edges)[:, None] * np.diff(second.edges**2 if radial else second.edges)
    if radial:
        edges = np.concatenate([-second.edges[:0:-1], second.edges])
        second = replace(second, name="x", long_name="coordinate x", edges=edges)
        values, errors, volumes = (np.concatenate([half[:, ::-1], half], 1) for half in (values, errors, volumes))
    return Grid((first, second), values, errors, volumes)


def join_bins(histogram: Histogram, shells: np.ndarray, starts: np.ndarray) -> Histogram:
    """A density of one axis whose bins from each of `starts` to the next are joined; `shells` (n,) are the sizes of its bins.

    The errors of neighbours are independent, or nearly.
    """
    (axis,) = histogram.axes
    sizes = np.add.reduceat(shells, starts)
    # a bin that is joined with none keeps its bits
    alone = np.diff(starts, append=len(shells)) == 1

    def mean(values: np.ndarray) -> np.ndarray:
        return np.where(alone, values[starts], np.add.reduceat(shells * values, starts) / sizes)

    def error(values: np.ndarray) -> np.ndarray:
        joined = np.sqrt(np.add.reduceat((shells * values) ** 2, starts)) / sizes
        return np.where(alone, values[starts], joined)

    projected = histogram.projected_errors
    return replace(
        histogram,
        axes=(replace(axis, edges=np.append(axis.edges[starts], axis.edges[-1])),),
        values=mean(histogram.values),
        errors=error(histogram.errors),
        projected=None if histogram.projected is None else mean(histogram.projected),
        projected_errors=None if projected is None else error(projected),
        exact=None if histogram.exact is None else mean(histogram.exact),
    )


def smooth(values: np.ndarray, passes: int = 1) -> np.ndarray:
    """`values` (n[, m]) whose bins are averaged with their neighbours as 1 : 2 : 1 along each axis, so many times."""
    for _ in range(passes):
        for axis in range(values.ndim):
            width = [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)]
            padded = np.moveaxis(np.pad(values, width, mode="edge"), axis, 0)
            values = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return values
