"""The result of a run: its trained network and measurement with their provenance and doubts, in no file yet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fkflow.hamiltonian import scale
from fkflow.hamiltonian.free import break_up_energy
from fkflow.recipe.config import Loaded
from fkflow.results import store
from fkflow.results.provenance import collect_provenance
from fkflow.results.records import Measurement
from fkflow.results.result import Result
from fkflow.results.status import find_doubts
from fkflow.runs.context import RunContext
from fkflow.runs.model import Model


def collect_result(
    context: RunContext,
    model: Model,
    measurement: Measurement,
    records: Sequence[Mapping[str, Any]],
    train_seconds: float,
    gap: float | None,
    loaded: Loaded | None = None,
    **changes: Any,
) -> Result:
    """The result of a run, in no file yet; `gap` is one that was seen earlier.

    `loaded` replaces the context's recipe, `changes` entries of the provenance.
    """
    assert context.threads is not None, "`prepare` has chosen them"
    came_from = collect_provenance(
        seed=context.seed, device=context.device, threads=context.threads, started=context.began
    )
    seconds = {"train": train_seconds, "measure": measurement.seconds}
    if measurement.projection is not None:
        seconds["project"] = measurement.projection.seconds
    natural_time = model.landscape.length**2
    # near nuclei and other centres V has no minimum
    charged = model.system.point_charges() is not None
    bottomless = charged or model.system.nuclei() is not None or model.landscape.centres is not None
    heights = None if bottomless else model.system.potential(model.landscape.minima.to(context.device))
    lowest = -math.inf if heights is None else float(heights.min())
    threshold = break_up_energy(model.system, model.landscape.free)
    if measurement.gap is not None and gap is not None:
        measurement = replace(measurement, gap=min(gap, measurement.gap))
    measurement = replace(measurement, warnings=[*model.warnings, *measurement.warnings])
    return store.make_result(
        loaded=loaded or context.loaded,
        provenance=came_from | changes,
        records=records,
        measurement=measurement,
        model_state={**model.net.state_dict(), **scale.scale_state(model.landscape)},
        seconds=seconds,
        doubts=find_doubts(
            measurement,
            records,
            natural_time,
            model.landscape.centre.numel(),
            lowest,
            threshold,
            charged,
            model.landscape.box is not None,
        ),
    )
