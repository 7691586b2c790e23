"""Measure and project the network of a finished run once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fkflow.errors import Interrupted, RankError, StoreError, UsageError
from fkflow.execution import ranks
from fkflow.execution.progress import Progress, show_warnings
from fkflow.hamiltonian.masses import to_solver_coordinates
from fkflow.recipe.config import Loaded
from fkflow.results import store
from fkflow.results.result import Result
from fkflow.runs.context import RunContext
from fkflow.runs.frozen import measure_and_project
from fkflow.runs.model import load_weights, prepare
from fkflow.runs.outcome import collect_result
from fkflow.runs.rerun import recipe_of

#: what is left if measuring again fails
UNCHANGED = "the earlier result is unchanged"


def measure_again(
    path: Path, *, overrides: Sequence[str], seed: int | None, threads: int | None, device: str, progress: Progress
) -> Result | None:
    """Measure and project the frozen network of the result `path` once more, with changed keys, and replace that file.

    Raises UsageError if `overrides` touch anything but [measure] and [project], RankError if another rank ended. Only rank 0
    writes; the others return None.
    """
    old = store.read_result(path)
    for text in overrides:
        if not text.strip().startswith(("measure.", "project.", "system.file")):
            raise UsageError(
                f"--set {text}: only keys of [measure] and [project] can change when a finished run is measured again"
            )
    with show_warnings(progress):
        loaded = recipe_of(old, overrides)
    return replace_measurement(
        path, old, RunContext(loaded, progress, seed=seed, threads=threads, device=device), resumable=False
    )


def replace_measurement(path: Path, old: Result, context: RunContext, *, resumable: bool) -> Result | None:
    """Measure the network of the run `old` as the recipe of `context` says, and replace its file at `path`.

    `resumable`: the command that is stopped goes on when it is called again. Errors and result are those of `measure_again`.
    """
    try:
        result = remeasure(old, context)
    except (Interrupted, RankError) as error:
        raise error.with_hint(UNCHANGED, resumable=resumable) from None
    saved = None
    if ranks.rank() == 0:
        try:
            saved = store.save_result(result, path)
        except StoreError as error:
            raise error.with_hint(f"what was measured is lost, {UNCHANGED}") from error
    ranks.broadcast(None)  # the others end well only if this did
    return saved


def remeasure(old: Result, context: RunContext) -> Result:
    """Measure and project the network of a finished run as a recipe of the same network says; in no file yet.

    The seed is that of the measurement alone. Raises Interrupted as soon as there is a signal, RankError if another rank ended.
    """
    model = prepare(context)
    model = load_weights(model, context.recipe, old)
    x = torch.as_tensor(old.measurement.samples, dtype=torch.float64, device=context.device)
    with context.listen():
        measurement = measure_and_project(context, model, to_solver_coordinates(model.system, x))
    assert measurement is not None, "there is no training to go on"
    return collect_result(
        context,
        model,
        measurement,
        old.records,
        old.seconds.get("train", 0.0),
        old.measurement.gap,
        Loaded(context.recipe, old.name, old.recipe_text, old.recipe_source),
        seed=int(old.provenance["seed"]),
        measure_seed=context.seed,
    )
