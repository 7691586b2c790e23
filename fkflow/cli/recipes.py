"""The commands about recipes and systems: check, list, init."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from fkflow.cli import completion, output
from fkflow.cli.options import Json, Overrides
from fkflow.errors import UsageError


def check(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, a shipped recipe, or a system (a name or FILE.py:CLASS).",
            autocompletion=completion.recipes,
        ),
    ],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Check a recipe and the potential of its system, without a run, and print what was found."""
    from fkflow.recipe import config
    from fkflow.recipe.inspection import inspect
    from fkflow.results import report

    found = inspect(config.load(recipe, overrides or ()).recipe)
    output.emit(report.to_json(found) if as_json else report.inspection_text(found))


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
            output.complain(f"fkflow: warning: {' '.join(line.split())}")
    loaded = [(name, config.load(name)) for name in registry.shipped_recipes()]
    recipes = [
        {"recipe": name, "over": list(one.scan.over) if one.scan else None} | report.system_entry(one.recipe.system)
        for name, one in loaded
    ]
    if as_json:
        output.emit(report.to_json({"systems": systems, "recipes": recipes}))
    else:
        output.emit(report.list_text(systems, recipes))


def init(
    system: Annotated[
        str,
        typer.Argument(
            metavar="SYSTEM",
            help="A system or a shipped recipe that fkflow list shows, or FILE.py:CLASS.",
            autocompletion=completion.systems,
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Print a recipe for a system, every key with its value and a comment: those of its shipped recipe, else defaults."""
    from fkflow.recipe.template import recipe_template

    text = recipe_template(system)
    if out is None:
        output.emit(text.rstrip())
        return
    try:
        with out.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{out} exists already: choose another --out, or write over it with --force") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{out} cannot be written: {reason}") from error
    scanned = "\n[scan]\n" in text
    output.complain(f"wrote {out}; next: fkflow {'scan' if scanned else 'run'} {shlex.quote(str(out))}")
