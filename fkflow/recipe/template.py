"""The recipe that ``fkflow init`` writes: every key with its value and a comment."""

from __future__ import annotations

import itertools
import textwrap

from pydantic import BaseModel

from fkflow.errors import RecipeError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.registry import find_system, shipped_recipes
from fkflow.recipe.config import parse, with_defaults
from fkflow.recipe.messages import field_of
from fkflow.recipe.schema import Recipe
from fkflow.recipe.sections import SECTIONS, ScanConfig
from fkflow.recipe.toml import format_value, toml_key, toml_value

#: columns of comments
WIDTH = 100


def recipe_template(system: str) -> str:
    """A recipe with comments, for the name of a system, FILE.py:CLASS, or the name of a shipped recipe.

    It has the values of the shipped recipe of that name, if there is one, and else the defaults. Raises RecipeError, also where
    a parameter has no default.
    """
    shipped = f"{system.removesuffix('.toml')}.toml"
    if shipped in shipped_recipes():
        text = shipped_recipes()[shipped].read_text(encoding="utf-8")
        loaded = parse(text, shipped)
        comments = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
        words = " ".join(line.strip("# ") for line in comments)
        head = [*textwrap.wrap(words, WIDTH), f"All keys, with the values of the shipped {shipped}."]
        return _template(loaded.recipe, loaded.scan, [f"# {line}" for line in head])
    definition = None
    try:
        if ":" in system:
            model, definition = user_systems.load(system)
        else:
            model = find_system(system)
    except (KeyError, ValueError) as exc:
        key = "file" if ":" in system else "name"
        raise RecipeError(f"system.{key} = {format_value(system)} is not allowed: {exc.args[0]}") from None
    if required := [field.alias or name for name, field in model.model_fields.items() if field.is_required()]:
        raise RecipeError(f"{system} has no default for {', '.join(required)}: write [system] with it by hand")
    made = model()
    return _template(Recipe(system=made, definition=definition, **with_defaults(made, {})), None, [])


def _template(recipe: Recipe, scan: ScanConfig | None, head: list[str]) -> str:
    """All keys of a recipe, and of a scan, with comments; the lines `head` come first."""
    model = type(recipe.system)
    models: dict[str, type[BaseModel]] = {"system": model, **SECTIONS, "scan": ScanConfig}
    tables = recipe.resolved()
    if scan is not None:
        tables["scan"] = {**scan.model_dump(by_alias=True), "over": list(scan.over)}
    lines = [*head]
    for section, table in tables.items():
        title = next(iter((models[section].__doc__ or "").strip().splitlines()), model.__name__)
        lines += ["", f"# {title}", f"[{section}]"]
        for key, value in table.items():
            named = section == "system" and key in ("name", "file")
            comment = "" if named else field_of(models[section], key).description or ""
            # an optional key is a comment: TOML has no null
            text = f"# {key} =" if value is None else f"{toml_key(key)} = {toml_value(value)}"
            if len(text) > WIDTH and isinstance(value, list) and all(isinstance(one, dict) for one in value):
                # a list of tables, one below the other
                text = f"{toml_key(key)} = [\n" + "".join(f"    {toml_value(one)},\n" for one in value) + "]"
            if not comment:
                lines.append(text)
            elif len(text) > 40:
                lines += [f"# {comment}", text]
            else:
                lines.append(f"{text:<24}  # {comment}")
    return "\n".join(lines).lstrip("\n") + "\n"
