"""What to run: a recipe, or the result of an earlier run, whose recipe, seed and number of threads are taken again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fkflow.config import Loaded, load, parse, to_toml
from fkflow.errors import StoreError
from fkflow.folders import CHECKPOINT, RESULT
from fkflow.registry import recipes

#: what is put behind the name of a run that is a repetition
AGAIN = "-rerun"


def recipe_or_result(name: str, overrides: Sequence[str] = ()) -> tuple[Loaded, int | None, int | None]:
    """The recipe of that name, or the resolved one of a result file or run folder with its seed and number of threads.

    A folder counts where no recipe has its name. Raises RecipeError, or StoreError for a result that cannot be read.
    """
    if not _is_result(Path(name)):
        return load(name, overrides), None, None
    from fkflow.store import read_result

    result = read_result(name)
    text = to_toml(result.resolved)
    loaded = parse(text, result.path.as_posix(), overrides)
    seed, threads = result.provenance.get("seed"), result.provenance.get("threads")
    if not isinstance(seed, int) or not isinstance(threads, int):
        raise StoreError(
            f"{result.path} does not say with which seed and how many threads it was run: it cannot be run again"
        )
    # a repetition of a repetition is one of the same run
    again = result.name.removesuffix(AGAIN) + AGAIN
    return replace(loaded, name=again, source=result.recipe_source), seed, threads


def _is_result(path: Path) -> bool:
    try:
        if path.is_dir():
            a_recipe = path.with_name(f"{path.name}.toml").is_file() or f"{path}.toml" in recipes()
            return not a_recipe and any((path / file).exists() for file in (RESULT, CHECKPOINT))
        return path.is_file() and path.suffix == Path(RESULT).suffix
    except (OSError, ValueError):
        return False
