"""Short calls from Python, and a class that is in no file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

import fkflow

#: small enough for a second in all
QUICK: dict[str, Any] = {
    "network": {"hidden": 4},
    "train": {"iterations": 4, "walkers": 64},
    "measure": {"walkers": 128, "target_error": 1e-3, "seconds": 60.0},
    "project": {"seconds": 0},
    "seed": 1,
    "threads": 1,
}
#: for what does not look at the energy: the shortest measurement
SHORT: dict[str, Any] = {**QUICK, "measure": {"walkers": 64, "target_error": 1.0, "seconds": 60.0}}
OPTIONS = [
    f"--set={section}.{key}={value}"
    for section, table in SHORT.items()
    if isinstance(table, dict)
    for key, value in table.items()
]


class Pair(fkflow.System):
    """Masses 1 and 3 in a trap of frequency 1, tied by a spring."""

    particles = 2
    dimensions = 1
    identical = False
    mass = [1.0, 3.0]  # noqa: RUF012
    k: float = 1.5

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x[:, 0, 0], x[:, 1, 0]
        return 0.5 * first**2 + 1.5 * second**2 + 0.5 * self.k * (first - second) ** 2


# as one of a program that is in no file
Pair.__module__ = "a_program"
#: the centre of mass has the frequency 1, the distance that of its reduced mass 3/4
EXACT = 0.5 + 0.5 * math.sqrt(1 + 1.5 / 0.75)


def same(first: fkflow.Solution, second: fkflow.Solution) -> bool:
    """Whether two solutions have the same bits in energy, samples, densities and weights."""
    return (
        first.energy == second.energy
        and np.array_equal(first.samples, second.samples)
        and all(np.array_equal(first.densities[name].values, h.values) for name, h in second.densities.items())
        and first.result.model.keys() == second.result.model.keys()
        and all(np.array_equal(first.result.model[name], weights) for name, weights in second.result.model.items())
    )


SLOW = {**SHORT, "train": {"iterations": 12, "walkers": 64}}
