"""The recipe: how it is read and written, and what is said about a wrong one (`schema` says what is right).

A recipe is a TOML file with the sections [system], [network], [train], [measure] and [project]; every key but
`system.name` (or `system.file`, a class in a Python file, which is run) has a default. A further section [scan] makes it
the recipe of a scan. Anything wrong is a RecipeError of one sentence that names the file (or the ``--set``), the key, what
was given and what is allowed.
"""

from __future__ import annotations

import errno
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fkflow.errors import RecipeError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.registry import did_you_mean, find_system, has_name, is_built_in, shipped_recipes
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import Definition
from fkflow.recipe.messages import Problem, summarise, validate
from fkflow.recipe.old_keys import current_key, current_keys
from fkflow.recipe.schema import (
    PAIR_DRIFT_DEFAULTS,
    SECTIONS,
    SHORTEST,
    Conflict,
    MeasureConfig,
    NetworkConfig,
    ProjectConfig,
    Recipe,
    ScanConfig,
    TrainConfig,
)
from fkflow.recipe.toml import format_value, shorten, to_toml, toml_key

__all__ = [
    "SHORTEST", "Loaded", "MeasureConfig", "NetworkConfig", "ProjectConfig", "Recipe", "ScanConfig", "TrainConfig", "compose",
    "load", "parse", "read_value", "shorten", "make_system", "to_toml", "with_values",
]  # fmt: skip


#: bytes that no recipe exceeds
LONGEST = 2**20


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
    #: the folder of the recipe's file, which its system.file starts from
    folder: Path = Path()


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Loaded:
    """Read a recipe file, or a shipped recipe (``h2`` or ``h2.toml``) where no such file exists.

    `overrides` are ``section.key=value`` texts with TOML values (a bare word counts as a string).
    Raises RecipeError.
    """
    source, content, folder = _read(str(name_or_path))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise RecipeError(f"{source} is not UTF-8 text (at byte {exc.start}); TOML is needed") from None
    return parse(text, source, overrides, folder)


def parse(text: str, source: str, overrides: Sequence[str] = (), folder: Path = Path()) -> Loaded:  # noqa: B008
    """The same as `load`, from the text of a recipe whose file is called `source` and lies in `folder`. Raises RecipeError."""
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
    return Loaded(recipe, Path(source).stem, text, source, tuple(overrides), scan, folder)


def compose(system: System, sections: Mapping[str, Any]) -> Loaded:
    """The recipe of a system and of values for the keys of its other sections, which were read from no file.

    Raises RecipeError.
    """
    problems: list[Problem] = []
    sections = current_keys(sections)
    recipe = _build({**sections, "system": system}, problems)
    if recipe is None:
        raise RecipeError(summarise(problems))
    given = {name: dict(table) for name, table in sections.items()}
    text = to_toml({"system": recipe.resolved()["system"], **given})
    return Loaded(recipe, system.key, text, "Python")


def make_system(model: type[System], parameters: Mapping[str, Any]) -> System:
    """A system of that class; RecipeError if it does not take these parameters."""
    problems: list[Problem] = []
    system = validate(model, "system", dict(parameters), problems)
    if problems or not isinstance(system, System):
        raise RecipeError(summarise(problems))
    return system


def with_values(loaded: Loaded, values: Mapping[str, tuple[Any, Callable[[str], RecipeError]]]) -> Loaded:
    """The same recipe, no scan any more, with other values of some ``section.key``; each comes with what makes its error.

    Raises the error of the first key that a problem is about.
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
    """The sections of a recipe's text with the overrides in place, and each override by its ``section.key``.

    A system.file in the text starts from `folder`, one among the overrides from the working directory.
    """
    try:
        tables = current_keys(_parsed(text))
    except ValueError as exc:
        raise RecipeError(f"{source} is not valid TOML: {exc}") from None
    system = tables.get("system")
    if isinstance(system, dict) and isinstance(file := system.get("file"), str):
        system["file"] = user_systems.absolute_file(folder, file)
    texts: dict[str, str] = {}
    for override in overrides:
        section, key, value = _split(override)
        table = tables.setdefault(section, {})
        if isinstance(table, dict):
            _put(table, section, key, value)
        texts[f"{section}.{current_key(section, key)}"] = override
    return tables, texts


def _put(table: dict[str, Any], section: str, key: str, value: Any) -> None:
    """Set a key of a recipe's section; a system has a name or a file, and what is set last takes the place of the other."""
    if section == "system":
        table.pop({"name": "file", "file": "name"}.get(key, ""), None)
    if (name := current_key(section, key)) is not None:
        table[name] = value


def _read(name: str) -> tuple[str, bytes, Path]:
    """What messages call the recipe of that name, its content, a file's, else a shipped recipe's, and its folder."""
    path, shipped, folder = Path(name), shipped_recipes(), False
    candidates = [name] if path.suffix == ".toml" else [name, f"{name}.toml"]
    for candidate in candidates:
        try:
            return candidate, _content(candidate), Path(candidate).parent
        except IsADirectoryError:
            folder = True
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise RecipeError(
                    f"{candidate} cannot be read ({exc.strerror}); a readable TOML file is needed"
                ) from None
        except ValueError:  # a null character, which no file name has
            pass
    for candidate in candidates:
        if candidate in shipped:
            return candidate, shipped[candidate].read_bytes(), Path()
    stems = [Path(file).stem for file in shipped]
    what = "is a folder, not a file" if folder else f"is no file (looked for in {path.absolute().parent})"
    raise RecipeError(
        f"{format_value(name)} {what}, nor a shipped recipe{did_you_mean(path.stem, stems)}; "
        f"give a TOML file or one of {', '.join(stems)}"
    )


def _content(name: str) -> bytes:
    # a pipe is opened without waiting: there may be nobody who writes to it
    with open(name, "rb", opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        os.set_blocking(file.fileno(), True)
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise RecipeError(f"{name} has more than {LONGEST} bytes: a recipe is a short TOML text")
    return content


def _parsed(text: str) -> dict[str, Any]:
    """The tables of a TOML text; ValueError with one clear phrase if it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        last = f"at the end of the file, line {text.rstrip().count(chr(10)) + 1}"
        raise ValueError(str(exc).replace("at end of document", last)) from None
    except ValueError:  # Python's limit on the digits of an integer, with advice for programmers
        raise ValueError("a number has too many digits") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _split(override: str) -> tuple[str, str, Any]:
    """A ``section.key=value`` into its parts, the value read as TOML or, if a bare word, as a string."""
    left, equals, right = override.partition("=")
    path = [part.strip() for part in left.split(".")]
    if not equals or len(path) != 2 or not all(path):
        raise RecipeError(
            f"--set {shorten(override)}: it must have the form section.key=value, for example train.iterations=100"
        )
    return path[0], path[1], read_value(right.strip(), f"--set {shorten(override)}", bare=True)


def read_value(text: str, given: str, bare: bool = False) -> Any:
    """The TOML value of `text`; with `bare` a bare word, such as a path, counts as a string.

    Raises RecipeError, which calls it `given`.
    """
    try:
        table = _parsed(f"value = {text}")
    except ValueError as exc:
        # the folders of a scan's points have = and , in their names
        if not bare or not re.fullmatch(r"""[A-Za-z_/~.][^\s"'\[\]{}=#,]*(/[^\s"'\[\]{}#]+)?""", text):
            raise RecipeError(
                f"{given}: {shorten(text) or 'nothing'} is not a TOML "
                'value; a number, true, "text" or [a, list] is allowed'
            ) from exc
        table = {"value": text}
    if set(table) != {"value"}:
        raise RecipeError(f"{given}: it must set one key to one value on one line")
    return table["value"]


def _build(tables: Mapping[str, Any], problems: list[Problem]) -> Recipe | None:
    """The recipe of the parsed tables, or None with every problem appended."""
    sections = ("system", *SECTIONS, "scan")
    for name, table in tables.items():
        if name not in sections:
            what = (
                f"[{shorten(toml_key(name))}]"
                if isinstance(table, dict)
                else f"the key {format_value(name)} outside any section"
            )
            keys = tuple(f"{name}.{key}" for key in table) if isinstance(table, dict) else ()
            problems.append(
                Problem(
                    keys,
                    f"{what} is not part of a recipe{did_you_mean(name, sections)}; "
                    f"allowed are the sections {', '.join(sections)}",
                )
            )
        elif not (isinstance(table, dict) or (name == "system" and isinstance(table, System))):
            problems.append(Problem((), f"{name} = {format_value(table)} is not allowed: it must be a section"))
    system, definition = _system(tables.get("system", {}), problems)
    parts: dict[str, Any] = {"system": system, "definition": definition}
    network = tables.get("network")
    if isinstance(network, dict) and network.get("kind") == "pair_drift":
        # without a log ψ there is but one way to train, and one to project
        for name, defaults in PAIR_DRIFT_DEFAULTS.items():
            given = tables.get(name, {})
            if isinstance(given, dict):
                tables = {**tables, name: {**defaults, **given}}
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


def _system(table: Any, problems: list[Problem]) -> tuple[System | None, Definition | None]:
    """The system of a recipe's section, and the file that defines it if one does; or one that is there already."""
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
        # it begins with the parameter that is wrong, if that is one
        about = (f"system.{wrong.split()[0]}", f"system.{key}")
        problems.append(Problem(about, f"system.{key} = {format_value(given)}: {wrong}"))
    return system, definition
