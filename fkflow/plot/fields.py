"""Pictures of one particle among others that stand still: its drift and its conditional density."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.requirements import require_drift
from fkflow.plot.style import label
from fkflow.results.records import DriftField
from fkflow.results.result import Result

#: how far below its maximum log |psi|^2 is still shown
DEPTH = 12.0
#: part of the picture's width beyond which a particle does not count as in its plane
OFF_PLANE = 0.02
#: a drift has a pole if its largest value exceeds the third quartile by this factor; what is shown then, in third quartiles
POLE, SHOWN = 8.0, 4.0


def drift(result: Result, ax: Axes, name: str | None = None) -> None:
    """The drift of one particle, the others (marked) at rest: a line, or streamlines over its log density.

    `name` is that of the plane, such as "xy"; left out, the first there is. Raises UsageError if there is no drift field.
    """
    field = require_drift(result, name)
    if len(field.axes) == 1:
        _draw_drift_line(result, ax, field)
    else:
        _draw_drift_plane(result, ax, field)
    style.headline(result, ax, f"drift of {_moved(result, field)}" + _held(result))


def conditional(result: Result, ax: Axes, name: str | None = None) -> None:
    """|ψ|² of one particle while the others are held where they are marked, relative to its largest value.

    `name` as for `drift`. Raises UsageError for a single particle or a drift without a log ψ.
    """
    field = require_drift(result, name, "conditional")
    relative = np.exp(2 * (np.nan_to_num(field.log_psi, nan=-np.inf) - np.nanmax(field.log_psi)))
    words = "conditional density, 1 at its maximum"
    if len(field.axes) == 1:
        axis = field.axes[0]
        ax.plot(axis.centres, relative, color=style.BLUE, linewidth=1.2, label=_moved(result, field))
        _mark_on_line(ax, field)
        style.mark_nuclei(result, ax, field.axes)
        ax.set_ylim(0, 1.1)
        ax.set_xlim(axis.edges[0], axis.edges[-1])
        ax.set_xlabel(label(axis.long_name, axis.unit))
        ax.set_ylabel(words)
        ax.legend(frameon=False)
    else:
        first, second = field.axes
        mesh = ax.pcolormesh(
            first.centres, second.centres, relative.T, cmap=style.MAP, shading="gouraud", rasterized=True
        )
        ax.contour(first.centres, second.centres, relative.T, style.LEVELS, colors="white", linewidths=0.6)
        style.colorbar(ax, mesh, words)
        _finish_plane(result, ax, field)
    style.headline(result, ax, f"density of {_moved(result, field)}" + _held(result))


def _moved(result: Result, field: DriftField) -> str:
    """What the moved particle is called."""
    names = style.species_of_particles(result)
    return f"particle {field.moved + 1}" + (f" ({names[field.moved]})" if names else "")


def _held(result: Result) -> str:
    """What the title says of the other particles."""
    more = ", the others held at their most likely places"
    return {1: "", 2: ", the other held where it is marked"}.get(result.particles, more)


def _draw_drift_line(result: Result, ax: Axes, field: DriftField) -> None:
    axis = field.axes[0]
    values = field.vectors.reshape(len(axis.centres), -1)[:, 0]
    ax.axhline(0.0, color="0.6", linewidth=0.8)
    quartile = float(np.nanquantile(np.abs(values), 0.75))
    if np.nanmax(np.abs(values)) > POLE * quartile > 0:
        # hard cores: the line is broken where the moved particle touches another
        values = np.where(np.abs(values) > SHOWN * quartile, np.nan, values)
        ax.set_ylim(-SHOWN * quartile, SHOWN * quartile)
    ax.plot(axis.centres, values, color=style.BLUE, linewidth=1.2)
    _mark_on_line(ax, field)
    style.mark_nuclei(result, ax, field.axes)
    ax.set_xlim(axis.edges[0], axis.edges[-1])
    ax.set_xlabel(label(axis.long_name, axis.unit))
    ax.set_ylabel(label("drift", f"1/{axis.unit}"))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)


def _mark_on_line(ax: Axes, field: DriftField) -> None:
    others = _others(field)
    if len(others):
        along = others[:, style.column(field.axes[0], 0, others.shape[1])]
        ax.plot(
            along, np.zeros(len(along)), "o", color=style.ORANGE, markersize=6, label="other particles", clip_on=False
        )


def _draw_drift_plane(result: Result, ax: Axes, field: DriftField) -> None:
    first, second = field.axes
    shades, words, extend = _background(field)
    mesh = ax.pcolormesh(
        first.centres, second.centres, shades.T, cmap=style.DARK_MAP, shading="gouraud", rasterized=True
    )
    style.colorbar(ax, mesh, words, extend)
    u, v = (np.ma.masked_invalid(field.vectors[..., component].T) for component in (0, 1))
    even = all(np.allclose(np.diff(axis.centres), np.diff(axis.centres)[0], rtol=1e-6) for axis in field.axes)
    if even and min(len(first.centres), len(second.centres)) > 2:
        ax.streamplot(first.centres, second.centres, u, v, color="white", linewidth=0.7, arrowsize=0.8, density=1.2)
    else:
        step = tuple(slice(None, None, max(1, len(axis.centres) // 20)) for axis in (second, first))
        ax.quiver(first.centres[step[1]], second.centres[step[0]], u[step], v[step], color="white", width=0.003)
    _finish_plane(result, ax, field)


def _finish_plane(result: Result, ax: Axes, field: DriftField) -> None:
    """Particles at rest, nuclei, labels and limits of a map of a plane."""
    first, second = field.axes
    others = _others(field)
    columns = [style.column(axis, index, others.shape[1]) for index, axis in enumerate(field.axes)]
    style.mark_nuclei(result, ax, field.axes)
    # the moved particle keeps its other coordinates, but for the plane y = 0 of nuclei
    height = np.delete(field.positions[field.moved], columns) if result.nuclei is None else 0.0
    away = np.linalg.norm(np.delete(others, columns, axis=1) - height, axis=1)
    off = away > OFF_PLANE * (first.edges[-1] - first.edges[0])
    inside, outside = others[~off][:, columns], others[off][:, columns]
    style.mark_particles(ax, inside, "other particles" if len(inside) > 1 else "other particle")
    off_plane = "particles off the plane" if len(outside) > 1 else "particle off the plane"
    style.mark_particles(ax, outside, off_plane, hollow=True)
    style.plane(ax, first, second)
    # the map ends at the outermost points, not at the edges of their cells
    ax.set_xlim(first.centres[0], first.centres[-1])
    ax.set_ylim(second.centres[0], second.centres[-1])
    style.legend_on_map(ax)


def _background(field: DriftField) -> tuple[np.ndarray, str, str]:
    """What lies under the streamlines: the log density or, for a vector drift, its magnitude."""
    known = np.isfinite(field.log_psi)
    if not known.any():
        magnitude = np.linalg.norm(field.vectors, axis=-1)
        return magnitude, label("magnitude of the drift", f"1/{field.axes[0].unit}"), "neither"
    logarithm = 2 * (np.where(known, field.log_psi, -np.inf) - field.log_psi[known].max())
    return np.clip(logarithm, -DEPTH, 0.0), "log density, 0 at its maximum", "min"


def _others(field: DriftField) -> np.ndarray:
    return np.delete(field.positions, field.moved, axis=0)
