"""The app of the command ``fkflow`` and its commands, in the order of ``fkflow --help``.

PyTorch, h5py and matplotlib are imported inside the commands, so that ``--help`` is instant.
"""

from __future__ import annotations

from typing import Annotated

import typer

from fkflow.cli import compute, pictures, propagation, recipes, reports, spectra
from fkflow.cli.output import owns_stdout

app = typer.Typer(
    help="Quantum ground states by learning the drift of a Feynman-Kac diffusion.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"fkflow {installed('fkflow')}")
        raise typer.Exit


app.command()(owns_stdout(compute.run))
app.command()(owns_stdout(recipes.check))
app.command()(owns_stdout(compute.scan))
app.command()(owns_stdout(compute.measure))
app.command()(owns_stdout(spectra.spectrum))
app.command()(owns_stdout(propagation.propagate))
app.command()(owns_stdout(reports.show))
app.command(help=reports.COMPARE_HELP)(owns_stdout(reports.compare))
app.command()(owns_stdout(pictures.plot))
app.command()(owns_stdout(pictures.animate))
app.command("list")(owns_stdout(recipes.list_))
app.command()(owns_stdout(recipes.init))
