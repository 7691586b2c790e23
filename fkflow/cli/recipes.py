"""The commands about recipes and systems: check, list, init."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fkflow.cli.options import Json, Overrides
from fkflow.errors import UsageError


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


def list_(as_json: Json = False) -> None:
    """List the systems with their parameters and where they come from, the shipped recipes and the reference energies."""
    from fkflow.hamiltonian import plugins, registry
    from fkflow.recipe import config
    from fkflow.results import report

    models: list[Any] = list(registry.built_in_systems().values())
    systems = [report.system_entry(model()) | {"origin": "built in"} for model in models]
    for plugin in plugins.find_plugins(registry.built_in_systems()).values():
        try:
            systems.append(report.class_entry(plugin.load()) | {"origin": plugin.origin})
        except Exception as error:  # a plug-in may raise anything: print one line
            ours = isinstance(error, UsageError)
            line = str(error) if ours else f"the plug-in {plugin.name} of {plugin.origin} raises {error!r}"
            print("fkflow: warning:", " ".join(line.split()), file=sys.stderr)
    loaded = [(name, config.load(name)) for name in registry.shipped_recipes()]
    recipes = [
        {"recipe": name, "over": list(one.scan.over) if one.scan else None} | report.system_entry(one.recipe.system)
        for name, one in loaded
    ]
    if as_json:
        typer.echo(report.to_json({"systems": systems, "recipes": recipes}))
    else:
        typer.echo(report.list_text(systems, recipes))


def init(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="A name that fkflow list shows, or FILE.py:CLASS.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write this file (never over another).")] = None,
) -> None:
    """Print a recipe for a system, every key with its default and a comment."""
    from fkflow.recipe.template import recipe_template

    text = recipe_template(system)
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
