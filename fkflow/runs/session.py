"""The training of a run: a session has the model and its training state. It writes no file and handles no signal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import StoreError
from fkflow.execution import ranks
from fkflow.execution.device import choose_device, choose_threads, keep_freed_memory, keep_single_precision
from fkflow.hamiltonian import scale
from fkflow.hamiltonian.checks import check_device
from fkflow.hamiltonian.free import break_up_energy
from fkflow.hamiltonian.masses import to_solver_coordinates
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.stiffness import find_stiffness
from fkflow.hamiltonian.user_systems import Definition
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.projection.slow_modes import QUICK
from fkflow.recipe.config import Loaded, Recipe, TrainConfig
from fkflow.results import store
from fkflow.results.provenance import collect_provenance
from fkflow.results.records import Measurement
from fkflow.results.result import Result
from fkflow.results.status import find_doubts
from fkflow.runs import warm_start
from fkflow.runs.context import RunContext
from fkflow.runs.model import Model, build_model, load_weights, rescaled
from fkflow.runs.rerun import definition_warning
from fkflow.training.balance import balance
from fkflow.training.fit import absorb, fit
from fkflow.training.loop import initial_state, train
from fkflow.training.schedule import extend_training, paced, train_on
from fkflow.training.state import Record, TrainState

#: most slow modes that are put into a network, and share of the target error below which they are left to the projection
ABSORBED, SHARE = 4, 0.3
#: how often wells that are alike are made equal
BALANCED = 3
#: how often a training of charges that came apart begins anew, and what its seed is larger by
RENEWED, ANOTHER = 1, 7919
#: the iteration after which the natural scale is checked, and the most trainings that are started anew with another
CHECK, CORRECTIONS = 30, 6
#: last iterations whose energies show how strongly a state is bound
JUDGED = 10
#: most natural length that a weak binding gives, in that of the kinetic energy
FARTHEST = 8.0


def prepare(context: RunContext) -> Model:
    """Build the model of a run on its device; `context` gets the device and the number of threads that are used.

    Raises UsageError if there is no such device, or the ranks cannot share the walkers evenly.
    """
    recipe = context.recipe
    check_shares(recipe, training=False)
    context.device = choose_device(context.device)
    context.threads = choose_threads(context.threads)
    torch.set_num_threads(context.threads)
    keep_freed_memory()
    keep_single_precision()
    model = build_model(recipe, context.seed)
    if context.device != "cpu" and (note := check_device(model.system, context.device)):
        model = replace(model, notes=(*model.notes, note))
    net = model.net.to(context.device)
    ranks.broadcast_tensors([*net.parameters(), *net.buffers()])
    return model


def check_shares(recipe: Recipe, training: bool = True) -> None:
    """Raise UsageError unless the ranks can share the walkers of each stage evenly."""
    if training:
        ranks.check_divisible("train.walkers", recipe.train.walkers)
    ranks.check_divisible("measure.walkers", recipe.measure.walkers)
    if recipe.project.seconds > 0:
        ranks.check_divisible("project.walkers", recipe.project.walkers)


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
        #: how often the scale was corrected, slow modes were put in, wells were made equal, and training began anew
        self.corrections = self.absorbed = self.balanced = self.renewed = 0
        if context.saved is not None:
            self._rescale(scale.restored(self.model.landscape, context.saved.get("scale", {})))
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
        """How it is trained: as the recipe says, at a pace that suits the system."""
        return paced(self.recipe.train, find_stiffness(self.model.system, self.model.landscape))

    def _rescale(self, landscape: Landscape) -> None:
        """Take a network of another scale, if it is another."""
        if landscape is not self.model.landscape:
            self.model = rescaled(self.model, self.recipe, landscape, self.context.seed)
            self.model.net.to(self.context.device)

    @property
    def recipe(self) -> Recipe:
        """What is computed, and how."""
        return self.context.recipe

    def _start_iterations(self) -> None:
        self._iterations = train(self.model.system, self.model.landscape, self.training, self.state)

    def step(self) -> Record | None:
        """One iteration; None once training has ended. Raises NumericalError as `train` does."""
        record = next(self._iterations, None)
        if record is not None:
            # what was saved of a measurement is that of another network from now on
            self.context.saved = None
            self.records.append(asdict(record))
            if record.iteration == CHECK and self.correct_scale():
                return self.step()
        elif self.correct_scale() or self.balance_wells():
            return self.step()
        return record

    def balance_wells(self) -> bool:
        """Train on once wells that are alike have the same ψ, if one of them was lost; at most BALANCED times."""
        net, model, context = self.model.net, self.model, self.context
        if not isinstance(net, LogPsi) or self.training.optimiser != "spring" or self.balanced == BALANCED:
            return False
        if ranks.count() > 1 or not balance(net, model.landscape, model.system, self.state):
            return False
        self.balanced += 1
        context.progress.log(
            "wells that are alike had different parts of psi: they are made equal, and training goes on"
        )
        train_on(self.state)
        self._start_iterations()
        return True

    def correct_scale(self) -> bool:
        """Start the training anew with the natural scale of its walkers, if that of the potential is wrong.

        The walkers go on from where they are. A training is not started anew more than CORRECTIONS times.
        """
        state, landscape = self.state, self.model.landscape
        length = self.walkers_length()
        if self.corrections == CORRECTIONS or not scale.is_wrong(landscape, length):
            return False
        self.corrections += 1
        x, weights = (ranks.gather(part) for part in (state.walkers.x, state.walkers.weights()))
        before = self.model.net
        assert isinstance(before, LogPsi)
        self._rescale(ranks.broadcast(scale.corrected(landscape, self.model.system, x, weights, length)))
        after = self.model.net
        assert isinstance(after, LogPsi)
        # what the walkers have learned, such as the places of wells, is not lost
        with torch.no_grad():
            fit(after, x, before(x), weights)
        ranks.broadcast_tensors(after.parameters())
        self.context.progress.log(
            f"the walkers show a natural length of {length:.3g}, not {landscape.length:.3g}: training starts anew with it"
        )
        self.state = self._initial_state()
        count = len(self.state.walkers.x)
        self.state.walkers.x = state.walkers.x.repeat(-(-count // len(state.walkers.x)), 1, 1)[:count].clone()
        self.state.seconds = state.seconds
        self.records.clear()
        self._start_iterations()
        return True

    def walkers_length(self) -> float:
        """The natural length that the walkers show, the same on all ranks; that of the landscape where it cannot be wrong."""
        model, walkers = self.model, self.state.walkers
        if self.recipe.train.optimiser != "spring":  # others are far from trained after so few iterations
            return model.landscape.length
        if not isinstance(model.net, LogPsi) or model.system.nuclei() is not None or walkers.drift is None:
            return model.landscape.length
        if model.system.point_charges() is not None:
            return model.landscape.length
        # the network has changed since they moved, and the walkers with it where it is an earlier one; the training goes on
        # with what it has
        walkers = replace(walkers)
        walkers.refresh(model.net)
        drift, weights = ranks.gather(walkers.known[1]), ranks.gather(walkers.weights())
        moving = 1.0 if model.net.together is None else 1 - 1 / model.system.particles
        energies = [record["energy"] for record in self.records[-JUDGED:]]
        kinetic = scale.kinetic_length(drift, weights, moving)
        # early in a training an energy just below the threshold is chance
        binding = min(scale.binding_length(model.landscape, sum(energies) / max(1, len(energies))), FARTHEST * kinetic)
        found = max(binding, kinetic)
        if model.landscape.box is not None:
            # where particles hardly see each other nothing drifts, and their spacing is the scale
            found = min(found, model.landscape.length)
        return ranks.broadcast(found)

    def rewind(self, state: dict[str, Any]) -> None:
        """Return to an earlier state_dict of `state`, also after an iteration that was broken off."""
        self.state.load_state_dict(state)
        del self.records[self.state.iteration :]
        self._start_iterations()

    def absorb_slow_modes(self, measuring: VariationalEstimator) -> bool:
        """Put the slow modes that a measurement showed into the network, if projecting would not soon remove what they leave.

        The walkers of the training are then those of the measurement, and the network is measured anew. False if nothing
        changed.
        """
        relaxation, recipe = measuring.find_relaxation(), self.recipe
        if relaxation is None or self.absorbed == ABSORBED:
            return False
        projected = recipe.project.seconds > 0
        target = SHARE * (recipe.project if projected else recipe.measure).target_error
        time = recipe.project.time * self.model.landscape.length**2 if projected else 0.0
        # a long projection removes it too, but its weights may collapse
        removed = relaxation.left(time) <= target and relaxation.gap * time >= QUICK
        if ranks.broadcast(removed or relaxation.gain <= target):
            return False
        self.absorbed += 1
        self.gap = min(self.gap, relaxation.gap)
        net, walkers, factor = self.model.net, measuring.walkers, measuring.ground_factor()
        assert isinstance(net, LogPsi)
        success = absorb(net, *(ranks.gather(part) for part in (walkers.x, factor, walkers.weights())))
        if not success:
            return False
        ranks.broadcast_tensors(net.parameters())
        self.state.take_walkers(walkers.x, walkers.weights() * factor.square())
        # what is new in it is trained too
        train_on(self.state)
        self._start_iterations()
        # what was saved of a measurement is that of another network from now on
        self.context.saved = None
        self.context.progress.log(
            f"the measurement shows a slow mode, {relaxation.gap:.3g} above the ground state, that lowers the energy by "
            f"{relaxation.gain:.2g}: it is put into the network"
        )
        self.context.save(self.checkpoint(), self.state.iteration)
        return True

    def begin_anew(self, measuring: VariationalEstimator) -> bool:
        """Train another network if this one lets a charge go: its energy spreads farther than it lies below the break-up.

        Now and then ψ is too large where no walker of a training comes, and those of the measurement leave. They see no force
        that brings them back: training on would take long. At most RENEWED times.
        """
        model, context = self.model, self.context
        threshold = break_up_energy(model.system, model.landscape.free)
        if model.system.point_charges() is None or threshold is None or self.renewed == RENEWED:
            return False
        if not isinstance(model.net, LogPsi) or self.recipe.train.source is not None:
            return False
        if ranks.broadcast(measuring.estimate().value + measuring.spread() < threshold):
            return False
        self.renewed += 1
        seed, seconds = context.seed + ANOTHER * self.renewed, self.state.seconds
        self.model = rescaled(model, self.recipe, model.landscape, seed)
        net = self.model.net.to(context.device)
        ranks.broadcast_tensors([*net.parameters(), *net.buffers()])
        self.state = self._initial_state(seed)
        self.state.seconds = seconds
        # what was saved of a measurement is that of another network from now on
        context.saved = None
        self.records.clear()
        self._start_iterations()
        context.progress.log(
            "walkers of the measurement have left each other: training begins anew with another network"
        )
        return True

    def extend(self, spread: float, x: Tensor) -> bool:
        """Whether training goes on after a measurement of that spread at walkers x (`schedule.extend_training`)."""
        wanted = extend_training(self.training, self.state, spread, x)
        if wanted:
            self._start_iterations()
            # what was saved of a measurement is that of another network from now on
            self.context.saved = None
            self.context.progress.log("the measured energy spreads far more than training had shown: training goes on")
        return wanted

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
            "corrections": self.corrections,
            "absorbed": self.absorbed,
            "balanced": self.balanced,
            "renewed": self.renewed,
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
            self.corrections, self.absorbed = saved.get("corrections", 0), saved.get("absorbed", 0)
            self.balanced, self.renewed = saved.get("balanced", 0), saved.get("renewed", 0)
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
            measurement, records, natural_time, model.landscape.centre.numel(), lowest, threshold, charged
        ),
    )
