"""Pictures of densities and pair distributions: lines with error bands and their differences, maps with contours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.grid import Grid, grid_of
from fkflow.plot.requirements import require_histogram
from fkflow.plot.style import label
from fkflow.results.records import Histogram
from fkflow.results.result import Result

#: the part of a density's maximum below which a line is cut, and the part of all samples left outside a map
LINE_CUT, MAP_CUT = 1e-3, 3e-2
#: what the values of a histogram are called: the axes and the title say the rest
QUANTITY = {"density": "one-body density", "pair": "pair distribution"}
#: what the densities of one picture are called, and about how many points show the projected one
VARIATIONAL, PROJECTED, EXACT, POINTS = "variational |ψ|²", "projected |φ₀|²", "exact", 50
#: largest error of the innermost bin, as a part of the density's maximum; bins that hold too few samples are drawn as one
UNSURE = 0.1
#: how often a map is smoothed before contours are drawn
PASSES = 5


def density(result: Result, ax: Axes, name: str | None = None) -> None:
    """A one-body density along one axis: |ψ|² with its one-σ band, points with error bars for the exact |φ0|².

    `name` is that of the axis, such as "r"; left out, the first there is. The lower panel shows the differences from the
    exact density or, where none is known, from the projected one. Raises UsageError if the run has no such density.
    """
    _draw_line(result, ax, require_histogram(result, "density", name, axes=1), style.BLUE)


def pair(result: Result, ax: Axes, name: str | None = None) -> None:
    """The distribution of the distance of two particles, drawn as `density` is."""
    _draw_line(result, ax, require_histogram(result, "pair", name, axes=1), style.GREEN)


def density_map(result: Result, ax: Axes, name: str | None = None) -> None:
    """A one-body density in a plane with contours, nuclei marked; about an axis, both halves of the plane.

    `name` is such as "xy" or "zrho"; left out, the first there is. Raises UsageError if the run has no such density.
    """
    histogram = require_histogram(result, "density", name, axes=2)
    grid = grid_of(histogram)
    first, second = grid.axes
    ax.set_facecolor(colormaps[style.MAP](0.0))
    mesh = ax.pcolormesh(first.edges, second.edges, grid.values.T, cmap=style.MAP, vmin=0, rasterized=True)
    contours(ax, histogram, "white")
    style.plane(ax, first, second)
    if histogram.axes[1].name == "rho":
        ax.set_ylabel(label("across the axis", second.unit))
    ax.set_xlim(_main_range(grid, 0))
    ax.set_ylim(_main_range(grid, 1))
    style.colorbar(ax, mesh, label(QUANTITY[histogram.group], histogram.unit))
    style.mark_nuclei(result, ax, histogram.axes)
    style.legend_on_map(ax)
    style.headline(result, ax, f"normalised over {_typeset(histogram.measure)}")


def _main_range(grid: Grid, axis: int) -> tuple[float, float]:
    """The range of one axis of a map that holds nearly all samples, a little widened."""
    along, edges = grid.samples.sum(1 - axis), grid.axes[axis].edges
    share = np.cumsum(along) / max(along.sum(), 1e-300)
    low, high = np.searchsorted(share, [MAP_CUT / 2, 1 - MAP_CUT / 2])
    ends = edges[low], edges[min(high + 1, len(along))]
    pad = 0.08 * (ends[1] - ends[0])
    return ends[0] - pad, ends[1] + pad


def contours(ax: Axes, histogram: Histogram, colour: str) -> None:
    """Lines of equal density of a map, smoothed over neighbouring cells; about an axis, on both sides of it."""
    grid = grid_of(histogram)
    first, second = grid.axes
    values = grid.smoothed(PASSES)
    if values.max() > 0:
        levels = [part * values.max() for part in style.LEVELS]
        # contours claim the room of the whole grid, where the lines are often far inside
        room = ax.dataLim.frozen()
        lines = ax.contour(first.centres, second.centres, values.T, levels, colors=colour, linewidths=0.6, zorder=1)
        ax.dataLim.set(room)
        ax.update_datalim(np.concatenate([path.vertices for path in lines.get_paths()]))
        ax.autoscale_view()


def _typeset(measure: str) -> str:
    """A measure such as "2 pi r dr" as people write it."""
    return re.sub(r"\^(\w+(-\d+)?)", r"$^{\1}$", measure).replace("pi", "π").replace("rho", "ρ")


@dataclass(frozen=True)
class _Curve:
    """One of the densities of a histogram: values and errors (n,), and how it is drawn."""

    words: str
    values: np.ndarray
    errors: np.ndarray
    colour: str


def _draw_line(result: Result, ax: Axes, histogram: Histogram, colour: str) -> None:
    histogram = _join_inner_bins(histogram, result.dimensions)
    axis = histogram.axes[0]
    curves = [_Curve(VARIATIONAL, histogram.values, histogram.errors, colour)]
    if histogram.projected is not None and histogram.projected_errors is not None:
        curves.append(_Curve(PROJECTED, histogram.projected, histogram.projected_errors, style.ORANGE))
    _draw_curves(ax, axis.centres, curves)
    if histogram.exact is not None:
        ax.plot(axis.centres, histogram.exact, color="black", linewidth=1.0, linestyle="--", label=EXACT)
    style.mark_nuclei(result, ax, histogram.axes)
    # the innermost bins of a radial density hold few samples: their error bars must not set the scale
    highest = np.fmax.reduce([curves[0].values, *(curve.values - curve.errors for curve in curves[1:])])
    top = np.nanmax(highest, initial=0.0)
    ax.set_ylim(0, 1.1 * top if top > 0 else 1.0)
    ax.set_ylabel(label(QUANTITY[histogram.group], histogram.unit))
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(frameon=False)
    style.headline(result, ax, f"normalised over {_typeset(histogram.measure)}")
    lowest = _draw_differences(ax, histogram, curves) or ax
    shown = np.flatnonzero(highest > LINE_CUT * top)
    if shown.size:
        # a distance counts from 0, however few samples the first bins hold
        ax.set_xlim(axis.edges[0 if axis.edges[0] == 0 else shown[0]], axis.edges[shown[-1] + 1])
    lowest.set_xlabel(label(axis.long_name, axis.unit))


def _join_inner_bins(histogram: Histogram, dimensions: int) -> Histogram:
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


def _draw_curves(ax: Axes, x: np.ndarray, curves: list[_Curve]) -> None:
    """A line with a band for the first density, thinned-out points with error bars for the second."""
    first, *others = curves
    low, high = first.values - first.errors, first.values + first.errors
    ax.fill_between(x, low, high, color=first.colour, alpha=0.3, linewidth=0)
    ax.plot(x, first.values, color=first.colour, linewidth=1.2, label=first.words)
    shown = slice(None, None, max(1, round(len(x) / POINTS)))
    for curve in others:
        ax.errorbar(
            x[shown], curve.values[shown], curve.errors[shown],
            fmt="o", color=curve.colour, markersize=2.5, elinewidth=0.9, label=curve.words,
        )  # fmt: skip


def _draw_differences(ax: Axes, histogram: Histogram, curves: list[_Curve]) -> Axes | None:
    """A panel with what the densities differ by from the best one known; None if there is nothing to compare."""
    if histogram.exact is not None:
        against, best, best_errors = EXACT, histogram.exact, np.zeros(())
    elif len(curves) > 1:
        *curves, projected = curves
        against, best, best_errors = "projected", projected.values, projected.errors
    else:
        return None
    # both come from walkers of their own, or nearly: their errors add
    differences = [replace(c, values=c.values - best, errors=np.hypot(c.errors, best_errors)) for c in curves]
    below = style.panel_below(ax)
    below.axhline(0.0, color="black", linewidth=0.8, linestyle="--")
    # where few samples are (the middle of a radial density) error bars may leave the panel
    sizes = np.concatenate([np.abs(c.values) + c.errors for c in differences])
    most = np.nanpercentile(sizes, 95) if np.isfinite(sizes).any() else 0.0
    power = math.floor(math.log10(most)) if most > 0 else 0
    scale = 10.0**-power
    scaled = [replace(c, values=scale * c.values, errors=scale * c.errors) for c in differences]
    _draw_curves(below, histogram.axes[0].centres, scaled)
    if most > 0:
        below.set_ylim(-1.4 * scale * most, 1.4 * scale * most)
    below.locator_params(axis="y", nbins=5)
    below.set_ylabel(f"minus {against}" + (f"\n(10$^{{{power}}}$)" if power else ""))
    return below
