"""What a call from Python needs and a command does not: its values made plain, errors in its words, PyTorch left as it was."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import torch

from fkflow import config
from fkflow.errors import FkflowError, Interrupted, RecipeError, UsageError
from fkflow.progress import Progress, Silent, suited
from fkflow.registry import systems
from fkflow.rerun import recipe_or_result, single
from fkflow.schema import targets
from fkflow.system import System

#: options of the command line and what they are called here; what a message tells to do with a command stays as it is
OPTIONS = (
    (r"--set system\.file=FILE\.py:(\w+)", r"system=\1"),
    (r" and --set\b", ""),
    (r"(?<!scan )--resume\b", "resume=True"),
    (r"--(seed|target-error) ([^\s:]+)(?=:)", r"\1=\2"),
    (r"--device (\w+)", r'device="\1"'),
    (r"--(\w+)", r"\1"),
    (r"\btarget-error\b", "target_error"),
)


@contextmanager
def python_words() -> Iterator[None]:
    """Errors name the arguments of a call, not the options of a command; a run that was stopped is a KeyboardInterrupt."""
    try:
        yield
    except Interrupted as error:
        again = ": go on with resume=True" if error.resumable else ""
        raise KeyboardInterrupt(f"{_told(error)}{again}") from None
    except FkflowError as error:
        error.args = (_told(error),)
        raise


def _told(error: FkflowError) -> str:
    text = str(error)
    for option, argument in OPTIONS:
        text = re.sub(option, argument, text)
    return text


@contextmanager
def kept_threads(count: int | None = None) -> Iterator[None]:
    """Within, PyTorch works with so many threads (None: with what is chosen there); afterwards with as many as before."""
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def shown(progress: bool | Progress) -> Iterator[Progress]:
    """The progress a caller asked for, closed at the end: True is what suits the place."""
    watcher = (suited() if progress else Silent()) if isinstance(progress, bool) else progress
    try:
        yield watcher
    finally:
        watcher.close()


def given(sections: Mapping[str, Any], target_error: float | None) -> dict[str, dict[str, Any]]:
    """The sections of a recipe that a caller gave, in plain values; what `target_error` sets comes first.

    Raises UsageError for a section that is no dictionary.
    """
    if target_error is not None and not isinstance(target_error, Real):
        raise UsageError(
            f"target_error={config.shortened(repr(target_error))} is not allowed: it must be a number above 0"
        )
    found: dict[str, dict[str, Any]] = {} if target_error is None else targets(float(target_error))
    for name, table in sections.items():
        if table is None:
            continue
        if not isinstance(table, Mapping):
            raise UsageError(
                f"{name} = {config.shortened(repr(table))} is not allowed: it must be a dictionary of keys"
            )
        found[name] = {**found.get(name, {}), **{str(key): _plain(value) for key, value in table.items()}}
    return found


def _plain(value: Any) -> Any:
    """Numbers of numpy and PyTorch, arrays, tuples and paths as a recipe has them."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def system_given(system: object) -> System | str:
    """What a caller named a system by: an instance, or the name of a recipe or a run. UsageError for anything else."""
    if isinstance(system, System):
        return system
    if isinstance(system, str | Path):
        return os.fspath(system)
    if isinstance(system, type) and issubclass(system, System):
        raise UsageError(f"{system.__name__} is a class: give a system of it, {system.__name__}()")
    raise UsageError(
        f"{config.shortened(repr(system))} is no system: give an instance of fkflow.System, or the name of a recipe"
    )


def loaded(
    system: System | str, sections: Mapping[str, Mapping[str, Any]]
) -> tuple[config.Loaded, int | None, int | None]:
    """The recipe of a system, or the one of that name, with other values of keys; seed and threads if it is that of a run.

    Raises RecipeError, StoreError for a run that cannot be read, UsageError for a scan.
    """
    if isinstance(system, System):
        return config.composed(system, sections), None, None
    try:
        recipe, seed, count = recipe_or_result(system)
    except RecipeError as error:
        if system in systems():
            raise error.leaving(f"{system} is a system: fkflow.make_system({system!r}) gives it") from None
        raise
    values = {f"{section}.{key}": (value, RecipeError)
              for section, table in sections.items() for key, value in table.items()}  # fmt: skip
    return (config.with_values(single(recipe), values) if values else single(recipe)), seed, count
