"""From a recipe to what computes it, system, landscape and network; and the same of a finished run with its weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fkflow import config, ranks
from fkflow.errors import NumericalError, StoreError
from fkflow.landscape import Landscape, explore
from fkflow.masses import solved
from fkflow.networks import LogPsi, PairDrift, build
from fkflow.results import Result
from fkflow.system import System


@dataclass(frozen=True)
class Model:
    """What the solver sees of a system (`masses.solved`), the natural scale of its potential, and a network whose drift is (to
    be) that of its ground state.
    """

    system: System
    landscape: Landscape
    net: LogPsi | PairDrift


def fresh(recipe: config.Recipe, seed: int) -> Model:
    """The model of a recipe before training, on the CPU; every rank gets the same landscape. NumericalError without one."""
    system, network = solved(recipe.system), recipe.network
    try:
        # the same bits on all ranks
        landscape = ranks.share(explore(system))
    except torch.linalg.LinAlgError as error:
        raise NumericalError(f"the potential of {system.key} has no finite curvature at its minima: {error}") from None
    net = build(system, landscape, network.kind, network.hidden, network.layers, seed)
    net.chunk = recipe.train.chunk
    return Model(system, landscape, net)


def restored(result: Result) -> Model:
    """The model of a finished run with its trained weights, on the CPU.

    Raises RecipeError if this version does not know its recipe, StoreError if the weights do not fit the network.
    """
    loaded = config.parse(config.to_toml(result.resolved), result.recipe_source)
    # any seed: the weights replace all that it drew
    model = fresh(loaded.recipe, seed=0)
    load_weights(model.net, result)
    return model


def load_weights(net: LogPsi | PairDrift, result: Result) -> None:
    """Put the trained weights of a run into a network of its recipe, wherever that is; StoreError if they do not fit."""
    try:
        net.load_state_dict(result.model_state())
    except RuntimeError as error:
        raise StoreError(
            f"{result.path} holds a network this version cannot load: {str(error).splitlines()[0]}"
        ) from None
