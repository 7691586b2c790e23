"""From a recipe to what computes it, system, landscape and network; and the same of a finished run with its weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fkflow.errors import NumericalError, StoreError
from fkflow.execution import ranks
from fkflow.hamiltonian.checks import Checked, check
from fkflow.hamiltonian.landscape import Landscape, explore
from fkflow.hamiltonian.masses import solved
from fkflow.hamiltonian.registry import built_in
from fkflow.hamiltonian.system import System
from fkflow.measurement.drift_field import STEPS_IN_TIME
from fkflow.networks.choice import LogPsi, PairDrift, build
from fkflow.networks.state import kept_numbers
from fkflow.recipe import config
from fkflow.results.records import Result
from fkflow.runs.rerun import recipe_of


@dataclass(frozen=True)
class Model:
    """What the solver sees of a system (`masses.solved`), the natural scale of its potential, and a network whose drift is (to
    be) that of its ground state.
    """

    system: System
    landscape: Landscape
    net: LogPsi | PairDrift
    #: what may be wrong with the system, a sentence each
    warnings: tuple[str, ...] = ()


def fresh(recipe: config.Recipe, seed: int) -> Model:
    """The model of a recipe before training, on the CPU; every rank gets the same landscape. NumericalError without one.

    A system that is not fkflow's own is checked first: PotentialError.
    """
    system, network = solved(recipe.system), recipe.network
    try:
        found = explored(recipe.system)
        # the same bits on all ranks
        landscape = ranks.share(found.landscape)
    except torch.linalg.LinAlgError as error:
        raise NumericalError(f"the potential of {system.key} has no finite curvature at its minima: {error}") from None
    net = build(system, landscape, network.kind, network.hidden, network.layers, seed)
    net.chunk = recipe.train.chunk
    return Model(system, landscape, net, found.warnings)


def explored(system: System) -> Checked:
    """The landscape of what the solver sees of a system; of one that is not fkflow's own once it has been checked."""
    return Checked(explore(solved(system)), ()) if built_in(type(system)) else check(system)


def restored(result: Result, overrides: Sequence[str] = ()) -> Model:
    """The model of a finished run with its trained weights, on the CPU; `overrides` may say where its system.file is now.

    Raises RecipeError if this version does not know its recipe, StoreError if the weights do not fit the network or the file
    that defines the system is not there.
    """
    return trained(recipe_of(result, overrides).recipe, result)


def trained(recipe: config.Recipe, result: Result) -> Model:
    """The model of a recipe, on the CPU, with the weights of a finished run of it; StoreError if they do not fit."""
    # any seed: the weights replace all that it drew
    model = fresh(recipe, seed=0)
    load_weights(model.net, result)
    return model


def load_weights(net: LogPsi | PairDrift, result: Result) -> None:
    """Put the trained weights of a run into a network of its recipe, wherever that is; StoreError if they do not fit."""
    state = result.model_state()
    # written before they were part of a state: they are ours if this machine sees the potential as that one did
    missing = {key: value for key, value in kept_numbers(net).items() if key not in state}
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


def natural_length(result: Result) -> float | None:
    """The natural length that a run took its potential to have, by the times of its trajectories; None if it has none."""
    shown = result.measurement.trajectories
    return None if shown is None else math.sqrt(float(shown.times[1] - shown.times[0]) * STEPS_IN_TIME)
