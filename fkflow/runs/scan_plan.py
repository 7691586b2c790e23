"""What a scan will compute, and whether an earlier one in its folder is the same scan."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import fkflow
from fkflow.errors import UsageError
from fkflow.hamiltonian.user_systems import display_name, without_folders
from fkflow.recipe.config import Loaded, ScanConfig
from fkflow.results import store
from fkflow.results.checkpoints import CheckpointWriter
from fkflow.results.paths import CHECKPOINT, RESULT
from fkflow.results.result import Result
from fkflow.results.scan_records import FAILED, Axis, Point, Scan
from fkflow.results.scan_store import read_scan
from fkflow.runs.context import RunContext
from fkflow.runs.rerun import definition_warning
from fkflow.runs.scan_grid import Over, Planned
from fkflow.text import strict_json

log = logging.getLogger("fkflow")

#: descriptions of parameters that any class may have
USUAL = {
    "system.particles": "number of particles",
    "system.dimensions": "number of dimensions of space",
    "system.mass": "mass of the particles",
    "system.length": "length of the system",
}
#: sections in which a point must agree with its plan; it may have been measured again with other keys of the others
TRAINED = ("system", "network", "train")


def plan_scan(context: RunContext, overs: Sequence[Over], planned: Sequence[Planned], path: Path) -> Scan:
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


def resume_scan(context: RunContext, scan: Scan, planned: Sequence[Planned]) -> Scan:
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
