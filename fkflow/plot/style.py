"""What the pictures share: colours, labels with units, nuclei, colour bars, markers with error bars."""

from __future__ import annotations

import re

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap

from fkflow.results import Axis, Result, shown_unit

# three of the colours of Okabe and Ito (2008), and a map that grows monotonically in lightness
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
MAP = "cividis"
# its darker part, on which white lines are seen everywhere
DARK_MAP = ListedColormap(colormaps[MAP](np.linspace(0.0, 0.75, 256)))


def points(
    ax: Axes, x: np.ndarray, y: np.ndarray, errors: np.ndarray, colour: str, marker: str, label: str | None
) -> None:
    """Markers with error bars, never cut off by the frame."""
    ax.errorbar(
        x, y, errors, fmt=marker, color=colour, markersize=4.5, elinewidth=1.2, capsize=2.5, label=label, clip_on=False
    )


def colorbar(ax: Axes, mesh: ScalarMappable, label: str, extend: str = "neither") -> None:
    """A colour bar as high as its picture, whatever the picture's shape."""
    beside = ax.inset_axes((1.03, 0.0, 0.04, 1.0))
    ax.figure.colorbar(mesh, cax=beside, label=label, extend=extend)


def mark_nuclei(result: Result, ax: Axes, axes: tuple[Axis, ...]) -> None:
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


def plane(ax: Axes, first: Axis, second: Axis) -> None:
    ax.set_aspect("equal" if first.unit == second.unit else "auto")
    ax.set_xlim(first.edges[0], first.edges[-1])
    ax.set_ylim(second.edges[0], second.edges[-1])
    ax.set_xlabel(label(first.long_name, first.unit))
    ax.set_ylabel(label(second.long_name, second.unit))


def column(axis: Axis, index: int, dimensions: int) -> int:
    """Which Cartesian component `axis` is: by its name, else by its place."""
    column = "xyz".find(axis.name)
    return column if 0 <= column < dimensions else index


def label(name: str, unit: str) -> str:
    """`name` with its unit, such as "density (1/bohr³)", natural units left out."""
    unit = re.sub(r"\^(\d+)", r"$^\1$", shown_unit(unit))
    return f"{name} ({unit})" if unit else name


def undated(format: str) -> dict[str, None]:
    """Metadata of a picture without a date: the same result gives the same bytes."""
    return {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[format]
