"""Pictures of densities and pair distributions: lines with error bands, maps."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from fkflow.plot.style import BLUE, GREEN, MAP, ORANGE, colorbar, label, mark_nuclei, plane
from fkflow.results import Histogram, Result

#: the part of a density's maximum below which a line is cut, and the part of all samples left outside a map
LINE_CUT, MAP_CUT = 1e-3, 3e-2
#: what the values of a histogram are called: the axes and the title say the rest
QUANTITY = {"density": "one-body density", "pair": "pair distribution"}
#: what the two densities of one picture are called, and about how many points show the second one
VARIATIONAL, PROJECTED, POINTS = "variational |ψ|²", "projected |φ₀|²", 50


def density(result: Result, ax: Axes, histogram: Histogram) -> None:
    """A one-body density: a line with its one-σ band, or a map in two dimensions.

    Points with error bars on a line are the density of the exact ground state, where the run was projected.
    """
    _draw_histogram(result, ax, histogram, BLUE)


def pair(result: Result, ax: Axes, histogram: Histogram) -> None:
    """A distribution of the separation of two particles, drawn as `density` is."""
    _draw_histogram(result, ax, histogram, GREEN)


def _draw_histogram(result: Result, ax: Axes, histogram: Histogram, colour: str) -> None:
    if len(histogram.axes) == 1:
        _draw_line(ax, histogram, colour)
    else:
        _draw_map(ax, histogram)
    mark_nuclei(result, ax, histogram.axes)
    if len(histogram.axes) == 1 and ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)
    ax.set_title(f"{result.title()}\nnormalised over {histogram.measure}", fontsize="medium", wrap=True)


def _draw_line(ax: Axes, histogram: Histogram, colour: str) -> None:
    axis = histogram.axes[0]
    values, errors = histogram.values, histogram.errors
    ax.fill_between(axis.centres, values - errors, values + errors, color=colour, alpha=0.3, linewidth=0)
    ax.plot(
        axis.centres, values, color=colour, linewidth=1.2, label=None if histogram.projected is None else VARIATIONAL
    )
    highest = values
    if histogram.projected is not None and histogram.projected_errors is not None:
        exact, exact_errors = histogram.projected, histogram.projected_errors
        shown = slice(None, None, max(1, round(len(exact) / POINTS)))
        ax.errorbar(
            axis.centres[shown],
            exact[shown],
            exact_errors[shown],
            fmt="o",
            color=ORANGE,
            markersize=2.5,
            elinewidth=0.9,
            label=PROJECTED,
        )
        highest = np.fmax(values, exact - exact_errors)
    top = np.nanmax(highest, initial=0.0)
    # the innermost bins of a radial density hold few samples: their error bars must not set the scale
    ax.set_ylim(0, 1.1 * top if top > 0 else 1.0)
    seen = np.flatnonzero(highest > LINE_CUT * top)
    if seen.size:
        # a distance counts from 0, however few samples the first bins hold
        ax.set_xlim(axis.edges[0 if axis.edges[0] == 0 else seen[0]], axis.edges[seen[-1] + 1])
    ax.set_xlabel(label(axis.long_name, axis.unit))
    ax.set_ylabel(label(QUANTITY[histogram.group], histogram.unit))


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
    plane(ax, first, second)
    ax.set_ylabel(label(name, second.unit))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    colorbar(ax, mesh, label(QUANTITY[histogram.group], histogram.unit))


def _bulk(histogram: Histogram) -> list[tuple[float, float]]:
    """For each axis of a map the range that holds nearly all samples, a little widened."""
    first, second = histogram.axes
    # samples in a cell: density × its volume, but for a factor
    volume = np.diff(second.edges**2 if second.name == "rho" else second.edges)
    samples = np.nan_to_num(histogram.values) * volume * np.diff(first.edges)[:, None]
    ranges = []
    for axis, along in ((first, samples.sum(1)), (second, samples.sum(0))):
        share = np.cumsum(along) / max(along.sum(), 1e-300)
        low, high = np.searchsorted(share, [MAP_CUT / 2, 1 - MAP_CUT / 2])
        low = 0 if axis.name == "rho" else low
        ends = axis.edges[low], axis.edges[min(high + 1, len(along))]
        pad = 0.08 * (ends[1] - ends[0])
        ranges.append((ends[0] - (0 if axis.name == "rho" else pad), ends[1] + pad))
    return ranges
