"""The training of a run: a session has the model and its training state. It writes no file and handles no signal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from fkflow.errors import StoreError
from fkflow.execution import ranks
from fkflow.hamiltonian import scale
from fkflow.hamiltonian.masses import to_solver_coordinates
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.stiffness import find_stiffness
from fkflow.hamiltonian.user_systems import Definition
from fkflow.recipe.config import Recipe, TrainConfig
from fkflow.results.records import Measurement
from fkflow.results.result import Result
from fkflow.runs import warm_start
from fkflow.runs.context import RunContext
from fkflow.runs.model import check_shares, like_stored, load_weights, prepare, rescaled
from fkflow.runs.outcome import collect_result
from fkflow.runs.rerun import definition_warning
from fkflow.training.loop import initial_state, train
from fkflow.training.schedule import AGAIN, paced
from fkflow.training.state import Record, TrainState


@dataclass
class Renewals:
    """How often a training was given something new: a scale, slow modes, equal wells, another network.

    `lowest` is what the energy of a network that slow modes were put into lay below.
    """

    corrections: int = 0
    absorbed: int = 0
    balanced: int = 0
    renewed: int = 0
    lowest: float = math.inf

    def allowed(self, iterations: int) -> int:
        """Iterations of a training that the recipe allows so many: a mode or a well that is new in a network is trained too."""
        return math.ceil(iterations * (1 + AGAIN * (self.absorbed + self.balanced)))


class Session:
    """The training of one run: `step` is one iteration, after which `state` and `records` (one dictionary each) are complete.

    It continues from the checkpoint of the context, if there is one. Otherwise the network starts with the weights of
    train.from, if the recipe names a run. Raises as `prepare` does, UsageError if those weights do not fit, and StoreError if
    the checkpoint does not.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        wanted = self.recipe.train
        check_shares(self.recipe)
        self.model = prepare(context)
        if context.finished is not None:
            self.model = load_weights(self.model, self.recipe, context.finished)
        elif context.saved is None and wanted.source is not None:
            warm_start.load_weights(self.model.net, wanted.source)
            context.progress.log(f"starting from the weights of {wanted.source}")
        context.tell(self.model.notes, self.model.warnings)
        self.records: list[dict[str, Any]] = []
        #: the smallest gap that a measurement showed: a mode is no longer seen once the network has it
        self.gap = math.inf
        self.renewals = Renewals()
        if context.saved is not None:
            self.rescale(scale.restored(self.model.landscape, context.saved.get("scale", {})))
            self.model = like_stored(self.model, self.recipe, context.saved.get("state", {}).get("net", ()))
        self.state = self._initial_state()
        if context.saved is not None:
            self._restore(context.saved)
        if context.finished is not None:
            self._continue(context.finished)
        self._start_iterations()

    def _initial_state(self, seed: int | None = None) -> TrainState:
        """The state before training, with the seed of the run or another."""
        model, context = self.model, self.context
        seed = context.seed if seed is None else seed
        return initial_state(model.net, model.landscape, self.training, seed, context.device, model.system)

    @property
    def training(self) -> TrainConfig:
        """How it is trained: as the recipe says, at the pace of the system, longer where something new is to be trained."""
        config = paced(self.recipe.train, find_stiffness(self.model.system, self.model.landscape))
        return config.model_copy(update={"iterations": self.renewals.allowed(config.iterations)})

    def rescale(self, landscape: Landscape) -> None:
        """Take a network of another scale, if it is another."""
        if landscape is not self.model.landscape:
            self._rebuild(landscape, self.context.seed)

    def _rebuild(self, landscape: Landscape, seed: int) -> None:
        self.model = rescaled(self.model, self.recipe, landscape, seed)
        self.model.net.to(self.context.device)

    def start_over(self, seed: int | None = None) -> None:
        """Train from the beginning: the network as it is now or, for a seed, another one. Its seconds count on."""
        seconds = self.state.seconds
        if seed is not None:
            self._rebuild(self.model.landscape, seed)
            net = self.model.net
            ranks.broadcast_tensors([*net.parameters(), *net.buffers()])
        self.state = self._initial_state(seed)
        self.state.seconds = seconds
        self.records.clear()
        self.train_on()

    @property
    def recipe(self) -> Recipe:
        """What is computed, and how."""
        return self.context.recipe

    def train_on(self) -> None:
        """Go on from the state as it is; what was saved of a measurement is that of another network from now on."""
        self.context.saved = None
        self._start_iterations()

    def _start_iterations(self) -> None:
        self._iterations = train(self.model.system, self.model.landscape, self.training, self.state)

    def step(self) -> Record | None:
        """One iteration; None once training has ended; `renewal.step` renews it too. Raises NumericalError as `train` does."""
        record = next(self._iterations, None)
        if record is not None:
            self.context.saved = None
            self.records.append(asdict(record))
        return record

    def rewind(self, state: dict[str, Any]) -> None:
        """Return to an earlier state_dict of `state`, also after an iteration that was broken off."""
        self.state.load_state_dict(state)
        del self.records[self.state.iteration :]
        self.train_on()

    def checkpoint(self) -> dict[str, Any]:
        """What a later session continues from; all ranks must ask for it together."""
        definition = self.recipe.definition
        return {
            "seed": self.context.seed,
            "recipe": self.context.plain_recipe(),
            "definition": definition and asdict(definition),
            "records": list(self.records),
            "ranks": ranks.count(),
            "state": self.state.state_dict(),
            "scale": scale.scale_state(self.model.landscape),
            **asdict(self.renewals),
            "gap": self.gap,
        }

    def _restore(self, saved: Mapping[str, Any]) -> None:
        context = self.context
        try:
            definition = saved.get("definition")
            if definition and (warning := definition_warning(Definition(**definition), self.recipe.definition)):
                context.progress.log(f"warning: {warning}")
            self.state.load_state_dict(saved["state"])
            self.gap = saved.get("gap", math.inf)
            self.renewals = Renewals(**{name: saved.get(name, none) for name, none in asdict(Renewals()).items()})
            self.records += [dict(record) for record in saved["records"]]
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"{context.checkpoints.path} does not fit this recipe: {reason}") from None
        context.checkpoints.iteration = self.state.iteration
        context.progress.log(f"resumed at iteration {self.state.iteration}")

    def _continue(self, old: Result) -> None:
        """Begin after the last iteration of a finished run, with its stored walkers; the momentum of its steps is lost."""
        state, context = self.state, self.context
        self.records += old.records
        state.iteration, state.seconds = len(old.records), old.seconds.get("train", 0.0)
        if old.measurement.gap is not None:
            self.gap = old.measurement.gap
        x = torch.as_tensor(old.measurement.samples, dtype=torch.float64, device=context.device)
        count = len(state.walkers.x)
        rows = (torch.arange(count, device=x.device) + ranks.rank() * count) % len(x)
        state.walkers.x = to_solver_coordinates(self.model.system, x)[rows]
        context.checkpoints.iteration = state.iteration

    def result(self, measurement: Measurement) -> Result:
        """The trained network and its measurement, in no file yet."""
        return collect_result(self.context, self.model, measurement, self.records, self.state.seconds, self.gap)
