"""Text of numbers, units and systems, and strict JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fkflow.statistics import Estimate


def strict_json(value: Any) -> Any:
    """`value` with arrays, numpy numbers and paths as plain values, and NaN or ±Inf as None."""
    if isinstance(value, Mapping):
        return {str(key): strict_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return strict_json(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [strict_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def title(system: str, parameters: Mapping[str, Any]) -> str:
    """System and parameters in one line, such as ``h2  R = 1.401``; those that are not set are left out."""
    given = (f"{key} = {_short(value)}" for key, value in parameters.items() if value is not None)
    return "  ".join([system, *given])


def species_words(species: Sequence[Any]) -> str:
    """The `Species` of a system in words, such as ``2 electron (mass 1, charge -1), 1 proton (mass 1836)``."""
    parts = []
    for one in species:
        traits = [
            f"{name} {value:g}" for name, value in (("mass", one.mass), ("charge", one.charge)) if value is not None
        ]
        parts.append(f"{one.count} {one.name} ({', '.join(traits)})")
    return ", ".join(parts)


def display_unit(unit: str) -> str:
    """The unit to print: "" for the natural units a and E, which are those of the parameters."""
    return "" if re.fullmatch(r"[1aE](\^\d+)?([ /][aE](\^\d+)?)*", unit) else unit


def with_unit(number: object, unit: str, bare: str | None = None) -> str:
    """`number` and its unit, if it has one to print; else `bare` (default: the number alone)."""
    shown = display_unit(unit)
    return f"{number} {shown}" if shown else str(number) if bare is None else bare


def format_energy(energy: float, error: float) -> str:
    """A reference energy to its precision, or to ten digits if it is (nearly) exact."""
    return str(Estimate(energy, error)) if error >= 1e-9 else f"{energy:.10g}"


def aligned(table: Sequence[Sequence[str]], side: str = "<") -> list[str]:
    """The rows of a table as lines with aligned columns, indented by two; texts begin, or for the `side` ">" end, together."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(f"{c:{side}{w}}" for c, w in zip(cells, widths, strict=True)).rstrip() for cells in table]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_short(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_short(item)}" for key, item in value.items()) + "}"
    return str(value)
