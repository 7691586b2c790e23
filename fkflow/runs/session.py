"""A recipe at work: made ready, trained iteration by iteration, turned into a result; it touches no file and no signal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.execution.device import choose_device, choose_threads, keep_freed_memory, keep_single_precision
from fkflow.execution.progress import Progress
from fkflow.hamiltonian.checks import check_device
from fkflow.hamiltonian.landscape import Landscape
from fkflow.hamiltonian.registry import built_in
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import Definition, placeless
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.recipe import config
from fkflow.results import store
from fkflow.results.provenance import provenance
from fkflow.results.records import Measurement, Result
from fkflow.runs import warm_start
from fkflow.runs.frozen import seconds_of
from fkflow.runs.rerun import changed
from fkflow.runs.restore import Model, fresh
from fkflow.training.loop import initial_state, train
from fkflow.training.schedule import extend_training
from fkflow.training.state import Record, TrainState


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
    keep_single_precision()
    model = fresh(recipe, seed)
    if device != "cpu" and not built_in(type(recipe.system)):
        check_device(recipe.system, device)
    net = model.net.to(device)
    ranks.alike([*net.parameters(), *net.buffers()])
    return Prepared(loaded, model, seed, device, chosen)


class Session:
    """The training of one run: `step` is one iteration, after which `state` and `records` (one dictionary each) are complete.

    The network begins with the weights of train.from, if the recipe names a run, unless the session is to go on from a
    checkpoint (`resuming`). Raises as `prepare` does, and UsageError if those weights do not fit.
    """

    def __init__(
        self,
        loaded: config.Loaded,
        *,
        seed: int,
        device: str,
        threads: int | None,
        progress: Progress,
        resuming: bool = False,
    ) -> None:
        self.began = time.time()
        recipe = loaded.recipe
        ranks.check_share("train.walkers", recipe.train.walkers)
        self.ready = ready = prepare(loaded, seed=seed, device=device, threads=threads)
        if not resuming and (source := recipe.train.source) is not None:
            fitting = warm_start.layout(ready.net)
            warm_start.copy_weights(
                ready.net, ranks.share(warm_start.read_weights(source, fitting) if not ranks.rank() else {})
            )
            progress.log(f"starting from the weights of {source}")
        for warning in ready.model.warnings:
            progress.log(f"warning: {warning}")
        self.state: TrainState = initial_state(
            ready.net, ready.landscape, recipe.train, seed, ready.device, ready.system
        )
        self.records: list[dict[str, Any]] = []
        self._steps = train(ready.system, ready.landscape, recipe.train, self.state)

    def restore(self, saved: Mapping[str, Any], progress: Progress) -> None:
        """Go on where a `checkpoint` was made. Raises KeyError, RuntimeError, TypeError or ValueError if it does not fit."""
        if (file := saved.get("definition")) and (notice := changed(Definition(**file), self.recipe.definition)):
            progress.log(f"warning: {notice}")
        self.state.load_state_dict(saved["state"])
        self.records += [dict(record) for record in saved["records"]]

    @property
    def recipe(self) -> config.Recipe:
        """What is computed, and how."""
        return self.ready.loaded.recipe

    def step(self) -> Record | None:
        """One iteration; None once there is nothing left to train. Raises NumericalError as `train` does."""
        record = next(self._steps, None)
        if record is not None:
            self.records.append(asdict(record))
        return record

    def back(self, state: dict[str, Any]) -> None:
        """Go back to an earlier state_dict of `state`, from which `step` then goes on, whatever ended it."""
        self.state.load_state_dict(state)
        del self.records[self.state.iteration :]
        self._steps = train(self.ready.system, self.ready.landscape, self.recipe.train, self.state)

    def goes_on(self, spread: float, x: Tensor) -> bool:
        """Whether `step` goes on, as `schedule.extend_training` decides for the measured `spread` and walkers x."""
        wanted = extend_training(self.recipe.train, self.state, spread, x)
        if wanted:
            self._steps = train(self.ready.system, self.ready.landscape, self.recipe.train, self.state)
        return wanted

    def checkpoint(self) -> dict[str, Any]:
        """What the session goes on from; all ranks must ask for it together."""
        definition = self.recipe.definition
        return {
            "seed": self.ready.seed,
            "recipe": config.to_toml(placeless(self.recipe.resolved())),
            "definition": definition and asdict(definition),
            "records": self.records,
            "ranks": ranks.world(),
            "state": self.state.state_dict(),
        }

    def result(self, measurement: Measurement, loaded: config.Loaded | None = None) -> Result:
        """What was trained and measured, in no file yet; `loaded` if another recipe than the session's was measured with."""
        return store.collected(
            loaded=loaded or self.ready.loaded,
            provenance=self.ready.provenance(self.began),
            records=self.records,
            measurement=measurement,
            model_state=self.ready.net.state_dict(),
            seconds={"train": self.state.seconds, **seconds_of(measurement)},
        )


def drawn_seed() -> int:
    """A seed nobody asked for; it is recorded all the same."""
    return int(np.random.SeedSequence().generate_state(1)[0])
