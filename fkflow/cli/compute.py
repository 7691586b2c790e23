"""The commands that compute: run, scan, measure."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fkflow.cli import completion, output, reports
from fkflow.cli.options import (
    Device,
    Force,
    Json,
    Log,
    On,
    Overrides,
    Processes,
    Quiet,
    RunFolder,
    Seed,
    Target,
    Threads,
)
from fkflow.errors import NumericalError, UsageError
from fkflow.execution import launch, ranks
from fkflow.execution.startup import heavy_imports

if TYPE_CHECKING:
    from fkflow.recipe.config import Loaded
    from fkflow.runs.scan_grid import Planned


def run(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, a shipped recipe, a system (a name or FILE.py:CLASS), or a finished run to repeat.",
            autocompletion=completion.recipes,
        ),
    ],
    overrides: Overrides = None,
    target_error: Target = None,
    temperature: Annotated[
        list[float] | None,
        typer.Option(
            "--temperature",
            metavar="T",
            help="Free energy at T (k_B = 1) in place of the ground state; several are allowed.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; left out: runs/<recipe>.")] = None,
    seed: Seed = None,
    device: On = Device.auto,
    processes: Processes = None,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")] = False,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the full recipe and stop.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    log: Log = None,
) -> None:
    """Train on a recipe, then measure and project, and write the run folder."""
    from fkflow.runs.rerun import earlier_processes, load_recipe

    settings = _settings(overrides, target_error, "train", "measure", "project")
    if temperature:
        settings.append(f"thermal.temperature={list(temperature) if len(temperature) > 1 else temperature[0]!r}")
    if dry_run:
        from fkflow.recipe.config import to_toml
        from fkflow.results.report import to_json

        resolved = load_recipe(recipe, settings)[0].recipe.resolved()
        output.emit(to_json(resolved) if as_json else to_toml(resolved).rstrip())
        return
    from fkflow.execution import progress
    from fkflow.results import folders
    from fkflow.results.paths import RUNS

    if processes is None and launch.read_environment()[1] == 1:
        processes = earlier_processes(recipe)
    with launch.join_ranks(processes):
        loaded, earlier_seed, earlier_threads = load_recipe(recipe, settings)
        out = RUNS / loaded.name if out is None else out
        with contextlib.nullcontext() if ranks.rank() else folders.claim_folder(out, resume, force=force):
            with heavy_imports():
                from fkflow.runs.context import RunContext
                from fkflow.runs.run import execute

            with progress.show_progress(quiet, log) as watcher:
                context = RunContext(
                    loaded,
                    watcher,
                    seed=earlier_seed if seed is None else seed,
                    device=str(device),
                    threads=earlier_threads if threads is None else threads,
                    out=out,
                    resume=resume,
                )
                result = execute(context)
    reports.print_result(result, as_json, log)


def scan(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, a shipped recipe, or a system (a name or FILE.py:CLASS).",
            autocompletion=completion.recipes,
        ),
    ],
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="KEY=A:B:STEP",
            help="What to vary, or KEY=[A, LIST]; several make a grid. Left out: what the recipe's section scan says.",
        ),
    ] = None,
    overrides: Overrides = None,
    target_error: Target = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the scan; left out: runs/<recipe>.")] = None,
    seed: Seed = None,
    device: On = Device.auto,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", metavar="N", min=1, max=256, help="Processes that share the walkers of each point."
        ),
    ] = None,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")] = False,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the recipe and the points and stop.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    log: Log = None,
) -> None:
    """Run a recipe at many values of its parameters, each point started from its neighbour; a table and a plot."""
    from fkflow.execution import progress
    from fkflow.recipe import config
    from fkflow.results import folders
    from fkflow.results.paths import RUNS
    from fkflow.results.scan_store import claim_scan
    from fkflow.runs import scan_grid

    if launch.read_environment()[1] > 1:
        raise UsageError(
            "a scan works without torchrun: start it with --processes, or its points one by one with fkflow run"
        )
    base = config.load(recipe, _settings(overrides, target_error, "train", "measure", "project"))
    given = over or (base.scan.over if base.scan else ())
    if not given:
        raise UsageError(f"{base.source} does not say what to scan: give --over {scan_grid.FORM}")
    overs = scan_grid.parse_overs(given, "--over" if over else f"{base.source}: scan.over")
    planned = scan_grid.plan(base, overs)
    if any(len(point.loaded.recipe.thermal.betas()) > 1 for point in planned):
        raise UsageError(
            "a point of a scan has one temperature: give the others as --over thermal.temperature=[0.5, 1]"
        )
    if dry_run:
        _print_plan(base, given, planned, as_json)
        return
    out = RUNS / base.name if out is None else out
    with launch.join_ranks(processes):
        with contextlib.nullcontext() if ranks.rank() else folders.claim_folder(out, resume, claim_scan, force=force):
            with heavy_imports():
                from fkflow.runs.context import RunContext
                from fkflow.runs.scan import execute

            with progress.show_progress(quiet, log) as watcher:
                context = RunContext(
                    base, watcher, seed=seed, device=str(device), threads=threads, out=out, resume=resume
                )
                result = execute(context, overs, planned)
    if result is None:
        return
    reports.print_scan(result, as_json, log)
    if result.failed:
        names = ", ".join(point.run for point in result.failed)
        raise NumericalError(
            f"{len(result.failed)} of {len(result.points)} points failed: {names}; --resume tries again"
        )


def measure(
    run: RunFolder,
    overrides: Overrides = None,
    target_error: Target = None,
    seed: Seed = None,
    device: On = Device.auto,
    processes: Processes = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    log: Log = None,
) -> None:
    """Measure and project a finished run again, its drift frozen: other samples, a smaller error."""
    from fkflow.execution import progress
    from fkflow.results.locks import lock_folder
    from fkflow.results.paths import find_result

    with launch.join_ranks(processes):
        path = find_result(run)
        with contextlib.nullcontext() if ranks.rank() else lock_folder(path.parent):
            with heavy_imports():
                from fkflow.runs.remeasure import measure_again

            with progress.show_progress(quiet, log) as watcher:
                result = measure_again(
                    path,
                    overrides=_settings(overrides, target_error, "measure", "project"),
                    seed=seed,
                    threads=threads,
                    device=str(device),
                    progress=watcher,
                )
    reports.print_result(result, as_json, log)


def _settings(overrides: Sequence[str] | None, target_error: float | None, *sections: str) -> list[str]:
    """The overrides of a command: --target-error in each of these sections, then --set, which wins."""
    if target_error is None:
        return list(overrides or ())
    from fkflow.recipe.schema import target_sections

    tables = target_sections(target_error)
    settings = [f"{section}.{key}={value!r}" for section in sections for key, value in tables[section].items()]
    return [*settings, *(overrides or ())]


def _print_plan(base: Loaded, over: Sequence[str], planned: Sequence[Planned], as_json: bool) -> None:
    """Print the base recipe and the points of a scan that is not run."""
    from fkflow.recipe import config
    from fkflow.results.report import to_json

    resolved = base.recipe.resolved()
    if as_json:
        points = [{"run": point.name, "values": point.values} for point in planned]
        output.emit(to_json({"recipe": resolved, "over": list(over), "points": points}))
    else:
        lines = [config.to_toml(resolved), f"# {len(planned)} points, in this order"]
        output.emit("\n".join([*lines, *(f"#   {point.name}" for point in planned)]))
