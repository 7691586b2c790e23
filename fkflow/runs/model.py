"""The model of a run: system, landscape and network, built from a recipe or restored from a finished run."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from fkflow.errors import StoreError, UsageError
from fkflow.execution import ranks
from fkflow.execution.device import choose_device, choose_threads, keep_freed_memory, keep_single_precision
from fkflow.execution.threads import use_threads
from fkflow.hamiltonian.checks import check_device
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.scale import restored, without_scale
from fkflow.hamiltonian.system import System
from fkflow.measurement.drift_field import STEPS_IN_TIME
from fkflow.networks.choice import LiquidNet, LogPsi, PairDrift, build
from fkflow.networks.stored_numbers import stored_numbers
from fkflow.recipe.config import Recipe
from fkflow.results.result import Result
from fkflow.results.thermal import no_ground_state
from fkflow.runs.context import RunContext
from fkflow.runs.exploration import Explored, find_landscape
from fkflow.runs.rerun import recipe_of


@dataclass(frozen=True)
class Model:
    """A system in the solver's coordinates (`masses.to_unit_masses`), the natural scale of its potential, and the network."""

    system: System
    landscape: Landscape
    net: LogPsi | PairDrift
    #: what may be wrong with the system, and what is good to know, a sentence each
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def build_model(recipe: Recipe, seed: int, alone: bool = False, explored: Explored | None = None) -> Model:
    """The untrained model of a recipe, on the CPU; its system is explored unless it is given as `explored`.

    `alone` and errors as `find_landscape` says.
    """
    found = explored or find_landscape(recipe, alone)
    net = _network(recipe, found.system, found.landscape, seed)
    return Model(found.system, found.landscape, net, found.warnings, found.notes)


def rescaled(model: Model, recipe: Recipe, landscape: Landscape, seed: int) -> Model:
    """The untrained model of a recipe with another scale, on the CPU."""
    return replace(model, landscape=landscape, net=_network(recipe, model.system, landscape, seed))


def _network(recipe: Recipe, system: System, landscape: Landscape, seed: int) -> LogPsi | PairDrift:
    wanted = recipe.network
    net = build(system, landscape, wanted.kind, wanted.hidden, wanted.layers, seed)
    net.chunk = recipe.train.chunk
    return net


def like_stored(model: Model, recipe: Recipe, names: Container[str]) -> Model:
    """The untrained model whose network has weights with these names: earlier versions had one network for all boxes."""
    if not isinstance(model.net, LiquidNet) or "message.0.weight" not in names:
        return model
    device = next(iter(model.net.parameters())).device
    former = recipe.model_copy(update={"network": recipe.network.model_copy(update={"kind": "periodic"})})
    return replace(model, net=_network(former, model.system, model.landscape, 0).to(device))


def prepare(context: RunContext) -> Model:
    """Build the model of a run on its device; `context` gets the device and the number of threads that are used.

    The system is explored unless the context has its landscape, which it has afterwards. Raises UsageError if there is no such
    device, or the ranks cannot share the walkers evenly.
    """
    recipe = context.recipe
    check_shares(recipe, training=False)
    context.device = choose_device(context.device)
    context.threads = choose_threads(context.threads)
    use_threads(context.threads)
    keep_freed_memory()
    keep_single_precision()
    context.explored = context.explored or find_landscape(recipe)
    model = build_model(recipe, context.seed, explored=context.explored)
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


def restore_model(result: Result, overrides: Sequence[str] = ()) -> Model:
    """The trained model of a finished run, on the CPU; `overrides` may say where its system.file is now.

    Raises RecipeError if this version does not know its recipe, StoreError if the weights do not fit the network or the file
    that defines the system is missing.
    """
    return load_model(recipe_of(result, overrides).recipe, result)


def load_model(recipe: Recipe, result: Result, alone: bool = False, explored: Explored | None = None) -> Model:
    """The model of a recipe, on the CPU, with the weights of a finished run; StoreError if they do not fit.

    Its system is explored unless it is given as `explored`. Raises UsageError for a run at temperatures.
    """
    # the weights replace all that depends on the seed
    return load_weights(build_model(recipe, 0, alone, explored), recipe, result)


def load_weights(model: Model, recipe: Recipe, result: Result) -> Model:
    """The model of a recipe with the scale and the trained weights of a run, on any device; StoreError if they do not fit."""
    if result.thermal is not None:
        raise UsageError(no_ground_state(result.run))
    state = result.model_state()
    landscape = restored(model.landscape, state)
    if landscape is not model.landscape:
        device = next(iter(model.net.parameters())).device
        model = rescaled(model, recipe, landscape, 0)
        model.net.to(device)
    state = without_scale(state)
    model = like_stored(model, recipe, state)
    net = model.net
    if isinstance(net, LogPsi):
        state = net.current_names(state)
    # older files lack numbers that follow from the landscape: those of this network are right if the landscapes agree
    missing = {key: value for key, value in stored_numbers(net).items() if key not in state}
    try:
        net.load_state_dict(state | missing)
    except RuntimeError as error:
        raise StoreError(
            f"{result.file} holds a network this version cannot load: {str(error).splitlines()[0]}"
        ) from None
    theirs, ours = natural_length(result), getattr(net, "length", None)
    if missing and theirs is not None and ours is not None and not math.isclose(theirs, ours, rel_tol=1e-9):
        raise StoreError(
            f"{result.file} is of an earlier version, which took {theirs:.6g} {result.length_unit} for the natural length "
            f"of its potential; here it is {ours:.6g}, and the weights would mean another function: run it again"
        )
    return model


def natural_length(result: Result) -> float | None:
    """The natural length of a run's potential, from the times of its trajectories; None without trajectories."""
    shown = result.measurement.trajectories
    return None if shown is None else math.sqrt(float(shown.times[1] - shown.times[0]) * STEPS_IN_TIME)
