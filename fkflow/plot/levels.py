"""Pictures of a spectrum: the level diagram, densities and functions of the levels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.requirements import require
from fkflow.plot.style import label
from fkflow.results.result import Result
from fkflow.results.spectrum import Spectrum

#: levels that densities and functions are drawn of
DRAWN = 5
#: the part of the largest density below which a line is cut
CUT = 1e-3
#: half the length of a level's line
HALF = 0.35


def diagram(result: Result, ax: Axes) -> None:
    """The levels as lines with error bars, a column for each symmetry sector, and the ground state in the first.

    Raises UsageError if the run has no spectrum.
    """
    spectrum = _spectrum(result)
    sectors = ["ground", *dict.fromkeys(level.sector for level in spectrum.levels)]
    ground = spectrum.ground
    ax.plot([-HALF, HALF], [ground.value] * 2, color="black", linewidth=2)
    for level in spectrum.levels:
        column = sectors.index(level.sector)
        colour = style.COLOURS[(column - 1) % len(style.COLOURS)]
        energy = level.energy
        ax.plot([column - HALF, column + HALF], [energy.value] * 2, color=colour, linewidth=2)
        ax.errorbar([column], [energy.value], [energy.error], color=colour, capsize=4, linewidth=1)
    highest = max(level.energy.value for level in spectrum.levels)
    room = style.ROOM * (highest - ground.value)
    ax.set_ylim(ground.value - room, highest + room)
    ax.set_xlim(-0.6, len(sectors) - 0.4)
    ax.set_xticks(range(len(sectors)), sectors)
    ax.set_xlabel("symmetry sector")
    ax.set_ylabel(label("energy", result.energy_unit))
    style.headline(result, ax, f"{len(spectrum.levels)} levels above the ground state, bounds with one-σ errors")


def densities(result: Result, ax: Axes) -> None:
    """One-body densities |f|²ψ² of the lowest levels, beside that of ψ². Raises UsageError if the run has no spectrum."""
    spectrum = _spectrum(result)
    drawn = np.array([spectrum.ground_density, *(level.density for level in spectrum.levels[:DRAWN])])
    _draw_lines(spectrum, ax, drawn)
    shown = spectrum.axis.centres[(drawn > CUT * drawn.max()).any(0)]
    ax.set_xlim(shown.min(), shown.max())
    # the names stand above the lines
    ax.set_ylim(0.0, 1.35 * drawn.max())
    ax.set_ylabel(label("one-body density", f"1/{spectrum.axis.unit}" if spectrum.measure.count(" ") == 0 else ""))
    style.headline(result, ax, "densities of the levels")


def functions(result: Result, ax: Axes) -> None:
    """The functions f of the lowest levels f ψ, averaged over all other coordinates; UsageError without a spectrum."""
    spectrum = _spectrum(result)
    drawn = np.array([level.function for level in spectrum.levels[:DRAWN]])
    _draw_lines(spectrum, ax, np.array([np.full_like(drawn[0], np.nan), *drawn]))
    inside = spectrum.ground_density > CUT * np.nanmax(spectrum.ground_density)
    shown = spectrum.axis.centres[inside]
    ax.set_xlim(shown.min(), shown.max())
    low, high = np.nanmin(drawn[:, inside]), np.nanmax(drawn[:, inside])
    room = style.ROOM * max(high - low, 1e-12)
    ax.set_ylim(low - room, high + 0.4 * max(high - low, 1e-12))
    ax.axhline(0.0, color="0.7", linewidth=0.8)
    ax.set_ylabel("f, with mean square 1")
    style.headline(result, ax, "functions f of the levels f ψ, averaged over all other coordinates")


def _draw_lines(spectrum: Spectrum, ax: Axes, lines: np.ndarray) -> None:
    """A line for the ground state and for each level, with their names."""
    names = ["ground state", *(f"{k}: {level.sector}" for k, level in enumerate(spectrum.levels, 1))]
    colours = ("black", *style.COLOURS)
    for line, name, colour in zip(lines, names, colours, strict=False):
        if np.isfinite(line).any():
            ax.plot(spectrum.axis.centres, line, color=colour, label=name, linestyle="--" if colour == "black" else "-")
    ax.set_xlabel(label(spectrum.axis.long_name, spectrum.axis.unit))
    ax.legend(fontsize="small", ncols=2, loc="upper center")


def _spectrum(result: Result) -> Spectrum:
    require(result, "levels")
    assert result.spectrum is not None
    return result.spectrum
