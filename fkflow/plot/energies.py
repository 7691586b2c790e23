"""Pictures of energies: the convergence of training, the projection in imaginary time and time step."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fkflow.plot.requirements import require
from fkflow.plot.style import BLUE, GREEN, ORANGE, headline, label, points
from fkflow.results.records import Projection
from fkflow.results.result import Result

#: first iterations that the main panel need not show, and the part of all that the inset shows
EARLY, LATE = 2, 0.5
#: most ticks of seconds, and their least distance as a part of the width
MOST_TICKS, LEAST_GAP = 8, 0.08
#: percentiles of the energies that are shown, of the whole training and of its end, where noise is cut on both sides
WHOLE, END = (2.0, 100.0), (4.0, 96.0)
#: an inset is drawn where its energies take less than this part of the main panel's, and where nothing else is in its place:
#: left, bottom, width and height in the axes, and the room that its numbers take on the left and below
WORTH, INSET, NUMBERS = 0.25, (0.46, 0.4, 0.51, 0.55), (0.14, 0.08)


def convergence(result: Result, ax: Axes) -> None:
    """Training energy ± error against iteration and seconds, with the measured energy, the reference, and an inset.

    The inset shows the second half of training about the measured energy, where it is flat in the main panel.
    Raises UsageError if nothing was trained.
    """
    require(result, "convergence")
    iteration, energy = (np.asarray(result.training[name], dtype=float) for name in ("iteration", "energy"))
    error = np.asarray(result.training.get("error", np.zeros_like(energy)), dtype=float)
    error = np.where(np.isfinite(error), error, 0.0)
    levels = _draw_training(result, ax, iteration, energy, error)
    late = min(int(len(energy) * (1 - LATE)), len(energy) - 1)
    early = min(EARLY, late)
    whole = _energy_range(energy[early:], error[early:], levels, WHOLE)
    end = _energy_range(energy[late:], error[late:], levels, END)
    if len(iteration) > 1:
        ax.set_xlim(iteration[0], iteration[-1])
    flat = end[1] - end[0] < WORTH * (whole[1] - whole[0])
    ax.set_ylim(*(whole if flat else end))
    if flat and _is_free(ax, iteration, energy + error):
        inset = ax.inset_axes(INSET)
        _draw_training(result, inset, iteration[late:], energy[late:], error[late:])
        inset.set_xlim(iteration[late], iteration[-1])
        inset.set_ylim(*end)
        inset.tick_params(labelsize="small")
        _plain(inset)
    _plain(ax)
    ax.set_xlabel("training iteration")
    ax.set_ylabel(label("energy", result.energy_unit))
    _seconds_above(result, ax, iteration)
    headline(result, ax)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)


def _draw_training(
    result: Result, ax: Axes, iteration: np.ndarray, energy: np.ndarray, error: np.ndarray
) -> list[float]:
    """Draw the energies of training, the measured one and the reference; returns the levels that the limits must include."""
    ax.fill_between(iteration, energy - error, energy + error, color=BLUE, alpha=0.3, linewidth=0)
    ax.plot(iteration, energy, color=BLUE, linewidth=1.2, marker="." if len(energy) < 3 else None, label="training")
    return _energy_levels(result, ax)


def _is_free(ax: Axes, iteration: np.ndarray, highest: np.ndarray) -> bool:
    """Whether energies that reach up to `highest` (n,) leave the place of the inset empty."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    beside = iteration >= left + (INSET[0] - NUMBERS[0]) * (right - left)
    return not (highest[beside] > low + (INSET[1] - NUMBERS[1]) * (high - low)).any()


def _plain(ax: Axes) -> None:
    """Energies that differ in the fifth digit: full numbers on the ticks, not an offset in a corner."""
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    ax.locator_params(axis="y", nbins=6)


def _seconds_above(result: Result, ax: Axes, iteration: np.ndarray) -> None:
    """A second horizontal axis with the seconds since training began."""
    seconds = np.asarray(result.training.get("seconds", ()), dtype=float)
    if len(seconds) != len(iteration) or not np.isfinite(seconds).all():
        return
    if len(seconds) < 2 or not seconds[-1] > seconds[0]:
        return
    # round seconds at the places where they had passed, as many as do not crowd where iterations took long
    for most in range(MOST_TICKS, 0, -1):
        ticks = MaxNLocator(nbins=most, steps=[1, 2, 5, 10]).tick_values(seconds[0], seconds[-1])
        ticks = ticks[(seconds[0] <= ticks) & (ticks <= seconds[-1])]
        places = np.interp(ticks, seconds, iteration)
        if np.diff(places).min(initial=math.inf) >= LEAST_GAP * (iteration[-1] - iteration[0]):
            break
    above = ax.secondary_xaxis("top")
    above.set_xticks(places, [f"{number:.6g}" for number in ticks])
    above.set_xlabel("seconds")
    ax.tick_params(top=False)


def _energy_levels(result: Result, ax: Axes) -> list[float]:
    """Draw the best energy with its band and the reference; returns the levels that the limits must include."""
    best = result.energy
    kind = "variational" if result.measurement.projection is None else "projected"
    ax.axhline(best.value, color=ORANGE, linewidth=1.2, label=f"{kind} {best}")
    ax.axhspan(best.value - best.error, best.value + best.error, color=ORANGE, alpha=0.25, linewidth=0)
    levels = [best.value - 2 * best.error, best.value + 2 * best.error]
    if result.reference is not None:
        ax.axhline(result.reference.energy, color="black", linewidth=1.0, linestyle="--", label="reference")
        levels.append(result.reference.energy)
    return levels


def _energy_range(
    energy: np.ndarray, error: np.ndarray, levels: list[float], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Limits that show the `percentiles` of energies (n,) with their errors, and all `levels`."""
    good = np.isfinite(energy)
    shown = np.array([*(energy - error)[good], *(energy + error)[good]])
    finite = [level for level in levels if np.isfinite(level)]
    if shown.size:
        finite += list(np.percentile(shown, percentiles))
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    pad = max(0.12 * (high - low), 1e-9 * max(abs(low), abs(high)), 1e-12)
    return low - pad, high + pad


def projection(result: Result, ax: Axes) -> None:
    """Energy at the smallest time step against imaginary time and, beside it, against the time step down to 0.

    It starts from the variational energy at time 0; the band is the energy extrapolated to time step 0 with both errors.
    Raises UsageError if the run was not projected.
    """
    require(result, "projection")
    projection = result.measurement.projection
    assert projection is not None
    levels = _energy_levels(result, ax)
    start = result.measurement.variational.estimate
    points(ax, np.zeros(1), np.array([start.value]), np.array([start.error]), BLUE, "s", f"variational {start}")
    times, energies, errors = projection.curve.reshape(-1, 4)[:, :3].T
    smallest = f"at the time step {np.min(projection.time_steps):.2g}"
    points(ax, times, energies, errors, GREEN, "o", smallest)
    several = len(projection.time_steps) > 1
    if several:
        _draw_time_steps(result, ax.inset_axes((1.07, 0.0, 0.5, 1.0), sharey=ax), projection)
    shown = [(start.value, start.error), *zip(energies, errors, strict=True)]
    shown += zip(projection.energies, projection.errors, strict=True) if several else []
    levels += [value + side * error for value, error in shown for side in (-1, 1) if np.isfinite(value + error)]
    low, high = _energy_range(np.zeros(0), np.zeros(0), levels, WHOLE)
    # room for the legend above all points
    ax.set_ylim(low, high + 0.35 * (high - low))
    _plain(ax)
    ax.margins(x=0.06)
    ax.set_xlabel(label("imaginary time", f"1/{result.energy_unit}"))
    ax.set_ylabel(label("energy", result.energy_unit))
    headline(result, ax)
    ax.legend(frameon=False, loc="upper right")


def _draw_time_steps(result: Result, ax: Axes, projection: Projection) -> None:
    """The energies at all time steps and the line (for Girsanov weights the parabola) that extrapolates to time step 0."""
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
    points(ax, steps, energies, projection.errors, GREEN, "o", None)
    points(ax, np.zeros(1), np.array([best.value]), np.array([best.error]), ORANGE, "D", None)
    ax.margins(x=0.06)
    ax.tick_params(labelleft=False)
    ax.locator_params(axis="x", nbins=3)
    ax.set_xlabel(label("time step", f"1/{result.energy_unit}"))
