"""A scan: one run for each point of a grid, each started from the weights of its nearest finished neighbour.

Every point is an ordinary run in a folder of its own. scan.h5, scan.csv and scan.png beside these folders are updated after
every point, so that a scan can go on however it ended.
"""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import fkflow
from fkflow.errors import Interrupted, NumericalError, PotentialError, StoreError, UsageError
from fkflow.execution import ranks
from fkflow.execution.device import choose_device
from fkflow.execution.progress import PrefixedProgress
from fkflow.hamiltonian.user_systems import display_name, without_folders
from fkflow.plot import save_scan
from fkflow.recipe.config import Loaded, ScanConfig
from fkflow.results import store
from fkflow.results.checkpoints import CheckpointWriter
from fkflow.results.folders import atomic_write, make_folder
from fkflow.results.paths import CHECKPOINT, RESULT, SCAN
from fkflow.results.result import Result
from fkflow.results.scan_records import FAILED, FINISHED, Axis, Point, Scan
from fkflow.results.scan_store import read_scan, write_scan
from fkflow.results.scan_tables import csv_text
from fkflow.runs import run, thermal, warm_start
from fkflow.runs.context import RunContext
from fkflow.runs.model import build_model, check_shares
from fkflow.runs.rerun import definition_warning
from fkflow.runs.scan_grid import Over, Place, Planned, nearest
from fkflow.text import strict_json

log = logging.getLogger("fkflow")

#: the table beside scan.h5
TABLE = "scan.csv"
#: descriptions of parameters that any class may have
USUAL = {
    "system.particles": "number of particles",
    "system.dimensions": "number of dimensions of space",
    "system.mass": "mass of the particles",
    "system.length": "length of the system",
}
#: sections in which a point must agree with its plan; it may have been measured again with other keys of the others
TRAINED = ("system", "network", "train")


@dataclass
class _Work:
    """A scan under way. Its context has the base recipe, and `out` is the folder of the scan."""

    context: RunContext
    scan: Scan
    planned: dict[str, Planned]
    layouts: dict[str, dict[str, Any]] = field(default_factory=dict)
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
    scan = _plan_scan(context, overs, planned, context.out / SCAN)
    if ranks.rank() == 0:
        if (source := context.recipe.train.source) is not None:
            warm_start.read_network(source)
        if context.resume and scan.path.exists():
            scan = _resume(context, scan, planned)
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


def _plan_scan(context: RunContext, overs: Sequence[Over], planned: Sequence[Planned], path: Path) -> Scan:
    """The scan before its first point."""
    base, system = context.loaded, context.recipe.system
    options = base.scan or ScanConfig.model_validate({})
    # the recipe's unit belongs to its own key: --over with another one has the unit 1
    named = [text.partition("=")[0].strip() for text in options.over[:1]]
    return Scan(
        path=path,
        name=base.name,
        system=system.key,
        parameters=strict_json(system.parameters()),
        energy_unit=planned[0].loaded.recipe.system.energy_unit,
        recipe_text=base.text,
        recipe_source=Path(base.source).name,
        resolved=store.hide_home(strict_json(base.recipe.resolved())),
        over=tuple(over.text for over in overs),
        axes=tuple(_axis(planned[0].loaded, over.key) for over in overs),
        unit=options.unit if named in ([], [overs[0].key]) else 1.0,
        warm=options.warm,
        seed=context.seed,
        version=fkflow.__version__,
        points=tuple(_plan_point(p, context.seed, number, 0) for number, p in enumerate(planned)),
    )


def _axis(loaded: Loaded, key: str) -> Axis:
    section, _, name = key.partition(".")
    if name.count(".") == 2:
        listed, who, what = name.split(".")
        return Axis(key, f"{what} of {who} in {listed}", "")
    own = getattr(loaded.recipe, section)
    field = next((f for own_name, f in type(own).model_fields.items() if name in (own_name, f.alias)), None)
    extra = field.json_schema_extra if field else None
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    # a class of a user need not describe its parameters
    words = (
        (field.description if field else None) or USUAL.get(key) or f"parameter of {display_name(loaded.recipe.system)}"
    )
    return Axis(key, words, str(unit))


def _plan_point(planned: Planned, seed: int, number: int, attempts: int) -> Point:
    """A point without a result; its seed follows from the seed of the scan, its number and how often it failed."""
    own = np.random.SeedSequence(seed, spawn_key=(number, attempts)).generate_state(1)[0]
    system, warm = planned.loaded.recipe.system, bool(planned.loaded.recipe.thermal.betas())
    return Point(
        values=planned.values,
        run=planned.name,
        seed=int(own),
        attempts=attempts,
        # those of ground states, which have no free energy
        reference=None if warm else system.reference(),
        published=() if warm else system.published(),
    )


def _resume(context: RunContext, scan: Scan, planned: Sequence[Planned]) -> Scan:
    """The scan with the finished points of an earlier one in the same folder. Raises UsageError if that is another scan."""
    old = read_scan(scan.path)
    if context.given_seed not in (None, old.seed):
        raise UsageError(f"--seed {context.given_seed}: the scan to resume has seed {old.seed}; leave --seed out")
    if (changed := _difference(old, scan)) is not None:
        raise UsageError(
            f"{scan.path} belongs to another scan (there: {changed}): resume with the same recipe, --over and --set, "
            "or choose another --out"
        )
    points = []
    for number, (before, plan) in enumerate(zip(old.points, planned, strict=True)):
        # a failed point is tried again with other random numbers: the same ones would fail again
        point = _plan_point(plan, old.seed, number, before.attempts)
        result = scan.path.parent / point.run / RESULT
        if result.exists():
            found = store.read_result(result)
            _check_point(found, plan)
            point = point.with_result(found)
        elif before.status == FAILED:
            CheckpointWriter(scan.path.parent / point.run / CHECKPOINT).remove()
        points.append(point)
    return replace(scan, seed=old.seed, points=tuple(points))


def _difference(old: Scan, new: Scan) -> str | None:
    """The first difference of two scans, as the old one has it; None if they are the same."""
    before, now = without_folders(old.resolved), without_folders(new.resolved)
    for section, table in before.items():
        for key, value in table.items():
            if now.get(section, {}).get(key) != value:
                return f"{section}.{key} = {value}"
    if before != now:
        return "fewer keys"
    if [p.values for p in old.points] != [p.values for p in new.points] or old.warm != new.warm:
        return f"over {', '.join(old.over)}" + ("" if old.warm else ", scan.warm = false")
    return None


def _check_point(found: Result, plan: Planned) -> None:
    """Raise UsageError unless a finished run has the recipe of this point; warn of a changed file of its system."""
    wanted = without_folders(store.hide_home(strict_json(plan.loaded.recipe.resolved())))
    there = without_folders(found.resolved)
    scanned = [key.split(".")[:2] for key in plan.values]
    for section, table in wanted.items():
        for key, value in table.items():
            compared = section in TRAINED or [section, key] in scanned
            if compared and (section, key) != ("train", "from") and there.get(section, {}).get(key) != value:
                raise UsageError(
                    f"{found.path} belongs to another recipe (there: {section}.{key} = {there[section].get(key)}, "
                    f"here {value}): choose another --out, or remove it first"
                )
    if found.definition is not None and (
        warning := definition_warning(found.definition, plan.loaded.recipe.definition)
    ):
        log.warning("warning: %s: %s", found.run, warning)


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
        result = run.execute(own) if family is None else thermal.execute(own, family)
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
        work.layouts[planned.name] = warm_start.layout(build_model(planned.loaded.recipe, 0, alone=True).net)
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
