"""Recipes: loaded from TOML or Python values, checked against `schema`, and put together into a `Recipe`.

A recipe is a TOML file with the sections [system], [network], [train], [measure] and [project]; every key but
`system.name` (or `system.file`, a class in a Python file, which is run) has a default. A section [scan] makes it the recipe of
a scan. Every fault is a RecipeError of one sentence that names the file (or the ``--set``), the key, what was given and what is
allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fkflow.errors import RecipeError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.registry import did_you_mean, find_system, has_name, is_built_in
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import Definition
from fkflow.recipe.messages import Problem, summarise, validate
from fkflow.recipe.old_keys import current_key, current_keys
from fkflow.recipe.schema import Conflict, Recipe
from fkflow.recipe.sections import (
    PAIR_DRIFT_DEFAULTS,
    SECTIONS,
    SHORTEST,
    MeasureConfig,
    NetworkConfig,
    ProjectConfig,
    ScanConfig,
    TrainConfig,
)
from fkflow.recipe.sources import parse_override, parse_toml, read_recipe, read_value, recipe_name
from fkflow.recipe.toml import format_value, shorten, to_toml, toml_key

__all__ = [
    "SHORTEST", "Loaded", "MeasureConfig", "NetworkConfig", "ProjectConfig", "Recipe", "ScanConfig", "TrainConfig", "compose",
    "load", "parse", "read_value", "shorten", "make_system", "to_toml", "with_values",
]  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """A recipe and where it came from."""

    recipe: Recipe
    #: stem of the recipe's file
    name: str
    #: the file as written, without overrides
    text: str
    #: what messages call the file
    source: str
    overrides: tuple[str, ...] = ()
    #: the section [scan], if it has one
    scan: ScanConfig | None = None
    #: the folder of the recipe's file: its system.file is relative to it
    folder: Path = Path()


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Loaded:
    """Read a recipe file, or where no such file exists a shipped recipe (``h2`` or ``h2.toml``), or that of a system alone.

    `overrides` are ``section.key=value`` texts with TOML values (a bare word counts as a string).
    Raises RecipeError.
    """
    source, text, folder = read_recipe(str(name_or_path))
    return parse(text, source, overrides, folder)


def parse(text: str, source: str, overrides: Sequence[str] = (), folder: Path = Path()) -> Loaded:  # noqa: B008
    """Read the text of a recipe, whose file is called `source` and lies in `folder`. Raises RecipeError."""
    tables, texts = _tables(text, source, overrides, folder)
    scan: ScanConfig | None = None
    problems: list[Problem] = []
    if isinstance(tables.get("scan"), dict):
        scan = validate(ScanConfig, "scan", tables.pop("scan"), problems)
    recipe = _build(tables, problems)
    if recipe is None:
        given = [texts[key] for key in problems[0].keys if key in texts]
        where = f"--set {shorten(given[0])}" if given else source
        raise RecipeError(f"{where}: {summarise(problems)}")
    return Loaded(recipe, recipe_name(source), text, source, tuple(overrides), scan, folder)


def compose(system: System, sections: Mapping[str, Any]) -> Loaded:
    """Make a recipe of a system and of values for the keys of the other sections. Raises RecipeError."""
    problems: list[Problem] = []
    sections = current_keys(sections)
    recipe = _build({**sections, "system": system}, problems)
    if recipe is None:
        raise RecipeError(summarise(problems))
    given = {name: dict(table) for name, table in sections.items()}
    text = to_toml({"system": recipe.resolved()["system"], **given})
    return Loaded(recipe, system.key, text, "Python")


def make_system(model: type[System], parameters: Mapping[str, Any]) -> System:
    """Make a system of that class; RecipeError if it does not take these parameters."""
    problems: list[Problem] = []
    system = validate(model, "system", dict(parameters), problems)
    if problems or not isinstance(system, System):
        raise RecipeError(summarise(problems))
    return system


def with_values(loaded: Loaded, values: Mapping[str, tuple[Any, Callable[[str], RecipeError]]]) -> Loaded:
    """The same recipe, without [scan], with other values of some ``section.key``; each comes with a function for its error.

    Raises the error of the first key with a problem.
    """
    tables, _ = _tables(loaded.text, loaded.source, loaded.overrides, loaded.folder)
    tables.pop("scan", None)
    for path, (value, _wrong) in values.items():
        section, key = path.split(".", 1)
        _put(tables.setdefault(section, {}), section, key, value)
    problems: list[Problem] = []
    recipe = _build(tables, problems)
    if recipe is None:
        wrong = next((values[key][1] for key in problems[0].keys if key in values), next(iter(values.values()))[1])
        raise wrong(problems[0].text)
    return replace(loaded, recipe=recipe, scan=None)


def _tables(text: str, source: str, overrides: Sequence[str], folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The sections of a recipe's text with the overrides applied, and each override by its ``section.key``.

    A system.file in the text is relative to `folder`, in an override to the working directory.
    """
    try:
        tables = current_keys(parse_toml(text))
    except ValueError as exc:
        raise RecipeError(f"{source} is not valid TOML: {exc}") from None
    system = tables.get("system")
    if isinstance(system, dict) and isinstance(file := system.get("file"), str):
        system["file"] = user_systems.absolute_file(folder, file)
    texts: dict[str, str] = {}
    for override in overrides:
        section, key, value = parse_override(override)
        table = tables.setdefault(section, {})
        if isinstance(table, dict):
            _put(table, section, key, value)
        # a fault of a key in a list is one of the list
        texts[f"{section}.{current_key(section, key.partition('.')[0])}"] = override
    return tables, texts


def _put(table: dict[str, Any], section: str, key: str, value: Any) -> None:
    """Set a key of a section; of system.name and system.file the one set last replaces the other.

    A key list.name.key is that of the table of this name in a list of tables.
    """
    if key.count(".") == 2:
        own, called, inner = key.split(".")
        listed = [one for one in _listed(table.get(own)) if one.get("name") == called]
        if not listed:
            names = ", ".join(str(one.get("name")) for one in _listed(table.get(own))) or "none in the recipe"
            raise RecipeError(f"{section}.{key}: {section}.{own} has no table with this name; it has {names}")
        # the recipe may be read again, with other values
        replaced = [{**one, inner: value} if one in listed else one for one in _listed(table[own])]
        table[own] = replaced
        return
    if section == "system":
        table.pop({"name": "file", "file": "name"}.get(key, ""), None)
    if (name := current_key(section, key)) is not None:
        table[name] = value


def _listed(given: Any) -> list[dict[str, Any]]:
    """The tables of a list; none of anything else."""
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def look_up(table: Mapping[str, Any], key: str) -> Any:
    """The value of a key of a resolved section, or of a key list.name.key."""
    if key.count(".") != 2:
        return table[key]
    own, name, inner = key.split(".")
    return next(one[inner] for one in _listed(table[own]) if one.get("name") == name)


def _build(tables: Mapping[str, Any], problems: list[Problem]) -> Recipe | None:
    """The recipe of the sections, or None with every problem appended."""
    sections = ("system", *SECTIONS, "scan")
    for name, table in tables.items():
        if name not in sections:
            if isinstance(table, dict):
                what, keys = f"[{shorten(toml_key(name))}]", tuple(f"{name}.{key}" for key in table)
            else:
                what, keys = f"the key {format_value(name)} outside any section", ()
            text = f"{what} is not part of a recipe{did_you_mean(name, sections)}; allowed are the sections "
            problems.append(Problem(keys, text + ", ".join(sections)))
        elif not (isinstance(table, dict) or (name == "system" and isinstance(table, System))):
            problems.append(Problem((), f"{name} = {format_value(table)} is not allowed: it must be a section"))
    system, definition = _system(tables.get("system", {}), problems)
    parts: dict[str, Any] = {"system": system, "definition": definition}
    network = tables.get("network")
    if isinstance(network, dict) and network.get("kind") == "pair_drift":
        # without a log ψ there is one way to train and one to project
        for name, defaults in PAIR_DRIFT_DEFAULTS.items():
            given = tables.get(name, {})
            if isinstance(given, dict):
                tables = {**tables, name: {**defaults, **given}}
    if system is not None:
        tables = with_defaults(system, tables)
    for name, model in SECTIONS.items():
        parts[name] = validate(model, name, tables.get(name, {}), problems)
    if problems:
        return None
    try:
        return Recipe(**parts)
    except ValidationError as exc:
        conflict = exc.errors()[0].get("ctx", {}).get("error")
        if not isinstance(conflict, Conflict):
            raise
        section, key = conflict.keys[0].split(".")
        given = format_value(getattr(parts[section], key))
        problems.append(Problem(conflict.keys, f"{section}.{key} = {given} is not allowed: {conflict}"))
        return None


def with_defaults(system: System, tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The sections with the defaults of the system for keys that are not given."""
    for name, defaults in system.recipe_defaults.items():
        given = tables.get(name, {})
        if not isinstance(given, dict) or name not in SECTIONS:
            continue
        others = given.get("optimiser", "spring") != "spring" or given.get("estimator") == "pathwise"
        if not (name == "train" and others):
            tables = {**tables, name: {**defaults, **given}}
    return tables


def _system(table: Any, problems: list[Problem]) -> tuple[System | None, Definition | None]:
    """The system of a section (or the system itself), and its definition unless a recipe finds it by name."""
    if isinstance(table, System):
        model = type(table)
        if not is_built_in(model) and (wrong := user_systems.find_fault(table)):
            problems.append(Problem((), f"{model.__name__}: {wrong}"))
        return table, None if has_name(model) else user_systems.definition_of(model)
    if not isinstance(table, dict):
        return None, None
    key = "file" if "file" in table else "name"
    if key not in table:
        text = (
            'system.name is missing: it must name a system, such as "h2" (or system.file one of your own, such as '
            '"my_trap.py:Trap")'
        )
        problems.append(Problem((), text))
        return None, None
    if "name" in table and "file" in table:
        both = ("system.file", "system.name")
        problems.append(Problem(both, "system.name and system.file exclude each other: leave out one of them"))
        return None, None
    given, definition = table[key], None
    text = given if isinstance(given, str) else ""
    try:
        if key == "file":
            model, definition = user_systems.load(text)
        else:
            model = find_system(text)
    except (KeyError, ValueError) as exc:
        problems.append(
            Problem((f"system.{key}",), f"system.{key} = {format_value(given)} is not allowed: {exc.args[0]}")
        )
        return None, None
    parameters = {name: value for name, value in table.items() if name != key}
    system = validate(model, "system", parameters, problems, first=(key,))
    if system is not None and not is_built_in(model) and (wrong := user_systems.find_fault(system)):
        # it begins with the wrong parameter, if it is one
        about = (f"system.{wrong.split()[0]}", f"system.{key}")
        problems.append(Problem(about, f"system.{key} = {format_value(given)}: {wrong}"))
    return system, definition
