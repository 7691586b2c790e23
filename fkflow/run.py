"""One run from recipe to result: device, seeds, training, checkpoints, measuring, writing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fkflow import config, ranks, store, warm
from fkflow.checkpoints import Clock
from fkflow.checks import check_device
from fkflow.device import choose_device, choose_threads, keep_freed_memory
from fkflow.errors import Interrupted, RankError, StoreError, UsageError
from fkflow.frozen import measured, seconds_of
from fkflow.interrupts import Signals
from fkflow.landscape import Landscape
from fkflow.masses import inward
from fkflow.networks import LogPsi, PairDrift
from fkflow.progress import Progress
from fkflow.provenance import provenance
from fkflow.registry import built_in
from fkflow.rerun import changed, recipe_of
from fkflow.restore import Model, fresh, load_weights
from fkflow.results import Result
from fkflow.system import System
from fkflow.training import Record, TrainState, begin, train
from fkflow.userfile import Definition, placeless

#: iterations over which the energy shown while training is averaged
SHOWN_WINDOW = 10


@dataclass
class Prepared:
    """A recipe made ready to compute: system, landscape, network, on a device."""

    loaded: config.Loaded
    model: Model
    seed: int
    device: str
    threads: int

    @property
    def system(self) -> System:
        """What the solver sees of the recipe's system."""
        return self.model.system

    @property
    def landscape(self) -> Landscape:
        """The natural scale of its potential."""
        return self.model.landscape

    @property
    def net(self) -> LogPsi | PairDrift:
        """The network, on the device."""
        return self.model.net

    def provenance(self, started: float) -> dict[str, Any]:
        """Where a result of it comes from; `started` is when its computation began, in seconds since 1970."""
        return provenance(seed=self.seed, device=self.device, threads=self.threads, started=started)


def prepare(loaded: config.Loaded, *, seed: int, device: str, threads: int | None) -> Prepared:
    """Choose device and threads, explore the potential and build the network.

    Raises UsageError if there is no such device, or the walkers cannot be shared evenly by the ranks.
    """
    recipe = loaded.recipe
    ranks.check_share("measure.walkers", recipe.measure.walkers)
    if recipe.project.seconds > 0:
        ranks.check_share("project.walkers", recipe.project.walkers)
    device = choose_device(device)
    chosen = choose_threads(threads)
    torch.set_num_threads(chosen)
    keep_freed_memory()
    model = fresh(recipe, seed)
    if device != "cpu" and not built_in(type(recipe.system)):
        check_device(recipe.system, device)
    net = model.net.to(device)
    ranks.alike([*net.parameters(), *net.buffers()])
    return Prepared(loaded, model, seed, device, chosen)


def execute(
    loaded: config.Loaded,
    out: Path,
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
    the others return None.
    """
    started = time.time()
    keeper = store.Keeper(out / store.CHECKPOINT)
    saved: dict[str, Any] | None = None
    if resume:
        saved = ranks.share(keeper.load() if ranks.rank() == 0 else {})
        _same_recipe(saved, loaded, keeper.path, seed)
        seed = int(saved["seed"])
        if keeper.damaged:
            progress.log(f"warning: {keeper.damaged}")
    seed = ranks.share(drawn_seed() if seed is None else seed)
    with Signals() if signals is None else nullcontext(signals) as noted, _notices(progress):
        try:
            return _execute(loaded, keeper, saved, seed, device, threads, progress, noted, started)
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
    started: float,
) -> Result | None:
    recipe = loaded.recipe
    records: list[dict[str, Any]] = []
    try:
        with signals.at_once():
            ranks.check_share("train.walkers", loaded.recipe.train.walkers)
            ready = prepare(loaded, seed=seed, device=device, threads=threads)
            source = loaded.recipe.train.source
            if saved is None and source is not None:
                fitting = warm.layout(ready.net)
                warm.copy_weights(
                    ready.net, ranks.share(warm.read_weights(source, fitting) if not ranks.rank() else {})
                )
                progress.log(f"starting from the weights of {source}")
            for warning in ready.model.warnings:
                progress.log(f"warning: {warning}")
            state = begin(ready.net, ready.landscape, loaded.recipe.train, seed, ready.device, ready.system)
        if saved is not None:
            if (file := saved.get("definition")) and (notice := changed(Definition(**file), recipe.definition)):
                progress.log(f"warning: {notice}")
            try:
                state.load_state_dict(saved["state"])
                records += [dict(record) for record in saved["records"]]
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                raise StoreError(f"{keeper.path} does not fit this recipe: {str(error).splitlines()[0]}") from None
            keeper.iteration = state.iteration
            progress.log(f"resumed at iteration {state.iteration}")
        _train(ready, state, records, keeper, progress, signals)
    except KeyboardInterrupt:
        if signals.twice:
            raise
        problem = keeper.save()
        words = f"stopped at iteration {len(records)}" if records else "stopped before the first iteration"
        raise keeper.left(Interrupted(f"{words}; {problem}" if problem else words)) from None

    def save(under_way: dict[str, Any]) -> None:
        keeper.note({**_content(ready, state, records), "frozen": ranks.collect(under_way)}, state.iteration)
        _save(keeper, progress)

    try:
        before = saved and saved.get("frozen")
        begun = before and before[ranks.rank()]
        measurement = measured(loaded.recipe, ready.model, state.walkers.x, seed, progress, signals, begun, save)
    except Interrupted as error:
        raise keeper.left(error) from None
    result = None
    if ranks.rank() == 0:
        try:
            result = store.write_result(
                keeper.path.with_name(store.RESULT),
                loaded=loaded,
                provenance=ready.provenance(started),
                records=records,
                measurement=measurement,
                model_state=ready.net.state_dict(),
                seconds={"train": state.seconds, **seconds_of(measurement)},
            )
        except StoreError as error:
            raise keeper.left(error.leaving("what was measured is lost")) from error
        keeper.done()
    ranks.share(None)  # the others end well only if this did
    return result


def _train(
    ready: Prepared,
    state: TrainState,
    records: list[dict[str, Any]],
    keeper: store.Keeper,
    progress: Progress,
    signals: Signals,
) -> None:
    """Train to the end, with a record an iteration added to `records`; KeyboardInterrupt as soon as there is a signal."""
    recipe = ready.loaded.recipe
    clock = Clock()
    progress.stage("train", float(recipe.train.iterations))
    steps = train(ready.system, ready.landscape, recipe.train, state)
    last: Record | None = None
    while True:
        with signals.at_once():
            record = next(steps, None)
        if record is None:
            break
        last = record
        records.append(asdict(record))
        _show(progress, records, record)
        stopped, due = ranks.either(bool(signals), clock.due())
        if stopped or due or ranks.world() == 1:  # alone, the next iteration may be broken off
            keeper.note(_content(ready, state, records), state.iteration)
        if stopped:
            raise KeyboardInterrupt
        if due:
            _save(keeper, progress)
            clock.saved()
    if last is not None and last.iteration < recipe.train.iterations:
        # enough for the target, a drift that is exact already, or out of time: the bar is full
        _show(progress, records, replace(last, iteration=recipe.train.iterations))
        budget = recipe.train.seconds
        why = "its time budget ended" if budget is not None and state.seconds >= budget else "more would not pay"
        progress.log(f"trained {last.iteration} iterations: {why}")
    # of a run that goes on after its training the file is newer than this
    if last is not None or keeper.iteration is None:
        keeper.note(_content(ready, state, records), state.iteration)
        _save(keeper, progress)


def _content(ready: Prepared, state: TrainState, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a checkpoint of the training holds; all ranks must ask for it together."""
    definition = ready.loaded.recipe.definition
    return {
        "seed": ready.seed,
        "recipe": config.to_toml(placeless(ready.loaded.recipe.resolved())),
        "definition": definition and asdict(definition),
        "records": records,
        "ranks": ranks.world(),
        "state": state.state_dict(),
    }


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
    started = time.time()
    old = store.read_result(path)
    for text in overrides:
        if not text.strip().startswith(("measure.", "project.", "system.file")):
            raise UsageError(
                f"--set {text}: only keys of [measure] and [project] can change when a finished run is measured again"
            )
    with _notices(progress):
        loaded = recipe_of(old, overrides)
    loaded = config.Loaded(loaded.recipe, old.name, old.recipe_text, old.recipe_source, loaded.overrides)
    trained_seed = int(old.provenance["seed"])
    ready = prepare(loaded, seed=trained_seed, device=device, threads=threads)
    load_weights(ready.net, old)
    # another seed than the first measurement's, unless asked for the same
    measured_seed = ranks.share(drawn_seed() if seed is None else seed)
    x = inward(ready.system, torch.as_tensor(old.measurement.samples, dtype=torch.float64, device=ready.device))
    unchanged = "the earlier result is unchanged"
    with Signals() as signals, _notices(progress):
        try:
            measurement = measured(loaded.recipe, ready.model, x, measured_seed, progress, signals)
        except (Interrupted, RankError) as error:
            raise error.leaving(unchanged) from None
    report = {**ready.provenance(started), "seed": trained_seed, "measure_seed": measured_seed}
    result = None
    if ranks.rank() == 0:
        try:
            result = store.write_result(
                path,
                loaded=loaded,
                provenance=report,
                records=old.records,
                measurement=measurement,
                model_state=ready.net.state_dict(),
                seconds={"train": old.seconds.get("train", 0.0), **seconds_of(measurement)},
            )
        except StoreError as error:
            raise error.leaving(f"what was measured is lost, {unchanged}") from error
    ranks.share(None)
    return result


def drawn_seed() -> int:
    """A seed nobody asked for; it is recorded all the same."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def _show(progress: Progress, records: list[dict[str, Any]], record: Record) -> None:
    window = [r for r in records[-SHOWN_WINDOW:] if not r["undone"]] or records[-1:]
    energy = sum(r["energy"] for r in window) / len(window)
    error = sum(r["error"] ** 2 for r in window) ** 0.5 / len(window)
    note = f"spread {record.spread:.3g}" + (" (step taken back)" if record.undone else "")
    progress.update(float(record.iteration), energy, error, note)


def _same_recipe(saved: dict[str, Any], loaded: config.Loaded, path: Path, seed: int | None) -> None:
    try:
        before, saved_seed = saved["recipe"], int(saved["seed"])
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
        raise UsageError(f"{path} was written by {saved_ranks} ranks: resume with as many, not {ranks.world()}")


@contextmanager
def _notices(progress: Progress) -> Iterator[None]:
    """Show what the package logs (memory that ran out, say) among the progress."""

    class Among(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.log(record.getMessage())

    handler = Among(logging.WARNING)
    logger = logging.getLogger("fkflow")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
