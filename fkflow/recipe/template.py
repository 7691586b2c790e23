"""The recipe that ``fkflow init`` writes: every key with its default and a comment."""

from __future__ import annotations

from pydantic import BaseModel

from fkflow.errors import RecipeError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.registry import find_system
from fkflow.recipe.messages import field_of
from fkflow.recipe.schema import SECTIONS, Recipe
from fkflow.recipe.toml import format_value, toml_key, toml_value


def recipe_template(system: str) -> str:
    """A recipe with comments, for the name of a system or FILE.py:CLASS.

    Raises RecipeError, also where a parameter has no default.
    """
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
    recipe = Recipe(system=model(), definition=definition)
    models: dict[str, type[BaseModel]] = {"system": model, **SECTIONS}
    lines = []
    for section, table in recipe.resolved().items():
        title = next(iter((models[section].__doc__ or "").strip().splitlines()), model.__name__)
        lines += ["", f"# {title}", f"[{section}]"]
        for key, value in table.items():
            named = section == "system" and key in ("name", "file")
            comment = "" if named else field_of(models[section], key).description or ""
            # an optional key is a comment: TOML has no null
            text = f"# {key} =" if value is None else f"{toml_key(key)} = {toml_value(value)}"
            if not comment:
                lines.append(text)
            elif len(text) > 40:
                lines += [f"# {comment}", text]
            else:
                lines.append(f"{text:<24}  # {comment}")
    return "\n".join(lines[1:]) + "\n"
