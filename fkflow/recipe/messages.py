"""Error messages for a section of a recipe that does not fit its model: one sentence for each problem."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.registry import did_you_mean
from fkflow.hamiltonian.system import System
from fkflow.recipe.toml import format_value, shorten, toml_key

#: most letters of a sentence that a validator wrote: those of pydantic are cut earlier
LONGEST = 300


@dataclass(frozen=True)
class Problem:
    """A problem: the ``section.key`` names it is about, if any, and the sentence without the file."""

    keys: tuple[str, ...]
    text: str


def summarise(problems: Sequence[Problem]) -> str:
    """The first problem, and how many more there are."""
    others = len(problems) - 1
    return problems[0].text + (f" (and {others} more problem{'s' if others > 1 else ''})" if others else "")


def validate(
    model: type[BaseModel], section: str, table: Any, problems: list[Problem], first: tuple[str, ...] = ()
) -> Any:
    """Make the model of a section from its keys; None, with the problems appended, if they do not fit.

    `first` are allowed keys of the section that the model does not have.
    """
    if not isinstance(table, dict):
        return None
    known = [field.alias or name for name, field in model.model_fields.items()]
    allowed = [*first, *known]
    unknown = [key for key in table if key not in known]
    for key in unknown:
        owner = f"[system] for {model.key}" if issubclass(model, System) else f"[{section}]"
        problems.append(
            Problem(
                (f"{section}.{key}",),
                f"{section}.{shorten(toml_key(key))} is not a key of {owner}{did_you_mean(key, allowed)}; "
                f"allowed {'are' if len(allowed) > 1 else 'is'} {', '.join(allowed)}",
            )
        )
    try:
        return model(**{key: value for key, value in table.items() if key not in unknown})
    except ValidationError as exc:
        for error in exc.errors():
            loc = error["loc"] or ("",)  # empty for a validator of all parameters together
            path = section + "".join(f"[{k}]" if isinstance(k, int) else f".{toml_key(k)}" for k in error["loc"])
            path = shorten(path)
            problems.append(Problem((f"{section}.{loc[0]}",), _sentence(model, path, error)))
        return None
    except Exception as exc:  # of a class that is not ours
        text = user_systems.describe_error(exc, user_systems.source_file(model) if issubclass(model, System) else None)
        problems.append(Problem((f"{section}.{first[0]}",) if first else (), f"[{section}] is not allowed: {text}"))
        return None


def _sentence(model: type[BaseModel], path: str, error: Any) -> str:
    # these need no words for the type of the field
    complete = error["type"] in ("value_error", "extra_forbidden")
    if not error["loc"] or not _has_words(model, error["loc"][:-1] if complete else error["loc"]):
        # a user's class may have any types
        reason = str(error.get("ctx", {}).get("error") or error["msg"])
        written = error["type"] == "value_error"
        return f"{path} is not allowed: {shorten(reason, LONGEST) if written else shorten(reason)}"
    *outer, key = error["loc"]
    for name in outer:
        if isinstance(name, str):
            model = next(iter(_models(field_of(model, name).annotation)), model)
    if error["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()]
        return f"{path} is not a key{did_you_mean(str(key), known)}; allowed are {', '.join(known)}"
    if error["type"] == "value_error":
        reason = str(error["ctx"]["error"])
    elif isinstance(key, str):
        reason = f"it must be {_allowed(field_of(model, key))}"
    else:
        reason = f"it must be a table of {', '.join(model.model_fields)}"
    if error["type"] == "missing":
        return f"{path} is missing: {reason}"
    return f"{path} = {format_value(error['input'])} is not allowed: {reason}"


def _has_words(model: type[BaseModel], loc: Sequence[int | str]) -> bool:
    """Whether `_allowed` has words for all types of fields on the way to an error."""
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


def field_of(model: type[BaseModel], key: str) -> FieldInfo:
    """The field of a model that a recipe calls `key`."""
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
