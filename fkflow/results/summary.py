"""The summary of a finished run in a few aligned lines: energies, training, conditions, files."""

from __future__ import annotations

import html
import math
import textwrap
from itertools import zip_longest

import numpy as np

from fkflow.results.records import Projection, components, observable_text
from fkflow.results.result import Comparison, Result
from fkflow.results.thermal_table import thermal_text
from fkflow.statistics import Estimate
from fkflow.text import format_energy, species_words, with_unit

#: bars from low to high, also for ASCII terminals
BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
#: replacements of letters for ASCII terminals
ASCII_LETTERS = str.maketrans({"σ": "sigma", **dict(zip(BLOCKS, ASCII, strict=True))})
#: share of the error of an energy from which on that of slow modes is named
NOTICED = 0.1
#: columns before the text of a row, and most bars in a line
INDENT, BARS = 23, 40


def summary_text(result: Result, width: int = 100, *, ascii_only: bool = False) -> str:
    """The summary of a run; only lines with a file name and the table of temperatures may be wider than `width`."""
    if result.thermal is not None:
        table = thermal_text(result, result.thermal)
        return table.translate(ASCII_LETTERS) if ascii_only else table
    lines = textwrap.wrap(result.title(), width, subsequent_indent="  ", break_on_hyphens=False)
    for label, text in _rows(result, width - INDENT):
        # file names are not wrapped, so that they can be copied
        wrap = label not in ("result", "plots")
        parts = textwrap.wrap(text, max(20, width - INDENT), break_on_hyphens=False) if wrap else [text]
        lines += [f"  {head:<20} {part}" for head, part in zip_longest([label], parts, fillvalue="")]
    text = "\n".join(lines)
    return text.translate(ASCII_LETTERS) if ascii_only else text


def summary_html(result: Result) -> str:
    """The summary of a run as a table of a notebook."""
    if result.thermal is not None:
        return f"<pre>{html.escape(thermal_text(result, result.thermal))}</pre>"
    rows = "".join(
        f'<tr><th style="text-align: left">{html.escape(label.strip())}</th>'
        f'<td style="text-align: left">{html.escape(text)}</td></tr>'
        for label, text in _rows(result, BARS)
    )
    return f"<table><caption>{html.escape(result.title())}</caption>{rows}</table>"


def _rows(result: Result, room: int) -> list[tuple[str, str]]:
    """Label and text of each row; a row without a label continues the one above."""
    measured, unit = result.measurement.variational, result.energy_unit
    projection = result.measurement.projection
    # a vector drift is no gradient of a log psi: its path average has a time-step error
    kind = "an upper bound" if result.measurement.curl is None else "a path average"
    rows = []
    doubts = result.named(result.doubts)
    rows += [("status", result.status)] if doubts else []
    rows += [(f"  {'failed' if result.failed else 'doubt'}", doubt) for doubt in doubts]
    rows += [("species", species_words(result.species))] if result.species else []
    if projection is not None and not result.failed:
        rows += [
            ("projected energy", with_unit(projection.total, unit)),
            ("  its errors", f"{projection.estimate.error:.1e} statistical, {_step_error(projection)} time step"),
        ]
        if projection.slow_mode_error > NOTICED * projection.total.error:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]}, {projection.slow_mode_error:.1e} slow modes")
    if not result.failed:
        rows.append(("variational energy", f"{with_unit(measured.estimate, unit)}  ({kind})"))
    rows += _per_particle(result)
    rows.append(("local-energy spread", with_unit(f"{measured.local_energy_std:.3g}", unit)))
    if result.measurement.gap is not None and not result.failed:
        rows.append(("gap", with_unit(f"about {result.measurement.gap:.2g}", unit) + " to the first excited state"))
    if result.failed:
        pass
    elif result.reference is None:
        rows.append(("reference", "none known for these parameters"))
    else:
        energy = with_unit(format_energy(result.reference.energy, result.reference.error), unit)
        rows.append(("reference", f"{energy}: {Comparison.of(result).words()}"))
        rows.append(("", result.reference.source))
    if not result.failed:
        rows += _observables(result)
        rows += _liquid(result)
    rows += _training(result, room)
    if result.measurement.curl is not None:
        rows.append(("curl of the drift", f"{result.measurement.curl:.3g} of its gradient"))
    rows.append(("time", ", ".join(f"{took:.1f} s {stage}" for stage, took in result.seconds.items())))
    rows.append(("computed with", _conditions(result)))
    if result.path is not None:
        rows.append(("result", result.path.as_posix()))
        rows.append(("plots", f"fkflow plot {result.run}"))
    if result.failed:  # what else was missed does not matter
        return rows
    return rows + [("warning", warning) for warning in result.warnings if warning not in doubts]


def _per_particle(result: Result) -> list[tuple[str, str]]:
    """The energy of a particle of a liquid, and with its tail; no row where nothing is cut off."""
    if (found := result.per_particle) is None:
        return []
    energy, error, tail = found["energy"], found["error"], found["tail"]
    text = with_unit(Estimate(energy, error), result.energy_unit)
    if tail:
        whole = with_unit(Estimate(energy + tail, error), result.energy_unit)
        beyond = with_unit(f"{tail:.4g}", result.energy_unit)
        text += f"; {whole} with {beyond} from beyond the cut-off, for g(r) = 1 there"
    return [("  of a particle", text)]


def _observables(result: Result) -> list[tuple[str, str]]:
    """A row for each observable: over φ0² if it was projected, then over ψ²."""
    rows = []
    for name, observable in result.measurement.observables.items():
        parts = components(observable)
        text = with_unit(observable_text(observable), parts[0].unit)
        if parts[0].projected is not None:
            text += f"  (variational {observable_text(observable, 'variational')})"
        rows.append((name if len(name) < INDENT - 2 else name[: INDENT - 4] + "…", text))
    return rows


def _liquid(result: Result) -> list[tuple[str, str]]:
    """A row for each number of a liquid, with how it was found, and one for the curves."""
    liquid = result.measurement.liquid
    if liquid is None:
        return []
    rows = []
    for name, number in liquid.numbers.items():
        how = f"{number.method}, variational {number.variational}" if number.method else "variational"
        shown = str(number)
        if name == "pressure_tail":
            shown, how = f"{number.value:.4g}", "g(r) = 1 beyond the cut-off"
        rows.append((name.replace("_", " "), f"{with_unit(shown, number.unit)}  ({how})"))
    return rows


def _training(result: Result, room: int) -> list[tuple[str, str]]:
    """The spread of the energy over the walkers during training, as bars on a log scale; no rows if it is unknown."""
    spread = np.asarray(result.training.get("spread", ()), dtype=float)
    known = spread[np.isfinite(spread) & (spread > 0)]
    if len(known) < 2:
        return []
    groups = np.array_split(np.log(known), min(BARS, room, len(known)))
    means = np.array([group.mean() for group in groups])
    # less than a factor of ten does not fill the height, so that noise looks flat
    heights = (means - means.min()) / max(means.max() - means.min(), math.log(10))
    bars = "".join(BLOCKS[round(height * (len(BLOCKS) - 1))] for height in heights)
    first, last = np.exp(means[[0, -1]])
    ends = with_unit(f"{first:.2g} to {last:.2g}", result.energy_unit)
    return [("training spread", bars), ("", f"{ends} in {len(spread)} iterations, log scale")]


def _conditions(result: Result) -> str:
    """Seed, device, threads and version, as far as the file says."""
    known = result.provenance
    seed, again, threads = known.get("seed"), known.get("measure_seed"), known.get("threads")
    parts = [f"seed {seed}" if again is None else f"seed {seed} (measured with {again})"]
    parts.append(f"{result.ranks} ranks on {known.get('device')}" if result.ranks > 1 else str(known.get("device")))
    if threads is not None:
        parts.append(f"{threads} thread{'s' if threads != 1 else ''}" + (" each" if result.ranks > 1 else ""))
    return ", ".join([*parts, f"fkflow {known.get('version')}"])


def _step_error(projection: Projection) -> str:
    """The time-step error as text; it is unknown for one time step."""
    return f"{projection.time_step_error:.1e}" if math.isfinite(projection.time_step_error) else "unknown"
