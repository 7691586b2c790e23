"""Runs of the zoo: their CSV file, their table and their page."""

from __future__ import annotations

import csv
import math
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .cases import CASES, KINDS

#: |z| of a converged run that counts as a silent failure, |z| that few may pass, and how few
SILENT, RARE, FEW = 4.0, 3.0, 0.02
CONVERGED = "converged"


@dataclass
class Run:
    """One run; energies NaN where there are none. `scale` is the energy scale, `note` the first doubt or the message."""

    name: str
    seed: int
    status: str
    value: float
    error: float
    reference: float
    z: float
    seconds: float
    scale: float
    target: float
    commit: str
    note: str

    @property
    def silent(self) -> bool:
        """Whether it claims to be right and is not."""
        return self.status == CONVERGED and not abs(self.z) <= SILENT


def row(run: Run) -> str:
    """A line of the table (Markdown)."""
    name = run.name.replace("|", "\\|")
    if math.isnan(run.value):
        return (
            f"| {name} | {run.seed} | | | {run.reference:.7g} | | {run.status} | {run.seconds:.0f} | {run.scale:.3g} |"
        )
    digits = max(0, 1 - math.floor(math.log10(max(run.error, 1e-9 * run.scale))))
    return (
        f"| {name} | {run.seed} | {run.value:.{digits}f} | {run.error:.1e} | {run.reference:.{digits + 1}f} | "
        f"{run.z:+.1f} | {run.status} | {run.seconds:.0f} | {run.scale:.3g} |"
    )


HEAD = (
    "| potential | seed | energy | error | reference | z | status | s | scale |",
    "|---|---|---|---|---|---|---|---|---|",
)


def verdict(runs: list[Run]) -> tuple[list[str], bool]:
    """What all runs come to, and whether that is good enough."""
    converged = [run for run in runs if run.status == CONVERGED]
    far = [run for run in converged if not abs(run.z) <= RARE]
    silent = [run for run in runs if run.silent]
    others = Counter(run.status for run in runs if run.status != CONVERGED)
    inside = 100 * (1 - len(far) / max(len(converged), 1))
    lines = [
        f"{len(runs)} runs of {len({run.name for run in runs})} potentials",
        f"converged: {len(converged)} ({100 * len(converged) / max(len(runs), 1):.1f} %)"
        + "".join(f", {status}: {count}" for status, count in others.most_common()),
        f"of the converged within {RARE:.0f} errors: {inside:.1f} %; "
        f"beyond {SILENT:.0f}: {len(silent)}"
        + (f" ({', '.join(sorted({run.name for run in silent}))})" if silent else ""),
    ]
    return lines, bool(converged) and not silent and len(far) <= FEW * len(converged)


PAGE = f"""# The zoo

{{count}} potentials that fkflow was not made for, in 1 to 12 coordinates, with references from deterministic solvers: spectral
elements for what one variable decides, sine functions on a product grid for two to four, sums of separate coordinates, closed
forms. Each is a class in a file of `scripts/zoo_cases`, written as users write it, without `length`, `start` or `reference`.

    python scripts/zoo.py --csv zoo.csv
    python scripts/zoo.py --csv zoo.csv --markdown docs/notes/zoo.md

The first line runs five seeds of each with the command, default settings, one thread and a target error of a thousandth of the
energy scale. The file keeps finished runs, so that the script can be stopped. It exits with 1 if a converged run is more
than {SILENT:.0f} errors from its reference, or more than {100 * FEW:.0f} % of them more than {RARE:.0f}. The second line wrote
this page. `tests/physics/test_zoo.py` runs twenty of them at a looser target, `tests/unit/test_zoo.py` tests the references.
z is the distance from the reference in stated errors, s the seconds of wall clock, and the last column the commit of a run.

"""


def page(runs: list[Run], remark: str = "") -> str:
    """All runs as a page of Markdown, with a remark: a summary by kind, and a table of each kind with the doubts below it."""
    text = (
        PAGE.format(count=len(CASES))
        + (f"{textwrap.fill(remark, 120)}\n\n" if remark else "")
        + "\n".join(f"* {line}" for line in verdict(runs)[0])
        + "\n\n"
    )
    heads = (
        "kind",
        "runs",
        "converged",
        "doubtful",
        "others",
        f"converged within {RARE:.0f}",
        f"beyond {SILENT:.0f}",
        "median s",
    )
    text += f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    order = {case.name: number for number, case in enumerate(CASES)}
    parts = {kind: {case.name for case in cases} for kind, cases in KINDS.items()}
    for kind, names in {**parts, "all": set(order)}.items():
        some = [run for run in runs if run.name in names]
        right = [run for run in some if run.status == CONVERGED]
        doubtful = sum(run.status == "doubtful" for run in some)
        numbers = (len(some), len(right), doubtful, len(some) - len(right) - doubtful)
        inside, silent = sum(abs(run.z) <= RARE for run in right), sum(run.silent for run in right)
        seconds = sorted(run.seconds for run in some)[len(some) // 2] if some else math.nan
        text += f"| {kind} | {' | '.join(map(str, numbers))} | {inside} | {silent} | {seconds:.0f} |\n"
    for kind, names in parts.items():
        some = sorted((run for run in runs if run.name in names), key=lambda run: (order[run.name], run.seed))
        text += f"\n## {kind}\n\n{HEAD[0]} commit |\n{HEAD[1]}---|\n"
        text += "".join(f"{row(run)} {run.commit} |\n" for run in some)
        doubts = [
            f"* {run.name}, seed {run.seed}, {run.status}: {run.note[:220]}" for run in some if run.status != CONVERGED
        ]
        text += "".join(f"{line}\n" for line in ["", *doubts] if doubts)
    return text


def read(file: Path | None) -> dict[tuple[str, int], Run]:
    """The runs of a CSV file; the last one of a potential and seed counts."""
    if file is None or not file.exists():
        return {}
    kinds = {each.name: each.type for each in fields(Run)}
    make = {"str": str, "int": int, "float": float}
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [
            Run(**{key: make[str(kinds[key])](text) for key, text in line.items()}) for line in csv.DictReader(stream)
        ]
    return {(run.name, run.seed): run for run in rows}


def append(file: Path, run: Run) -> None:
    """Add a run to a CSV file, with a heading to a new one."""
    new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [each.name for each in fields(Run)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(run))
