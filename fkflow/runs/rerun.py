"""What to run: a recipe, or a finished run, from which the recipe, the seed and the number of threads are taken.

A system that is defined in a file of the user is read from that file again. The copy of its text in a result is never run.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fkflow.errors import FkflowError, StoreError, UsageError
from fkflow.hamiltonian.registry import shipped_recipes
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import Definition
from fkflow.recipe.config import Loaded, compose, load, make_system, parse, to_toml
from fkflow.results.paths import CHECKPOINT, RESULT
from fkflow.results.result import Result
from fkflow.text import strict_json, title

log = logging.getLogger("fkflow")

#: ending of the name of a repeated run
AGAIN = "-rerun"


def load_recipe(name: str, overrides: Sequence[str] = ()) -> tuple[Loaded, int | None, int | None]:
    """The recipe of that name, or that of a result file or run folder with the seed and number of threads of the run.

    A recipe is preferred to a folder of the same name. Raises RecipeError, UsageError if it is the recipe of a scan, StoreError
    for a result that cannot be read.
    """
    if not _is_result(Path(name)):
        return _of_one_run(load(name, overrides)), None, None
    from fkflow.results.store import read_result

    result = read_result(name)
    loaded = _of_one_run(recipe_of(result, overrides, source=result.file))
    seed, threads = result.provenance.get("seed"), result.provenance.get("threads")
    if not isinstance(seed, int) or not isinstance(threads, int):
        raise StoreError(
            f"{result.file} does not say with which seed and how many threads it was run: it cannot be run again"
        )
    # a repetition of a repetition has the same name
    again = result.name.removesuffix(AGAIN) + AGAIN
    return replace(loaded, name=again, source=result.recipe_source), seed, threads


def _of_one_run(loaded: Loaded) -> Loaded:
    if loaded.scan is not None:
        raise UsageError(f"{loaded.source} has a section [scan]: use fkflow scan {shlex.quote(loaded.source)}")
    return loaded


def earlier_processes(name: str) -> int | None:
    """The number of processes of a finished run on CPUs; None for a recipe, a run on GPUs or a result that cannot be read."""
    if not _is_result(Path(name)):
        return None
    from fkflow.results.store import read_result

    try:
        provenance = read_result(name).provenance
    except FkflowError:
        return None  # `load_recipe` raises it
    found = provenance.get("ranks")
    return found if isinstance(found, int) and provenance.get("device") == "cpu" else None


def recipe_of(
    result: Result,
    overrides: Sequence[str] | None = None,
    source: str | None = None,
    system: System | type[System] | None = None,
) -> Loaded:
    """The resolved recipe of a finished run, which messages call `source` (left out: the name of its recipe's file).

    The file that defines its system is looked for from the run's folder, unless its `system`, or the class of it, is given; a
    warning is logged if it has changed. Raises StoreError if it is missing (one of the `overrides`, if they are not None, may
    say where it is now), RecipeError if this version does not know the recipe, UsageError if `system` is not the run's.
    """
    before = result.definition
    if system is not None:
        loaded = _recipe_with(result, system)
    else:
        _check_definition(result, overrides)
        loaded = parse(to_toml(result.resolved), source or result.recipe_source, overrides or (), result.folder)
    if before is not None and (warning := definition_warning(before, loaded.recipe.definition)):
        log.warning("warning: %s", warning)
    return loaded


def _check_definition(result: Result, overrides: Sequence[str] | None) -> None:
    """StoreError if the file that defines the system of a run is missing, and no override names another one."""
    definition = result.definition
    if definition is None or any(text.strip().startswith(("system.file", "system.name")) for text in overrides or ()):
        return
    hint = "" if overrides is None else f": give it with --set system.file=FILE.py:{definition.name}"
    if definition.path is None:
        raise StoreError(f"{result.file} is a run of {definition.name}, a class that is in no file{hint}")
    path = Path(os.path.normpath(result.folder / Path(definition.path).expanduser()))
    if not path.is_file():
        raise StoreError(f"{result.file} is a run of {definition.name} in {path}, which is not there{hint}")


def _recipe_with(result: Result, given: System | type[System]) -> Loaded:
    """The recipe of a finished run with its system, or the class of that, as the caller has it."""
    system = given if isinstance(given, System) else make_system(given, result.parameters)
    now = title(system.key, strict_json(system.parameters()))
    if now != result.title():
        raise UsageError(f"{result.file} is a run of {result.title()}, not of {now}: give the system it was made with")
    return compose(system, {name: table for name, table in result.resolved.items() if name != "system"})


def definition_warning(before: Definition, now: Definition | None) -> str | None:
    """A warning if the file that defines a system has changed since a run; None if not, or if there is no file."""
    if now is None or now.sha256 == before.sha256 or None in (before.path, now.path):
        return None
    return f"{now.path} is not what it was when the run was made: its content has changed"


def _is_result(path: Path) -> bool:
    try:
        if path.is_dir():
            a_recipe = path.with_name(f"{path.name}.toml").is_file() or f"{path}.toml" in shipped_recipes()
            return not a_recipe and any((path / file).exists() for file in (RESULT, CHECKPOINT))
        return path.is_file() and path.suffix == Path(RESULT).suffix
    except (OSError, ValueError):
        return False
