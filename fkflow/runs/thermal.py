"""A run at temperatures: from recipe to result, without a ground state."""

from __future__ import annotations

import time
import tomllib
from dataclasses import dataclass, replace
from typing import Any

from fkflow.errors import Interrupted, UsageError
from fkflow.execution import ranks
from fkflow.execution.device import choose_device, choose_threads, keep_freed_memory
from fkflow.execution.threads import use_threads
from fkflow.hamiltonian.user_systems import without_folders
from fkflow.recipe.config import Recipe
from fkflow.results import store
from fkflow.results.paths import CHECKPOINT, RESULT
from fkflow.results.provenance import collect_provenance
from fkflow.results.records import Doubt
from fkflow.results.result import Result
from fkflow.results.thermal import without_ground_state
from fkflow.runs.context import RunContext
from fkflow.runs.exploration import find_landscape
from fkflow.text import strict_json
from fkflow.thermal.pose import refuse
from fkflow.thermal.question import Question
from fkflow.thermal.solve import ThermalSolver


@dataclass
class Family:
    """Runs that differ in their temperature alone, such as points of a scan: one solver, whose drift is trained once."""

    betas: tuple[float, ...]
    solver: ThermalSolver | None = None


def execute(context: RunContext, family: Family | None = None) -> Result:
    """Solve the system at the temperatures of the recipe and write result.h5, whole or not at all.

    After each training and each measurement there is a checkpoint, from which the run goes on with `context.resume`; a finished
    run of the same recipe is given back. A run of a `family` has one temperature and no checkpoints. Raises UsageError for a
    system that has no free energy, NumericalError if no path has a weight, Interrupted after a signal.
    """
    if ranks.count() > 1:
        raise UsageError("a run at temperatures works with one process: leave --processes out")
    if choose_device("cpu" if context.device == "auto" else context.device) != "cpu":
        raise UsageError("--device cuda: a run at temperatures works on the CPU alone")
    if context.resume and context.out is not None:
        if (context.out / CHECKPOINT).exists():
            context.load_checkpoint()
            _check_saved(context)
        elif (context.out / RESULT).exists():
            return _finished(context)
    context.device, context.threads = "cpu", choose_threads(context.threads)
    use_threads(context.threads)
    keep_freed_memory()
    began = time.monotonic()
    saved = (context.saved or {}).get("thermal")
    spent = float(saved["seconds"]) if saved else 0.0

    def keep(number: int, state: dict[str, Any]) -> None:
        state = {**state, "seconds": spent + time.monotonic() - began}
        context.save({"recipe": context.plain_recipe(), "seed": context.seed, "ranks": 1, "thermal": state}, number)

    with context.listen():
        try:
            with context.signals.raise_at_once():
                if family is None:
                    found = _solver(context, context.recipe.thermal.betas()).solve(saved, keep)
                else:
                    family.solver = family.solver or _solver(context, family.betas)
                    found = family.solver.alone(context.recipe.thermal.betas()[0])
        except KeyboardInterrupt:
            if context.signals.twice:
                raise
            raise _stopped(context) from None
        known = [
            replace(state, reference=context.recipe.system.free_energy(state.beta, found.statistics))
            for state in found.states
        ]
        found = replace(found, states=known)
        doubts = [warning for warning in found.warnings if isinstance(warning, Doubt)]
        result = store.make_result(
            loaded=context.loaded,
            provenance=collect_provenance(
                seed=context.seed, device="cpu", threads=context.threads, started=context.began
            ),
            records=[],
            measurement=without_ground_state(f"this run of {context.recipe.system.key}"),
            model_state={},
            seconds={"thermal": spent + time.monotonic() - began},
            doubts=doubts,
            thermal=found,
        )
        if context.out is not None:
            result = store.save_result(result, context.out / RESULT)
            context.checkpoints.remove()
        return result


def _stopped(context: RunContext) -> Interrupted:
    """The error that ends an interrupted run: what it has finished is in its checkpoint."""
    path = context.checkpoints.path
    if path is None or not path.exists():
        return Interrupted("stopped: nothing was written")
    return Interrupted("stopped").with_hint(f"{path} holds what was trained and measured before", resumable=True)


def _check_saved(context: RunContext) -> None:
    """Raise UsageError if the checkpoint is that of a run without temperatures, or with other ones."""
    assert context.saved is not None
    if "thermal" not in context.saved:
        raise UsageError(f"{context.checkpoints.path} is that of a ground state: choose another --out")
    before = tomllib.loads(context.saved["recipe"])["thermal"]
    now = tomllib.loads(context.plain_recipe())["thermal"]
    for key in {**before, **now}:
        if key != "seconds" and before.get(key) != now.get(key):
            raise UsageError(
                f"{context.checkpoints.path} belongs to another recipe (there: thermal.{key} = {before.get(key)}): resume with "
                "the same recipe and --set, or choose another --out"
            )


def _solver(context: RunContext, betas: tuple[float, ...]) -> ThermalSolver:
    """The solver of a recipe for these inverse temperatures, with the notes and warnings about its system."""
    recipe = context.recipe
    refuse(recipe.system, None, recipe.thermal.statistics)
    model = find_landscape(recipe)
    context.tell(model.notes, model.warnings)
    return ThermalSolver(model.system, model.landscape, _question(recipe, betas, context.seed), context.progress)


def _question(recipe: Recipe, betas: tuple[float, ...], seed: int) -> Question:
    wanted = recipe.thermal
    return Question(
        betas,
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
