"""What a solution computes with the drift that is there: another measurement, excited levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fkflow.api import arguments
from fkflow.api.arguments import python_errors
from fkflow.execution.progress import Progress
from fkflow.recipe.config import Loaded, Recipe, compose
from fkflow.results.result import Result
from fkflow.runs.context import RunContext
from fkflow.runs.exploration import Explored
from fkflow.runs.remeasure import remeasure


def with_sections(recipe: Recipe, tables: Mapping[str, Mapping[str, Any]]) -> Loaded:
    """The recipe of a run with other keys in some sections."""
    sections = {
        name: {**table, **tables.get(name, {})} for name, table in recipe.resolved().items() if name != "system"
    }
    loaded = compose(recipe.system, sections)
    return replace(loaded, recipe=loaded.recipe.model_copy(update={"definition": recipe.definition}))


def measure_again(
    result: Result,
    recipe: Recipe,
    sections: Mapping[str, Any],
    target_error: float | None,
    progress: bool | Progress,
    **options: Any,
) -> tuple[Result, Recipe, Explored | None]:
    """The result of measuring once more, its recipe and the landscape; `options` are those of `arguments.check_options`."""
    with python_errors(), arguments.torch_threads(), arguments.open_progress(progress) as watcher:
        tables = arguments.plain_sections(sections, target_error)
        # the section of the finished training does not change
        tables.pop("train", None)
        loaded = with_sections(recipe, tables)
        context = RunContext(loaded, watcher, **arguments.check_options(**options))
        return remeasure(result, context), loaded.recipe, context.explored


def add_spectrum(
    result: Result,
    recipe: Recipe,
    explored: Explored | None,
    wanted: Mapping[str, Any],
    progress: bool | Progress,
    **options: Any,
) -> tuple[Result, Explored | None]:
    """The result with the levels that are `wanted`, keys of [spectrum] (states None: the usual number); the landscape."""
    from fkflow.runs.spectrum import MOST_STATES, STATES, compute_spectrum

    count = arguments.whole_number("states", wanted["states"], 1, MOST_STATES) or STATES
    with python_errors(), arguments.torch_threads(), arguments.open_progress(progress) as watcher:
        loaded = with_sections(recipe, {"spectrum": {**wanted, "states": count}})
        checked = arguments.check_options(**options, device="cpu")
        if options["seed"] is None:
            checked["seed"] = result.provenance.get("seed")
        context = RunContext(loaded, watcher, **checked)
        context.explored = explored
        found = compute_spectrum(replace(result, path=None), context)
    return replace(found, path=result.path), context.explored
