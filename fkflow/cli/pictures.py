"""The commands that draw: plot, animate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fkflow.cli import output
from fkflow.cli.options import FilmFormat, Format, Quiet, RunFolder
from fkflow.errors import UsageError


def plot(
    run: RunFolder,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Such as density.")] = None,
    format: Annotated[Format, typer.Option("--format", help="File format.")] = Format.png,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; left out: RUN/plots.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Print the names of the plots and stop.")] = False,
) -> None:
    """Draw convergence, projection, densities, drift and trajectories of a run (all, or those named), a scan or propagation."""
    from fkflow.results.paths import find_result
    from fkflow.results.propagation_store import find_propagation, read_propagation
    from fkflow.results.scan_store import find_scan, read_scan
    from fkflow.results.store import read_result

    if (found := find_scan(run)) is not None:
        from fkflow.plot import save_scan

        if unknown := [name for name in names or () if name != "scan"]:
            raise UsageError(f"{found.parent} has no plot called {unknown[0]!r}: it has scan")
        written = "scan" if only_list else save_scan(read_scan(found), out or found.parent, str(format)).as_posix()
        output.emit(written)
        return
    if (found := find_propagation(run)) is not None:
        from fkflow.plot import propagation

        propagated = read_propagation(found)
        if only_list:
            output.emit("\n".join(propagation.select(propagated, names)))
            return
        for path in propagation.save_all(propagated, out or found.parent / "plots", names, str(format)):
            output.emit(path.as_posix())
        return
    result = read_result(run)
    from fkflow.plot import missing_reasons, save_all, select

    if only_list:
        output.emit("\n".join(select(result, names)))
        for reason in () if names else missing_reasons(result):
            output.complain(f"not there: {reason}")
        return
    folder = find_result(run).parent / "plots" if out is None else out
    for path in save_all(result, folder, names, format=str(format)):
        output.emit(path.as_posix())


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
    quiet: Quiet = False,
) -> None:
    """Film walkers that move under the learned drift, over the density, or v(x, t) of a propagation, as MP4 or GIF."""
    from fkflow.execution import progress
    from fkflow.results.propagation_store import find_propagation, read_propagation
    from fkflow.results.store import read_result

    for text in overrides or ():
        if not text.strip().startswith("system.file"):
            raise UsageError(f"--set {text}: only system.file can be given, where the file of the run's system is now")
    if (found := find_propagation(run)) is not None:
        from fkflow.plot.drift_film import write_film as write_drift

        path = write_drift(read_propagation(found), out, str(format), seconds, fps, size, walkers, seed)
        output.emit(path.as_posix())
        return
    result = read_result(run)
    from fkflow.runs.animate import Film
    from fkflow.runs.animate import animate as write_film

    film = Film(seconds, fps, speed, walkers, size, seed)
    with progress.show_progress(quiet) as watcher:
        path = write_film(result, film, out, str(format), watcher, overrides or ())
    output.emit(path.as_posix())
