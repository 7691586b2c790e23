"""A scan: one run for each point of a grid, each started from the weights of its nearest finished neighbour.

Every point is an ordinary run in a folder of its own. scan.h5, scan.csv and scan.png beside these folders are updated after
every point, so that a scan can go on however it ended.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fkflow.errors import Interrupted, NumericalError, PotentialError, StoreError
from fkflow.execution import ranks
from fkflow.execution.device import choose_device
from fkflow.execution.progress import PrefixedProgress
from fkflow.plot import save_scan
from fkflow.results.checkpoints import CheckpointWriter
from fkflow.results.folders import atomic_write, make_folder
from fkflow.results.paths import CHECKPOINT, SCAN
from fkflow.results.scan_records import FAILED, FINISHED, Point, Scan
from fkflow.results.scan_store import write_scan
from fkflow.results.scan_tables import csv_text
from fkflow.runs import run, thermal, warm_start
from fkflow.runs.context import RunContext
from fkflow.runs.exploration import Explored, find_landscape
from fkflow.runs.model import build_model, check_shares
from fkflow.runs.scan_grid import Over, Place, Planned, nearest
from fkflow.runs.scan_plan import plan_scan, resume_scan
from fkflow.text import strict_json

#: the table beside scan.h5
TABLE = "scan.csv"


@dataclass
class _Work:
    """A scan under way. Its context has the base recipe, and `out` is the folder of the scan."""

    context: RunContext
    scan: Scan
    planned: dict[str, Planned]
    layouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    explored: dict[str, Explored] = field(default_factory=dict)
    families: dict[str, thermal.Family] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.scan.path.parent


def execute(context: RunContext, overs: Sequence[Over], planned: Sequence[Planned]) -> Scan:
    """Compute all points, or with `context.resume` those of the scan in `context.out` that have no result yet.

    A point that fails numerically, or whose potential fails the checks, is recorded, and the scan goes on; with several ranks
    it ends if only one of them fails, which has left the others. Ranks share the walkers of each point, and rank 0 alone reads
    and writes. Raises Interrupted, StoreError if the disk refuses, UsageError if the folder holds another scan or there is no
    such device.
    """
    assert context.out is not None, "a scan has a folder"
    choose_device(context.device)
    for plan in planned:
        check_shares(plan.loaded.recipe)
    scan = plan_scan(context, overs, planned, context.out / SCAN)
    if ranks.rank() == 0:
        if (source := context.recipe.train.source) is not None:
            warm_start.read_network(source)
        if context.resume and scan.path.exists():
            scan = resume_scan(context, scan, planned)
    scan = ranks.broadcast(scan)
    with context.signals:
        work = _Work(context, scan, {p.name: p for p in planned})
        _write(work)
        total = len(planned)
        for number, point in enumerate(scan.points, 1):
            if point.status == FINISHED:
                continue
            if ranks.reduce_any(bool(context.signals))[0]:
                break
            prefix = f"{number}/{total} {point.run}"
            try:
                done = _compute(work, point, prefix)
            except Interrupted:
                break
            work.scan = work.scan.with_point(done)
            _write(work)
            context.progress.log(f"{prefix}  {_describe(done)}")
        if ranks.reduce_any(bool(context.signals))[0] and (left := work.scan.unfinished):
            stopped = Interrupted(f"stopped with {total - len(left)} of {total} points finished")
            raise stopped.with_hint(f"{scan.path} holds what they gave", resumable=True)
    return work.scan


def _compute(work: _Work, point: Point, prefix: str) -> Point:
    """Run one point, from its checkpoint if there is one; the point with its result, or with the reason of its failure."""
    folder, planned = work.out / point.run, work.planned[point.run]
    resume, start = ranks.broadcast(_prepare(work, planned, folder) if ranks.rank() == 0 else (False, None))
    try:
        recipe = planned.loaded.recipe
        family = _family(work, planned)
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"source": start})})
        context = work.context
        own = RunContext(
            replace(planned.loaded, recipe=recipe),
            PrefixedProgress(context.progress, prefix),
            seed=point.seed,
            device=context.device,
            threads=context.threads,
            out=folder,
            resume=resume,
            signals=context.signals,
        )
        # the other ranks have not explored it
        own.explored = work.explored.get(point.run) if ranks.count() == 1 else None
        result = run.execute(own) if family is None else thermal.execute(own, family)
        if own.explored is not None:
            work.explored[point.run] = own.explored
    except (NumericalError, PotentialError) as error:
        failed = replace(point, status=FAILED, attempts=point.attempts + 1, reason=str(error))
        if ranks.count() > 1 and not error.on_all_ranks:
            work.scan = work.scan.with_point(failed)
            _write(work)
            raise error.with_hint(f"{work.scan.path} holds the points before it", resumable=True) from None
        return failed
    return ranks.broadcast(None if result is None else point.with_result(result)) or point


def _family(work: _Work, planned: Planned) -> thermal.Family | None:
    """The runs that differ from this one in their temperature alone; None for a ground state."""

    def rest(plan: Planned) -> str:
        tables = plan.loaded.recipe.resolved()
        tables["thermal"] = {k: v for k, v in tables["thermal"].items() if k not in ("temperature", "beta")}
        return json.dumps(strict_json(tables), sort_keys=True)

    if not planned.loaded.recipe.thermal.betas():
        return None
    key = rest(planned)
    if key not in work.families:
        alike = [plan for plan in work.planned.values() if rest(plan) == key]
        work.families[key] = thermal.Family(tuple(plan.loaded.recipe.thermal.betas()[0] for plan in alike))
    return work.families[key]


def _prepare(work: _Work, planned: Planned, folder: Path) -> tuple[bool, str | None]:
    """Make the folder of a point; whether it goes on from a checkpoint there, and the run whose weights it starts with."""
    make_folder(folder)
    if planned.loaded.recipe.thermal.betas():
        return False, None
    if (folder / CHECKPOINT).exists():
        return True, _saved_start(folder / CHECKPOINT)
    try:
        return False, _start(work, planned)
    except (NumericalError, PotentialError):
        # the run of the point raises it again
        return False, None


def _saved_start(checkpoint: Path) -> str | None:
    """The run whose weights an unfinished run started with, from its checkpoint."""
    try:
        found = tomllib.loads(CheckpointWriter(checkpoint).load()["recipe"])["train"].get("from")
    except (KeyError, TypeError, ValueError):
        raise StoreError(f"{checkpoint} is not the checkpoint of a run") from None
    return found if found is None else str(found)


def _start(work: _Work, planned: Planned) -> str | None:
    """The nearest finished point whose network fits, else the recipe's train.from if that fits, else None."""
    source = work.context.recipe.train.source
    done = [point.run for point in work.scan.points if point.status == FINISHED] if work.scan.warm else []
    if not done and source is None:
        return None
    here = _layout(work, planned)
    places: dict[Place, str] = {work.planned[name].place: name for name in done}
    for place in nearest(planned.place, places):
        if warm_start.difference(here, _layout(work, work.planned[places[place]])) is None:
            return (work.out / places[place]).as_posix()
    if source and warm_start.difference(here, warm_start.layout(warm_start.read_network(source))) is None:
        return source
    return None


def _layout(work: _Work, planned: Planned) -> dict[str, Any]:
    if planned.name not in work.layouts:
        recipe, found = planned.loaded.recipe, work.explored.get(planned.name)
        found = work.explored[planned.name] = found or find_landscape(recipe, alone=True)
        work.layouts[planned.name] = warm_start.layout(build_model(recipe, 0, explored=found).net)
    return work.layouts[planned.name]


def _write(work: _Work) -> None:
    """Update scan.h5, the table and the picture."""
    if ranks.rank():
        return
    write_scan(work.scan)
    atomic_write(work.out / TABLE, csv_text(work.scan).encode())
    save_scan(work.scan, work.out)


def _describe(point: Point) -> str:
    """The outcome of a point, in one line."""
    if point.status == FAILED:
        return f"failed: {point.reason}"
    against = point.comparison
    known = f", {against.words()}" if against else ""
    return f"{point.best}{known}, {point.seconds:.0f} s"
