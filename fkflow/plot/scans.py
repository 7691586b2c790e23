"""Pictures of a scan: energies against the scanned parameter, and below them their differences from the reference."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from fkflow.plot import temperatures
from fkflow.plot.style import COLOURS, LOOK, label, save_figure
from fkflow.results.folders import make_folder
from fkflow.results.scan_records import FAILED, FINISHED, Point, Scan
from fkflow.results.scan_tables import format_value
from fkflow.text import display_unit

#: colour and marker of each curve
CURVES = tuple(zip(COLOURS, "os^DvP", strict=False))
#: the key of a scan over numbers of particles
PARTICLES = "system.particles"
#: most curves that a legend can tell apart
MOST = 12
MARKER = 4.5
#: distance of the outermost curves from their place in the panel of differences, in that of two places
SHIFT = 0.12


def scan(result: Scan, ax: Axes) -> None:
    """Energy ± error against the first scanned key, one curve for each value of the others.

    Crosses are references, hollow markers other published energies.
    """
    x = _Places(result)
    curves = _curves(result, x)
    for (name, points), (colour, marker) in zip(curves, itertools.cycle(CURVES), strict=False):
        done = [point for point in points if point.status == FINISHED]
        values, errors = [p.best.value for p in done], [p.best.error for p in done]
        ax.plot(x(done), values, color=colour, linewidth=0.8, alpha=0.6, zorder=2)
        ax.errorbar(
            x(done), values, errors, fmt=marker, color=colour, markersize=MARKER, elinewidth=1.2, capsize=2.5,
            label=name or next((p.kind for p in done), None), zorder=3,
        )  # fmt: skip
    known = [(p, p.reference.energy) for _, points in curves for p in points if p.reference]
    published = [(p, bound.energy) for _, points in curves for p in points for bound in p.published]
    if known:
        ax.plot(
            x(p for p, _ in known), [energy for _, energy in known], "x", color="black",
            markersize=MARKER + 4, markeredgewidth=0.9, zorder=4, label="reference",
        )  # fmt: skip
    if published:
        ax.plot(
            x(p for p, _ in published), [energy for _, energy in published], "o", color="0.35",
            markersize=MARKER + 4.5, markerfacecolor="none", markeredgewidth=0.9, zorder=2.5, label="published",
        )  # fmt: skip
    for index, place in enumerate(x(p for p in result.points if p.status == FAILED)):
        ax.axvline(place, color="0.6", linestyle=":", linewidth=0.8, label=None if index else "failed")
    x.label(ax)
    ax.margins(y=0.08)
    ax.set_ylabel(label("energy", result.energy_unit))
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    ax.set_title(result.title(), fontsize="medium", wrap=True)
    handles, names = ax.get_legend_handles_labels()
    if handles and len(curves) <= MOST:
        # the curves, which have error bars, before what they are compared with
        entries = sorted(zip(handles, names, strict=True), key=lambda e: not isinstance(e[0], ErrorbarContainer))
        ax.legend(*zip(*entries, strict=True), frameon=False, fontsize="small")


def differences(result: Scan, ax: Axes) -> None:
    """Energy minus reference with both errors, where a reference is known; curves share a place side by side."""
    x = _Places(result)
    styled = [
        (look, compared)
        for (_, points), look in zip(_curves(result, x), itertools.cycle(CURVES), strict=False)
        if (compared := [(point, point.comparison) for point in points if point.comparison])
    ]
    reach = max((abs(c.difference) + c.error for _, compared in styled for _, c in compared), default=1.0)
    # numbers on the axis between about 0.3 and 300
    power = 3 * math.floor((math.log10(reach) + 0.5) / 3) if reach > 0 and math.isfinite(reach) else 0
    ax.axhline(0.0, color="black", linewidth=0.8)
    shifts = SHIFT * x.gap() * np.linspace(-1, 1, len(styled)) if len(styled) > 1 else [0.0]
    for ((colour, marker), compared), shift in zip(styled, shifts, strict=False):
        ax.errorbar(
            x(point for point, _ in compared) + shift,
            [c.difference / 10.0**power for _, c in compared],
            [c.error / 10.0**power for _, c in compared],
            fmt=marker, color=colour, markersize=MARKER, elinewidth=1.2, capsize=2.5,
        )  # fmt: skip
    x.label(ax)
    ax.margins(y=0.12)
    unit = " ".join(part for part in (f"$10^{{{power}}}$" if power else "", display_unit(result.energy_unit)) if part)
    ax.set_ylabel("minus reference" + (f"\n({unit})" if unit else ""))


def save_scan(result: Scan, folder: str | Path, format: str = "png", dpi: int = 150) -> Path:
    """Draw both into `folder`/scan.`format`, one above the other, and return the file.

    A scan over numbers of particles also gives `folder`/sizes.`format`. Raises UsageError if the folder cannot be written.
    """
    with rc_context(LOOK):
        if result.axes[0].key == PARTICLES and any(point.status == FINISHED for point in result.points):
            figure = Figure(figsize=(6.4, 4.4), layout="constrained")
            sizes(result, figure.add_subplot())
            save_figure(figure, make_folder(Path(folder)) / f"sizes.{format}", dpi)
        compared = any(point.comparison for point in result.points)
        if temperatures.is_over_temperatures(result):
            figure = Figure(figsize=(6.4, 6.0), layout="constrained")
            upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.6, 1)})
            temperatures.scan_energies(result, upper)
            temperatures.scan_heat_capacity(result, lower)
            return save_figure(figure, make_folder(Path(folder)) / f"scan.{format}", dpi)
        figure = Figure(figsize=(6.4, 6.0 if compared else 4.4), layout="constrained")
        if compared:
            upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (2.2, 1)})
            differences(result, lower)
        else:
            upper = figure.add_subplot()
        scan(result, upper)
        if compared:
            upper.set_xlabel("")
        return save_figure(figure, make_folder(Path(folder)) / f"scan.{format}", dpi)


def sizes(result: Scan, ax: Axes) -> None:
    """Energy of a particle ± error against 1/N, of a scan over numbers of particles: where it goes as N grows."""
    x = _Places(result)
    for (name, points), (colour, marker) in zip(_curves(result, x), itertools.cycle(CURVES), strict=False):
        done = [(point, float(point.values[PARTICLES])) for point in points if point.status == FINISHED]
        ax.errorbar(
            [1 / n for _, n in done], [p.best.value / n for p, n in done], [p.best.error / n for p, n in done],
            fmt=marker, linestyle="-", linewidth=0.8, color=colour, markersize=MARKER, elinewidth=1.2, capsize=2.5,
            label=name,
        )  # fmt: skip
        known = [(1 / n, p.reference.energy / n) for p, n in done if p.reference]
        ax.plot(
            *np.array(known).reshape(-1, 2).T, "x", color="black", markersize=MARKER + 4, markeredgewidth=0.9, zorder=4
        )
    ax.set_xlim(left=0.0)
    ax.set_xlabel("1/N of N particles")
    ax.set_ylabel(label("energy of a particle", result.energy_unit))
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    ax.set_title(result.title(), fontsize="medium", wrap=True)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize="small")


class _Places:
    """The x axis of a scan: where its points stand, by the value of the first key or, if not all are numbers, in turn."""

    def __init__(self, scan: Scan) -> None:
        self.scan, self.axis = scan, scan.axes[0]
        values: list[Any] = list({str(v): v for v in (point.values[self.axis.key] for point in scan.points)}.values())
        self.numbers = all(type(value) in (int, float) for value in values)
        self.order = {str(v): float(v) / scan.unit if self.numbers else float(turn) for turn, v in enumerate(values)}

    def __call__(self, points: Iterable[Point]) -> np.ndarray:
        """The x coordinates (n,) of points."""
        return np.array([self.order[str(point.values[self.axis.key])] for point in points])

    def gap(self) -> float:
        """The least distance of two neighbours."""
        steps = np.diff(np.unique(list(self.order.values())))
        return float(steps.min()) if len(steps) else 0.0

    def label(self, ax: Axes) -> None:
        """The range of the x axis, whatever is finished so far, and its name."""
        axis, places = self.axis, list(self.order.values())
        # curves stand side by side in the lower panel
        pad = max(0.04 * (max(places) - min(places)), 1.5 * SHIFT * self.gap()) or 0.5
        ax.set_xlim(min(places) - pad, max(places) + pad)
        if not self.numbers:
            ax.set_xticks(places, [text if len(text) <= 20 else f"{text[:17]}..." for text in self.order])
            ax.set_xlabel(axis.short)
            return
        sign = axis.short if self.scan.unit == 1 else f"{axis.short} / {format_value(self.scan.unit)}"
        # a unit in brackets stays at the end
        words, bracket, unit = axis.long_name.split(";")[0].partition(" (")
        ax.set_xlabel(f"{words}, {sign}{bracket}{unit}")


def _curves(scan: Scan, x: _Places) -> list[tuple[str | None, list[Point]]]:
    """The points of each combination of the other keys, in the order of the first key, with a name for the legend."""
    groups: dict[str, list[Point]] = {}
    for point in scan.points:
        words = ", ".join(f"{axis.short} = {format_value(point.values[axis.key])}" for axis in scan.axes[1:])
        groups.setdefault(words, []).append(point)
    return [(words or None, sorted(points, key=lambda p: float(x([p])[0]))) for words, points in groups.items()]
