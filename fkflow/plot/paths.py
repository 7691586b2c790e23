"""Pictures of walkers that move under the learned drift."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.densities import contours
from fkflow.plot.requirements import require
from fkflow.plot.style import COLOURS, headline, label, mark_nuclei
from fkflow.results.records import Axis
from fkflow.results.result import Result
from fkflow.text import display_unit, with_unit

#: particles whose paths are drawn
SHOWN = 8


def trajectories(result: Result, ax: Axes) -> None:
    """Paths of eight particles under dX = ∇ log ψ dt + dW: in a plane, or in one dimension against imaginary time.

    Open circles are the starts, dots the ends. Raises UsageError if the file is too old to hold trajectories.
    """
    require(result, "trajectories")
    found = result.measurement.trajectories
    assert found is not None
    _, times, particles, dimensions = found.positions.shape
    # whole walkers, as many as there are colours for
    walkers = min(len(found.positions), max(1, SHOWN // particles))
    paths = found.positions[:walkers].transpose(0, 2, 1, 3).reshape(walkers * particles, times, dimensions)[:SHOWN]
    unit = result.length_unit
    columns = (0,) if dimensions == 1 else (2, 0) if result.nuclei is not None else (0, 1)
    axes = tuple(Axis("xyz"[c] if dimensions <= 3 else f"x{c + 1}", unit, "", np.zeros(2)) for c in columns)
    colours, names = _colours(result, len(paths))
    for path, colour, name in zip(paths, colours, names, strict=False):
        x, y = (path[:, 0], found.times) if dimensions == 1 else path[:, columns].T
        ax.plot(x, y, color=colour, linewidth=0.9, alpha=0.8)
        ax.plot(x[:1], y[:1], "o", color=colour, markersize=5, markerfacecolor="white")
        ax.plot(x[-1:], y[-1:], "o", color=colour, markersize=5, label=name)
    for histogram in result.measurement.histograms:
        # the density in the same plane behind them; across an axis it is the same on all sides
        if histogram.group == "density" and histogram.name in ("xy", "zrho") and dimensions > 1:
            contours(ax, histogram, "0.8")
    mark_nuclei(result, ax, axes)
    ax.set_xlabel(label(f"coordinate {axes[0].name}", unit))
    if dimensions == 1:
        ax.set_ylabel(label("imaginary time", f"1/{result.energy_unit}"))
        pad = 0.03 * (found.times[-1] - found.times[0])
        ax.set_ylim(found.times[0] - pad, found.times[-1] + pad)
    else:
        ax.set_ylabel(label(f"coordinate {axes[1].name}", unit))
        ax.set_aspect("equal")
    ax.plot([], [], "o", color="0.3", markersize=5, markerfacecolor="white", label="start")
    ax.plot([], [], "o", color="0.3", markersize=5, label="end")
    if dimensions == 1:
        # paths fill the axes from the lower to the upper end
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        ax.legend(frameon=True, framealpha=0.85, loc="best")
    time = with_unit(f"{found.times[-1]:.3g}", f"ħ/{result.energy_unit}" if display_unit(result.energy_unit) else "")
    headline(result, ax, _words(len(paths), particles, walkers, time))


def _colours(result: Result, count: int) -> tuple[list[str], list[str | None]]:
    """The colour of each path, and what the legend says of it: particles of one species have one, other paths their own."""
    names = style.species_of_particles(result)
    if not names:
        return list(COLOURS), [None] * count
    known = list(dict.fromkeys(names))
    shown = [names[i % len(names)] for i in range(count)]
    said = [name if shown.index(name) == i else None for i, name in enumerate(shown)]
    return [COLOURS[known.index(name) % len(COLOURS)] for name in shown], said


def _words(shown: int, particles: int, walkers: int, time: str) -> str:
    if walkers == 1:
        which = f"{shown} of {particles} particles" if shown < particles else f"{shown} particles of a walker"
    else:
        which = f"{walkers} walkers of {particles} particles" if particles > 1 else f"{walkers} walkers"
    return f"{which} under the drift, imaginary time {time}"
