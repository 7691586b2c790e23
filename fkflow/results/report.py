"""Texts and JSON of the commands: results, comparisons, lists."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fkflow.hamiltonian.species import Species
from fkflow.hamiltonian.system import System
from fkflow.results.result import Comparison, Result
from fkflow.results.scan_records import Scan
from fkflow.results.scan_tables import table_text
from fkflow.results.status import FAILED
from fkflow.results.summary import BLOCKS, summary_text
from fkflow.statistics import Estimate
from fkflow.text import format_energy, species_words, strict_json, title, with_unit

#: widest text
WIDEST = 110


def to_json(value: Any) -> str:
    """Strict JSON text of `value`; numbers that are not finite become null."""
    return json.dumps(strict_json(value), indent=2, allow_nan=False)


def result_text(result: Result) -> str:
    """A finished run in a few aligned lines, as wide as the terminal allows; ASCII if stdout has no more."""
    try:
        BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return summary_text(result, _width(), ascii_only=True)
    return summary_text(result, _width())


def scan_text(scan: Scan) -> str:
    """A scan as a table, as wide as the terminal allows."""
    return table_text(scan, _width())


def system_entry(system: System) -> dict[str, Any]:
    """The entry of a system in ``fkflow list --json``: name, parameters, reference energy and unit."""
    reference = system.reference()
    return {
        "system": system.key,
        "parameters": system.parameters(),
        "reference": reference and asdict(reference),
        "unit": system.energy_unit,
    }


def class_entry(kind: type[System]) -> dict[str, Any]:
    """The entry of a class, with the defaults of its parameters (None without a default)."""
    if not any(field.is_required() for field in kind.model_fields.values()):
        return system_entry(kind())
    parameters = {
        field.alias or name: None if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
    }
    return {"system": kind.key, "parameters": parameters, "reference": None, "unit": kind.energy_unit}


def inspection_text(found: Mapping[str, Any]) -> str:
    """The report of `inspection.inspect` as text."""
    n, dim = found["particles"], found["dimensions"]
    species = [Species(**one) for one in found.get("species", ())]
    kind = "identical" if found["identical"] else "distinguishable"
    many = "one particle" if n == 1 else f"{n} {kind} particles"
    if len(species) > 1:
        many = f"{n} particles of {len(species)} species"
    space = f"{dim} dimension{'s' if dim > 1 else ''}: {n * dim} coordinate{'s' if n * dim > 1 else ''}"
    lengths = f"{found['natural_length']:.4g} natural length, {found['natural_time']:.4g} natural time"
    rows = [("system", f"{many} in {space}"), ("scale", lengths)]
    if species:
        rows.insert(1, ("species", species_words(species)))
    elif found["mass"] != 1:
        rows.insert(1, ("mass", str(found["mass"])))
    if found["nuclei"]:
        rows.append(("nuclei", str(found["nuclei"])))
    elif found["minima"] is not None:
        minima = "1 minimum" if found["minima"] == 1 else f"{found['minima']} minima"
        lowest = with_unit(f"{found['lowest']:.8g}", found["unit"])
        rows.append(("potential", f"{minima} found, the lowest at {lowest}"))
    rows.append(("cost", f"{1e3 * found['potential_seconds']:.2g} ms for V of {found['potential_walkers']} walkers"))
    if reference := found["reference"]:
        energy = with_unit(format_energy(reference["energy"], reference["error"]), found["unit"])
        rows.append(("reference", f"{energy}  ({reference['source']})"))
    if found["observables"]:
        rows.append(("measures", f"the energy and {', '.join(found['observables'])}"))
    rows += [("note", note) for note in found["notes"]]
    rows += [("warning", warning) for warning in found["warnings"]]
    lines = [title(found["system"], found["parameters"])]
    for name, text in rows:
        lines += _wrapped(f"  {name:<10} {text}", 13)
    return "\n".join([*lines, "  no fault found" if not found["warnings"] else "  nothing else found"])


def list_text(systems: Sequence[Mapping[str, Any]], recipes: Sequence[Mapping[str, Any]]) -> str:
    """The systems and the shipped recipes (items of `system_entry`, the latter with "recipe" and "over") as text."""
    lines = ["Systems, with the defaults of their parameters (fkflow init SYSTEM writes a recipe):"]
    origin = "built in"
    for item in systems:
        if item["origin"] != origin:
            origin = item["origin"]
            lines += ["", f"Systems of the package {origin}:"]
        lines += _listed(item["system"], title("", item["parameters"]).strip() or "no parameters", item)
    lines += ["", "Shipped recipes (fkflow run RECIPE):"]
    for item in recipes:
        if not item["over"]:
            lines += _listed(item["recipe"], title(item["system"], item["parameters"]), item)
    lines += ["", "Shipped scans (fkflow scan RECIPE):"]
    for item in recipes:
        if item["over"]:
            lines += _wrapped(f"  {item['recipe']:<18} {item['system']} over {' and '.join(item['over'])}", 21)
    return "\n".join(lines)


def _listed(name: str, what: str, item: Mapping[str, Any]) -> list[str]:
    reference = item["reference"]
    known = "no reference energy"
    if reference:
        energy = with_unit(format_energy(reference["energy"], reference["error"]), item["unit"])
        known = f"E0 = {energy}  ({reference['source']})"
    return _wrapped(f"  {name:<18} {what}", 21) + _wrapped(f"{'':<21}{known}", 21)


def compare_results(results: Sequence[Result], sigma: float, tolerance: float) -> list[dict[str, Any]]:
    """One row a run: its best energy, the difference from the reference and from the lowest run of the same system.

    `error` is the statistical error, `time_step_error` that of the time step (None for a variational energy); differences and z
    take both.
    """
    rows = []
    for result in results:
        if result.thermal is not None:
            rows += _thermal_rows(result, sigma, tolerance)
            continue
        alike = [r for r in results if r.thermal is None and _problem(r) == _problem(result)]
        lowest = min(alike, key=lambda other: math.inf if other.failed else other.energy.value)
        projection = result.measurement.projection
        row: dict[str, Any] = {
            "run": result.run,
            "system": result.system,
            "parameters": result.parameters,
            "unit": result.energy_unit,
            "kind": "variational" if projection is None else "projected",
            "status": result.status,
            "doubts": result.named(result.doubts),
            "energy": result.energy.value,
            "error": result.energy.error if projection is None else projection.estimate.error,
            "time_step_error": None if projection is None else projection.time_step_error,
            "reference": result.summary()["reference"],
            "difference": None,
            "z": None,
            "within": None,
            "above_lowest": None,
            "observables": result.summary()["observables"],
        }
        if result.reference is not None:
            against = Comparison.of(result)
            row["difference"], row["z"] = against.difference, against.z
            row["within"] = against.within(sigma, tolerance)
        if len(alike) > 1:
            above = Comparison.between(
                result.energy.value, result.energy.error, lowest.energy.value, lowest.energy.error
            )
            # the lowest run and itself are not independent
            z = 0.0 if result is lowest else above.z
            row["above_lowest"] = {"run": lowest.run, "difference": above.difference, "z": z}
        rows.append(row)
    return rows


def _thermal_rows(result: Result, sigma: float, tolerance: float) -> list[dict[str, Any]]:
    """One row a temperature: its free energy and the difference from that which is known."""
    assert result.thermal is not None
    rows = []
    for state in result.thermal.states:
        free, known = state.free_energy, state.reference
        statistical = math.sqrt(max(0.0, free.error**2 - state.time_step_error**2))
        row: dict[str, Any] = {
            "run": f"{result.run} T = {state.temperature:g}",
            "system": result.system,
            "parameters": {**result.parameters, "T": state.temperature},
            "unit": result.energy_unit,
            "kind": "free energy",
            "status": result.status,
            "doubts": result.doubts,
            "energy": free.value,
            "error": statistical,
            "time_step_error": state.time_step_error,
            "reference": known and asdict(known),
            "difference": None,
            "z": None,
            "within": None,
            "above_lowest": None,
            "observables": {},
        }
        if known is not None:
            against = Comparison.between(free.value, free.error, known.energy, known.error)
            row |= {"difference": against.difference, "z": against.z, "within": against.within(sigma, tolerance)}
        rows.append(row)
    return rows


def _problem(result: Result) -> tuple[Any, ...]:
    """System and parameters: equal for results that can be compared."""
    return result.system, result.parameters, result.definition and result.definition.sha256


def comparison_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `compare_results` as one table for each system and parameters."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(title(row["system"], row["parameters"]), []).append(row)
    lines = []
    for name, members in groups.items():
        reference, unit = members[0]["reference"], members[0]["unit"]
        lines.append(name + with_unit("   energies in", unit, bare=""))
        lines += _table(members)
        if reference:
            energy = format_energy(reference["energy"], reference["error"])
            lines += _wrapped(f"  reference {energy}: {reference['source']}", 4)
        lines += _observables(members)
        lines.append("")
    if any(row["kind"] == "variational" for row in rows):
        lines.append("Variational energies are upper bounds: but for its error, none lies below the exact energy.")
    if any(row["kind"] == "projected" for row in rows):
        lines.append("Projected energies are exact but for the two errors beside them.")
    return "\n".join(lines)


def _table(members: Sequence[Mapping[str, Any]]) -> list[str]:
    table = [["run", "energy", "", "statistical", "time step", "minus reference", "z", "", "above lowest", "z"]]
    for row in members:
        verdict = {True: "agrees", False: "OUT OF TOLERANCE", None: "no reference"}[row["within"]]
        verdict += {"doubtful": ", doubtful", "failed": ", FAILED"}.get(row["status"], "")
        lowest = row["above_lowest"]
        table.append([
            row["run"], "none" if row["status"] == FAILED else str(
                Estimate(row["energy"], math.hypot(row["error"], _known(row["time_step_error"])))
            ),
            row["kind"], f"{row['error']:.1e}", _step(row), _signed(row["difference"], ".1e"),
            _signed(row["z"], ".1f"), verdict,
            *([f"{lowest['difference']:.1e}", f"{lowest['z']:.1f}"] if lowest else ["", ""]),
        ])  # fmt: skip
    if len(members) == 1:
        table = [cells[:8] for cells in table]
    return _aligned(table)


def _observables(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """The best averages of the observables of the runs as a table; no lines without observables."""
    names = list(dict.fromkeys(name for row in members for name in row["observables"]))
    table = [["run", *names]]
    for row in members:
        entries = [row["observables"].get(name) for name in names]
        cells = ["-" if entry is None else _averages(entry["projected"] or entry["variational"]) for entry in entries]
        table.append([row["run"], *cells])
    return _aligned(table) if names else []


def _averages(found: Mapping[str, Any]) -> str:
    """Values with their errors, one or several."""
    pairs = zip(*(np.atleast_1d(np.array(found[key], dtype=float)) for key in ("value", "error")), strict=True)
    return ", ".join(str(Estimate(float(value), float(error))) for value, error in pairs)


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip() for cells in table]


def _known(error: float | None) -> float:
    return error if error is not None and math.isfinite(error) else 0.0


def _step(row: Mapping[str, Any]) -> str:
    if row["kind"] == "variational":
        return "none"
    return f"{row['time_step_error']:.1e}" if math.isfinite(row["time_step_error"]) else "unknown"


def _signed(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:+{form}}"


def _wrapped(line: str, indent: int) -> list[str]:
    spaces = " " * indent
    return textwrap.wrap(line, _width(), subsequent_indent=spaces, break_long_words=False, break_on_hyphens=False)


def _width() -> int:
    return max(50, min(WIDEST, shutil.get_terminal_size((100, 24)).columns))
