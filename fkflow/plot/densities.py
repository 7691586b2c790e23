"""Pictures of densities and pair distributions: lines with error bands and their differences, maps with contours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from fkflow.plot.requirements import require_histogram
from fkflow.plot.style import (
    BLUE,
    GREEN,
    LEVELS,
    MAP,
    ORANGE,
    colorbar,
    headline,
    label,
    legend_on_map,
    mark_nuclei,
    panel_below,
    plane,
)
from fkflow.results.records import Histogram, Result

#: the part of a density's maximum below which a line is cut, and the part of all samples left outside a map
LINE_CUT, MAP_CUT = 1e-3, 3e-2
#: what the values of a histogram are called: the axes and the title say the rest
QUANTITY = {"density": "one-body density", "pair": "pair distribution"}
#: what the densities of one picture are called, and about how many points show the projected one
VARIATIONAL, PROJECTED, EXACT, POINTS = "variational |ψ|²", "projected |φ₀|²", "exact", 50
#: part of a density's maximum that the error of its innermost bin may be; bins that hold too few samples are drawn as one
UNSURE = 0.1
#: cells over which a map is smoothed before contours are drawn
SMOOTHING = 1.5


def density(result: Result, ax: Axes, name: str | None = None) -> None:
    """A one-body density along one axis: |ψ|² with its one-σ band, points with error bars for the exact |φ0|².

    `name` is that of the axis, such as "r"; left out, the first there is. The lower panel shows the differences from the
    exact density or, where none is known, from the projected one. Raises UsageError if the run has no such density.
    """
    _draw_line(result, ax, require_histogram(result, "density", name, axes=1), BLUE)


def pair(result: Result, ax: Axes, name: str | None = None) -> None:
    """The distribution of the distance of two particles, drawn as `density` is."""
    _draw_line(result, ax, require_histogram(result, "pair", name, axes=1), GREEN)


def density_map(result: Result, ax: Axes, name: str | None = None) -> None:
    """A one-body density in a plane with contours, nuclei marked; about an axis, both halves of the plane.

    `name` is such as "xy" or "zrho"; left out, the first there is. Raises UsageError if the run has no such density.
    """
    histogram = require_histogram(result, "density", name, axes=2)
    _draw_map(ax, histogram)
    mark_nuclei(result, ax, histogram.axes)
    legend_on_map(ax)
    headline(result, ax, f"normalised over {_typeset(histogram.measure)}")


def _typeset(measure: str) -> str:
    """A measure such as "2 pi r dr" as people write it."""
    return re.sub(r"\^(\w+(-\d+)?)", r"$^{\1}$", measure).replace("pi", "π").replace("rho", "ρ")


@dataclass(frozen=True)
class _Kind:
    """One of the densities of a histogram: values and errors (n,), and how it is drawn."""

    words: str
    values: np.ndarray
    errors: np.ndarray
    colour: str


def _draw_line(result: Result, ax: Axes, histogram: Histogram, colour: str) -> None:
    histogram = _sure_about_the_centre(histogram, result.dimensions)
    axis = histogram.axes[0]
    found = [_Kind(VARIATIONAL, histogram.values, histogram.errors, colour)]
    if histogram.projected is not None and histogram.projected_errors is not None:
        found.append(_Kind(PROJECTED, histogram.projected, histogram.projected_errors, ORANGE))
    _curves(ax, axis.centres, found)
    if histogram.exact is not None:
        ax.plot(axis.centres, histogram.exact, color="black", linewidth=1.0, linestyle="--", label=EXACT)
    mark_nuclei(result, ax, histogram.axes)
    highest = np.fmax.reduce([found[0].values, *(kind.values - kind.errors for kind in found[1:])])
    top = np.nanmax(highest, initial=0.0)
    # the innermost bins of a radial density hold few samples: their error bars must not set the scale
    ax.set_ylim(0, 1.1 * top if top > 0 else 1.0)
    seen = np.flatnonzero(highest > LINE_CUT * top)
    ax.set_ylabel(label(QUANTITY[histogram.group], histogram.unit))
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(frameon=False)
    headline(result, ax, f"normalised over {_typeset(histogram.measure)}")
    lowest = _differences(ax, histogram, found) or ax
    if seen.size:
        # a distance counts from 0, however few samples the first bins hold
        ax.set_xlim(axis.edges[0 if axis.edges[0] == 0 else seen[0]], axis.edges[seen[-1] + 1])
    lowest.set_xlabel(label(axis.long_name, axis.unit))


def _sure_about_the_centre(histogram: Histogram, dimensions: int) -> Histogram:
    """A radial density whose innermost bins, few samples in small shells, are joined until their error is small enough."""
    (axis,) = histogram.axes
    if axis.name not in ("r", "rho"):
        return histogram
    shells = np.diff(axis.edges ** (dimensions if axis.name == "r" else 2))
    errors = histogram.errors
    if histogram.projected_errors is not None:
        errors = np.fmax(errors, histogram.projected_errors)
    most = UNSURE * np.nanmax(histogram.values - errors, initial=0.0)
    # the errors of neighbours are independent, or nearly
    joined = np.sqrt(np.cumsum((shells * np.nan_to_num(errors)) ** 2)) / np.cumsum(shells)
    # bins without a sample have no error, however little is known of them
    drawn = histogram.values if histogram.projected is None else np.fmin(histogram.values, histogram.projected)
    count = 1 + int(np.argmax((np.cumsum(drawn) > 0) & (joined <= most)))
    shares = shells[:count] / shells[:count].sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return np.append(shares @ values[:count], values[count:])

    def error(values: np.ndarray) -> np.ndarray:
        return np.append(np.linalg.norm(shares * values[:count]), values[count:])

    return replace(
        histogram,
        axes=(replace(axis, edges=np.append(axis.edges[0], axis.edges[count:])),),
        values=mean(histogram.values),
        errors=error(histogram.errors),
        projected=None if histogram.projected is None else mean(histogram.projected),
        projected_errors=None if histogram.projected_errors is None else error(histogram.projected_errors),
        exact=None if histogram.exact is None else mean(histogram.exact),
    )


def _curves(ax: Axes, x: np.ndarray, found: list[_Kind]) -> None:
    """A line with a band for the first density, thinned-out points with error bars for the second."""
    first, *others = found
    ax.fill_between(
        x, first.values - first.errors, first.values + first.errors, color=first.colour, alpha=0.3, linewidth=0
    )
    ax.plot(x, first.values, color=first.colour, linewidth=1.2, label=first.words)
    for kind in others:
        shown = slice(None, None, max(1, round(len(x) / POINTS)))
        ax.errorbar(
            x[shown],
            kind.values[shown],
            kind.errors[shown],
            fmt="o",
            color=kind.colour,
            markersize=2.5,
            elinewidth=0.9,
            label=kind.words,
        )


def _differences(ax: Axes, histogram: Histogram, found: list[_Kind]) -> Axes | None:
    """A panel with what the densities differ by from the best one known; None if there is nothing to compare."""
    if histogram.exact is not None:
        against, best = EXACT, histogram.exact
    elif len(found) > 1:
        against, best = "projected", found.pop().values
        projected = histogram.projected_errors
        assert projected is not None
        # both come from walkers of their own, or nearly: their errors add
        found = [_Kind(k.words, k.values, np.hypot(k.errors, projected), k.colour) for k in found]
    else:
        return None
    below = panel_below(ax)
    below.axhline(0.0, color="black", linewidth=0.8, linestyle="--")
    # where few samples are (the middle of a radial density) error bars may leave the panel
    sizes = np.concatenate([np.abs(k.values - best) + k.errors for k in found])
    most = np.nanpercentile(sizes, 95) if np.isfinite(sizes).any() else 0.0
    power = math.floor(math.log10(most)) if most > 0 else 0
    scale = 10.0**-power
    differences = [_Kind(k.words, scale * (k.values - best), scale * k.errors, k.colour) for k in found]
    _curves(below, histogram.axes[0].centres, differences)
    if most > 0:
        below.set_ylim(-1.4 * scale * most, 1.4 * scale * most)
    below.locator_params(axis="y", nbins=5)
    below.set_ylabel(f"minus {against}" + (f"\n(10$^{{{power}}}$)" if power else ""))
    return below


def _draw_map(ax: Axes, histogram: Histogram) -> None:
    first, second = histogram.axes
    values, lower = histogram.values, second.edges
    ax.set_facecolor(colormaps[MAP](0.0))
    (left, right), (bottom, top) = _bulk(histogram)
    mesh = ax.pcolormesh(first.edges, lower, values.T, cmap=MAP, vmin=0, rasterized=True)
    name = second.long_name
    if second.name == "rho":
        # a distance from an axis: the other half of the plane looks the same
        most = mesh.get_clim()[1]
        ax.pcolormesh(first.edges, -lower[::-1], values.T[::-1], cmap=MAP, vmin=0, vmax=most, rasterized=True)
        bottom, name = -top, "across the axis"
    contours(ax, histogram, "white")
    plane(ax, first, second)
    ax.set_ylabel(label(name, second.unit))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    colorbar(ax, mesh, label(QUANTITY[histogram.group], histogram.unit))


def contours(ax: Axes, histogram: Histogram, colour: str) -> None:
    """Lines of equal density of a map, smoothed over neighbouring cells; about an axis, on both sides of it."""
    first, second = histogram.axes
    smooth, across = _smoothed(histogram), second.centres
    if second.name == "rho":
        smooth, across = np.hstack([smooth[:, ::-1], smooth]), np.concatenate([-across[::-1], across])
    if smooth.max() > 0:
        levels = [part * smooth.max() for part in LEVELS]
        # contours ask for the room of the whole grid, where the lines are often far inside
        room = ax.dataLim.frozen()
        drawn = ax.contour(first.centres, across, smooth.T, levels, colors=colour, linewidths=0.6, zorder=1)
        ax.dataLim.set(room)
        ax.update_datalim(np.concatenate([path.vertices for path in drawn.get_paths()]))
        ax.autoscale_view()


def _samples(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """Of each cell of a map the samples in it and its volume, both but for a factor."""
    first, second = histogram.axes
    volume = np.diff(first.edges)[:, None] * np.diff(second.edges**2 if second.name == "rho" else second.edges)
    return np.nan_to_num(histogram.values) * volume, volume


def _smoothed(histogram: Histogram) -> np.ndarray:
    """The density of a map with its noise averaged over neighbouring cells: samples and volumes are, one by one."""
    samples, volume = _samples(histogram)
    for dimension, axis in enumerate(histogram.axes):
        reach = np.arange(len(axis.centres))
        near = np.exp(-0.5 * ((reach[:, None] - reach) / SMOOTHING) ** 2)
        if axis.name == "rho":  # the other side of the axis is near too
            near += np.exp(-0.5 * ((reach[:, None] + reach + 1) / SMOOTHING) ** 2)
        samples, volume = (np.moveaxis(np.tensordot(near, part, (1, dimension)), 0, dimension)
                           for part in (samples, volume))  # fmt: skip
    smoothed: np.ndarray = samples / volume
    return smoothed


def _bulk(histogram: Histogram) -> list[tuple[float, float]]:
    """For each axis of a map the range that holds nearly all samples, a little widened."""
    samples, _ = _samples(histogram)
    ranges = []
    for axis, along in zip(histogram.axes, (samples.sum(1), samples.sum(0)), strict=True):
        share = np.cumsum(along) / max(along.sum(), 1e-300)
        low, high = np.searchsorted(share, [MAP_CUT / 2, 1 - MAP_CUT / 2])
        low = 0 if axis.name == "rho" else low
        ends = axis.edges[low], axis.edges[min(high + 1, len(along))]
        pad = 0.08 * (ends[1] - ends[0])
        ranges.append((ends[0] - (0 if axis.name == "rho" else pad), ends[1] + pad))
    return ranges
