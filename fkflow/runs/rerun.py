"""What to run: a recipe, or the result of an earlier run, whose recipe, seed and number of threads are taken again.

Where the system is defined in a file of the user's own, that file is needed again: the text of it that a result keeps is never
run.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fkflow.errors import FkflowError, StoreError, UsageError
from fkflow.hamiltonian.registry import recipes
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import Definition
from fkflow.recipe.config import Loaded, composed, load, parse, system_of, to_toml
from fkflow.results.folders import CHECKPOINT, RESULT
from fkflow.results.records import Result
from fkflow.text import strict_json, title

log = logging.getLogger("fkflow")

#: what is put behind the name of a run that is a repetition
AGAIN = "-rerun"


def recipe_or_result(name: str, overrides: Sequence[str] = ()) -> tuple[Loaded, int | None, int | None]:
    """The recipe of that name, or the resolved one of a result file or run folder with its seed and number of threads.

    A folder counts where no recipe has its name. Raises RecipeError, or StoreError for a result that cannot be read.
    """
    if not _is_result(Path(name)):
        return load(name, overrides), None, None
    from fkflow.results.store import read_result

    result = read_result(name)
    loaded = recipe_of(result, overrides, source=result.file)
    seed, threads = result.provenance.get("seed"), result.provenance.get("threads")
    if not isinstance(seed, int) or not isinstance(threads, int):
        raise StoreError(
            f"{result.file} does not say with which seed and how many threads it was run: it cannot be run again"
        )
    # a repetition of a repetition is one of the same run
    again = result.name.removesuffix(AGAIN) + AGAIN
    return replace(loaded, name=again, source=result.recipe_source), seed, threads


def earlier_processes(name: str) -> int | None:
    """How many processes shared the walkers of a run that is to be repeated.

    None for a recipe, for a run on GPUs, which a launcher has to share out, or where the result cannot be read.
    """
    if not _is_result(Path(name)):
        return None
    from fkflow.results.store import read_result

    try:
        provenance = read_result(name).provenance
    except FkflowError:
        return None  # said when its recipe is wanted
    found = provenance.get("ranks")
    return found if isinstance(found, int) and provenance.get("device") == "cpu" else None


def single(loaded: Loaded) -> Loaded:
    """The recipe of one run; raises UsageError if it is that of a scan."""
    if loaded.scan is not None:
        raise UsageError(f"{loaded.source} has a section [scan]: use fkflow scan {shlex.quote(loaded.source)}")
    return loaded


def recipe_of(
    result: Result,
    overrides: Sequence[str] | None = None,
    source: str | None = None,
    system: System | type[System] | None = None,
) -> Loaded:
    """The resolved recipe of a finished run, which messages call `source` (left out: as its recipe's file).

    A file that defines its system is looked for from the run's folder, unless its `system`, or the class of it, is given; if it
    is not what it was, a warning is logged. Raises StoreError if it is not there (where there are `overrides`, one of them may
    say where it is now), RecipeError if this version does not know the recipe, UsageError if `system` is not the run's.
    """
    if system is not None:
        return _recipe_with(result, system)
    before, folder = result.definition, result.folder
    moved = any(text.strip().startswith(("system.file", "system.name")) for text in overrides or ())
    if before is not None and not moved:
        hint = "" if overrides is None else f": give it with --set system.file=FILE.py:{before.name}"
        if before.path is None:
            raise StoreError(f"{result.file} is a run of {before.name}, a class that is in no file{hint}")
        path = Path(os.path.normpath(folder / Path(before.path).expanduser()))
        if not path.is_file():
            raise StoreError(f"{result.file} is a run of {before.name} in {path}, which is not there{hint}")
    loaded = parse(to_toml(result.resolved), source or result.recipe_source, overrides or (), folder)
    if before is not None and (warning := changed(before, loaded.recipe.definition)):
        log.warning("warning: %s", warning)
    return loaded


def _recipe_with(result: Result, given: System | type[System]) -> Loaded:
    """The recipe of a finished run with its system, or the class of that, as the caller has it."""
    system = given if isinstance(given, System) else system_of(given, result.parameters)
    now = title(system.key, strict_json(system.parameters()))
    if now != result.title():
        raise UsageError(f"{result.file} is a run of {result.title()}, not of {now}: give the system it was made with")
    loaded = composed(system, {name: table for name, table in result.resolved.items() if name != "system"})
    if result.definition is not None and (warning := changed(result.definition, loaded.recipe.definition)):
        log.warning("warning: %s", warning)
    return loaded


def changed(before: Definition, now: Definition | None) -> str | None:
    """What to say where a system is not defined by the same text as before; None if it is, or if one of them has no file."""
    if now is None or now.sha256 == before.sha256 or None in (before.path, now.path):
        return None
    return f"{now.path} is not what it was when the run was made: its content has changed"


def _is_result(path: Path) -> bool:
    try:
        if path.is_dir():
            a_recipe = path.with_name(f"{path.name}.toml").is_file() or f"{path}.toml" in recipes()
            return not a_recipe and any((path / file).exists() for file in (RESULT, CHECKPOINT))
        return path.is_file() and path.suffix == Path(RESULT).suffix
    except (OSError, ValueError):
        return False
