"""Everything that training changes, what it says after each iteration, and what it can be taken back to."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.sampling.metropolis import Walkers
from fkflow.training.natural_gradient import Spring


@dataclass(frozen=True)
class Record:
    """One training iteration. Energies are A/T over the walkers, in the system's unit; rate and damping as used."""

    iteration: int
    energy: float
    error: float
    spread: float
    seconds: float
    rate: float
    damping: float
    acceptance: float
    undone: bool


@dataclass
class TrainState:
    """Everything that training changes; `state_dict` makes it a checkpoint that goes on to the same bits.

    `walkers` and `generator` are this rank's; a checkpoint has those of all ranks.
    """

    net: LogPsi | PairDrift
    walkers: Walkers
    generator: torch.Generator
    spring: Spring | None
    adam: torch.optim.Adam | None
    iteration: int = 0
    seconds: float = 0.0
    caution: float = 1.0
    undone: int = 0
    quiet: int = 0
    #: how often the training went on after it had ended, and the iterations before which it does not end again
    returns: int = 0
    least: int = 0
    #: paths from each walker where a whole frame is many; 0: a whole frame, which shows a drift that is exact from the start
    paths: int = 0
    #: of the last iteration, where there are any (B', N, D)
    scouts: Tensor | None = None
    #: energy plus spread, and spread, of the best iteration so far; the network and walkers it was seen with
    best: tuple[float, float] = (0.0, math.inf)
    snapshot: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Plain nested dict of tensors, numbers and lists; all ranks must ask for it together."""
        return {
            **of_all_ranks(snapshot(self)),
            "generator": ranks.gather(self.generator.get_state()),
            "momentum": self.spring.last.clone() if self.spring else None,
            "adam": copy.deepcopy(self.adam.state_dict()) if self.adam else None,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "caution": self.caution,
            "undone": self.undone,
            "quiet": self.quiet,
            "returns": self.returns,
            "least": self.least,
            "paths": self.paths,
            "scouts": None if self.scouts is None else ranks.gather(self.scouts),
            "best": list(self.best),
            "snapshot": self.snapshot and of_all_ranks(self.snapshot),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave; raises KeyError or RuntimeError if it belongs to another run."""
        self.net.load_state_dict(state["net"])
        device = self.walkers.x.device
        self.walkers.x, self.walkers.step = ranks.part(state["x"]).clone().to(device), state["step"]
        self.generator.set_state(ranks.part(state["generator"]).clone())
        if self.spring:
            self.spring.last = state["momentum"].clone()
        if self.adam:
            self.adam.load_state_dict(copy.deepcopy(state["adam"]))
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.caution, self.undone, self.quiet = state["caution"], state["undone"], state["quiet"]
        self.returns, self.least = state["returns"], state["least"]
        self.paths = state["paths"]
        self.scouts = None if state["scouts"] is None else ranks.part(state["scouts"]).clone().to(device)
        self.best, self.snapshot = (state["best"][0], state["best"][1]), state["snapshot"]
        if self.snapshot is not None:
            self.snapshot = {**self.snapshot, "x": ranks.part(self.snapshot["x"]).to(device)}


def snapshot(state: TrainState) -> dict[str, Any]:
    """What a step that is taken back returns to: the network and this rank's walkers."""
    return {
        "net": {k: v.clone() for k, v in state.net.state_dict().items()},
        "x": state.walkers.x.clone(),
        "step": state.walkers.step,
    }


def of_all_ranks(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot with the walkers of all ranks; together."""
    return {**snapshot, "x": ranks.gather(snapshot["x"])}
