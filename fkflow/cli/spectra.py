"""The command that computes excited states."""

from __future__ import annotations

from typing import Annotated

import typer

from fkflow.cli import reports
from fkflow.cli.options import Json, Log, Overrides, Quiet, RunFolder, Seed, Threads
from fkflow.execution.startup import heavy_imports


def spectrum(
    run: RunFolder,
    states: Annotated[
        int | None, typer.Option("--states", metavar="N", min=1, max=100, help="Excited levels; left out: 6.")
    ] = None,
    statistics: Annotated[
        str | None,
        typer.Option("--statistics", metavar="bose|fermi", help="fermi: levels that change sign with an exchange."),
    ] = None,
    overrides: Overrides = None,
    seed: Seed = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    log: Log = None,
) -> None:
    """Compute excited states of a finished run from its drift: levels, gaps and densities, by symmetry."""
    from fkflow.execution import progress
    from fkflow.results.locks import lock_folder
    from fkflow.results.paths import find_result

    settings = [f"spectrum.states={states}"] * (states is not None)
    settings += [f"spectrum.statistics={statistics}"] * (statistics is not None)
    path = find_result(run)
    with lock_folder(path.parent):
        with heavy_imports():
            from fkflow.results.store import read_result
            from fkflow.runs.context import RunContext
            from fkflow.runs.spectrum import compute_spectrum, recipe_for

        with progress.show_progress(quiet, log) as watcher:
            old = read_result(path)
            loaded = recipe_for(old, [*settings, *(overrides or ())])
            given = int(old.provenance["seed"]) if seed is None else seed
            context = RunContext(loaded, watcher, seed=given, device="cpu", threads=threads)
            result = compute_spectrum(old, context)
    reports.print_spectrum(result, as_json, log)
