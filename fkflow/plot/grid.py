"""Densities on the grid of a map: samples and volumes of its cells, both sides of an axis, smoothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fkflow.results.records import Axis, Histogram


@dataclass(frozen=True)
class Grid:
    """A density (n, m) over two axes, and the volumes of its cells but for a factor."""

    axes: tuple[Axis, Axis]
    values: np.ndarray
    volumes: np.ndarray

    @property
    def samples(self) -> np.ndarray:
        """Samples in the cells, but for a factor."""
        samples: np.ndarray = self.values * self.volumes
        return samples

    def smoothed(self, passes: int) -> np.ndarray:
        """The smooth density; samples and volumes are smoothed apart, so that cells with few samples count for little."""
        values: np.ndarray = smooth(self.samples, passes) / smooth(self.volumes, passes)
        return values


def grid_of(histogram: Histogram) -> Grid:
    """The grid of a map. A distance `rho` from an axis becomes a coordinate x: the density is the same on both sides."""
    first, second = histogram.axes
    values, radial = np.nan_to_num(histogram.values), second.name == "rho"
    volumes = np.diff(first.edges)[:, None] * np.diff(second.edges**2 if radial else second.edges)
    if radial:
        edges = np.concatenate([-second.edges[:0:-1], second.edges])
        second = replace(second, name="x", long_name="coordinate x", edges=edges)
        values, volumes = (np.concatenate([half[:, ::-1], half], 1) for half in (values, volumes))
    return Grid((first, second), values, volumes)


def smooth(values: np.ndarray, passes: int = 1) -> np.ndarray:
    """`values` (n[, m]) whose bins are averaged with their neighbours as 1 : 2 : 1 along each axis, so many times."""
    for _ in range(passes):
        for axis in range(values.ndim):
            width = [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)]
            padded = np.moveaxis(np.pad(values, width, mode="edge"), axis, 0)
            values = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return values
