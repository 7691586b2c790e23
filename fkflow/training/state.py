"""Everything that training changes, its record of each iteration, and the snapshot a rejected step returns to."""

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

#: numbers of the state by the names that checkpoints store them under
NUMBERS = {
    "iteration": "iteration",
    "seconds": "seconds",
    "caution": "caution",
    "undone": "rejections",
    "quiet": "good_iterations",
    "returns": "extensions",
    "least": "min_iterations",
    "paths": "paths",
}


@dataclass(frozen=True)
class Record:
    """One training iteration. Energies are A/T over the walkers, in the system's unit; rate and damping as used.

    The fields have the names that result files store. `undone`: the step was rejected.
    """

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
    """Everything that training changes; a checkpoint made of `state_dict` continues to the same bits.

    `walkers` and `generator` are this rank's; a checkpoint has those of all ranks.
    """

    net: LogPsi | PairDrift
    walkers: Walkers
    generator: torch.Generator
    spring: Spring | None
    adam: torch.optim.Adam | None
    iteration: int = 0
    seconds: float = 0.0
    #: factor of the rate, below 1 after rejected steps
    caution: float = 1.0
    #: steps rejected in a row, and iterations in a row after which training might have ended
    rejections: int = 0
    good_iterations: int = 0
    #: how often the training was extended, and the iterations before which it does not end again
    extensions: int = 0
    min_iterations: int = 0
    #: paths from each walker where a whole frame is many; 0: a whole frame, which shows a drift that is exact from the start
    paths: int = 0
    #: exploring walkers of the last iteration, where there are any (B', N, D)
    scouts: Tensor | None = None
    #: energy plus spread, and spread, of the best iteration so far; the network and walkers that gave them
    best: tuple[float, float] = (0.0, math.inf)
    snapshot: dict[str, Any] | None = None
    #: average (P,) of the parameters of the last iterations
    average: Tensor | None = None
    #: iteration after which the best network was chosen (`freezing`), its energy and spread on walkers that it had not seen
    frozen_at: int = 0
    unseen: tuple[float, float] | None = None
    #: what the training had before, from which it goes on if it does
    unfrozen: dict[str, Any] | None = None

    def take_walkers(self, x: Tensor, weights: Tensor) -> None:
        """Walk on from places drawn from x (B, N, D) with `weights` (B,); what other walkers showed is no measure for these."""
        pick = torch.multinomial(weights.clamp(min=0.0), len(self.walkers.x), True, generator=self.generator)
        self.walkers.x = x[pick]
        self.scouts, self.best, self.snapshot, self.unfrozen = None, (0.0, math.inf), None, None

    def state_dict(self) -> dict[str, Any]:
        """Plain nested dict of tensors, numbers and lists; all ranks must ask for it together."""
        return {
            **_of_all_ranks(snapshot(self)),
            "generator": ranks.gather(self.generator.get_state()),
            "momentum": self.spring.last.clone() if self.spring else None,
            "adam": copy.deepcopy(self.adam.state_dict()) if self.adam else None,
            **{stored: getattr(self, name) for stored, name in NUMBERS.items()},
            "scouts": None if self.scouts is None else ranks.gather(self.scouts),
            "best": list(self.best),
            "snapshot": self.snapshot and _of_all_ranks(self.snapshot),
            "average": None if self.average is None else self.average.clone(),
            "frozen_at": self.frozen_at,
            "unseen": self.unseen and list(self.unseen),
            "unfrozen": self.unfrozen
            and {**_of_all_ranks(self.unfrozen), "generator": ranks.gather(self.unfrozen["generator"])},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave; raises KeyError or RuntimeError if it belongs to another run."""
        self.net.load_state_dict(state["net"])
        device = self.walkers.x.device
        self.walkers.x, self.walkers.step = ranks.own_part(state["x"]).clone().to(device), state["step"]
        self.generator.set_state(ranks.own_part(state["generator"]).clone())
        if self.spring:
            self.spring.last = state["momentum"].clone()
        if self.adam:
            self.adam.load_state_dict(copy.deepcopy(state["adam"]))
        for stored, name in NUMBERS.items():
            setattr(self, name, state[stored])
        self.scouts = None if state["scouts"] is None else ranks.own_part(state["scouts"]).clone().to(device)
        self.best, self.snapshot = (state["best"][0], state["best"][1]), state["snapshot"]
        if self.snapshot is not None:
            self.snapshot = {**self.snapshot, "x": ranks.own_part(self.snapshot["x"]).to(device)}
        # earlier versions did not choose: what they had trained to the end is left as it is
        average, unseen = state.get("average"), state.get("unseen")
        self.average = None if average is None else average.clone().to(device)
        self.frozen_at = state.get("frozen_at", self.iteration)
        self.unseen = None if unseen is None else (unseen[0], unseen[1])
        self.unfrozen = state.get("unfrozen")
        if self.unfrozen is not None:
            own = {"x": ranks.own_part(self.unfrozen["x"]).to(device)}
            self.unfrozen = {**self.unfrozen, **own, "generator": ranks.own_part(self.unfrozen["generator"])}

    def keep_unfrozen(self) -> None:
        """Keep what the training goes on with, before another network is taken for the last one."""
        momentum = self.spring.last.clone() if self.spring else None
        self.unfrozen = {**snapshot(self), "generator": self.generator.get_state(), "momentum": momentum}

    def unfreeze(self) -> None:
        """Return to what was kept, if the network has been chosen; then nothing is kept."""
        if (kept := self.unfrozen) is None:
            return
        self.net.load_state_dict(kept["net"])
        self.walkers.x, self.walkers.step = kept["x"].clone(), kept["step"]
        self.generator.set_state(kept["generator"].clone())
        if self.spring:
            self.spring.last = kept["momentum"].clone()
        self.unfrozen = None


def snapshot(state: TrainState) -> dict[str, Any]:
    """What a rejected step returns to: the network and this rank's walkers."""
    return {
        "net": {k: v.clone() for k, v in state.net.state_dict().items()},
        "x": state.walkers.x.clone(),
        "step": state.walkers.step,
    }


def _of_all_ranks(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot with the walkers of all ranks, which must ask for it together."""
    return {**snapshot, "x": ranks.gather(snapshot["x"])}
