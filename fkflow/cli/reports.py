"""The commands that print results: show, compare; and how results are printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fkflow.cli import completion, output
from fkflow.cli.options import Json, RunFolder
from fkflow.errors import ToleranceError

if TYPE_CHECKING:
    from fkflow.results.propagation import Propagation
    from fkflow.results.result import Result
    from fkflow.results.scan_records import Scan


def show(run: RunFolder, as_json: Json = False) -> None:
    """Print the energies of a finished run, or the table of a scan or a propagation."""
    from fkflow.results.propagation_store import find_propagation, read_propagation
    from fkflow.results.scan_store import find_scan, read_scan
    from fkflow.results.store import read_result

    if (found := find_scan(run)) is not None:
        print_scan(read_scan(found), as_json)
    elif (found := find_propagation(run)) is not None:
        print_propagation(read_propagation(found), as_json)
    else:
        print_result(read_result(run), as_json)


# one line a paragraph: typer keeps the line breaks of a help text
COMPARE_HELP = (
    "Compare the energies of runs with their references, and with each other.\n\n"
    "A run is out of tolerance, and the exit code 4, if |energy - reference| > SIGMA x error + TOLERANCE, "
    "where the error combines the statistical and the time-step error of the run and that of the reference. The "
    "projected energy of a run is taken, or the variational one where it has none: an upper bound, above the "
    "reference by what the network lacks, of which --tolerance says how much is accepted.\n\n"
    "A run without a reference is listed and cannot fail. Runs of the same system with the same "
    "parameters also show how far they are above the lowest of them."
)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, names of some in runs, or result files.",
            autocompletion=completion.runs,
        ),
    ],
    sigma: Annotated[float, typer.Option("--sigma", min=0, help="Allowed difference in errors.")] = 3.0,
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="... plus this much energy.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Compare the energies of runs with their references, and with each other."""
    from fkflow.results import report
    from fkflow.results.comparison import compare_results, comparison_text
    from fkflow.results.store import read_result

    rows = compare_results([read_result(run) for run in runs], sigma, tolerance)
    failed = [row for row in rows if row["within"] is False]
    if as_json:
        output.emit(report.to_json({"sigma": sigma, "tolerance": tolerance, "ok": not failed, "runs": rows}))
    else:
        output.emit(comparison_text(rows))
    if failed:
        names = ", ".join(row["run"] for row in failed)
        raise ToleranceError(f"more than {sigma:g} errors + {tolerance:g} from the reference: {names}")


def print_result(result: Result | None, as_json: bool, log: Path | None = None) -> None:
    """Print a result, with --json as one object and its warnings on stderr; nothing on ranks that have none.

    Its text is added to the file `log`, if there is one.
    """
    from fkflow.results import report

    if result is None:
        return
    if as_json:
        for warning in result.warnings:
            output.complain(f"fkflow: warning: {warning}")
    output.emit(report.to_json(result.summary()) if as_json else report.result_text(result))
    output.append(log, report.result_text(result))


def print_spectrum(result: Result, as_json: bool, log: Path | None = None) -> None:
    """Print the levels of a run as a table, or as one JSON object; the table is added to the file `log`, if there is one."""
    from fkflow.results import report
    from fkflow.results.spectrum_table import spectrum_text

    found = result.spectrum
    assert found is not None
    table = spectrum_text(result, found)
    output.emit(report.to_json({"run": result.run, **found.summary()}) if as_json else table)
    output.append(log, table)


def print_scan(result: Scan, as_json: bool, log: Path | None = None) -> None:
    """Print the table of a scan, or one JSON object; the table is added to the file `log`, if there is one."""
    from fkflow.results import report

    output.emit(report.to_json(result.summary()) if as_json else report.scan_text(result))
    output.append(log, report.scan_text(result))


def print_propagation(found: Propagation, as_json: bool, log: Path | None = None) -> None:
    """Print a propagation as a table, or as one JSON object with its doubts on stderr; the table is added to `log`."""
    from fkflow.results import report

    if as_json:
        for doubt in found.doubts:
            output.complain(f"fkflow: warning: {doubt}")
    output.emit(report.to_json(found.summary()) if as_json else found.table())
    output.append(log, found.table())
