"""A run at temperatures: from recipe to result, without a ground state."""

from __future__ import annotations

import time

import torch

from fkflow.errors import Interrupted, UsageError
from fkflow.execution import ranks
from fkflow.execution.device import choose_device, choose_threads, keep_freed_memory
from fkflow.hamiltonian.user_systems import without_folders
from fkflow.recipe.config import Recipe
from fkflow.results import store
from fkflow.results.folders import RESULT
from fkflow.results.provenance import collect_provenance
from fkflow.results.records import Doubt
from fkflow.results.result import Result
from fkflow.results.thermal import without_ground_state
from fkflow.runs.context import RunContext
from fkflow.runs.model import find_landscape
from fkflow.text import strict_json
from fkflow.thermal.pose import refuse
from fkflow.thermal.solve import Question, ThermalSolver


def execute(context: RunContext) -> Result:
    """Solve the system at the temperatures of the recipe and write result.h5, whole or not at all.

    With `context.resume` a finished run of the same recipe is given back; an unfinished one begins anew. Raises UsageError
    for a system that has no free energy, NumericalError if no path has a weight, Interrupted after a signal.
    """
    if ranks.count() > 1:
        raise UsageError("a run at temperatures works with one process: leave --processes out")
    if choose_device("cpu" if context.device == "auto" else context.device) != "cpu":
        raise UsageError("--device cuda: a run at temperatures works on the CPU alone")
    if context.resume and context.out is not None and (context.out / RESULT).exists():
        return _finished(context)
    context.device, context.threads = "cpu", choose_threads(context.threads)
    torch.set_num_threads(context.threads)
    keep_freed_memory()
    began = time.monotonic()
    with context.listen():
        try:
            with context.signals.raise_at_once():
                solver = _prepare(context)
                found = solver.solve()
        except KeyboardInterrupt:
            if context.signals.twice:
                raise
            raise Interrupted("stopped: nothing was written") from None
        doubts = [warning for warning in found.warnings if isinstance(warning, Doubt)]
        result = store.make_result(
            loaded=context.loaded,
            provenance=collect_provenance(
                seed=context.seed, device="cpu", threads=context.threads, started=context.began
            ),
            records=[],
            measurement=without_ground_state(f"this run of {context.recipe.system.key}"),
            model_state={},
            seconds={"thermal": time.monotonic() - began},
            doubts=doubts,
            thermal=found,
        )
        return result if context.out is None else store.save_result(result, context.out / RESULT)


def _prepare(context: RunContext) -> ThermalSolver:
    """The solver of a recipe, with the notes and warnings about its system."""
    recipe = context.recipe
    refuse(recipe.system, None, recipe.thermal.statistics)
    model = find_landscape(recipe)
    for kind, sentences in (("note", model.notes), ("warning", model.warnings)):
        for sentence in sentences:
            context.progress.log(f"{kind}: {sentence}")
    return ThermalSolver(model.system, model.landscape, _question(recipe, context.seed), context.progress)


def _question(recipe: Recipe, seed: int) -> Question:
    wanted = recipe.thermal
    return Question(
        wanted.betas(),
        wanted.statistics,
        wanted.iterations,
        wanted.target_error,
        wanted.seconds,
        wanted.time_step,
        seed,
    )


def _finished(context: RunContext) -> Result:
    """The finished run in the folder, if it is one of this recipe; UsageError if not."""
    assert context.out is not None
    old = store.read_result(context.out / RESULT)
    now = without_folders(store.hide_home(strict_json(context.recipe.resolved())))
    before = without_folders(old.resolved)
    for section, table in now.items():
        for key, value in table.items():
            if (there := before.get(section, {}).get(key)) != value:
                raise UsageError(
                    f"{old.file} belongs to another recipe (there: {section}.{key} = {there}): resume with the same recipe "
                    "and --set, or choose another --out"
                )
    if context.given_seed not in (None, old.provenance["seed"]):
        raise UsageError(
            f"--seed {context.given_seed}: the run to resume has seed {old.provenance['seed']}; leave --seed out"
        )
    context.progress.log(f"{old.file} is finished: nothing is left to do")
    return old
