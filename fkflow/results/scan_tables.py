"""A scan as a table for people and as comma-separated values."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from fkflow.results.records import observable_text
from fkflow.results.scan_records import FINISHED, FREE, LIMITS, Scan
from fkflow.text import aligned, format_energy, strict_json, with_unit

#: what tables leave out
HIDDEN = (*LIMITS, "effective_paths")


def csv_text(scan: Scan) -> str:
    """All points as comma-separated values; unknown values are empty."""
    buffer = io.StringIO()
    rows = [strict_json(point.row() | point.observable_row()) for point in scan.points]
    # a point without a result has no observables
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def table_text(scan: Scan, width: int = 100) -> str:
    """A table of energy(error), reference, difference, z and seconds of every point; prose is wrapped at `width`."""
    kinds = {point.kind for point in scan.points if point.kind}
    one_kind = f"{kinds.pop()} energies" if len(kinds) == 1 else "energies"
    lines = [f"{scan.title()}   " + with_unit(f"{one_kind} in", scan.energy_unit, bare=one_kind)]
    lines += aligned(list(_cells(scan)), ">")
    against = [point.comparison for point in scan.points]
    known = [each for each in against if each is not None]
    if known:
        rms = math.sqrt(math.fsum(each.z**2 for each in known) / len(known))
        lines.append(f"  {len(known)} of {len(scan.points)} points have a reference; root mean square of z: {rms:.2f}")
    sources = {point.reference.source for point in scan.points if point.reference}
    words = [f"reference: {source}" for source in sorted(sources)]
    words += [f"failed: {point.run}: {point.reason}" for point in scan.failed]
    for line in words:
        lines += textwrap.wrap(line, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    lines += [f"  {'result':<8} {scan.path.as_posix()}", f"  {'plot':<8} fkflow plot {scan.folder}"]
    return "\n".join(lines)


def _cells(scan: Scan) -> Iterator[list[str]]:
    observed = list(dict.fromkeys(name for point in scan.points for name in point.observables if name not in HIDDEN))
    best = "free energy" if any(point.kind == FREE for point in scan.points) else "energy"
    yield [*(axis.short for axis in scan.axes), best, *observed, "reference", "difference", "z", "seconds"]
    for point in scan.points:
        against, reference = point.comparison, point.reference
        energy = point.status if point.status != FINISHED else str(point.best)
        yield [
            *(format_value(point.values[axis.key]) for axis in scan.axes),
            energy,
            *(observable_text(point.observables.get(name, ())) or "-" for name in observed),
            format_energy(reference.energy, reference.error) if reference else "-",
            f"{against.difference:+.1e}" if against else "-",
            f"{against.z:+.1f}" if against else "-",
            f"{point.seconds:.0f}" if math.isfinite(point.seconds) else "-",
        ]


def format_value(value: Any) -> str:
    """A value of a scanned key in short form: 1 rather than 1.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {format_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
