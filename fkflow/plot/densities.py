"""Pictures of densities and pair distributions: lines with error bands and their differences, maps with contours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.grid import Grid, grid_of, join_bins
from fkflow.plot.requirements import require_histogram
from fkflow.plot.style import label
from fkflow.results.records import Histogram
from fkflow.results.result import Result
from fkflow.text import with_unit

#: the part of a density's maximum below which a line is cut, and the part of all samples left outside a map
LINE_CUT, MAP_CUT = 1e-3, 3e-2
#: what the values of a histogram are called: the axes and the title say the rest
QUANTITY = {"density": "one-body density", "pair": "pair distribution"}
#: what the densities of one picture are called, and about how many points show the projected one
VARIATIONAL, PROJECTED, EXACT, POINTS = "variational |ψ|²", "projected |φ₀|²", "exact", 50
#: largest error of the innermost bin, as a part of the density's maximum; bins that hold too few samples are drawn as one
UNSURE = 0.1
#: fewest bins of a curve, and the error, as a part of the density's maximum, above which neighbouring bins are joined
FEWEST, NOISY = 25, 0.03
#: how often a map is smoothed at least before contours are drawn
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
    passes = grid.passes()
    ax.set_facecolor(colormaps[style.MAP](0.0))
    mesh = ax.pcolormesh(
        first.centres,
        second.centres,
        grid.smoothed(passes).T,
        cmap=style.MAP,
        vmin=0,
        shading="gouraud",
        rasterized=True,
    )
    contours(ax, histogram, "white")
    style.plane(ax, first, second)
    if histogram.axes[1].name == "rho":
        ax.set_ylabel(label("across the axis", second.unit))
    ax.set_xlim(_main_range(grid, 0))
    ax.set_ylim(_main_range(grid, 1))
    style.colorbar(ax, mesh, label(QUANTITY[histogram.group], histogram.unit))
    style.mark_nuclei(result, ax, histogram.axes)
    style.legend_on_map(ax)
    style.headline(result, ax, f"normalised over {_typeset(histogram.measure)}; {_describe_smoothing(grid, passes)}")


def _describe_smoothing(grid: Grid, passes: int) -> str:
    """How a map was smoothed, and what error is left."""
    error = f"error {max(0.1, 100 * grid.error(passes)):.2g} % of the maximum"
    if not passes:
        return error
    # each pass has the variance of half a bin squared
    width = math.sqrt(passes / 2) * max(float(np.diff(axis.edges).max()) for axis in grid.axes)
    return f"smoothed over {with_unit(f'{width:.2g}', grid.axes[0].unit)}, {error}"


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
    values = grid.smoothed(max(PASSES, grid.passes()))
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
    histogram = _join_inner_bins(_join_noisy_bins(histogram, result.dimensions), result.dimensions)
    axis = histogram.axes[0]
    curves = [_Curve(VARIATIONAL, histogram.values, histogram.errors, colour)]
    if histogram.projected is not None and histogram.projected_errors is not None:
        curves.append(_Curve(PROJECTED, histogram.projected, histogram.projected_errors, style.ORANGE))
    highest = np.fmax.reduce([curves[0].values, *(curve.values - curve.errors for curve in curves[1:])])
    high = np.flatnonzero(highest > LINE_CUT * np.nanmax(highest, initial=0.0))
    # a distance counts from 0, however few samples the first bins hold
    start = 0 if axis.edges[0] == 0 or not high.size else high[0]
    shown = slice(start, high[-1] + 1 if high.size else len(highest))
    _draw_curves(ax, axis.centres, curves, shown)
    if histogram.exact is not None:
        ax.plot(axis.centres, histogram.exact, color="black", linewidth=1.0, linestyle="--", label=EXACT)
    style.mark_nuclei(result, ax, histogram.axes)
    ends = [numbers[shown] for c in curves for numbers in (c.values, c.values + c.errors)]
    top = np.nanmax([*ends, *([] if histogram.exact is None else [histogram.exact[shown]])], initial=0.0)
    ax.set_ylim(0, 1.06 * top if top > 0 else 1.0)
    ax.set_ylabel(label(QUANTITY[histogram.group], histogram.unit))
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(frameon=False)
    style.headline(result, ax, f"normalised over {_typeset(histogram.measure)}")
    lowest = _draw_differences(ax, histogram, curves, shown) or ax
    ax.set_xlim(axis.edges[shown.start], axis.edges[shown.stop])
    lowest.set_xlabel(label(axis.long_name, axis.unit))


def _sizes(histogram: Histogram, dimensions: int) -> np.ndarray:
    """The sizes of the bins of a density of one axis, but for a factor."""
    (axis,) = histogram.axes
    shells: np.ndarray = np.diff(axis.edges ** {"r": dimensions, "rho": 2}.get(_coordinate(axis.name), 1))
    return shells


def _coordinate(name: str) -> str:
    """The coordinate of an axis or a density; the name of a species may follow it."""
    return name.partition("_")[0]


def _join_noisy_bins(histogram: Histogram, dimensions: int) -> Histogram:
    """A density of one axis whose neighbouring bins are joined, a few at a time, until its curve can be told from its noise."""
    count, shells = len(histogram.values), _sizes(histogram, dimensions)
    for few in range(1, count // FEWEST + 1):
        joined = join_bins(histogram, shells, np.arange(0, count, few))
        errors = joined.errors
        if joined.projected_errors is not None:
            # its points have bars of their own
            errors = np.fmax(errors, 0.5 * joined.projected_errors)
        high = joined.values >= 0.5 * np.nanmax(joined.values, initial=0.0)
        if not high.any() or np.nanmedian(errors[high]) <= NOISY * np.nanmax(joined.values):
            break
    return joined if count >= FEWEST else histogram


def _join_inner_bins(histogram: Histogram, dimensions: int) -> Histogram:
    """A radial density whose innermost bins, few samples in small shells, are joined until their error is small enough."""
    (axis,) = histogram.axes
    if _coordinate(axis.name) not in ("r", "rho"):
        return histogram
    shells = _sizes(histogram, dimensions)
    errors = histogram.errors
    if histogram.projected_errors is not None:
        errors = np.fmax(errors, histogram.projected_errors)
    most = UNSURE * np.nanmax(histogram.values - errors, initial=0.0)
    # the errors of neighbours are independent, or nearly
    joined = np.sqrt(np.cumsum((shells * np.nan_to_num(errors)) ** 2)) / np.cumsum(shells)
    # bins without a sample have no error, however little is known of them
    drawn = histogram.values if histogram.projected is None else np.fmin(histogram.values, histogram.projected)
    count = 1 + int(np.argmax((np.cumsum(drawn) > 0) & (joined <= most)))
    return join_bins(histogram, shells, np.append(0, np.arange(count, len(shells))))


def _draw_curves(ax: Axes, x: np.ndarray, curves: list[_Curve], shown: slice) -> None:
    """A line with a band for the first density, thinned-out points with error bars for the second, within the bins `shown`.

    The line goes on to the frame.
    """
    first, *others = curves
    low, high = first.values - first.errors, first.values + first.errors
    ax.fill_between(x, low, high, color=first.colour, alpha=0.3, linewidth=0)
    ax.plot(x, first.values, color=first.colour, linewidth=1.2, label=first.words)
    points = slice(shown.start, shown.stop, max(1, round((shown.stop - shown.start) / POINTS)))
    for curve in others:
        ax.errorbar(
            x[points], curve.values[points], curve.errors[points],
            fmt="o", color=curve.colour, markersize=2.5, elinewidth=0.9, label=curve.words,
        )  # fmt: skip


def _draw_differences(ax: Axes, histogram: Histogram, curves: list[_Curve], shown: slice) -> Axes | None:
    """A panel with what the densities differ by from the best one known; None if there is nothing to compare."""
    if histogram.exact is not None:
        words, best, best_errors = f"minus {EXACT}", histogram.exact, np.zeros(())
    elif len(curves) > 1:
        *curves, projected = curves
        words, best, best_errors = "variational\n− projected", projected.values, projected.errors
    else:
        return None
    # both come from walkers of their own, or nearly: their errors add
    differences = [replace(c, values=c.values - best, errors=np.hypot(c.errors, best_errors)) for c in curves]
    below = style.panel_below(ax)
    below.axhline(0.0, color="black", linewidth=0.8, linestyle="--")
    sizes = np.concatenate([(np.abs(c.values) + c.errors)[shown] for c in differences])
    most = np.nanmax(sizes, initial=0.0) if np.isfinite(sizes).any() else 0.0
    power = math.floor(math.log10(most)) if most > 0 else 0
    scale = 10.0**-power
    scaled = [replace(c, values=scale * c.values, errors=scale * c.errors) for c in differences]
    _draw_curves(below, histogram.axes[0].centres, scaled, shown)
    if most > 0:
        below.set_ylim(-1.1 * scale * most, 1.1 * scale * most)
    # no number at the ends, where that of the panel above stands
    below.locator_params(axis="y", nbins=6, prune="both")
    below.set_ylabel(words + (f"\n(10$^{{{power}}}$)" if power else ""), fontsize="small")
    return below
