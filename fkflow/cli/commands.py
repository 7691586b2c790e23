"""The command ``fkflow``: options, progress and output; the work is done elsewhere.

Everything heavy (torch, h5py, matplotlib) is imported inside the commands, so that ``--help`` is instant.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fkflow.cli.options import (
    Device,
    FilmFormat,
    Format,
    Json,
    On,
    Overrides,
    Processes,
    RunFolder,
    Seed,
    Target,
    Threads,
)
from fkflow.errors import NumericalError, ToleranceError, UsageError
from fkflow.execution import launch, ranks
from fkflow.execution.startup import heavy_imports

if TYPE_CHECKING:
    from fkflow.recipe.config import Loaded
    from fkflow.results.records import Result
    from fkflow.results.scan_records import Scan
    from fkflow.runs.scan_grid import Planned

app = typer.Typer(
    help="Quantum ground states by learning the drift of a Feynman-Kac diffusion.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"fkflow {installed('fkflow')}")
        raise typer.Exit


@app.command()
def run(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A TOML file, a shipped recipe, or a finished run to repeat.")
    ],
    overrides: Overrides = None,
    target_error: Target = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; left out: runs/<recipe>.")] = None,
    seed: Seed = None,
    device: On = Device.auto,
    processes: Processes = None,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the full recipe and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Train on a recipe, then measure and project, and write the run folder."""
    from fkflow.recipe import config
    from fkflow.runs.rerun import earlier_processes, recipe_or_result, single

    settings = [*_targets(target_error, "train", "measure", "project"), *(overrides or ())]
    if dry_run:
        from fkflow.results.report import to_json

        loaded = single(recipe_or_result(recipe, settings)[0])
        resolved = loaded.recipe.resolved()
        typer.echo(to_json(resolved) if as_json else config.to_toml(resolved).rstrip())
        return
    from fkflow.execution import progress
    from fkflow.results import folders

    if processes is None and launch.launched()[1] == 1:
        processes = earlier_processes(recipe)
    with launch.joined(processes):
        loaded, earlier_seed, earlier_threads = recipe_or_result(recipe, settings)
        single(loaded)
        seed = earlier_seed if seed is None else seed
        threads = earlier_threads if threads is None else threads
        out = Path("runs") / loaded.name if out is None else out
        with contextlib.nullcontext() if ranks.rank() else folders.claimed(out, resume):
            with heavy_imports():
                from fkflow.runs.run import execute

            with progress.watch(as_json) as watcher:
                result = execute(
                    loaded, out, seed=seed, device=str(device), threads=threads, resume=resume, progress=watcher
                )
    _present(result, as_json)


@app.command()
def check(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A TOML file, or a shipped recipe.")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Check a recipe and the potential of its system, without a run, and print what was found."""
    from fkflow.recipe import config
    from fkflow.recipe.inspection import inspect
    from fkflow.results import report

    found = inspect(config.load(recipe, overrides or ()).recipe)
    typer.echo(report.to_json(found) if as_json else report.inspection_text(found))


@app.command()
def scan(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A TOML file, or a shipped recipe.")],
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
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the folder's scan.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the recipe and the points and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Run a recipe at many values of its parameters, each point started from its neighbour; a table and a plot."""
    from fkflow.execution import progress
    from fkflow.recipe import config
    from fkflow.results import folders
    from fkflow.runs import scan_grid

    if launch.launched()[1] > 1:
        raise UsageError(
            "a scan works in one process: start it without torchrun, or its points one by one with fkflow run"
        )
    settings = [*_targets(target_error, "train", "measure", "project"), *(overrides or ())]
    base = config.load(recipe, settings)
    given = over or (base.scan.over if base.scan else ())
    if not given:
        raise UsageError(f"{base.source} does not say what to scan: give --over {scan_grid.FORM}")
    overs = scan_grid.parse_overs(given, "--over" if over else f"{base.source}: scan.over")
    planned = scan_grid.plan(base, overs)
    if dry_run:
        _show_plan(base, given, planned, as_json)
        return
    out = Path("runs") / base.name if out is None else out
    with folders.claimed(out, resume, folders.prepare_scan):
        with heavy_imports():
            from fkflow.runs.scan import execute

        with progress.watch(as_json) as watcher:
            result = execute(
                base,
                overs,
                planned,
                out,
                seed=seed,
                device=str(device),
                threads=threads,
                resume=resume,
                progress=watcher,
            )
    _present_scan(result, as_json)
    if result.failed:
        names = ", ".join(point.run for point in result.failed)
        raise NumericalError(
            f"{len(result.failed)} of {len(result.points)} points failed: {names}; --resume tries again"
        )


@app.command()
def measure(
    run: RunFolder,
    overrides: Overrides = None,
    target_error: Target = None,
    seed: Seed = None,
    device: On = Device.auto,
    processes: Processes = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure and project a finished run again, its drift frozen: other samples, a smaller error."""
    from fkflow.execution import progress
    from fkflow.results import folders

    with launch.joined(processes):
        path = folders.find_result(run)
        with contextlib.nullcontext() if ranks.rank() else folders.locked(path.parent):
            with heavy_imports():
                from fkflow.runs.run import measure_again

            with progress.watch(as_json) as watcher:
                result = measure_again(
                    path,
                    overrides=[*_targets(target_error, "measure", "project"), *(overrides or ())],
                    seed=seed,
                    threads=threads,
                    device=str(device),
                    progress=watcher,
                )
    _present(result, as_json)


@app.command()
def show(run: RunFolder, as_json: Json = False) -> None:
    """Print the energies of a finished run, or the table of a scan."""
    from fkflow.results.scan_store import find_scan, read_scan
    from fkflow.results.store import read_result

    if (found := find_scan(run)) is not None:
        _present_scan(read_scan(found), as_json)
    else:
        _present(read_result(run), as_json)


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


@app.command(help=COMPARE_HELP)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders or result files.")],
    sigma: Annotated[float, typer.Option("--sigma", min=0, help="Allowed difference in errors.")] = 3.0,
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="... plus this much energy.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Compare the energies of runs with their references, and with each other."""
    from fkflow.results import report
    from fkflow.results.store import read_result

    rows = report.compared([read_result(run) for run in runs], sigma, tolerance)
    failed = [row for row in rows if row["within"] is False]
    if as_json:
        typer.echo(report.to_json({"sigma": sigma, "tolerance": tolerance, "ok": not failed, "runs": rows}))
    else:
        typer.echo(report.comparison_text(rows))
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
    """Draw convergence, projection, densities, drift and trajectories of a run (all, or those named), or a scan."""
    from fkflow.results.scan_store import find_scan, read_scan
    from fkflow.results.store import find_result, read_result

    if (found := find_scan(run)) is not None:
        from fkflow.plot import save_scan

        if unknown := [name for name in names or () if name != "scan"]:
            raise UsageError(f"{found.parent} has no plot called {unknown[0]!r}: it has scan")
        written = "scan" if only_list else save_scan(read_scan(found), out or found.parent, str(format)).as_posix()
        typer.echo(written)
        return
    result = read_result(run)
    from fkflow.plot import missing_reasons, save_all, select

    if only_list:
        typer.echo("\n".join(select(result, names)))
        for reason in () if names else missing_reasons(result):
            typer.echo(f"not there: {reason}", err=True)
        return
    folder = find_result(run).parent / "plots" if out is None else out
    for path in save_all(result, folder, names, format=str(format)):
        typer.echo(path.as_posix())


@app.command()
def animate(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option("--out", help="File; left out: RUN/plots/walkers.mp4 or .gif.")] = None,
    format: Annotated[FilmFormat, typer.Option("--format", help="auto: mp4 if there is ffmpeg.")] = FilmFormat.auto,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Length of the film.")] = 10.0,
    fps: Annotated[int, typer.Option("--fps", metavar="N", min=1, max=50, help="Pictures a second.")] = 20,
    speed: Annotated[float, typer.Option("--speed", metavar="V", help="Natural times of the system a second.")] = 0.5,
    walkers: Annotated[
        int | None, typer.Option("--walkers", metavar="W", min=1, help="Left out: 1, or 12 of a single particle.")
    ] = None,
    size: Annotated[int, typer.Option("--size", metavar="PIXELS", min=160, max=1920, help="Width of the film.")] = 640,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Seed: the same one gives the same film.")
    ] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="system.file=FILE.py:CLASS", help="Where the file of the run's system is now."),
    ] = None,
) -> None:
    """Film walkers that move under the learned drift, over the density, as MP4 or GIF."""
    from fkflow.execution import progress
    from fkflow.results.store import read_result

    for text in overrides or ():
        if not text.strip().startswith("system.file"):
            raise UsageError(f"--set {text}: only system.file can be given, where the file of the run's system is now")
    result = read_result(run)
    from fkflow.runs.animate import Film
    from fkflow.runs.animate import animate as write_film

    film = Film(seconds, fps, speed, walkers, size, seed)
    with progress.watch(False) as watcher:
        path = write_film(result, film, out, str(format), watcher, overrides or ())
    typer.echo(path.as_posix())


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the systems with their parameters and where they come from, the shipped recipes and the reference energies."""
    from fkflow.hamiltonian import plugins, registry
    from fkflow.recipe import config
    from fkflow.results import report

    models: list[Any] = list(registry.systems().values())
    systems = [report.about(model()) | {"origin": "built in"} for model in models]
    for plugin in plugins.found(registry.systems()).values():
        try:
            systems.append(report.about_class(plugin.load()) | {"origin": plugin.origin})
        except Exception as error:  # whatever a plug-in raises, it is one line here
            told = isinstance(error, UsageError)
            line = str(error) if told else f"the plug-in {plugin.name} of {plugin.origin} raises {error!r}"
            print("fkflow: warning:", " ".join(line.split()), file=sys.stderr)
    loaded = [(name, config.load(name)) for name in registry.recipes()]
    recipes = [
        {"recipe": name, "over": list(one.scan.over) if one.scan else None} | report.about(one.recipe.system)
        for name, one in loaded
    ]
    if as_json:
        typer.echo(report.to_json({"systems": systems, "recipes": recipes}))
    else:
        typer.echo(report.list_text(systems, recipes))


@app.command()
def init(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="A name that fkflow list shows, or FILE.py:CLASS.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write this file (never over another).")] = None,
) -> None:
    """Print a recipe for a system, every key with its default and a comment."""
    from fkflow.recipe.template import commented

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


def _targets(error: float | None, *sections: str) -> list[str]:
    """--target-error as --set of every section that has a target; what is set by hand comes later and wins."""
    if error is None:
        return []
    from fkflow.recipe.schema import targets

    return [f"{section}.{key}={value!r}" for section in sections for key, value in targets(error)[section].items()]


def _show_plan(base: Loaded, over: Sequence[str], planned: Sequence[Planned], as_json: bool) -> None:
    """The base recipe and the points of a scan that is not run."""
    from fkflow.recipe import config
    from fkflow.results import report

    resolved = base.recipe.resolved()
    if as_json:
        points = [{"run": point.name, "values": point.values} for point in planned]
        typer.echo(report.to_json({"recipe": resolved, "over": list(over), "points": points}))
    else:
        lines = [config.to_toml(resolved), f"# {len(planned)} points, in this order"]
        typer.echo("\n".join([*lines, *(f"#   {point.name}" for point in planned)]))


def _present(result: Result | None, as_json: bool) -> None:
    from fkflow.results import report

    if result is None:  # another rank has it
        return
    if as_json:
        for warning in result.warnings:
            print("fkflow: warning:", warning, file=sys.stderr)
        typer.echo(report.to_json(result.summary()))
    else:
        typer.echo(report.result_text(result))


def _present_scan(result: Scan, as_json: bool) -> None:
    from fkflow.results import report

    typer.echo(report.to_json(result.summary()) if as_json else report.scan_text(result))
