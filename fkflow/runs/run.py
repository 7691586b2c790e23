"""One run from recipe to result: training, checkpoints, signals, measuring, writing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fkflow.errors import Interrupted, RankError, StoreError, UsageError
from fkflow.execution import ranks
from fkflow.execution.progress import Progress, notices
from fkflow.execution.signals import Signals
from fkflow.hamiltonian.masses import inward
from fkflow.hamiltonian.user_systems import placeless
from fkflow.recipe import config
from fkflow.recipe.old_keys import current_text
from fkflow.results import store
from fkflow.results.checkpoints import Clock
from fkflow.results.records import Measurement, Result
from fkflow.runs.frozen import measured, seconds_of
from fkflow.runs.rerun import recipe_of
from fkflow.runs.restore import load_weights
from fkflow.runs.session import Session, drawn_seed, prepare
from fkflow.training.state import Record

#: iterations over which the energy shown while training is averaged
SHOWN_WINDOW = 10
#: what is left where measuring again fails
UNCHANGED = "the earlier result is unchanged"


def execute(
    loaded: config.Loaded,
    out: Path | None,
    *,
    seed: int | None,
    device: str,
    threads: int | None,
    resume: bool,
    progress: Progress,
    signals: Signals | None = None,
) -> Result | None:
    """Train, measure and write out/result.h5; the checkpoints in `out` go once the result is there.

    Ctrl-C and SIGTERM write a checkpoint and raise Interrupted; `resume` goes on from it. `signals` are those of
    a caller with more to do. Raises NumericalError (the last good checkpoint is kept), StoreError if the disk refuses,
    UsageError if the checkpoint is another recipe's, RankError if another rank ended. Rank 0 alone reads and writes files;
    the others return None. Without `out` nothing is written at all.
    """
    keeper = store.Keeper(None if out is None else out / store.CHECKPOINT)
    saved: dict[str, Any] | None = None
    if resume and keeper.path is not None:
        saved = ranks.share(keeper.load() if ranks.rank() == 0 else {})
        _same_recipe(saved, loaded, keeper.path, seed)
        seed = int(saved["seed"])
        if keeper.damaged:
            progress.log(f"warning: {keeper.damaged}")
    seed = ranks.share(drawn_seed() if seed is None else seed)
    with Signals() if signals is None else nullcontext(signals) as noted, notices(progress):
        try:
            return _execute(loaded, keeper, saved, seed, device, threads, progress, noted)
        except RankError as error:
            raise keeper.left(error) from error


def _execute(
    loaded: config.Loaded,
    keeper: store.Keeper,
    saved: dict[str, Any] | None,
    seed: int,
    device: str,
    threads: int | None,
    progress: Progress,
    signals: Signals,
) -> Result | None:
    session: Session | None = None
    try:
        with signals.at_once():
            session = Session(
                loaded, seed=seed, device=device, threads=threads, progress=progress, resuming=saved is not None
            )
        if saved is not None:
            _resume(session, keeper, saved, progress)
        before = saved and saved.get("frozen")
        _train(session, keeper, progress, signals)
        measurement = _measure(session, keeper, progress, signals, before and before[ranks.rank()])
        while measurement is None:
            progress.log("the measured energy spreads far more than training had shown: training goes on")
            _train(session, keeper, progress, signals)
            measurement = _measure(session, keeper, progress, signals, None)
    except KeyboardInterrupt:
        if signals.twice:
            raise
        problem = keeper.save()
        done = len(session.records) if session else 0
        words = f"stopped at iteration {done}" if done else "stopped before the first iteration"
        raise keeper.left(Interrupted(f"{words}; {problem}" if problem else words)) from None
    result = None
    if ranks.rank() == 0:
        result = session.result(measurement)
        if keeper.path is not None:
            try:
                result = store.save_result(result, keeper.path.with_name(store.RESULT))
            except StoreError as error:
                raise keeper.left(error.leaving("what was measured is lost")) from error
            keeper.done()
    ranks.share(None)  # the others end well only if this did
    return result


def _measure(
    session: Session, keeper: store.Keeper, progress: Progress, signals: Signals, begun: dict[str, Any] | None
) -> Measurement | None:
    """Measure and project what was trained, from where a checkpoint had `begun`; None if training is to go on."""

    def save(under_way: dict[str, Any]) -> None:
        keeper.note({**session.checkpoint(), "frozen": ranks.collect(under_way)}, session.state.iteration)
        _save(keeper, progress)

    try:
        return measured(
            session.recipe,
            session.ready.model,
            session.state.walkers.x,
            session.ready.seed,
            progress,
            signals,
            begun,
            None if keeper.path is None else save,
            session.goes_on,
        )
    except Interrupted as error:
        raise keeper.left(error) from None


def _resume(session: Session, keeper: store.Keeper, saved: dict[str, Any], progress: Progress) -> None:
    """Go on with what was saved; StoreError if that does not fit."""
    try:
        session.restore(saved, progress)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(f"{keeper.path} does not fit this recipe: {str(error).splitlines()[0]}") from None
    keeper.iteration = session.state.iteration
    progress.log(f"resumed at iteration {session.state.iteration}")


def _train(session: Session, keeper: store.Keeper, progress: Progress, signals: Signals) -> None:
    """Train to the end; KeyboardInterrupt as soon as there is a signal."""
    wanted, state = session.recipe.train, session.state
    clock = Clock()
    progress.stage("train", float(wanted.iterations))
    last: Record | None = None
    while True:
        with signals.at_once():
            record = session.step()
        if record is None:
            break
        last = record
        _show(progress, session.records, record)
        stopped, due = ranks.either(bool(signals), clock.due())
        if stopped or due or ranks.world() == 1:  # alone, the next iteration may be broken off
            keeper.note(session.checkpoint(), state.iteration)
        if stopped:
            raise KeyboardInterrupt
        if due:
            _save(keeper, progress)
            clock.saved()
    if last is not None and last.iteration < wanted.iterations:
        # enough for the target, a drift that is exact already, or out of time: the bar is full
        _show(progress, session.records, replace(last, iteration=wanted.iterations))
        budget = wanted.seconds
        why = "its time budget ended" if budget is not None and state.seconds >= budget else "more would not pay"
        progress.log(f"trained {last.iteration} iterations: {why}")
    # of a run that goes on after its training the file is newer than this
    if last is not None or keeper.iteration is None:
        keeper.note(session.checkpoint(), state.iteration)
        _save(keeper, progress)


def _save(keeper: store.Keeper, progress: Progress) -> None:
    """Write what was noted last; a disk that refuses may have room for the next one, or for the result."""
    if problem := keeper.save():
        progress.log(f"warning: {problem}; the run goes on and tries again later")


def measure_again(
    path: Path, *, overrides: Sequence[str], seed: int | None, threads: int | None, device: str, progress: Progress
) -> Result | None:
    """Measure and project the frozen network of the result `path` once more, with changed keys, and replace that file.

    Raises UsageError if `overrides` touch anything but [measure] and [project], RankError if another rank ended. Rank 0
    alone writes; the others return None.
    """
    old = store.read_result(path)
    for text in overrides:
        if not text.strip().startswith(("measure.", "project.", "system.file")):
            raise UsageError(
                f"--set {text}: only keys of [measure] and [project] can change when a finished run is measured again"
            )
    with notices(progress):
        recipe = recipe_of(old, overrides).recipe
    try:
        result = again(old, recipe, seed=seed, threads=threads, device=device, progress=progress)
    except (Interrupted, RankError) as error:
        raise error.leaving(UNCHANGED) from None
    saved = None
    if ranks.rank() == 0:
        try:
            saved = store.save_result(result, path)
        except StoreError as error:
            raise error.leaving(f"what was measured is lost, {UNCHANGED}") from error
    ranks.share(None)
    return saved


def again(
    old: Result, recipe: config.Recipe, *, seed: int | None, threads: int | None, device: str, progress: Progress
) -> Result:
    """The network of a finished run, frozen, measured and projected as a recipe of the same network says; in no file.

    Raises Interrupted as soon as there is a signal, RankError if another rank ended.
    """
    started = time.time()
    loaded = config.Loaded(recipe, old.name, old.recipe_text, old.recipe_source)
    trained_seed = int(old.provenance["seed"])
    ready = prepare(loaded, seed=trained_seed, device=device, threads=threads)
    load_weights(ready.net, old)
    # another seed than the first measurement's, unless asked for the same
    measured_seed = ranks.share(drawn_seed() if seed is None else seed)
    x = inward(ready.system, torch.as_tensor(old.measurement.samples, dtype=torch.float64, device=ready.device))
    with Signals() as signals, notices(progress):
        measurement = measured(recipe, ready.model, x, measured_seed, progress, signals)
        assert measurement is not None
    return store.collected(
        loaded=loaded,
        provenance={**ready.provenance(started), "seed": trained_seed, "measure_seed": measured_seed},
        records=old.records,
        measurement=measurement,
        model_state=ready.net.state_dict(),
        seconds={"train": old.seconds.get("train", 0.0), **seconds_of(measurement)},
    )


def _show(progress: Progress, records: list[dict[str, Any]], record: Record) -> None:
    window = [r for r in records[-SHOWN_WINDOW:] if not r["undone"]] or records[-1:]
    energy = sum(r["energy"] for r in window) / len(window)
    error = sum(r["error"] ** 2 for r in window) ** 0.5 / len(window)
    note = f"spread {record.spread:.3g}" + (" (step taken back)" if record.undone else "")
    progress.update(float(record.iteration), energy, error, note)


def _same_recipe(saved: dict[str, Any], loaded: config.Loaded, path: Path, seed: int | None) -> None:
    try:
        before, saved_seed = current_text(saved["recipe"]), int(saved["seed"])
    except (KeyError, TypeError, ValueError):
        raise StoreError(f"{path} is not the checkpoint of a run") from None
    now = config.to_toml(placeless(loaded.recipe.resolved()))
    if before != now:
        old, new = before.splitlines(), now.splitlines()
        changed = next((a for a, b in zip(old, new, strict=False) if a != b), "its length")
        raise UsageError(
            f"{path} belongs to another recipe (there: {changed}): resume with the same recipe and --set, "
            "or choose another --out"
        )
    if seed is not None and seed != saved_seed:
        raise UsageError(f"--seed {seed}: the run to resume has seed {saved_seed}; leave --seed out")
    if (saved_ranks := saved.get("ranks", 1)) != ranks.world():
        raise UsageError(
            f"{path} was written by {saved_ranks} ranks: resume with as many (--processes {saved_ranks}), "
            f"not {ranks.world()}"
        )
