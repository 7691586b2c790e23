"""Texts and JSON of the commands: results, inspections, lists."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fkflow.hamiltonian.species import Species
from fkflow.hamiltonian.system import System
from fkflow.results.result import Result
from fkflow.results.scan_records import Scan
from fkflow.results.scan_tables import table_text
from fkflow.results.summary import BLOCKS, summary_text
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
        lines += wrapped(f"  {name:<10} {text}", 13)
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
            lines += wrapped(f"  {item['recipe']:<18} {item['system']} over {' and '.join(item['over'])}", 21)
    return "\n".join(lines)


def _listed(name: str, what: str, item: Mapping[str, Any]) -> list[str]:
    reference = item["reference"]
    known = "no reference energy"
    if reference:
        energy = with_unit(format_energy(reference["energy"], reference["error"]), item["unit"])
        known = f"E0 = {energy}  ({reference['source']})"
    return wrapped(f"  {name:<18} {what}", 21) + wrapped(f"{'':<21}{known}", 21)


def wrapped(line: str, indent: int) -> list[str]:
    """A line as several, as wide as the terminal allows; all but the first begin with so many spaces."""
    spaces = " " * indent
    return textwrap.wrap(line, _width(), subsequent_indent=spaces, break_long_words=False, break_on_hyphens=False)


def _width() -> int:
    return max(50, min(WIDEST, shutil.get_terminal_size((100, 24)).columns))
