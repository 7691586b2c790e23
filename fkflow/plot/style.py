"""What the pictures share: colours, labels with units, nuclei, colour bars, panels, markers, figure files."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1 import make_axes_locatable

from fkflow.results.folders import atomic_write
from fkflow.results.records import Axis
from fkflow.results.result import Result
from fkflow.text import display_unit

# colours of Okabe and Ito (2008), and a map that grows monotonically in lightness
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
#: colours of several particles, the most different ones first
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00", "black", "0.55")
MAP = "cividis"
# its darker part, on which white lines are visible everywhere
DARK_MAP = ListedColormap(colormaps[MAP](np.linspace(0.0, 0.75, 256)))
#: lines of equal density, as parts of the largest
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7)
#: inches about a picture
ROOM = 0.1
#: style of figures: thin frames, ticks inside, text that stays text in vector formats
LOOK: dict[Any, Any] = {
    "axes.linewidth": 0.8,
    "font.size": 10.0,
    "legend.fontsize": "small",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "fkflow",
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
}


def points(
    ax: Axes, x: np.ndarray, y: np.ndarray, errors: np.ndarray, colour: str, marker: str, words: str | None
) -> None:
    """Markers with error bars, never cut off by the frame."""
    ax.errorbar(
        x, y, errors, fmt=marker, color=colour, markersize=4.5, elinewidth=1.2, capsize=2.5, label=words, clip_on=False
    )


def panel_below(ax: Axes, share: str = "38%") -> Axes:
    """A second panel under `ax`, within the room `ax` had, with the same horizontal axis."""
    below: Axes = make_axes_locatable(ax).append_axes("bottom", size=share, pad=0.08, sharex=ax)
    ax.tick_params(labelbottom=False)
    ax.set_xlabel("")
    return below


def colorbar(ax: Axes, mesh: ScalarMappable, words: str, extend: str = "neither") -> None:
    """A colour bar as high as its picture."""
    beside = ax.inset_axes((1.03, 0.0, 0.04, 1.0))
    ax.figure.colorbar(mesh, cax=beside, label=words, extend=extend)


def headline(result: Result, ax: Axes, words: str = "") -> None:
    """System and parameters over the picture, and in a second line what it shows."""
    ax.set_title("\n".join(filter(None, [result.title(), words])), fontsize="medium", wrap=True)


def species_of_particles(result: Result) -> list[str]:
    """The name of the species of each particle; none where there are fewer than two species."""
    return [one.name for one in result.species for _ in range(one.count)] if len(result.species) > 1 else []


def mark_nuclei(result: Result, ax: Axes, axes: tuple[Axis, ...]) -> None:
    """Mark the nuclei on Cartesian `axes`, or with lines through them on a single one; not on a radial axis."""
    if result.nuclei is None or axes[0].name not in "xyz":
        return
    columns = ["xyz".find(axis.name) for axis in axes]
    if len(columns) == 1:
        for index, place in enumerate(sorted(set(result.nuclei[:, columns[0]]))):
            ax.axvline(place, color="0.4", linewidth=0.8, linestyle=":", label="nuclei" if index == 0 else None)
        return
    # nuclei have the distance 0 from their axis
    places = [result.nuclei[:, c] if c >= 0 else np.zeros(len(result.nuclei)) for c in columns]
    ax.plot(*places, "P", color="black", markersize=7, markeredgecolor="white", label="nuclei", linestyle="none")


def mark_particles(ax: Axes, places: np.ndarray, words: str, *, hollow: bool = False) -> None:
    """Mark particles (n, 2) at rest in a plane, with `hollow` as rings: they are not in it."""
    if not len(places):
        return
    face, edge = ("none", ORANGE) if hollow else (ORANGE, "white")
    ax.plot(*places.T, "o", markersize=9, markerfacecolor=face, markeredgecolor=edge, label=words, linestyle="none")


def legend_on_map(ax: Axes) -> None:
    """A legend that can be read on any colour, if anything has a label."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=True, framealpha=0.85, loc="upper right")


def plane(ax: Axes, first: Axis, second: Axis) -> None:
    """Equal lengths on both axes of a map, their labels and whole range."""
    ax.set_aspect("equal" if first.unit == second.unit else "auto")
    ax.set_xlim(first.edges[0], first.edges[-1])
    ax.set_ylim(second.edges[0], second.edges[-1])
    ax.set_xlabel(label(first.long_name, first.unit))
    ax.set_ylabel(label(second.long_name, second.unit))


def column(axis: Axis, index: int, dimensions: int) -> int:
    """Which Cartesian component `axis` is: by its name, else by its place."""
    found = "xyz".find(axis.name)
    return found if 0 <= found < dimensions else index


def label(name: str, unit: str) -> str:
    """`name` with its unit, such as "density (1/bohr³)", natural units left out."""
    unit = re.sub(r"\^(\d+)", r"$^\1$", display_unit(unit))
    return f"{name} ({unit})" if unit else name


def fit_figure(figure: Figure, ax: Axes) -> None:
    """Give a figure of one picture the size that all of it needs; layout engines ignore what is beside its axes."""
    room, place = figure.get_tightbbox().padded(ROOM), ax.get_position(original=True)
    left, bottom, width, height = place.bounds * np.tile(figure.get_size_inches(), 2)
    figure.set_size_inches(room.width, room.height)
    ax.set_position(
        ((left - room.x0) / room.width, (bottom - room.y0) / room.height, width / room.width, height / room.height)
    )


def save_figure(figure: Figure, path: Path, dpi: int) -> Path:
    """Save a figure in the format that the ending says, atomically; the same picture gives the same bytes."""
    format = path.suffix.removeprefix(".")
    buffer = io.BytesIO()
    undated: dict[str, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(buffer, format=format, dpi=dpi, bbox_inches="tight", metadata=undated[format])
    atomic_write(path, buffer.getvalue())
    return path
