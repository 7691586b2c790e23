"""One run from recipe to result: device, seeds, training, checkpoints, measuring, writing."""

from __future__ import annotations

import datetime
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

import fkflow
from fkflow import config, ranks, store
from fkflow.device import choose_device, choose_threads, keep_freed_memory
from fkflow.errors import Interrupted, NumericalError, RankError, StoreError, UsageError
from fkflow.interrupts import Signals
from fkflow.landscape import Landscape, explore
from fkflow.measure import Measuring
from fkflow.networks import LogPsi, PairDrift, build
from fkflow.project import project
from fkflow.results import Measurement, Result
from fkflow.statistics import Estimate
from fkflow.train import Record, TrainState, begin, train

#: seconds between checkpoints while training
CHECKPOINT_EVERY = 20.0
#: iterations over which the energy shown while training is averaged
SHOWN_WINDOW = 10
#: what a stage is called while it runs
WORDS = {"measure": "measuring", "project": "projecting"}


class Progress(Protocol):
    """What a run tells whoever watches it. Energies are in the system's unit."""

    def stage(self, name: str, total: float | None) -> None:
        """A new stage begins; `total` is the amount of `done` that ends it."""

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        """Work done in this stage, and the energy so far."""

    def log(self, line: str) -> None:
        """One line worth keeping."""

    def close(self) -> None:
        """No more updates."""


@dataclass
class Prepared:
    """A recipe made ready to compute: system, landscape, network, on a device."""

    loaded: config.Loaded
    landscape: Landscape
    net: LogPsi | PairDrift
    seed: int
    device: str
    threads: int


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
    # the same bits on all ranks
    try:
        landscape = ranks.share(explore(recipe.system))
    except torch.linalg.LinAlgError as error:
        raise NumericalError(
            f"the potential of {recipe.system.key} has no finite curvature at its minima: {error}"
        ) from None
    net = build(recipe.system, landscape, recipe.network.kind, recipe.network.hidden, recipe.network.layers, seed)
    net.chunk = recipe.train.chunk
    net = net.to(device)
    ranks.alike([*net.parameters(), *net.buffers()])
    return Prepared(loaded, landscape, net, seed, device, chosen)


def execute(
    loaded: config.Loaded,
    out: Path,
    *,
    seed: int | None,
    device: str,
    threads: int | None,
    resume: bool,
    progress: Progress,
) -> Result | None:
    """Train, measure and write out/result.h5; the checkpoint out/checkpoint.pt goes once the result is there.

    Ctrl-C and SIGTERM write a checkpoint and raise Interrupted; `resume` goes on from it. Raises NumericalError (the
    last good checkpoint is kept), StoreError if the disk refuses, UsageError if the checkpoint is another recipe's,
    RankError if another rank ended. Rank 0 alone reads and writes files; the others return None.
    """
    started = time.time()
    checkpoint = out / store.CHECKPOINT
    saved: dict[str, Any] | None = None
    if resume:
        saved = ranks.share(store.load_checkpoint(checkpoint) if ranks.rank() == 0 else {})
        _same_recipe(saved, loaded, checkpoint, seed)
        seed = int(saved["seed"])
    seed = ranks.share(_drawn() if seed is None else seed)
    keeper = store.Keeper(checkpoint)
    with Signals() as signals, _notices(progress):
        try:
            return _execute(loaded, keeper, saved, seed, device, threads, progress, signals, started)
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
    records: list[dict[str, Any]] = []
    try:
        with signals.at_once():
            ranks.check_share("train.walkers", loaded.recipe.train.walkers)
            ready = prepare(loaded, seed=seed, device=device, threads=threads)
            state = begin(ready.net, ready.landscape, loaded.recipe.train, seed, ready.device)
        if saved is not None:
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
    try:
        measurement = _measure(ready, state.walkers.x, seed, progress, signals)
    except Interrupted as error:
        raise keeper.left(error) from None
    result = None
    if ranks.rank() == 0:
        try:
            result = store.write_result(
                keeper.path.with_name(store.RESULT),
                loaded=loaded,
                provenance=provenance(ready, started),
                records=records,
                measurement=measurement,
                model_state=ready.net.state_dict(),
                seconds={"train": state.seconds, **_seconds(measurement)},
            )
        except StoreError as error:
            raise keeper.left(error.leaving("what was measured is lost")) from error
        with suppress(OSError):
            keeper.path.unlink()
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
    resolved = config.to_toml(recipe.resolved())

    def note() -> None:
        content = {"seed": ready.seed, "recipe": resolved, "records": records, "ranks": ranks.world()}
        keeper.note({**content, "state": state.state_dict()}, state.iteration)

    def save() -> None:
        if problem := keeper.save():
            # the disk may have room for the next one, or for the result
            progress.log(f"warning: {problem}; the run goes on and tries again later")

    last_saved = time.perf_counter()
    progress.stage("train", float(recipe.train.iterations))
    steps = train(recipe.system, ready.landscape, recipe.train, state)
    last: Record | None = None
    while True:
        with signals.at_once():
            record = next(steps, None)
        if record is None:
            break
        last = record
        records.append(asdict(record))
        _show(progress, records, record)
        stopped, due = ranks.either(bool(signals), time.perf_counter() - last_saved > CHECKPOINT_EVERY)
        if stopped or due or ranks.world() == 1:  # alone, the next iteration may be broken off
            note()
        if stopped:
            raise KeyboardInterrupt
        if due:
            save()
            last_saved = time.perf_counter()
    if last is not None and last.iteration < recipe.train.iterations:
        # enough for the target, a drift that is exact already, or out of time: the bar is full
        _show(progress, records, replace(last, iteration=recipe.train.iterations))
        budget = recipe.train.seconds
        why = "its time budget ended" if budget is not None and state.seconds >= budget else "more would not pay"
        progress.log(f"trained {last.iteration} iterations: {why}")
    note()
    save()


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
        if not text.strip().startswith(("measure.", "project.")):
            raise UsageError(
                f"--set {text}: only keys of [measure] and [project] can change when a finished run is measured again"
            )
    loaded = config.parse(config.to_toml(old.resolved), old.recipe_source, overrides)
    loaded = config.Loaded(loaded.recipe, old.name, old.recipe_text, old.recipe_source, loaded.overrides)
    trained_seed = int(old.provenance["seed"])
    ready = prepare(loaded, seed=trained_seed, device=device, threads=threads)
    try:
        ready.net.load_state_dict(old.model_state())
    except RuntimeError as error:
        raise StoreError(f"{path} holds a network this version cannot load: {str(error).splitlines()[0]}") from None
    # another seed than the first measurement's, unless asked for the same
    measured_seed = ranks.share(_drawn() if seed is None else seed)
    x = torch.as_tensor(old.measurement.samples, dtype=torch.float64, device=ready.device)
    unchanged = "the earlier result is unchanged"
    with Signals() as signals, _notices(progress):
        try:
            measurement = _measure(ready, x, measured_seed, progress, signals)
        except (Interrupted, RankError) as error:
            raise error.leaving(unchanged) from None
    report = {**provenance(ready, started), "seed": trained_seed, "measure_seed": measured_seed}
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
                seconds={"train": old.seconds.get("train", 0.0), **_seconds(measurement)},
            )
        except StoreError as error:
            raise error.leaving(f"what was measured is lost, {unchanged}") from error
    ranks.share(None)
    return result


def _drawn() -> int:
    """A seed nobody asked for; it is recorded all the same."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def _measure(ready: Prepared, x: torch.Tensor, seed: int, progress: Progress, signals: Signals) -> Measurement:
    """Measure the frozen network, then project it. Raises Interrupted as soon as there is a signal."""
    recipe = ready.loaded.recipe
    stage = "measure"

    def reporter(name: str, target: float, budget: float) -> Callable[[Estimate, float], None]:
        nonlocal stage
        stage = name
        progress.stage(name, 1.0)

        def report(estimate: Estimate, spent: float) -> None:
            (stopped,) = ranks.either(bool(signals))
            if stopped:
                raise KeyboardInterrupt
            # errors fall as 1/√time: the share of the work done is the squared ratio, or that of the time budget
            by_error = min(1.0, (target / estimate.error) ** 2) if estimate.error > 0 else 1.0
            progress.update(max(by_error, min(1.0, spent / budget)), estimate.value, estimate.error)

        return report

    try:
        with signals.at_once():
            measuring = Measuring(
                ready.net,
                recipe.system,
                ready.landscape,
                recipe.measure,
                x,
                seed,
                dt=recipe.train.dt * ready.landscape.length**2,
            )
            wanted = recipe.measure
            report = reporter("measure", wanted.target_error, wanted.seconds)
            measuring.run(wanted.target_error, wanted.seconds, report)
            if recipe.project.seconds == 0:
                return measuring.result()
            report = reporter("project", recipe.project.target_error, recipe.project.seconds)
            return measuring.result(*project(measuring, recipe.project, seed, report))
    except torch.linalg.LinAlgError as error:
        raise NumericalError(f"measuring failed: {error}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while {WORDS[stage]}") from None


def _seconds(measurement: Measurement) -> dict[str, float]:
    """Wall-clock seconds of the stages after training."""
    projection = measurement.projection
    return {"measure": measurement.seconds} | ({"project": projection.seconds} if projection else {})


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
    now = config.to_toml(loaded.recipe.resolved())
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
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: progress.log(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("fkflow")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def provenance(ready: Prepared, started: float) -> dict[str, Any]:
    """Versions, device, threads, commit, seed, arguments and times; nothing that names a person or a machine."""
    commit, dirty = _commit()
    return {
        "version": fkflow.__version__,
        "commit": commit,
        "dirty": dirty,
        "seed": ready.seed,
        "device": ready.device,
        "ranks": ranks.world(),
        "threads": ready.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "argv": " ".join(["fkflow", *sys.argv[1:]]),
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _commit() -> tuple[str, bool]:
    """Commit and dirty flag of the source tree fkflow runs from; ("", False) for an installed wheel or without git."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return "", False
    try:

        def git(*arguments: str) -> str:
            # only to look: a status that refreshes the index and is broken off would leave it locked
            command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
            return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", False
