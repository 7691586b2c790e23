"""Small trainings: arguments of `train`, the ways to train, the bits of their states."""

from __future__ import annotations

import pytest
import torch
from landscapes import explore

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build
from fkflow.recipe.config import TrainConfig
from fkflow.training.loop import initial_state
from fkflow.training.state import TrainState

QUARTIC = find_system("quartic")()


def prepared(
    system: System = QUARTIC, kind: str = "auto", seed: int = 0, **changes
) -> tuple[System, Landscape, TrainConfig, TrainState]:
    """Arguments of `train` for a small network and few walkers."""
    config = TrainConfig(
        **{"walkers": 96, "iterations": 6, "equilibrate": 20, "moves": 3, "stop_spread": 0.0} | changes
    )
    land = explore(system)
    return system, land, config, initial_state(build(system, land, kind, 6, 1, seed), land, config, seed, "cpu", system)


def flat(tree, path: str = "") -> dict[str, object]:
    """Every leaf of a nested state by its path."""
    if isinstance(tree, dict):
        return {k: v for key, branch in tree.items() for k, v in flat(branch, f"{path}/{key}").items()}
    if isinstance(tree, (list, tuple)):
        return {k: v for i, branch in enumerate(tree) for k, v in flat(branch, f"{path}/{i}").items()}
    return {path: tree}


def assert_same_bits(first: TrainState, second: TrainState) -> None:
    a, b = flat(first.state_dict()), flat(second.state_dict())
    assert a.keys() == b.keys()
    for name in a:
        if name != "/seconds":
            same = torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name]
            assert same, name


WAYS = {
    "covariance spring": {},
    "explicit spring": {"curvature": 0.0, "rate": 0.03},
    "covariance adam": {"optimiser": "adam", "rate": 0.003},
    "local energy": {"estimator": "local_energy"},
    "pathwise adam": {
        "estimator": "pathwise",
        "optimiser": "adam",
        "rate": 0.01,
        "steps": 4,
        "dt": 0.01,
        "walkers": 96,
    },
}


each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
