"""A finished run that is asked for once more: its result where nothing is left to do, more work where the budget is larger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fkflow.errors import NumericalError, UsageError
from fkflow.execution import ranks
from fkflow.hamiltonian.user_systems import without_folders
from fkflow.results import store
from fkflow.results.result import Result
from fkflow.runs.budgets import first_change, grew
from fkflow.runs.context import RunContext
from fkflow.runs.remeasure import replace_measurement
from fkflow.runs.rerun import definition_warning
from fkflow.runs.spectrum import compute_spectrum
from fkflow.text import strict_json


def sections_left(context: RunContext, old: Result) -> tuple[str, ...]:
    """The sections in which the recipe of `context` asks for more than a finished run has done.

    The context takes the seed of the run. Raises UsageError if it is a run of another recipe or seed.
    """
    now = without_folders(store.hide_home(strict_json(context.recipe.resolved())))
    before = without_folders(old.resolved)
    if (changed := first_change(before, now)) is not None:
        raise UsageError(
            f"{old.file} belongs to another recipe (there: {changed}): resume with the same recipe and --set, or choose "
            "another --out"
        )
    seed = int(old.provenance["seed"])
    if context.given_seed not in (None, seed):
        raise UsageError(f"--seed {context.given_seed}: the run to resume has seed {seed}; leave --seed out")
    context.seed = seed
    if old.definition and (warning := definition_warning(old.definition, context.recipe.definition)):
        context.progress.log(f"warning: {warning}")
    found = old.measurement
    errors = {"measure": found.variational.estimate.error}
    if found.projection is not None:
        errors["project"] = found.projection.total.error
    targets = {section: now[section]["target_error"] for section in errors}
    reached = [section for section, error in errors.items() if error <= targets[section]]
    left = [section for section in grew(before, now) if section not in reached]
    if "train" in left and not _ended_by_budget(old, before["train"], now["train"]):
        left.remove("train")
    return tuple(left)


def _ended_by_budget(old: Result, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether the training of a finished run would have gone on with the budget that it has `now`."""
    if (now["target_error"] or 0.0) < (before["target_error"] or 0.0):
        return True
    late = before["seconds"] is not None and old.seconds.get("train", 0.0) >= before["seconds"]
    return bool(late or len(old.records) >= before["iterations"])


def go_on(context: RunContext, path: Path) -> tuple[bool, Result | None]:
    """Whether nothing is left to train of the finished run at `path`, and then its result, measured again if that is asked.

    Otherwise the training of `context` begins with the network and the walkers of the run. Raises NumericalError for a run that
    failed, unless it is to be trained further, and as `sections_left` and `replace_measurement` do.
    """
    old = store.read_result(path)
    left = sections_left(context, old)
    if "train" in left:
        context.progress.log(f"{old.file} is finished: its training goes on from iteration {len(old.records)}")
        context.finished = old
        return False, None
    if old.failed:
        raise NumericalError(old.failure)
    if left:
        context.progress.log(f"{old.file} is finished: it is measured with a larger budget")
        return True, replace_measurement(path, old, context, resumable=True)
    wanted = context.recipe.spectrum.states
    if wanted and (old.spectrum is None or old.spectrum.asked < wanted):
        context.progress.log(f"{old.file} is finished: its spectrum is computed")
        return True, None if ranks.rank() else compute_spectrum(old, context)
    context.progress.log(f"{old.file} is finished: nothing is left to do")
    return True, None if ranks.rank() else old
