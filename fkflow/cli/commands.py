"""The app of the command ``fkflow`` and its commands, in the order of ``fkflow --help``.

PyTorch, h5py and matplotlib are imported inside the commands, so that ``--help`` is instant.
"""

from __future__ import annotations

from typing import Annotated

import typer

from fkflow.cli import compute, pictures, recipes, reports

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


app.command()(compute.run)
app.command()(recipes.check)
app.command()(compute.scan)
app.command()(compute.measure)
app.command()(reports.show)
app.command(help=reports.COMPARE_HELP)(reports.compare)
app.command()(pictures.plot)
app.command()(pictures.animate)
app.command("list")(recipes.list_)
app.command()(recipes.init)
