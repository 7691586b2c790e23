"""Runs beside each other: their energies against the known ones and the lowest, as rows and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fkflow.results.report import wrapped
from fkflow.results.result import Comparison, Result
from fkflow.results.status import FAILED
from fkflow.statistics import Estimate
from fkflow.text import aligned, format_energy, title, with_unit


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
            lines += wrapped(f"  reference {energy}: {reference['source']}", 4)
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
    return aligned(table)


def _observables(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """The best averages of the observables of the runs as a table; no lines without observables."""
    names = list(dict.fromkeys(name for row in members for name in row["observables"]))
    table = [["run", *names]]
    for row in members:
        entries = [row["observables"].get(name) for name in names]
        cells = ["-" if entry is None else _averages(entry["projected"] or entry["variational"]) for entry in entries]
        table.append([row["run"], *cells])
    return aligned(table) if names else []


def _averages(found: Mapping[str, Any]) -> str:
    """Values with their errors, one or several."""
    pairs = zip(*(np.atleast_1d(np.array(found[key], dtype=float)) for key in ("value", "error")), strict=True)
    return ", ".join(str(Estimate(float(value), float(error))) for value, error in pairs)


def _known(error: float | None) -> float:
    return error if error is not None and math.isfinite(error) else 0.0


def _step(row: Mapping[str, Any]) -> str:
    if row["kind"] == "variational":
        return "none"
    return f"{row['time_step_error']:.1e}" if math.isfinite(row["time_step_error"]) else "unknown"


def _signed(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:+{form}}"
