"""What a call from Python needs and a command does not: its values made plain, errors in its words, PyTorch left as it was."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from fkflow.errors import FkflowError, Interrupted, RecipeError, UsageError
from fkflow.execution import launch
from fkflow.execution.progress import Progress, Silent, suited
from fkflow.hamiltonian.registry import systems
from fkflow.hamiltonian.system import System
from fkflow.recipe import config
from fkflow.recipe.schema import targets
from fkflow.runs.rerun import recipe_or_result, single

DEVICES = ("auto", "cpu", "cuda")
LARGEST_SEED, MOST_THREADS = 2**32 - 1, 1024
#: what lines of the progress begin with that tell of something that may be wrong
WARNING = "warning: "
#: options of the command line and what they are called here
OPTIONS = (
    (r"--set system\.file=FILE\.py:(\w+)", r"system=\1"),
    (r" and --set\b", ""),
    (r"--resume\b", "resume=True"),
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
    # what it tells to do with a command stays as it is
    text, command, rest = str(error).partition("fkflow ")
    for option, argument in OPTIONS:
        text = re.sub(option, argument, text)
    return text + command + rest


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


class Quiet(Silent):
    """No progress; what may be wrong is a warning of Python all the same."""

    def log(self, line: str) -> None:
        if line.startswith(WARNING):
            warnings.warn(line.removeprefix(WARNING), stacklevel=2)


@contextmanager
def shown(progress: bool | Progress) -> Iterator[Progress]:
    """The progress a caller asked for, closed at the end: True is what suits the place, False none."""
    watcher = (suited() if progress else Quiet()) if isinstance(progress, bool) else progress
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


@dataclass(frozen=True)
class Order:
    """What is to be computed and how; a seed or number of threads that is None is up to the run."""

    loaded: config.Loaded
    seed: int | None
    threads: int | None
    device: str


def order(
    system: object,
    sections: Mapping[str, Any],
    target_error: float | None,
    seed: int | None,
    threads: int | None,
    device: str,
) -> Order:
    """The order of a caller: `system` is an instance, or the name of a recipe or of a run, whose seed and threads then count.

    Raises UsageError, RecipeError for keys and values, StoreError for a run that cannot be read.
    """
    if launch.launched()[1] > 1:
        raise UsageError(
            "a call from Python works in one process: start it without torchrun, or use torchrun -m fkflow run"
        )
    seed, threads = whole("seed", seed, 0, LARGEST_SEED), whole("threads", threads, 1, MOST_THREADS)
    loaded, earlier_seed, earlier_threads = _loaded(system, given(sections, target_error))
    return Order(
        loaded,
        earlier_seed if seed is None else seed,
        earlier_threads if threads is None else threads,
        known_device(device),
    )


def whole(name: str, value: Any, least: int, most: int) -> int | None:
    """The value of an argument that is a whole number in a range, or None; UsageError otherwise."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        shown = config.shortened(repr(value))
        raise UsageError(f"{name}={shown} is not allowed: it must be a whole number from {least} to {most}")
    return int(value)


def known_device(name: str) -> str:
    """The same name; UsageError if there is no such kind of device."""
    if name not in DEVICES:
        shown = config.shortened(repr(name))
        raise UsageError(f"device={shown} is not allowed: it must be one of {', '.join(DEVICES)}")
    return name


def _loaded(system: object, sections: Mapping[str, Mapping[str, Any]]) -> tuple[config.Loaded, int | None, int | None]:
    """The recipe of a system, or the one of that name, with other values of keys; seed and threads if it is that of a run."""
    if isinstance(system, System):
        return config.composed(system, sections), None, None
    if not isinstance(system, str | Path):
        a_class = isinstance(system, type) and issubclass(system, System)
        what = f"{config.shortened(repr(system))} is {'a class' if a_class else 'no system'}"
        raise UsageError(f"{what}: give an instance of fkflow.System, such as MyTrap(), or the name of a recipe")
    name = os.fspath(system)
    try:
        recipe, seed, count = recipe_or_result(name)
    except RecipeError as error:
        if name in systems():
            raise error.leaving(f"{name} is a system: fkflow.make_system({name!r}) gives it") from None
        raise
    values = {f"{section}.{key}": (value, RecipeError)
              for section, table in sections.items() for key, value in table.items()}  # fmt: skip
    return (config.with_values(single(recipe), values) if values else single(recipe)), seed, count
