"""Pictures of a run at temperatures: free energy and energy, heat capacity, densities and pair distributions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.requirements import require
from fkflow.plot.style import label
from fkflow.results.result import Result
from fkflow.results.thermal import ThermalState
from fkflow.text import with_unit


def energies(result: Result, ax: Axes) -> None:
    """F and E against T with error bars. Raises UsageError for a run without temperatures."""
    states = _states(result)
    for name, marker in (("energy", "s"), ("free_energy", "o")):
        _points(ax, states, name, marker)
    ax.set_ylabel(label("energy", result.energy_unit))
    ax.legend(fontsize="small")
    _finish(result, ax, "free energy and energy")


def heat_capacity(result: Result, ax: Axes) -> None:
    """C and S against T with error bars. Raises UsageError for a run without temperatures."""
    states = _states(result)
    for name, marker in (("heat_capacity", "s"), ("entropy", "o")):
        _points(ax, states, name, marker)
    ax.set_ylabel("in units of k_B")
    ax.legend(fontsize="small")
    _finish(result, ax, "heat capacity and entropy")


def densities(result: Result, ax: Axes, group: str) -> None:
    """The first density ("density") or pair distribution ("pair") along a line, a curve a temperature, with errors."""
    states = _states(result)
    for number, state in enumerate(states):
        histogram = next(h for h in state.histograms if h.group == group and len(h.axes) == 1)
        axis, colour = histogram.axes[0], style.COLOURS[number % len(style.COLOURS)]
        ax.plot(axis.centres, histogram.values, color=colour, label=f"T = {state.temperature:.4g}")
        low, high = histogram.values - histogram.errors, histogram.values + histogram.errors
        ax.fill_between(axis.centres, low, high, color=colour, alpha=0.3, linewidth=0)
    ax.set_xlabel(label(axis.long_name, axis.unit))
    ax.set_ylabel(label(histogram.long_name.split(" against")[0].split(" along")[0], histogram.unit))
    ax.set_ylim(bottom=0.0)
    ax.legend(fontsize="small")
    style.headline(result, ax, "points of closed paths, with one-σ errors")


def density_matrix(result: Result, ax: Axes, state: ThermalState) -> None:
    """ρ(x, x′) of a temperature along the first axis: its diagonal is the density, its width across that of coherence."""
    histogram = next(h for h in state.histograms if h.group == "matrix")
    first, second = histogram.axes
    most = float(np.abs(histogram.values).max())
    mesh = ax.pcolormesh(
        first.edges, second.edges, histogram.values.T, cmap=style.MAP, vmin=0, vmax=most, rasterized=True
    )
    ax.set_aspect("equal")
    ax.set_xlabel(label(first.name, first.unit))
    ax.set_ylabel(label(f"{first.name}'", second.unit))
    style.colorbar(ax, mesh, label(f"density matrix, {first.name} and {first.name}'", histogram.unit))
    error = float(histogram.errors.diagonal().max())
    style.headline(result, ax, f"T = {state.temperature:.4g}, errors up to {error / most:.0%} of the largest value")


def _states(result: Result) -> list[ThermalState]:
    require(result, "thermal")
    assert result.thermal is not None
    return sorted(result.thermal.states, key=lambda state: state.temperature)


def _points(ax: Axes, states: list[ThermalState], name: str, marker: str) -> None:
    found = [getattr(state, name) for state in states]
    ax.errorbar(
        [state.temperature for state in states],
        [each.value for each in found],
        np.array([each.error for each in found]),
        marker=marker,
        markersize=4,
        capsize=3,
        linewidth=1,
        label=name.replace("_", " "),
    )


def _finish(result: Result, ax: Axes, words: str) -> None:
    unit = with_unit("", result.energy_unit).strip()
    ax.set_xlabel(f"temperature ({unit})" if unit else "temperature")
    style.headline(result, ax, f"{words} with one-σ errors")
