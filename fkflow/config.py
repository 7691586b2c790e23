"""The recipe: how it is read and written, and what is said about a wrong one (`schema` says what is right).

A recipe is a TOML file with the sections [system], [network], [train], [measure] and [project]; every key but
`system.name` (or `system.file`, a class in a Python file, which is run) has a default. A further section [scan] makes it
the recipe of a scan. Anything wrong is a RecipeError of one sentence that names the file (or the ``--set``), the key, what
was given and what is allowed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fkflow import userfile
from fkflow.errors import RecipeError
from fkflow.registry import built_in, by_name, did_you_mean, find, recipes
from fkflow.schema import (
    PAIR_DRIFT_DEFAULTS,
    SECTIONS,
    Conflict,
    MeasureConfig,
    NetworkConfig,
    ProjectConfig,
    Recipe,
    ScanConfig,
    TrainConfig,
)
from fkflow.system import System
from fkflow.userfile import Definition

__all__ = [
    "Loaded", "MeasureConfig", "NetworkConfig", "ProjectConfig", "Recipe", "ScanConfig", "TrainConfig", "commented",
    "composed", "load", "parse", "read_value", "shortened", "system_of", "to_toml", "with_values",
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


@dataclass(frozen=True)
class _Problem:
    """Something wrong: the ``section.key`` names it is about, if any, and the sentence without the file."""

    keys: tuple[str, ...]
    text: str


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
    problems: list[_Problem] = []
    if isinstance(tables.get("scan"), dict):
        scan = _validated(ScanConfig, "scan", tables.pop("scan"), problems)
    recipe = _build(tables, problems)
    if recipe is None:
        given = [texts[key] for key in problems[0].keys if key in texts]
        where = f"--set {shortened(given[0])}" if given else source
        raise RecipeError(f"{where}: {_told(problems)}")
    return Loaded(recipe, Path(source).stem, text, source, tuple(overrides), scan, folder)


def composed(system: System, sections: Mapping[str, Any]) -> Loaded:
    """The recipe of a system and of values for the keys of its other sections, which were read from no file.

    Raises RecipeError.
    """
    problems: list[_Problem] = []
    recipe = _build({**sections, "system": system}, problems)
    if recipe is None:
        raise RecipeError(_told(problems))
    given = {name: dict(table) for name, table in sections.items()}
    text = to_toml({"system": recipe.resolved()["system"], **given})
    return Loaded(recipe, system.key, text, "Python")


def system_of(model: type[System], parameters: Mapping[str, Any]) -> System:
    """A system of that class; RecipeError if it does not take these parameters."""
    problems: list[_Problem] = []
    system = _validated(model, "system", dict(parameters), problems)
    if problems or not isinstance(system, System):
        raise RecipeError(_told(problems))
    return system


def _told(problems: Sequence[_Problem]) -> str:
    """The first problem, and how many more there are."""
    others = len(problems) - 1
    return problems[0].text + (f" (and {others} more problem{'s' if others > 1 else ''})" if others else "")


def with_values(loaded: Loaded, values: Mapping[str, tuple[Any, Callable[[str], RecipeError]]]) -> Loaded:
    """The same recipe, no scan any more, with other values of some ``section.key``; each comes with what makes its error.

    Raises the error of the first key that a problem is about.
    """
    tables, _ = _tables(loaded.text, loaded.source, loaded.overrides, loaded.folder)
    tables.pop("scan", None)
    for path, (value, _wrong) in values.items():
        section, key = path.split(".", 1)
        _put(tables.setdefault(section, {}), section, key, value)
    problems: list[_Problem] = []
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
        tables = _parsed(text)
    except ValueError as exc:
        raise RecipeError(f"{source} is not valid TOML: {exc}") from None
    system = tables.get("system")
    if isinstance(system, dict) and isinstance(file := system.get("file"), str):
        system["file"] = userfile.placed(folder, file)
    texts: dict[str, str] = {}
    for override in overrides:
        section, key, value = _split(override)
        table = tables.setdefault(section, {})
        if isinstance(table, dict):
            _put(table, section, key, value)
        texts[f"{section}.{key}"] = override
    return tables, texts


def _put(table: dict[str, Any], section: str, key: str, value: Any) -> None:
    """Set a key of a recipe's section; a system has a name or a file, and what is set last takes the place of the other."""
    if section == "system":
        table.pop({"name": "file", "file": "name"}.get(key, ""), None)
    table[key] = value


def _read(name: str) -> tuple[str, bytes, Path]:
    """What messages call the recipe of that name, its content, a file's, else a shipped recipe's, and its folder."""
    path, shipped, folder = Path(name), recipes(), False
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
        f"{_shown(name)} {what}, nor a shipped recipe{did_you_mean(path.stem, stems)}; "
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
            f"--set {shortened(override)}: it must have the form section.key=value, for example train.iterations=100"
        )
    return path[0], path[1], read_value(right.strip(), f"--set {shortened(override)}", bare=True)


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
                f"{given}: {shortened(text) or 'nothing'} is not a TOML "
                'value; a number, true, "text" or [a, list] is allowed'
            ) from exc
        table = {"value": text}
    if set(table) != {"value"}:
        raise RecipeError(f"{given}: it must set one key to one value on one line")
    return table["value"]


def _build(tables: Mapping[str, Any], problems: list[_Problem]) -> Recipe | None:
    """The recipe of the parsed tables, or None with every problem appended."""
    sections = ("system", *SECTIONS, "scan")
    for name, table in tables.items():
        if name not in sections:
            what = (
                f"[{shortened(_toml_key(name))}]"
                if isinstance(table, dict)
                else f"the key {_shown(name)} outside any section"
            )
            keys = tuple(f"{name}.{key}" for key in table) if isinstance(table, dict) else ()
            problems.append(
                _Problem(
                    keys,
                    f"{what} is not part of a recipe{did_you_mean(name, sections)}; "
                    f"allowed are the sections {', '.join(sections)}",
                )
            )
        elif not (isinstance(table, dict) or (name == "system" and isinstance(table, System))):
            problems.append(_Problem((), f"{name} = {_shown(table)} is not allowed: it must be a section"))
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
        parts[name] = _validated(model, name, tables.get(name, {}), problems)
    if problems:
        return None
    try:
        return Recipe(**parts)
    except ValidationError as exc:
        conflict = exc.errors()[0].get("ctx", {}).get("error")
        if not isinstance(conflict, Conflict):
            raise
        section, key = conflict.keys[0].split(".")
        given = _shown(getattr(parts[section], key))
        problems.append(_Problem(conflict.keys, f"{section}.{key} = {given} is not allowed: {conflict}"))
        return None


def _system(table: Any, problems: list[_Problem]) -> tuple[System | None, Definition | None]:
    """The system of a recipe's section, and the file that defines it if one does; or one that is there already."""
    if isinstance(table, System):
        model = type(table)
        if not built_in(model) and (wrong := userfile.complaint(table)):
            problems.append(_Problem((), f"{model.__name__}: {wrong}"))
        return table, None if by_name(model) else userfile.defined(model)
    if not isinstance(table, dict):
        return None, None
    key = "file" if "file" in table else "name"
    if key not in table:
        text = (
            'system.name is missing: it must name a system, such as "h2" (or system.file one of your own, such as '
            '"my_trap.py:Trap")'
        )
        problems.append(_Problem((), text))
        return None, None
    if "name" in table and "file" in table:
        both = ("system.file", "system.name")
        problems.append(_Problem(both, "system.name and system.file exclude each other: leave out one of them"))
        return None, None
    given, definition = table[key], None
    text = given if isinstance(given, str) else ""
    try:
        if key == "file":
            model, definition = userfile.load(text)
        else:
            model = find(text)
    except (KeyError, ValueError) as exc:
        problems.append(_Problem((f"system.{key}",), f"system.{key} = {_shown(given)} is not allowed: {exc.args[0]}"))
        return None, None
    parameters = {name: value for name, value in table.items() if name != key}
    system = _validated(model, "system", parameters, problems, first=(key,))
    if system is not None and not built_in(model) and (wrong := userfile.complaint(system)):
        # it begins with the parameter that is wrong, if that is one
        about = (f"system.{wrong.split()[0]}", f"system.{key}")
        problems.append(_Problem(about, f"system.{key} = {_shown(given)}: {wrong}"))
    return system, definition


def _validated(
    model: type[BaseModel], section: str, table: Any, problems: list[_Problem], first: tuple[str, ...] = ()
) -> Any:
    """The model of one section's keys; None with its problems appended if they do not fit.

    `first` are keys of the section that the model does not have.
    """
    if not isinstance(table, dict):
        return None
    known = [field.alias or name for name, field in model.model_fields.items()]
    allowed = [*first, *known]
    unknown = [key for key in table if key not in known]
    for key in unknown:
        owner = f"[system] for {model.key}" if issubclass(model, System) else f"[{section}]"
        problems.append(
            _Problem(
                (f"{section}.{key}",),
                f"{section}.{shortened(_toml_key(key))} is not a key of {owner}{did_you_mean(key, allowed)}; "
                f"allowed {'are' if len(allowed) > 1 else 'is'} {', '.join(allowed)}",
            )
        )
    try:
        return model(**{key: value for key, value in table.items() if key not in unknown})
    except ValidationError as exc:
        for error in exc.errors():
            loc = error["loc"] or ("",)  # what a class says of all its parameters together
            path = section + "".join(f"[{k}]" if isinstance(k, int) else f".{_toml_key(k)}" for k in error["loc"])
            path = shortened(path)
            problems.append(_Problem((f"{section}.{loc[0]}",), _sentence(model, path, error)))
        return None
    except Exception as exc:  # of a class that is not ours
        told = userfile.told(exc, userfile.place_of(model) if issubclass(model, System) else None)
        problems.append(_Problem((f"{section}.{first[0]}",) if first else (), f"[{section}] is not allowed: {told}"))
        return None


def _sentence(model: type[BaseModel], path: str, error: Any) -> str:
    # what is wrong with a value as such needs no words for the type of its field
    told = error["type"] in ("value_error", "extra_forbidden")
    if not error["loc"] or not _known(model, error["loc"][:-1] if told else error["loc"]):
        # a class of the user's own has any types it likes
        reason = str(error.get("ctx", {}).get("error") or error["msg"])
        return f"{path} is not allowed: {shortened(reason)}"
    *outer, key = error["loc"]
    for name in outer:
        if isinstance(name, str):
            model = next(iter(_models(_field(model, name).annotation)), model)
    if error["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()]
        return f"{path} is not a key{did_you_mean(str(key), known)}; allowed are {', '.join(known)}"
    if error["type"] == "value_error":
        reason = str(error["ctx"]["error"])
    elif isinstance(key, str):
        reason = f"it must be {_allowed(_field(model, key))}"
    else:
        reason = f"it must be a table of {', '.join(model.model_fields)}"
    if error["type"] == "missing":
        return f"{path} is missing: {reason}"
    return f"{path} = {_shown(error['input'])} is not allowed: {reason}"


def _known(model: type[BaseModel], loc: Sequence[int | str]) -> bool:
    """Whether the way to an error goes through fields of types that `_allowed` has words for."""
    for name in loc:
        if isinstance(name, str):
            field = next((f for own, f in model.model_fields.items() if name in (own, f.alias)), None)
            if field is None:
                return False
            inner = next(iter(_models(field.annotation)), None)
            plain = (int, float, bool, str, type(None))
            union = get_origin(field.annotation) in (Union, UnionType)
            kinds = get_args(field.annotation) if union else (field.annotation,)
            if inner is None and get_origin(field.annotation) is not Literal and not set(kinds) <= set(plain):
                return False
            model = inner or model
    return True


def _field(model: type[BaseModel], key: str) -> FieldInfo:
    return next(field for name, field in model.model_fields.items() if key in (name, field.alias))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models inside an annotation such as tuple[Nucleus, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _allowed(field: FieldInfo) -> str:
    """The values a field takes, in words."""
    kinds = [field.annotation] if get_origin(field.annotation) is Literal else get_args(field.annotation)
    kind = next((k for k in kinds if k is not type(None)), field.annotation)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(json.dumps(choice) for choice in get_args(kind))
    bounds = {
        name: getattr(mark, name) for mark in field.metadata for name in ("gt", "ge", "lt", "le") if hasattr(mark, name)
    }
    known: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
    words = known.get(kind, str(kind))
    if "ge" in bounds and "le" in bounds:
        return f"{words} from {bounds['ge']:g} to {bounds['le']:g}"
    phrases = {"gt": "above {:g}", "ge": "of at least {:g}", "lt": "below {:g}", "le": "at most {:g}"}
    limits = " and ".join(phrases[name].format(value) for name, value in bounds.items())
    return f"{words} {limits}".strip()


def _shown(value: Any) -> str:
    """A value as it would stand in a recipe, cut to a length that suits a sentence."""
    try:
        return shortened(_toml_value(value))
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a value too long to print"


def shortened(text: str) -> str:
    """The text on one line, without what a terminal would obey rather than show, cut to a length that suits a sentence."""
    text = " ".join(text[:1000].split())
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_toml_key(k)} = {_toml_value(v)}' for k, v in value.items())} }}"
    return str(value)  # numbers, nan, inf, dates


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML text of a resolved recipe; keys that are None (not set) are left out."""
    blocks = []
    for section, table in sections.items():
        written = {key: _toml_value(value) for key, value in table.items() if value is not None}
        lines = [f"{_toml_key(key)} = {value}" for key, value in written.items()]
        blocks.append("\n".join([f"[{_toml_key(section)}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def commented(system: str) -> str:
    """A recipe to start from, for the name of a system or FILE.py:CLASS: every key with its default and a comment.

    Raises RecipeError, also where a parameter has no default.
    """
    definition = None
    try:
        if ":" in system:
            model, definition = userfile.load(system)
        else:
            model = find(system)
    except (KeyError, ValueError) as exc:
        key = "file" if ":" in system else "name"
        raise RecipeError(f"system.{key} = {_shown(system)} is not allowed: {exc.args[0]}") from None
    if asked := [field.alias or name for name, field in model.model_fields.items() if field.is_required()]:
        raise RecipeError(f"{system} has no default for {', '.join(asked)}: write [system] with it by hand")
    recipe = Recipe(system=model(), definition=definition)
    models: dict[str, type[BaseModel]] = {"system": model, **SECTIONS}
    lines = []
    for section, table in recipe.resolved().items():
        title = next(iter((models[section].__doc__ or "").strip().splitlines()), model.__name__)
        lines += ["", f"# {title}", f"[{section}]"]
        for key, value in table.items():
            comment = (
                ""
                if key in ("name", "file") and section == "system"
                else _field(models[section], key).description or ""
            )
            # an optional key is shown as a comment: TOML has no null
            text = f"# {key} =" if value is None else f"{_toml_key(key)} = {_toml_value(value)}"
            if not comment:
                lines.append(text)
            elif len(text) > 40:
                lines += [f"# {comment}", text]
            else:
                lines.append(f"{text:<24}  # {comment}")
    return "\n".join(lines[1:]) + "\n"
