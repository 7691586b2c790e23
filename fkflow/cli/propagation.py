"""The command that applies e^(−tH)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fkflow.cli import completion, reports
from fkflow.cli.options import Force, Json, Log, Overrides, Quiet, Seed, Threads
from fkflow.errors import UsageError
from fkflow.execution.startup import heavy_imports

if TYPE_CHECKING:
    import numpy as np


def propagate(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="SYSTEM",
            help="A TOML file, a shipped recipe, a system (a name or FILE.py:CLASS), or a finished run.",
            autocompletion=completion.recipes,
        ),
    ],
    psi: Annotated[
        str | None, typer.Option("--psi", metavar="FORMULA", help='The function, such as "exp(-(x-1)**2)".')
    ] = None,
    gaussian: Annotated[
        str | None,
        typer.Option("--gaussian", metavar="CENTRE:WIDTH", help="exp(-|x - centre|^2/2 width^2), as 1:0.5 or 1,0:0.5."),
    ] = None,
    psi_run: Annotated[
        str | None, typer.Option("--psi-run", metavar="RUN", help="The ground state that a run has found.")
    ] = None,
    times: Annotated[
        list[float] | None, typer.Option("--time", metavar="T", help="Imaginary time; several are allowed.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="A:B:STEP", help="Axis of a grid, one for each of 1 or 2 coordinates."),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option("--point", metavar="X,Y,...", help="A place, all coordinates in a row; several are allowed."),
    ] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option("--kernel", metavar="X:Y", help="<y|e^-tH|x> between two places; several are allowed."),
    ] = None,
    survival: Annotated[bool, typer.Option("--survival", help="Also <psi|e^-tH|psi>.")] = False,
    drift: Annotated[
        int,
        typer.Option("--drift", metavar="N", min=0, max=1000, help="Also the drift at N times before the last one."),
    ] = 0,
    paths: Annotated[
        int | None,
        typer.Option("--paths", metavar="N", min=50, max=10**7, help="Paths of a value; left out: 1000 or more."),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; left out: runs/SYSTEM-propagated.")] = None,
    seed: Seed = None,
    threads: Threads = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    log: Log = None,
) -> None:
    """Apply e^(-tH) to a function: its values on a grid or at points, kernels, survival amplitudes, the drift v(x, t)."""
    from fkflow.execution import progress
    from fkflow.results import folders
    from fkflow.results.paths import RUNS
    from fkflow.results.propagation_store import claim_propagation
    from fkflow.runs.rerun import load_recipe

    loaded, earlier_seed, earlier_threads = load_recipe(recipe, list(overrides or ()))
    shape = int(loaded.recipe.system.particles), int(loaded.recipe.system.dimensions)
    places = [_numbers("--point", text, shape) for text in point or ()]
    pairs = [[_numbers("--kernel", part, shape) for part in _two("--kernel", text, "X:Y")] for text in kernel or ()]
    axes = tuple(_axis(text) for text in grid or ())
    about = None
    if gaussian is not None:
        centre, width = _two("--gaussian", gaussian, "CENTRE:WIDTH")
        about = tuple(_floats("--gaussian", centre)), _floats("--gaussian", width)[0]
    out = RUNS / f"{loaded.name}-propagated" if out is None else out
    with folders.claim_folder(out, False, claim_propagation, force=force):
        with heavy_imports():
            import numpy as np

            from fkflow.runs.context import RunContext
            from fkflow.runs.propagate import execute
            from fkflow.runs.propagation_request import Request

        request = Request(
            tuple(times or ()),
            psi,
            about,
            psi_run,
            np.array(places) if places else None,
            axes,
            np.array(pairs) if pairs else None,
            survival,
            drift,
            paths,
        )
        with progress.show_progress(quiet, log) as watcher:
            context = RunContext(
                loaded,
                watcher,
                seed=earlier_seed if seed is None else seed,
                threads=earlier_threads if threads is None else threads,
                out=out,
            )
            found = execute(context, request)
    reports.print_propagation(found, as_json, log)


def _floats(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}: numbers with commas between them are needed, as in 0.5,-1") from None


def _numbers(option: str, text: str, shape: tuple[int, int]) -> list[list[float]]:
    """The coordinates (N, D) of a place."""
    found, (n, dim) = _floats(option, text), shape
    if len(found) != n * dim:
        many = f"{n} particle{'s' if n > 1 else ''} in {dim} dimension{'s' if dim > 1 else ''}"
        raise UsageError(f"{option} {text}: {len(found)} numbers are given, and {many} need {n * dim}")
    return [found[i * dim : (i + 1) * dim] for i in range(n)]


def _two(option: str, text: str, form: str) -> list[str]:
    parts = text.split(":")
    if len(parts) != 2:
        raise UsageError(f"{option} {text} is not of the form {form}")
    return parts


def _axis(text: str) -> np.ndarray:
    """The points of A:B:STEP, both ends among them."""
    import math

    import numpy as np

    try:
        low, high, step = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"--grid {text} is not of the form A:B:STEP, such as -3:3:0.1") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high and 0 < step <= high - low):
        raise UsageError(f"--grid {text}: A must be below B, and STEP above 0 and at most B - A")
    if (high - low) / step > 1e5:
        raise UsageError(f"--grid {text} has more than 100000 places")
    return np.asarray(low + step * np.arange(math.floor((high - low) / step + 1e-6) + 1))
