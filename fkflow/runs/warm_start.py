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
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.results.reader import read_result
from fkflow.runs.model import load_model
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


def read_network(source: str) -> Network:
    """The trained network of the finished run `source`. Raises UsageError naming train.from, the run and what is wrong."""
    try:
        result = read_result(Path(source))
        return load_model(recipe_of(result).recipe, result, alone=True).net
    except FkflowError as error:
        raise UsageError(f"train.from = {source}: {error}") from None


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
