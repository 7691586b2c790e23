"""Pictures of a run at temperatures: free energy and energy, heat capacity, densities and pair distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.requirements import require
from fkflow.plot.style import label
from fkflow.results.result import Result
from fkflow.results.scan_records import FINISHED, LIMITS, Point, Scan
from fkflow.results.thermal import ThermalState
from fkflow.text import with_unit


def energies(result: Result, ax: Axes) -> None:
    """F and E against T with error bars, and their limits: classical, and the ground state where it is known.

    Raises UsageError for a run without temperatures.
    """
    states = _states(result)
    for name, marker in (("energy", "s"), ("free_energy", "o")):
        _points(ax, states, name, marker)
    classical = [state.classical_free_energy for state in states], [state.classical_energy for state in states]
    ground = None if result.reference is None else result.reference.energy
    _limits(ax, [state.temperature for state in states], *classical, ground)
    ax.set_ylabel(label("energy", result.energy_unit))
    ax.legend(fontsize="small")
    _finish(result, ax, "free energy and energy")


def scan_energies(scan: Scan, ax: Axes) -> None:
    """F and E of the points of a scan over temperatures, with their limits."""
    points = _by_temperature(scan)
    x = [temperature for temperature, _ in points]
    for name, marker, colour in (("energy", "s", style.BLUE), ("free energy", "o", style.ORANGE)):
        found = [point.best if name == "free energy" else point.observables["energy"] for _, point in points]
        _markers(ax, x, found, marker, name, colour)
    limits = {name: [_number(point, name) for _, point in points] for name in LIMITS}
    ground = limits["ground_state"][0] if points else np.nan
    _limits(ax, x, limits["classical_free_energy"], limits["classical_energy"], ground if np.isfinite(ground) else None)
    ax.set_ylabel(label("energy", scan.energy_unit))
    ax.set_title(scan.title(), fontsize="medium", wrap=True)
    ax.legend(fontsize="small")


def scan_heat_capacity(scan: Scan, ax: Axes) -> None:
    """C and S of the points of a scan over temperatures, in units of k_B."""
    points = _by_temperature(scan)
    for name, marker, colour in (("heat_capacity", "s", style.GREEN), ("entropy", "o", style.COLOURS[3])):
        found = [point.observables[name] for _, point in points]
        _markers(ax, [t for t, _ in points], found, marker, name.replace("_", " "), colour)
    unit = with_unit("", scan.energy_unit).strip()
    ax.set_xlabel(f"temperature ({unit})" if unit else "temperature")
    ax.set_ylabel("in units of k_B")
    ax.legend(fontsize="small")


def is_over_temperatures(scan: Scan) -> bool:
    """Whether a scan varies the temperature alone, so that its picture is that of temperatures."""
    return len(scan.axes) == 1 and scan.axes[0].key in ("thermal.temperature", "thermal.beta")


def _by_temperature(scan: Scan) -> list[tuple[float, Point]]:
    """The finished points by their temperature, the lowest first."""
    key = scan.axes[0].key
    done = [point for point in scan.points if point.status == FINISHED]
    found = [(float(p.values[key]) if key.endswith("temperature") else 1 / float(p.values[key]), p) for p in done]
    return sorted(found, key=lambda pair: pair[0])


def _number(point: Point, name: str) -> float:
    observable = point.observables.get(name)
    return np.nan if observable is None or isinstance(observable, tuple) else observable.value


def _limits(ax: Axes, x: list[float], free: list[float], energy: list[float], ground: float | None) -> None:
    """Dashed lines of the classical limits, and a dotted one of the ground state; neither sets the range."""
    low, high = ax.get_ylim()
    for values, words in ((free, "classical limits"), (energy, None)):
        if np.isfinite(values).any():
            ax.plot(x, values, "--", color="0.5", linewidth=1, label=words, zorder=1)
    if ground is not None:
        ax.axhline(ground, color="0.3", linestyle=":", linewidth=1, label="ground state", zorder=1)
        low, high = min(low, ground - 0.05 * (high - low)), max(high, ground + 0.05 * (high - low))
    ax.set_ylim(low, high)


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
    _markers(ax, [state.temperature for state in states], found, marker, name.replace("_", " "))


def _markers(
    ax: Axes, x: list[float], found: Sequence[Any], marker: str, words: str, colour: str | None = None
) -> None:
    values, errors = [each.value for each in found], np.array([each.error for each in found])
    ax.errorbar(x, values, errors, marker=marker, markersize=4, capsize=3, linewidth=1, label=words, color=colour)


def _finish(result: Result, ax: Axes, words: str) -> None:
    unit = with_unit("", result.energy_unit).strip()
    ax.set_xlabel(f"temperature ({unit})" if unit else "temperature")
    style.headline(result, ax, f"{words} with one-σ errors")
