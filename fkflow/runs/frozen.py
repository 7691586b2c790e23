"""What is done with the drift frozen: measuring, then projecting; watched, interruptible, saved on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import Interrupted, NumericalError
from fkflow.execution import ranks
from fkflow.execution.progress import Progress
from fkflow.execution.signals import Signals
from fkflow.measurement.variational import VariationalEstimator
from fkflow.projection.project import Projecting, projectable
from fkflow.recipe.config import Recipe
from fkflow.results.checkpoints import Clock
from fkflow.results.records import Measurement
from fkflow.runs.restore import Model
from fkflow.statistics import Estimate

#: what a stage is called while it runs
WORDS = {"measure": "measuring", "project": "projecting"}


def measured(
    recipe: Recipe,
    model: Model,
    x: Tensor,
    seed: int,
    progress: Progress,
    signals: Signals,
    saved: Mapping[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    train_on: Callable[[float, Tensor], bool] | None = None,
) -> Measurement | None:
    """Measure the frozen network, then project it. Raises Interrupted as soon as there is a signal.

    `save` gets what this rank needs to go on, now and then, on all ranks together; `saved` is what it got last before the run
    ended. `train_on` is told the spread of the local energy after the first sweeps and this rank's walkers (B, N, D); where it
    answers yes, nothing more is measured, and None is returned.
    """
    saved = saved or {}
    stage = "measure"
    #: the stages under way, by name
    under_way: dict[str, VariationalEstimator | Projecting] = {}
    clock = Clock()

    def reporter(name: str, target: float, budget: float) -> Callable[[Estimate, float], None]:
        nonlocal stage
        stage = name
        progress.stage(name, 1.0)

        def report(estimate: Estimate, spent: float) -> None:
            stopped, due = ranks.either(bool(signals), save is not None and clock.due())
            if stopped:
                raise KeyboardInterrupt
            # errors fall as 1/√time: the share of the work done is the squared ratio, or that of the time budget
            by_error = min(1.0, (target / estimate.error) ** 2) if estimate.error > 0 else 1.0
            progress.update(max(by_error, min(1.0, spent / budget)), estimate.value, estimate.error)
            if save is not None and due:
                # what is written must not change meanwhile
                with signals.noted():
                    save({name: what.state_dict() for name, what in under_way.items()})
                clock.saved()

        return report

    try:
        with signals.at_once():
            measuring = VariationalEstimator(
                model.net,
                model.system,
                model.landscape,
                recipe.measure,
                x,
                seed,
                dt=recipe.train.dt * model.landscape.length**2,
                saved=saved.get("measure"),
            )
            under_way["measure"] = measuring
            wanted = recipe.measure
            report = reporter("measure", wanted.target_error, wanted.seconds)
            if "project" not in saved:
                measuring.run(math.inf, wanted.seconds, report)
                if train_on and measuring.young() and train_on(measuring.spread(), measuring.walkers.x):
                    return None
                measuring.run(wanted.target_error, wanted.seconds, report)
            if not projectable(measuring, recipe.project):
                return measuring.result()
            report = reporter("project", recipe.project.target_error, recipe.project.seconds)
            projecting = Projecting(measuring, recipe.project, seed, saved.get("project"))
            under_way["project"] = projecting
            return measuring.result(*projecting.run(report))
    except torch.linalg.LinAlgError as error:
        raise NumericalError(f"measuring failed: {error}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while {WORDS[stage]}") from None


def seconds_of(measurement: Measurement) -> dict[str, float]:
    """Wall-clock seconds of the stages after training."""
    projection = measurement.projection
    return {"measure": measurement.seconds} | ({"project": projection.seconds} if projection else {})
