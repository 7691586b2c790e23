"""Arguments of calls from Python: plain values, checks, errors in the words of a call, PyTorch left as it was."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from fkflow.errors import FkflowError, Interrupted, RecipeError, UsageError
from fkflow.execution import launch
from fkflow.execution.displays import WARNING
from fkflow.execution.progress import Progress, Silent, choose_progress
from fkflow.execution.threads import thread_count, use_threads
from fkflow.hamiltonian.system import System
from fkflow.recipe import config
from fkflow.recipe.schema import target_sections
from fkflow.runs.context import RunContext
from fkflow.runs.rerun import load_recipe
from fkflow.training.state import Record

DEVICES = ("auto", "cpu", "cuda")
LARGEST_SEED, MOST_THREADS = 2**32 - 1, 1024
#: options of the command line and the arguments of a call, in messages
OPTIONS = (
    (r"--set system\.file=FILE\.py:(\w+)", r"system=\1"),
    (r" and --set\b", ""),
    (r"--(resume|force)\b", r"\1=True"),
    (r"--(seed|target-error) ([^\s:]+)(?=:)", r"\1=\2"),
    (r"--device (\w+)", r'device="\1"'),
    (r"--(\w+)", r"\1"),
    (r"\btarget-error\b", "target_error"),
)


@contextmanager
def python_errors() -> Iterator[None]:
    """Errors name the arguments of a call, not the options of a command; Interrupted becomes KeyboardInterrupt."""
    try:
        yield
    except Interrupted as error:
        again = ": go on with resume=True" if error.resumable else ""
        raise KeyboardInterrupt(f"{_reword(error)}{again}") from None
    except FkflowError as error:
        error.args = (_reword(error),)
        raise


def _reword(error: FkflowError) -> str:
    # advice to use a command stays as it is
    text, command, rest = str(error).partition("fkflow ")
    for option, argument in OPTIONS:
        text = re.sub(option, argument, text)
    return text + command + rest


@contextmanager
def torch_threads(count: int | None = None) -> Iterator[None]:
    """Share walkers among so many threads (None: as many as are chosen inside); afterwards among as many as before."""
    before, inside = thread_count(), torch.get_num_threads()
    try:
        if count is not None:
            use_threads(count)
        yield
    finally:
        use_threads(before)
        torch.set_num_threads(inside)


class Quiet(Silent):
    """No progress; warnings are those of Python."""

    def log(self, line: str) -> None:
        if line.startswith(WARNING):
            warnings.warn(line.removeprefix(WARNING), stacklevel=2)


@contextmanager
def open_progress(progress: bool | Progress) -> Iterator[Progress]:
    """The progress that a caller asks for, closed at the end: True is a bar or lines, as the terminal allows, False none."""
    watcher = (choose_progress() if progress else Quiet()) if isinstance(progress, bool) else progress
    try:
        yield watcher
    finally:
        watcher.close()


def plain_sections(sections: Mapping[str, Any], target_error: float | None) -> dict[str, dict[str, Any]]:
    """The sections of a recipe that a caller gives, in plain values; they override what `target_error` sets.

    Raises UsageError for a section that is no dictionary.
    """
    if target_error is not None and not isinstance(target_error, Real):
        raise UsageError(
            f"target_error={config.shorten(repr(target_error))} is not allowed: it must be a number above 0"
        )
    found: dict[str, dict[str, Any]] = {} if target_error is None else target_sections(float(target_error))
    for name, table in sections.items():
        if table is None:
            continue
        if not isinstance(table, Mapping):
            raise UsageError(f"{name} = {config.shorten(repr(table))} is not allowed: it must be a dictionary of keys")
        found[name] = {**found.get(name, {}), **{str(key): _plain(value) for key, value in table.items()}}
    return found


def _plain(value: Any) -> Any:
    """A value as a recipe has it, from numbers of numpy and PyTorch, arrays, tuples and paths."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def run_context(
    system: object,
    sections: Mapping[str, Any],
    progress: Progress,
    *,
    target_error: float | None,
    seed: int | None,
    threads: int | None,
    device: str,
    out: Path | None = None,
    resume: bool = False,
    callback: Callable[[Record], object] | None = None,
) -> RunContext:
    """The context of a call. `system` is an instance, or the name of a recipe or of a run with its seed and threads.

    Raises UsageError, RecipeError for keys and values, StoreError for a run that cannot be read.
    """
    if launch.read_environment()[1] > 1:
        raise UsageError(
            "a call from Python works in one process: start it without torchrun, or use torchrun -m fkflow run"
        )
    options = check_options(seed, threads, device)
    if callback is not None and not callable(callback):
        shown = config.shorten(repr(callback))
        raise UsageError(f"callback={shown} is not allowed: it must be a function of one Record, an iteration's")
    loaded, earlier_seed, earlier_threads = _load_system(system, plain_sections(sections, target_error))
    if seed is None:
        options["seed"] = earlier_seed
    if threads is None:
        options["threads"] = earlier_threads
    return RunContext(loaded, progress, out=out, resume=resume, callback=callback, **options)


def check_options(seed: int | None, threads: int | None, device: str) -> dict[str, Any]:
    """Options of `RunContext` by their names; UsageError if one is not allowed."""
    if device not in DEVICES:
        shown = config.shorten(repr(device))
        raise UsageError(f"device={shown} is not allowed: it must be one of {', '.join(DEVICES)}")
    return {
        "seed": whole_number("seed", seed, 0, LARGEST_SEED),
        "threads": whole_number("threads", threads, 1, MOST_THREADS),
        "device": device,
    }


def whole_number(name: str, value: Any, least: int, most: int) -> int | None:
    """The value of an argument that is a whole number in a range, or None; UsageError otherwise."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        shown = config.shorten(repr(value))
        raise UsageError(f"{name}={shown} is not allowed: it must be a whole number from {least} to {most}")
    return int(value)


def _load_system(
    system: object, sections: Mapping[str, Mapping[str, Any]]
) -> tuple[config.Loaded, int | None, int | None]:
    """The recipe of a system, or the recipe or run of that name, with these sections; seed and threads if it is a run."""
    if isinstance(system, System):
        return config.compose(system, sections), None, None
    if not isinstance(system, str | Path):
        a_class = isinstance(system, type) and issubclass(system, System)
        what = f"{config.shorten(repr(system))} is {'a class' if a_class else 'no system'}"
        raise UsageError(f"{what}: give an instance of fkflow.System, such as MyTrap(), or the name of a recipe")
    name = os.fspath(system)
    loaded, seed, threads = load_recipe(name)
    values = {f"{section}.{key}": (value, RecipeError)
              for section, table in sections.items() for key, value in table.items()}  # fmt: skip
    return (config.with_values(loaded, values) if values else loaded), seed, threads
