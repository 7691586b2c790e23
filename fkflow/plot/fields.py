"""Pictures of the drift: on a line, or as streamlines over the log density of the particle that is moved."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from fkflow.plot.style import BLUE, DARK_MAP, ORANGE, colorbar, column, label, mark_nuclei, plane
from fkflow.results import DriftField, Result

#: how far below its maximum log |psi|^2 is still shown
DEPTH = 12.0


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
        along = others[:, column(axis, 0, others.shape[1])]
        ax.plot(along, np.zeros(len(along)), "o", color=ORANGE, markersize=6, label="other particles")
    mark_nuclei(result, ax, field.axes)
    ax.set_xlim(axis.edges[0], axis.edges[-1])
    ax.set_xlabel(label(axis.long_name, axis.unit))
    ax.set_ylabel(label("drift", f"1/{axis.unit}"))


def _draw_drift_plane(result: Result, ax: Axes, field: DriftField) -> None:
    first, second = field.axes
    shades, words, extend = _background(field)
    mesh = ax.pcolormesh(first.centres, second.centres, shades.T, cmap=DARK_MAP, shading="gouraud", rasterized=True)
    colorbar(ax, mesh, words, extend)
    u, v = (np.ma.masked_invalid(field.vectors[..., component].T) for component in (0, 1))
    even = all(np.allclose(np.diff(axis.centres), np.diff(axis.centres)[0], rtol=1e-6) for axis in field.axes)
    if even and min(len(first.centres), len(second.centres)) > 2:
        ax.streamplot(first.centres, second.centres, u, v, color="white", linewidth=0.7, arrowsize=0.8, density=1.2)
    else:
        step = tuple(slice(None, None, max(1, len(axis.centres) // 20)) for axis in (second, first))
        ax.quiver(first.centres[step[1]], second.centres[step[0]], u[step], v[step], color="white", width=0.003)
    others = _others(field)
    if len(others):
        columns = [column(axis, index, others.shape[1]) for index, axis in enumerate(field.axes)]
        ax.plot(
            *others[:, columns].T,
            "o",
            color=ORANGE,
            markersize=9,
            markeredgecolor="white",
            label="other particles",
        )
    mark_nuclei(result, ax, field.axes)
    plane(ax, first, second)
    # the map ends at the outermost points, not at the edges of their cells
    ax.set_xlim(first.centres[0], first.centres[-1])
    ax.set_ylim(second.centres[0], second.centres[-1])


def _background(field: DriftField) -> tuple[np.ndarray, str, str]:
    """What lies under the streamlines: the log density or, for a vector drift, which has none, its magnitude."""
    known = np.isfinite(field.log_psi)
    if not known.any():
        magnitude = np.linalg.norm(field.vectors, axis=-1)
        return magnitude, label("magnitude of the drift", f"1/{field.axes[0].unit}"), "neither"
    logarithm = 2 * (np.where(known, field.log_psi, -np.inf) - field.log_psi[known].max())
    return np.clip(logarithm, -DEPTH, 0.0), "log density, 0 at its maximum", "min"


def _others(field: DriftField) -> np.ndarray:
    return np.delete(field.positions, field.moved, axis=0)
