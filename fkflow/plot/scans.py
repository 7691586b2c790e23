"""Pictures of a scan: energies against the scanned parameter, and below them their differences from the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from fkflow.plot.style import COLOURS, LOOK, label, save_figure
from fkflow.results.scan_records import FAILED, FINISHED, Point, Scan, format_value
from fkflow.results.store import make_folder
from fkflow.text import display_unit

#: one colour and marker a curve
CURVES = tuple(zip(COLOURS, "os^DvP", strict=False))
#: most curves that are told apart by a legend
MOST = 12
MARKER = 4.5


def scan(result: Scan, ax: Axes) -> None:
    """Energy ± error against the first scanned key, one curve for each value of the others.

    Crosses are references, hollow markers other published energies.
    """
    curves = _curves(result)
    known = published = False
    for number, (name, points) in enumerate(curves):
        colour, marker = CURVES[number % len(CURVES)]
        done = [point for point in points if point.status == FINISHED]
        x = _places(result, done)
        best = [point.best for point in done]
        ax.plot(x, [e.value for e in best], color=colour, linewidth=0.8, alpha=0.6, zorder=2)
        ax.errorbar(
            x, [e.value for e in best], [e.error for e in best], fmt=marker, color=colour, markersize=MARKER,
            elinewidth=1.2, capsize=2.5, label=name or next((p.kind for p in done), None), zorder=3,
        )  # fmt: skip
        there = [point for point in points if point.reference]
        if there:
            ax.plot(
                _places(result, there), [p.reference.energy for p in there if p.reference], "x", color="black",
                markersize=MARKER + 4, markeredgewidth=0.9, zorder=4, label=None if known else "reference",
            )  # fmt: skip
            known = True
        pairs = [(point, bound.energy) for point in points for bound in point.published]
        if pairs:
            ax.plot(
                _places(result, [point for point, _ in pairs]), [energy for _, energy in pairs], "o", color="0.35",
                markersize=MARKER + 4.5, markerfacecolor="none", markeredgewidth=0.9, zorder=2.5,
                label=None if published else "published",
            )  # fmt: skip
            published = True
    for index, point in enumerate(point for point in result.points if point.status == FAILED):
        ax.axvline(
            float(_places(result, [point])[0]), color="0.6", linestyle=":", linewidth=0.8,
            label="failed" if index == 0 else None,
        )  # fmt: skip
    _along(result, ax)
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
    curves = [
        (number, [point for point in points if point.comparison is not None])
        for number, (_, points) in enumerate(_curves(result))
    ]
    curves = [(number, points) for number, points in curves if points]
    shown_ones = [point.comparison for _, points in curves for point in points]
    reach = max((abs(c.difference) + c.error for c in shown_ones if c), default=1.0)
    # numbers on the axis between about 0.3 and 300
    power = 3 * math.floor((math.log10(reach) + 0.5) / 3) if reach > 0 and math.isfinite(reach) else 0
    ax.axhline(0.0, color="black", linewidth=0.8)
    apart = 0.12 * _gap(result)
    for index, (number, points) in enumerate(curves):
        colour, marker = CURVES[number % len(CURVES)]
        compared = [c for point in points if (c := point.comparison)]
        shift = (index - (len(curves) - 1) / 2) * apart / max(1, len(curves) - 1) * 2 if len(curves) > 1 else 0.0
        ax.errorbar(
            _places(result, points) + shift,
            np.array([c.difference for c in compared]) / 10.0**power,
            np.array([c.error for c in compared]) / 10.0**power,
            fmt=marker, color=colour, markersize=MARKER, elinewidth=1.2, capsize=2.5,
        )  # fmt: skip
    _along(result, ax)
    ax.margins(y=0.12)
    unit = " ".join(part for part in (f"$10^{{{power}}}$" if power else "", display_unit(result.energy_unit)) if part)
    ax.set_ylabel("minus reference" + (f"\n({unit})" if unit else ""))


def save_scan(result: Scan, folder: str | Path, format: str = "png", dpi: int = 150) -> Path:
    """Draw both into `folder`/scan.`format`, one above the other, and return the file.

    Raises UsageError if the folder cannot be save_figure.
    """
    with rc_context(LOOK):
        compared = any(point.comparison for point in result.points)
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


def _curves(scan: Scan) -> list[tuple[str | None, list[Point]]]:
    """The points of each combination of the other keys, in the order of the first key, with a name for the legend."""
    first, others = scan.axes[0].key, scan.axes[1:]
    groups: dict[str, list[Point]] = {}
    names: dict[str, str | None] = {}
    for point in scan.points:
        words = ", ".join(f"{axis.short} = {format_value(point.values[axis.key])}" for axis in others)
        groups.setdefault(words, []).append(point)
        names[words] = words or None
    order = _order(scan, first)
    return [
        (names[words], sorted(points, key=lambda p: order[str(p.values[first])])) for words, points in groups.items()
    ]


def _order(scan: Scan, key: str) -> dict[str, float]:
    """Where each value of a key stands: the number itself, or its turn where not all are numbers."""
    values: list[Any] = list({str(point.values[key]): point.values[key] for point in scan.points}.values())
    if all(type(value) in (int, float) for value in values):
        return {str(value): float(value) for value in values}
    return {str(value): float(turn) for turn, value in enumerate(values)}


def _places(scan: Scan, points: Sequence[Point]) -> np.ndarray:
    """The x coordinates (n,) of points."""
    key = scan.axes[0].key
    order = _order(scan, key)
    scale = scan.unit if _numbers(scan, key) else 1.0
    return np.array([order[str(point.values[key])] / scale for point in points])


def _numbers(scan: Scan, key: str) -> bool:
    return all(type(point.values[key]) in (int, float) for point in scan.points)


def _gap(scan: Scan) -> float:
    """The least distance of two neighbours on the x axis."""
    steps = np.diff(np.unique(_places(scan, scan.points)))
    return float(steps.min()) if len(steps) else 0.0


def _along(scan: Scan, ax: Axes) -> None:
    """The x axis: its range, whatever is finished so far, and its name."""
    axis = scan.axes[0]
    places = _places(scan, scan.points)
    pad = 0.04 * (places.max() - places.min()) or 0.5
    ax.set_xlim(places.min() - pad, places.max() + pad)
    if not _numbers(scan, axis.key):
        order = _order(scan, axis.key)
        ax.set_xticks(list(order.values()), [text if len(text) <= 20 else f"{text[:17]}..." for text in order])
        ax.set_xlabel(axis.short)
        return
    name = axis.long_name.split(";")[0]
    sign = axis.short if scan.unit == 1 else f"{axis.short} / {format_value(scan.unit)}"
    # a unit in brackets stays at the end
    words, bracket, unit = name.partition(" (")
    ax.set_xlabel(f"{words}, {sign}{bracket}{unit}")
