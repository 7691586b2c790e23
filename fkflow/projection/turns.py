"""Which part of a projection advances in a turn: the one that lowers the error most for its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fkflow.execution import ranks
from fkflow.measurement.variational import VariationalEstimator
from fkflow.projection.past import PLACES
from fkflow.projection.population import Population
from fkflow.sampling.local_energy import local_energy_cost
from fkflow.sampling.samplers import MOVES_PER_SWEEP

#: cost of a gradient in evaluations of log ψ
GRADIENT = 3
#: sweeps of the measurement in one turn
SWEEPS = 4


@dataclass
class Turns:
    """The `number` of turns so far, the work done, and the cost of a turn: of each population and, last, of the measurement.

    In evaluations of log ψ, not in seconds: the same seed then takes the same decisions.
    """

    work: list[float]
    costs: list[float]
    number: int = 0

    @classmethod
    def of(cls, measuring: VariationalEstimator, populations: Sequence[Population], girsanov: bool) -> Turns:
        """Before the first turn of these populations."""
        x, energy = measuring.walkers.x, local_energy_cost(measuring.net, measuring.system)
        weighing, sweep = x[0].numel() if girsanov else energy, MOVES_PER_SWEEP * GRADIENT + energy
        costs = [
            float(len(p.walkers.x) * (p.mover.stride * GRADIENT + weighing) * (p.length // PLACES)) for p in populations
        ]
        work = [0.0] * len(populations) + [float(measuring.count * sweep * len(x))]
        return cls(work, [*costs, float(SWEEPS * len(x) * sweep)])

    def most_gain(self, shares: Sequence[float]) -> int:
        """What lowers the error most for its cost, from its part of the variance."""
        # errors fall as 1/√work: d(variance)/d(work) = −variance/work
        return int(np.argmax([share / max(work, 1.0) for share, work in zip(shares, self.work, strict=True)]))

    def take(self, which: int) -> int:
        """Count the turn of number `which`, as rank 0 has it."""
        which = ranks.broadcast(which)
        self.work[which] += self.costs[which]
        return which

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint of a projection, among other things."""
        return {"work": list(self.work), "costs": list(self.costs), "turn": self.number}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Turns:
        """Restore what `state_dict` gave."""
        return cls(list(state["work"]), list(state["costs"]), state["turn"])
