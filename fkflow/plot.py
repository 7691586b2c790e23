"""Figures from a result: the only file that imports matplotlib.

Every function draws one picture into an `Axes` that the caller owns. Figures are made without pyplot, so
there is no global state, no window and no display needed. Colours tell apart under the common colour-vision
deficiencies.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from fkflow.errors import UsageError
from fkflow.results import Axis, DriftField, Histogram, Projection, Result, shown_unit
from fkflow.store import atomic_write, make_folder

# three of the colours of Okabe and Ito (2008), and a map that grows monotonically in lightness
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
MAP = "cividis"
# its darker part, on which white lines are seen everywhere
DARK_MAP = ListedColormap(colormaps[MAP](np.linspace(0.0, 0.75, 256)))
#: how far below its maximum log |psi|^2 is still shown
DEPTH = 12.0
#: the part of a density's maximum below which a line is cut, and the part of all samples left outside a map
LINE_CUT, MAP_CUT = 1e-3, 3e-2
#: what the values of a histogram are called: the axes and the title say the rest
QUANTITY = {"density": "one-body density", "pair": "pair distribution"}
#: what the two densities of one picture are called, and about how many points show the second one
VARIATIONAL, PROJECTED, POINTS = "variational |ψ|²", "projected |φ₀|²", 50
FORMATS = ("png", "pdf", "svg")


def plots(result: Result) -> dict[str, Callable[[Axes], None]]:
    """All pictures that `result` has data for: name → function drawing it into an Axes."""
    found: dict[str, Callable[[Axes], None]] = {}
    if len(result.training.get("energy", ())):
        found["convergence"] = partial(convergence, result)
    if result.measurement.projection is not None:
        found["projection"] = partial(projection, result, projection=result.measurement.projection)
    for histogram in result.measurement.histograms:
        draw = density if histogram.group == "density" else pair
        found[f"{histogram.group}_{histogram.name}"] = partial(draw, result, histogram=histogram)
    for field in result.measurement.drift:
        found[f"drift_{field.name}"] = partial(drift, result, field=field)
    return found


def select(result: Result, names: Iterable[str] | None) -> dict[str, Callable[[Axes], None]]:
    """The plots called `names` (``density`` means all densities), or all; UsageError for an unknown name."""
    found = plots(result)
    if not names:
        return found
    chosen: dict[str, Callable[[Axes], None]] = {}
    for name in names:
        matching = {key: draw for key, draw in found.items() if key == name or key.startswith(f"{name}_")}
        if not matching:
            raise UsageError(f"{result.run} has no plot called {name!r}: it has {', '.join(found) or 'none'}")
        chosen |= matching
    return chosen


def save_all(
    result: Result,
    folder: str | Path,
    names: Iterable[str] | None = None,
    format: str = "png",
    dpi: int = 150,
) -> list[Path]:
    """Draw the plots called `names` (default: all) into `folder` and return the files written.

    Raises UsageError for an unknown name or format, or a folder that cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"plots cannot be written as {format!r}: choose {', '.join(FORMATS)}")
    chosen = select(result, names)
    folder = make_folder(Path(folder))
    written = []
    for name, draw in chosen.items():
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        # no date in the file: the same result gives the same bytes
        figure.savefig(buffer, format=format, dpi=dpi, bbox_inches="tight", metadata=_undated(format))
        path = folder / f"{name}.{format}"
        atomic_write(path, buffer.getvalue())
        written.append(path)
    return written


# ----------------------------------------------------------------------------------------------- convergence


def convergence(result: Result, ax: Axes) -> None:
    """Training energy ± error against iteration, with the measured energy and the reference.

    The energy range is that of the later part of training: the first iterations may be off by orders of
    magnitude.
    """
    iteration, energy = (np.asarray(result.training[name], dtype=float) for name in ("iteration", "energy"))
    error = np.asarray(result.training.get("error", np.zeros_like(energy)), dtype=float)
    error = np.where(np.isfinite(error), error, 0.0)
    ax.fill_between(iteration, energy - error, energy + error, color=BLUE, alpha=0.3, linewidth=0)
    ax.plot(
        iteration,
        energy,
        color=BLUE,
        linewidth=1.2,
        marker="." if len(energy) < 3 else None,
        label="training",
    )
    levels = _energy_levels(result, ax)
    ax.set_ylim(*_energy_range(energy, error, levels))
    # energies that differ in the fifth digit: full numbers on the ticks, not an offset in a corner
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    if len(iteration) > 1:
        ax.set_xlim(iteration[0], iteration[-1])
    ax.set_xlabel("training iteration")
    ax.set_ylabel(_label("energy", result.energy_unit))
    ax.set_title(result.title(), fontsize="medium", wrap=True)
    ax.legend(frameon=False)


def _energy_levels(result: Result, ax: Axes) -> list[float]:
    """Draw the best energy with its band and the reference; the energies that are to be seen."""
    best = result.energy
    kind = "variational" if result.measurement.projection is None else "projected"
    ax.axhline(best.value, color=ORANGE, linewidth=1.2, label=f"{kind} {best}")
    ax.axhspan(best.value - best.error, best.value + best.error, color=ORANGE, alpha=0.25, linewidth=0)
    levels = [best.value - 2 * best.error, best.value + 2 * best.error]
    if result.reference is not None:
        ax.axhline(result.reference.energy, color="black", linewidth=1.0, linestyle="--", label="reference")
        levels.append(result.reference.energy)
    return levels


def _energy_range(energy: np.ndarray, error: np.ndarray, levels: list[float]) -> tuple[float, float]:
    """Limits that show the last two thirds of training without its outliers, and all `levels`."""
    late = slice(len(energy) // 3, None)
    good = np.isfinite(energy[late])
    shown = np.array([*(energy[late] - error[late])[good], *(energy[late] + error[late])[good]])
    finite = [level for level in levels if np.isfinite(level)]
    if shown.size:
        finite += list(np.percentile(shown, [2, 98]))
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    pad = max(0.12 * (high - low), 1e-9 * max(abs(low), abs(high)), 1e-12)
    return low - pad, high + 2.5 * pad


# ------------------------------------------------------------------------------------------------ projection


def projection(result: Result, ax: Axes, projection: Projection) -> None:
    """Energy at the smallest time step against imaginary time and, beside it, against the time step down to 0.

    It starts from the variational energy at time 0; the band is the energy extrapolated to time step 0 with both errors.
    """
    levels = _energy_levels(result, ax)
    start = result.measurement.variational.estimate
    _points(ax, np.zeros(1), np.array([start.value]), np.array([start.error]), BLUE, "s", f"variational {start}")
    times, energies, errors = projection.curve.reshape(-1, 4)[:, :3].T
    smallest = f"at the time step {np.min(projection.time_steps):.2g}"
    _points(ax, times, energies, errors, GREEN, "o", smallest)
    several = len(projection.time_steps) > 1
    if several:
        _draw_time_steps(result, ax.inset_axes((1.07, 0.0, 0.5, 1.0), sharey=ax), projection)
    shown = [(start.value, start.error), *zip(energies, errors, strict=True)]
    shown += zip(projection.energies, projection.errors, strict=True) if several else []
    levels += [value + side * error for value, error in shown for side in (-1, 1) if np.isfinite(value + error)]
    low, high = _energy_range(np.zeros(0), np.zeros(0), levels)
    # room for the legend above all points
    ax.set_ylim(low, high + 0.2 * (high - low))
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    ax.margins(x=0.06)
    ax.set_xlabel(_label("imaginary time", f"1/{result.energy_unit}"))
    ax.set_ylabel(_label("energy", result.energy_unit))
    ax.set_title(result.title(), fontsize="medium", wrap=True)
    ax.legend(frameon=False, loc="upper right")


def _draw_time_steps(result: Result, ax: Axes, projection: Projection) -> None:
    """The energies at all time steps and the line (for Girsanov weights the parabola) on which they fall to time step 0."""
    best = projection.total
    ax.axhspan(best.value - best.error, best.value + best.error, color=ORANGE, alpha=0.25, linewidth=0)
    if result.reference is not None:
        ax.axhline(result.reference.energy, color="black", linewidth=1.0, linestyle="--")
    steps, energies = projection.time_steps, projection.energies
    power = 2 if projection.weights == "girsanov" else 1
    known = np.isfinite(energies) & np.isfinite(projection.errors)
    if known.any():
        errors = projection.errors[known]
        weights = steps[known] ** power / (errors + 1e-6 * errors.max() + 1e-150) ** 2
        slope = float(weights @ (energies[known] - best.value) / (weights @ steps[known] ** power))
        line = np.linspace(0, 1.1 * steps.max(), 100)
        ax.plot(line, best.value + slope * line**power, color=ORANGE, linewidth=1.2)
    _points(ax, steps, energies, projection.errors, GREEN, "o", None)
    _points(ax, np.zeros(1), np.array([best.value]), np.array([best.error]), ORANGE, "D", None)
    ax.margins(x=0.06)
    ax.tick_params(labelleft=False)
    ax.locator_params(axis="x", nbins=3)
    ax.set_xlabel(_label("time step", f"1/{result.energy_unit}"))


def _points(
    ax: Axes, x: np.ndarray, y: np.ndarray, errors: np.ndarray, colour: str, marker: str, label: str | None
) -> None:
    """Markers with error bars, never cut off by the frame."""
    ax.errorbar(
        x, y, errors, fmt=marker, color=colour, markersize=4.5, elinewidth=1.2, capsize=2.5, label=label, clip_on=False
    )


# ------------------------------------------------------------------------------------------------- densities


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
    _mark_nuclei(result, ax, histogram.axes)
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
    ax.set_xlabel(_label(axis.long_name, axis.unit))
    ax.set_ylabel(_label(QUANTITY[histogram.group], histogram.unit))


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
    _plane(ax, first, second)
    ax.set_ylabel(_label(name, second.unit))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    _colorbar(ax, mesh, _label(QUANTITY[histogram.group], histogram.unit))


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


def _colorbar(ax: Axes, mesh: ScalarMappable, label: str, extend: str = "neither") -> None:
    """A colour bar as high as its picture, whatever the picture's shape."""
    beside = ax.inset_axes((1.03, 0.0, 0.04, 1.0))
    ax.figure.colorbar(mesh, cax=beside, label=label, extend=extend)


# ----------------------------------------------------------------------------------------------------- drift


def drift(result: Result, ax: Axes, field: DriftField) -> None:
    """The drift of one particle, the others (marked) at rest: a line, or streamlines over its log density."""
    if len(field.axes) == 1:
        _draw_drift_line(result, ax, field)
    else:
        _draw_drift_plane(result, ax, field)
    ax.set_title(f"{result.title()}\ndrift of particle {field.moved + 1}", fontsize="medium", wrap=True)
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(handles, labels, frameon=True, framealpha=0.85, fontsize="small", loc="upper right")


def _draw_drift_line(result: Result, ax: Axes, field: DriftField) -> None:
    axis = field.axes[0]
    values = field.vectors.reshape(len(axis.centres), -1)[:, 0]
    ax.axhline(0.0, color="0.6", linewidth=0.8)
    ax.plot(axis.centres, values, color=BLUE, linewidth=1.2)
    others = _others(field)
    if len(others):
        along = others[:, _column(axis, 0, others.shape[1])]
        ax.plot(along, np.zeros(len(along)), "o", color=ORANGE, markersize=6, label="other particles")
    _mark_nuclei(result, ax, field.axes)
    ax.set_xlim(axis.edges[0], axis.edges[-1])
    ax.set_xlabel(_label(axis.long_name, axis.unit))
    ax.set_ylabel(_label("drift", f"1/{axis.unit}"))


def _draw_drift_plane(result: Result, ax: Axes, field: DriftField) -> None:
    first, second = field.axes
    shades, label, extend = _background(field)
    mesh = ax.pcolormesh(first.centres, second.centres, shades.T, cmap=DARK_MAP, shading="gouraud", rasterized=True)
    _colorbar(ax, mesh, label, extend)
    u, v = (np.ma.masked_invalid(field.vectors[..., component].T) for component in (0, 1))
    even = all(np.allclose(np.diff(axis.centres), np.diff(axis.centres)[0], rtol=1e-6) for axis in field.axes)
    if even and min(len(first.centres), len(second.centres)) > 2:
        ax.streamplot(first.centres, second.centres, u, v, color="white", linewidth=0.7, arrowsize=0.8, density=1.2)
    else:
        step = tuple(slice(None, None, max(1, len(axis.centres) // 20)) for axis in (second, first))
        ax.quiver(first.centres[step[1]], second.centres[step[0]], u[step], v[step], color="white", width=0.003)
    others = _others(field)
    if len(others):
        columns = [_column(axis, index, others.shape[1]) for index, axis in enumerate(field.axes)]
        ax.plot(
            *others[:, columns].T,
            "o",
            color=ORANGE,
            markersize=9,
            markeredgecolor="white",
            label="other particles",
        )
    _mark_nuclei(result, ax, field.axes)
    _plane(ax, first, second)
    # the map ends at the outermost points, not at the edges of their cells
    ax.set_xlim(first.centres[0], first.centres[-1])
    ax.set_ylim(second.centres[0], second.centres[-1])


def _background(field: DriftField) -> tuple[np.ndarray, str, str]:
    """What lies under the streamlines: the log density or, for a vector drift, which has none, its magnitude."""
    known = np.isfinite(field.log_psi)
    if not known.any():
        magnitude = np.linalg.norm(field.vectors, axis=-1)
        return magnitude, _label("magnitude of the drift", f"1/{field.axes[0].unit}"), "neither"
    logarithm = 2 * (np.where(known, field.log_psi, -np.inf) - field.log_psi[known].max())
    return np.clip(logarithm, -DEPTH, 0.0), "log density, 0 at its maximum", "min"


def _others(field: DriftField) -> np.ndarray:
    return np.delete(field.positions, field.moved, axis=0)


# ---------------------------------------------------------------------------------------------------- shared


def _mark_nuclei(result: Result, ax: Axes, axes: tuple[Axis, ...]) -> None:
    """Mark the nuclei where `axes` are Cartesian; a radial axis has no place for them."""
    if result.nuclei is None or any(axis.name not in "xyz" for axis in axes):
        return
    columns = ["xyz".index(axis.name) for axis in axes]
    if len(columns) == 1:
        for index, place in enumerate(sorted(set(result.nuclei[:, columns[0]]))):
            ax.axvline(place, color="0.4", linewidth=0.8, linestyle=":", label="nuclei" if index == 0 else None)
    else:
        ax.plot(
            *result.nuclei[:, columns].T,
            "P",
            color="black",
            markersize=7,
            markeredgecolor="white",
            label="nuclei",
        )


def _plane(ax: Axes, first: Axis, second: Axis) -> None:
    ax.set_aspect("equal" if first.unit == second.unit else "auto")
    ax.set_xlim(first.edges[0], first.edges[-1])
    ax.set_ylim(second.edges[0], second.edges[-1])
    ax.set_xlabel(_label(first.long_name, first.unit))
    ax.set_ylabel(_label(second.long_name, second.unit))


def _column(axis: Axis, index: int, dimensions: int) -> int:
    """Which Cartesian component `axis` is: by its name, else by its place."""
    column = "xyz".find(axis.name)
    return column if 0 <= column < dimensions else index


def _label(name: str, unit: str) -> str:
    """`name` with its unit, such as "density (1/bohr³)", natural units left out."""
    unit = re.sub(r"\^(\d+)", r"$^\1$", shown_unit(unit))
    return f"{name} ({unit})" if unit else name


def _undated(format: str) -> dict[str, None]:
    return {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[format]
