"""The command ``fkflow``: options, progress and output; the work is done elsewhere.

Everything heavy (torch, h5py, matplotlib) is imported inside the commands, so that ``--help`` is instant.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fkflow.errors import FkflowError, ToleranceError, UsageError

if TYPE_CHECKING:
    from fkflow.run import Progress

    from fkflow.results import Result
    from fkflow.system import System

app = typer.Typer(
    help="Quantum ground states by learning the drift of a Feynman-Kac diffusion.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Device(StrEnum):
    """Where to compute; auto takes the GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Format(StrEnum):
    """File formats of the plots."""

    png = "png"
    pdf = "pdf"
    svg = "svg"


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key, as in --set train.iterations=100."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Seed of all random numbers.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads; left out: a good choice.")
]
On = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, all else on stderr.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its result.h5.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"fkflow {installed('fkflow')}")
        raise typer.Exit


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A TOML file, or a shipped recipe.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; left out: runs/<recipe>.")] = None,
    seed: Seed = None,
    device: On = Device.auto,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the full recipe and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Train on a recipe, then measure, and write the run folder."""
    from fkflow import config, store

    loaded = config.load(recipe, overrides or ())
    if dry_run:
        resolved = loaded.recipe.resolved()
        typer.echo(json.dumps(resolved, indent=2) if as_json else config.to_toml(resolved).rstrip())
        return
    out = Path("runs") / loaded.name if out is None else out
    existed = out.exists()
    store.prepare_folder(out, resume)
    try:
        from fkflow.run import execute

        with _progress(as_json) as progress:
            result = execute(
                loaded, out, seed=seed, device=str(device), threads=threads, resume=resume, progress=progress
            )
    except BaseException:
        # a run that failed before it wrote anything leaves nothing behind
        if not existed:
            with contextlib.suppress(OSError):
                out.rmdir()
        raise
    _present(result, as_json)


@app.command()
def measure(
    run: RunFolder,
    overrides: Overrides = None,
    seed: Seed = None,
    device: On = Device.auto,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure a finished run again, its drift frozen: other samples, a smaller error."""
    from fkflow.store import find_result

    folder = find_result(run).parent
    from fkflow.run import measure_again

    with _progress(as_json) as progress:
        result = measure_again(
            folder,
            overrides=overrides or (),
            seed=seed,
            threads=threads,
            device=str(device),
            progress=progress,
        )
    _present(result, as_json)


@app.command()
def show(run: RunFolder, as_json: Json = False) -> None:
    """Print the energies of a finished run."""
    from fkflow.store import read_result

    _present(read_result(run), as_json)


# one line a paragraph: typer keeps the line breaks of a help text
COMPARE_HELP = (
    "Compare the variational energies of runs with their references, and with each other.\n\n"
    "A run is out of tolerance, and the exit code 4, if |energy - reference| > SIGMA x error + TOLERANCE, "
    "where the error combines that of the run and that of the reference. A variational energy is an upper "
    "bound: a network short of the exact state stands above the reference by more than its error, and "
    "--tolerance says how much of that is accepted; an energy far below is a fault of the run or of the "
    "reference. A run without a reference is listed and cannot fail. Runs of the same system with the same "
    "parameters also show how far they are above the lowest of them."
)


@app.command(help=COMPARE_HELP)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders or result files.")],
    sigma: Annotated[float, typer.Option("--sigma", min=0, help="Allowed difference in errors.")] = 3.0,
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="... plus this much energy.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Compare the variational energies of runs with their references, and with each other."""
    from fkflow.store import read_result

    rows = _compared([read_result(run) for run in runs], sigma, tolerance)
    failed = [row for row in rows if row["within"] is False]
    if as_json:
        from fkflow.results import strict_json

        report = {"sigma": sigma, "tolerance": tolerance, "ok": not failed, "runs": rows}
        typer.echo(json.dumps(strict_json(report), indent=2, allow_nan=False))
    else:
        typer.echo(_comparison_text(rows))
    if failed:
        names = ", ".join(row["run"] for row in failed)
        raise ToleranceError(f"more than {sigma:g} errors + {tolerance:g} from the reference: {names}")


@app.command()
def plot(
    run: RunFolder,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Such as density.")] = None,
    format: Annotated[Format, typer.Option("--format", help="File format.")] = Format.png,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; left out: RUN/plots.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Print the names of the plots and stop.")] = False,
) -> None:
    """Draw the convergence, the densities and the drift of a run (all, or those named)."""
    from fkflow.store import find_result, read_result

    result = read_result(run)
    from fkflow.plot import save_all, select

    if only_list:
        typer.echo("\n".join(select(result, names)))
        return
    folder = find_result(run).parent / "plots" if out is None else out
    for path in save_all(result, folder, names, format=str(format)):
        typer.echo(path.as_posix())


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the systems with their parameters, the shipped recipes and the reference energies."""
    from fkflow import config, registry
    from fkflow.results import strict_json, title

    models: list[Any] = list(registry.systems().values())
    systems = [_about(model()) for model in models]
    recipes = [{"recipe": name} | _about(config.load(name).recipe.system) for name in registry.recipes()]
    if as_json:
        typer.echo(
            json.dumps(strict_json({"systems": systems, "recipes": recipes}), indent=2, allow_nan=False)
        )
        return
    lines = ["Systems, with the defaults of their parameters (fkflow init SYSTEM writes a recipe):"]
    for item in systems:
        lines += _listed(item["system"], title("", item["parameters"]).strip() or "no parameters", item)
    lines += ["", "Shipped recipes (fkflow run RECIPE):"]
    for item in recipes:
        lines += _listed(item["recipe"], title(item["system"], item["parameters"]), item)
    typer.echo("\n".join(lines))


@app.command()
def init(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="A name that fkflow list shows.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write this file (never over another).")] = None,
) -> None:
    """Print a recipe for a system, every key with its default and a comment."""
    from fkflow.config import commented

    text = commented(system)
    if out is None:
        typer.echo(text.rstrip())
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{out} exists already: choose another --out, or remove it first") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{out} cannot be written: {reason}") from error
    typer.echo(f"wrote {out}; next: fkflow run {out}", err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; expected errors become one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        # an ASCII terminal shows ? for ± rather than a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # the exit code of an early exit, else what the command returned: nothing
        code = app(arguments or ["--help"], prog_name="fkflow", standalone_mode=False) or 0
        sys.stdout.flush()
    except FkflowError as error:
        return _complain(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        # the reader (head, less) went away: nothing more can be said, not even by the flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # usage errors: their class lives in click or inside typer, depending on the version
        if not hasattr(error, "format_message"):
            raise
        return _complain(error.format_message(), getattr(error, "exit_code", 2))
    return _complain("interrupted", 130) if code == 130 else code


def _complain(message: str, code: int) -> int:
    print("fkflow: error:", " ".join(message.split()), file=sys.stderr)
    return code


# ---------------------------------------------------------------------------------------------------- output


def _present(result: Result, as_json: bool) -> None:
    if as_json:
        for warning in result.measurement.warnings:
            print("fkflow: warning:", warning, file=sys.stderr)
        typer.echo(json.dumps(result.summary(), indent=2, allow_nan=False))
    else:
        typer.echo(f"{result.describe()}\n  {'plots':<20} fkflow plot {result.run}")


def _about(system: System) -> dict[str, Any]:
    reference = system.reference()
    return {
        "system": system.key,
        "parameters": system.parameters(),
        "reference": reference
        and {"energy": reference.energy, "error": reference.error, "source": reference.source},
        "unit": system.energy_unit,
    }


def _listed(name: str, what: str, item: dict[str, Any]) -> list[str]:
    from fkflow.results import known_energy

    reference = item["reference"]
    about = "no reference energy"
    if reference:
        energy = known_energy(reference["energy"], reference["error"])
        about = f"E0 = {energy} {item['unit']}  ({reference['source']})"
    return [f"  {name:<18} {what}", f"  {'':<18} {about}"]


def _compared(results: Sequence[Result], sigma: float, tolerance: float) -> list[dict[str, Any]]:
    """One row a run: its difference from the reference and from the lowest run of the same system."""
    from fkflow.results import Comparison

    rows = []
    for result in results:
        alike = [r for r in results if (r.system, r.parameters) == (result.system, result.parameters)]
        lowest = min(alike, key=lambda other: other.energy.value)
        row: dict[str, Any] = {
            "run": result.run,
            "system": result.system,
            "parameters": result.parameters,
            "unit": result.energy_unit,
            "energy": result.energy.value,
            "error": result.energy.error,
            "reference": result.summary()["reference"],
            "difference": None,
            "z": None,
            "within": None,
            "above_lowest": None,
        }
        if result.reference is not None:
            compared = Comparison.of(result)
            row |= {
                "difference": compared.difference,
                "z": compared.z,
                "within": compared.within(sigma, tolerance),
            }
        if len(alike) > 1:
            above = Comparison.between(
                result.energy.value, result.energy.error, lowest.energy.value, lowest.energy.error
            )
            # the lowest run is not compared with itself: its errors would not be independent
            row["above_lowest"] = {
                "run": lowest.run,
                "difference": above.difference,
                "z": 0.0 if result is lowest else above.z,
            }
        rows.append(row)
    return rows


def _comparison_text(rows: Sequence[dict[str, Any]]) -> str:
    from fkflow.results import known_energy, title
    from fkflow.statistics import Estimate

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(title(row["system"], row["parameters"]), []).append(row)
    lines = []
    for name, members in groups.items():
        reference, unit = members[0]["reference"], members[0]["unit"]
        lines.append(f"{name}   energies in {unit}")
        table = [["run", "energy", "minus reference", "z", "", "above lowest", "z"]]
        for row in members:
            verdict = {True: "agrees", False: "OUT OF TOLERANCE", None: "no reference"}[row["within"]]
            lowest = row["above_lowest"]
            energy = str(Estimate(row["energy"], row["error"]))
            table.append(
                [row["run"], energy, _signed(row["difference"], ".1e"), _signed(row["z"], ".1f"), verdict]
                + ([f"{lowest['difference']:.1e}", f"{lowest['z']:.1f}"] if lowest else ["", ""])
            )
        if len(members) == 1:
            table = [cells[:5] for cells in table]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
        for cells in table:
            lines.append("  " + "  ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip())
        if reference:
            energy = known_energy(reference["energy"], reference["error"])
            lines.append(f"  reference {energy}: {reference['source']}")
        lines.append("")
    lines.append(
        "Variational energies are upper bounds: but for its error, none lies below the exact energy."
    )
    return "\n".join(lines)


def _signed(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:+{form}}"


# -------------------------------------------------------------------------------------------------- progress


@contextlib.contextmanager
def _progress(as_json: bool) -> Iterator[Progress]:
    """A bar on a terminal, else plain lines, both on stderr; with `as_json` stray prints go there too."""
    progress: Progress = _Bar() if sys.stderr.isatty() else _Lines()
    keep_stdout = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with keep_stdout:
        try:
            yield progress
        finally:
            progress.close()


def _energy_text(energy: float | None, error: float | None) -> str:
    from fkflow.statistics import Estimate

    if energy is None or not math.isfinite(energy):
        return ""
    if error is None or not (math.isfinite(error) and error > 0):
        return f"{energy:.6g}"
    return str(Estimate(energy, error))


class _Lines:
    """Progress as plain lines: one when a stage begins, then one every few seconds, one when it ends."""

    every = 5.0

    def __init__(self) -> None:
        self._stage = ""
        self._total: float | None = None
        self._began = self._last = time.monotonic()
        self._pending = ""

    def stage(self, name: str, total: float | None) -> None:
        self._flush()
        self._stage, self._total = name, total
        self._began = self._last = time.monotonic()
        self.log(f"{name} ...")

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        now = time.monotonic()
        took = now - self._began
        parts = [self._stage]
        if self._total:
            parts.append(f"{min(100.0, 100 * done / self._total):3.0f}%")
        if text := _energy_text(energy, error):
            parts.append(f"energy {text}")
        parts.append(f"{took:.0f} s")
        if self._total and 0 < done < self._total:
            parts.append(f"{took * (self._total - done) / done:.0f} s left")
        self._pending = "  ".join([*parts, note]).rstrip()
        if now - self._last >= self.every:
            self._last = now
            self._flush()

    def log(self, line: str) -> None:
        print(f"fkflow: {line}", file=sys.stderr, flush=True)

    def close(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._pending:
            self.log(self._pending)
        self._pending = ""


class _Bar:
    """Progress as one bar of rich: stage, bar, energy ± error, time taken and left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True, highlight=False)
        wide = console.width >= 70
        columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f}%")] if wide else []
        columns += [TextColumn("{task.fields[energy]}", markup=False), TimeElapsedColumn()]
        columns += [TextColumn("left"), TimeRemainingColumn()] if wide else []
        self._progress = Progress(*columns, console=console, expand=wide, transient=True)
        self._task: Any = None

    def stage(self, name: str, total: float | None) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total, energy="")
        self._progress.start()

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        text = "  ".join(part for part in (_energy_text(energy, error), note) if part)
        self._progress.update(self._task, completed=done, energy=text)

    def log(self, line: str) -> None:
        self._progress.console.print(line, markup=False)

    def close(self) -> None:
        self._progress.stop()
