"""The past of the weighted walkers of a projection, which windows of imaginary time begin in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import NumericalError

#: past positions stored, spread evenly over the longest window
PLACES = 16
#: most log weights of the past that are stored
MOST_PAST = 2**26


def weighings(wanted: float, walkers: int) -> int:
    """The weighings in a window that should have `wanted`, a multiple of PLACES; NumericalError where memory is too small."""
    if not wanted * walkers <= MOST_PAST:
        raise NumericalError(
            f"projecting failed: the local energies differ so much that {wanted:.3g} weighings would be needed, "
            "the drift is far from the exact one; train longer, or see whether V is bounded where the walkers are"
        )
    return max(1, math.ceil(wanted / PLACES)) * PLACES


class Past:
    """Log weights and energies of walkers x (B, N, D) at the last `length` weighings, and their places at some of these."""

    def __init__(self, x: Tensor, length: int) -> None:
        options: dict[str, Any] = {"dtype": torch.float64, "device": x.device}
        #: weighings from one stored place to the next
        self.length, self.every = length, length // PLACES
        self.log_weight = torch.zeros(length + 1, len(x), **options)
        self.energy = torch.zeros(length + 1, len(x), **options)
        self.places = torch.zeros(PLACES + 1, *x.shape, **options)

    def store(self, count: int, log_weight: Tensor, energy: Tensor, x: Tensor) -> None:
        """Take log weights and energies (B,) of walkers at x (B, N, D) after so many weighings."""
        self.log_weight[count % (self.length + 1)] = log_weight
        self.energy[count % (self.length + 1)] = energy
        if count % self.every == 0:
            self.places[self.place(count)] = x

    def since(self, count: int, log_weight: Tensor) -> Tensor:
        """The weights (B,) gained since `count` weighings were made, of walkers that have these log weights (B,) now."""
        return (log_weight - self.log_weight[count % (self.length + 1)]).exp()

    def energies(self, count: int) -> Tensor:
        """The energies (B,) after so many weighings."""
        return self.energy[count % (self.length + 1)]

    def place(self, count: int) -> int:
        """The number of the stored places that belong to the weighing `count`."""
        return count // self.every % (PLACES + 1)

    def copy(self, parents: Tensor) -> None:
        """Give each walker the past of its parent, a number of a walker (B,)."""
        self.log_weight, self.energy, self.places = (
            part[:, parents] for part in (self.log_weight, self.energy, self.places)
        )

    def state_dict(self) -> dict[str, Any]:
        """Tensors for the checkpoint of a population."""
        return {"past_weight": self.log_weight, "past_energy": self.energy, "places": self.places}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, which may be among other things."""
        self.log_weight, self.energy, self.places = (
            state[name].to(self.places.device) for name in ("past_weight", "past_energy", "places")
        )
