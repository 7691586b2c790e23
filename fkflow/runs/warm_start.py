"""Warm starts: training starts with the weights of another finished run whose network fits.

Only parameters are copied. The buffers of a network (positions of nuclei, whitening, index tables) follow from its own
landscape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import FkflowError, UsageError
from fkflow.execution import ranks
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.networks.choice import LogPsi, PairDrift, build
from fkflow.recipe.config import Recipe
from fkflow.results.reader import read_result
from fkflow.runs.model import find_landscape
from fkflow.runs.rerun import recipe_of

Network = LogPsi | PairDrift


def layout(net: Network) -> dict[str, Any]:
    """What two networks must have in common for the weights of one to mean the same in the other, by name.

    Its kind, its natural length (if it has one) and the shape of every parameter.
    """
    found: dict[str, Any] = {"network": type(net).__name__}
    if isinstance(length := getattr(net, "length", None), float):
        found["natural length"] = length
    return found | {f"parameter {name}": tuple(p.shape) for name, p in net.named_parameters()}


def difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str | None:
    """The first difference of two layouts in words; None if the weights fit."""
    for name in [*here, *there]:
        ours, theirs = (_words(found, name) for found in (here, there))
        if ours != theirs:
            return f"{name} is {theirs} there and {ours} here"
    return None


def _words(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name, "missing")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return f"of shape ({', '.join(map(str, value))})" if value else "a number"
    return str(value)


def build_network(recipe: Recipe, seed: int) -> Network:
    """The untrained network of a recipe, on the CPU. This rank alone needs it."""
    wanted = recipe.network
    landscape = find_landscape(recipe.system).landscape
    return build(to_unit_masses(recipe.system), landscape, wanted.kind, wanted.hidden, wanted.layers, seed)


def read_network(source: str) -> Network:
    """The trained network of the finished run `source`. Raises UsageError naming train.from, the run and what is wrong."""
    try:
        result = read_result(Path(source))
        net = build_network(recipe_of(result).recipe, 0)
        net.load_state_dict(result.model_state())
    except FkflowError as error:
        raise UsageError(f"train.from = {source}: {error}") from None
    except RuntimeError:
        raise UsageError(f"train.from = {source}: it holds a network that this version cannot build") from None
    return net


def read_weights(source: str, here: Mapping[str, Any]) -> dict[str, Tensor]:
    """The parameters, by name, of the finished run `source`, for a network of the layout `here`.

    Raises UsageError naming train.from, the run and the first difference.
    """
    net = read_network(source)
    if (found := difference(here, layout(net))) is not None:
        raise UsageError(f"train.from = {source}: its network does not fit, its {found}")
    return {name: p.detach() for name, p in net.named_parameters()}


def copy_weights(net: Network, weights: Mapping[str, Tensor]) -> None:
    """Set the parameters of `net` to those that `read_weights` found."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(weights[name])


def load_weights(net: Network, source: str) -> None:
    """Give `net` the weights of the finished run `source`, on all ranks together. Raises UsageError if they do not fit."""
    copy_weights(net, ranks.broadcast(read_weights(source, layout(net)) if ranks.rank() == 0 else {}))
