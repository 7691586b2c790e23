"""Pictures of energies: the convergence of training, the projection in imaginary time and time step."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from fkflow.plot.style import BLUE, GREEN, ORANGE, label, points
from fkflow.results import Projection, Result


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
    levels = energy_levels(result, ax)
    ax.set_ylim(*_energy_range(energy, error, levels))
    # energies that differ in the fifth digit: full numbers on the ticks, not an offset in a corner
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    if len(iteration) > 1:
        ax.set_xlim(iteration[0], iteration[-1])
    ax.set_xlabel("training iteration")
    ax.set_ylabel(label("energy", result.energy_unit))
    ax.set_title(result.title(), fontsize="medium", wrap=True)
    ax.legend(frameon=False)


def energy_levels(result: Result, ax: Axes) -> list[float]:
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


def projection(result: Result, ax: Axes, projection: Projection) -> None:
    """Energy at the smallest time step against imaginary time and, beside it, against the time step down to 0.

    It starts from the variational energy at time 0; the band is the energy extrapolated to time step 0 with both errors.
    """
    levels = energy_levels(result, ax)
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
    low, high = _energy_range(np.zeros(0), np.zeros(0), levels)
    # room for the legend above all points
    ax.set_ylim(low, high + 0.2 * (high - low))
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    ax.margins(x=0.06)
    ax.set_xlabel(label("imaginary time", f"1/{result.energy_unit}"))
    ax.set_ylabel(label("energy", result.energy_unit))
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
    points(ax, steps, energies, projection.errors, GREEN, "o", None)
    points(ax, np.zeros(1), np.array([best.value]), np.array([best.error]), ORANGE, "D", None)
    ax.margins(x=0.06)
    ax.tick_params(labelleft=False)
    ax.locator_params(axis="x", nbins=3)
    ax.set_xlabel(label("time step", f"1/{result.energy_unit}"))
