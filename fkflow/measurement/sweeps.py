"""The local energies of a measurement: weighted sums of each walker in each sweep, of all ranks, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.statistics import Estimate, autocorrelation_time, chains_estimate, halves_shift, split_rhat

#: sweeps that are stored apart: beyond twice as many, neighbours are added, so that memory does not grow with time
MOST_SWEEPS = 256
#: the numbers in a checkpoint
NUMBERS = ("squares", "count", "merged", "offset")


class EnergySweeps:
    """Each rank adds sweeps of its own walkers; estimates are those of all ranks, which must ask for them together."""

    def __init__(self) -> None:
        #: weight × energy and weight of each walker of all ranks, (2, B) a sweep; this rank's that the others do not have yet
        self.sums: list[np.ndarray] = []
        self.pending: list[np.ndarray] = []
        #: sweeps so far, and how many of them are added up in each of `sums`
        self.count, self.merged = 0, 1
        #: the first mean energy, from which all are counted so that no digits are lost, and the sum of mean squares
        self.offset, self.squares = 0.0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a measurement needs to continue, as tensors and numbers."""
        return {
            "sweeps": [torch.from_numpy(sweep) for sweep in self.sums],
            **{name: getattr(self, name) for name in NUMBERS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.sums = [sweep.numpy() for sweep in state["sweeps"]]
        for name in NUMBERS:
            setattr(self, name, state[name])

    def add(self, energies: Tensor, weights: Tensor) -> None:
        """Add a sweep of this rank's walkers, energies and weights (B,)."""
        if not self.count:
            self.offset = ranks.broadcast(float((weights * energies).sum() / weights.sum()))
        excess = energies - self.offset
        self.squares += float((weights * excess.square()).mean())
        self.pending.append(torch.stack([weights * excess, weights]).cpu().numpy())
        self.count += 1

    def gather(self) -> None:
        """Add the new sweeps of all ranks to those that estimates are made of; all ranks must do it together."""
        for sweep in ranks.gather_columns(self.pending):
            self.sums.append(sweep)
            if len(self.sums) == 2 * MOST_SWEEPS:
                self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
                self.merged *= 2
        self.pending = []

    def estimate(self) -> Estimate:
        """The energy so far; its error comes from the scatter of independent walkers."""
        found = chains_estimate(*np.stack(self.sums, 1))
        return Estimate(found.value + self.offset, found.error, found.n_effective)

    def spread(self) -> float:
        """Standard deviation of the local energy over ψ²."""
        weight = float(np.mean([w.mean() for _, w in self.sums])) / self.merged
        mean = self.estimate().value - self.offset
        (squares,) = ranks.reduce_mean(self.squares)
        return float(max(0.0, squares / self.count / weight - mean**2) ** 0.5)

    def rare_energy(self, energy: float, far: float) -> float:
        """What local energies more than `far` from `energy` add to the mean over ψ² of E_L − energy.

        In a long measurement these are means of a few sweeps of a walker.
        """
        weighted, weights = np.stack(self.sums, 1)
        excess = weighted + (self.offset - energy) * weights
        return float(excess[np.abs(excess) > far * weights].sum() / weights.sum())

    def means(self) -> np.ndarray:
        """The mean energy of each stored sweep."""
        weighted, weights = np.stack(self.sums, 1)
        means: np.ndarray = weighted.sum(1) / weights.sum(1) + self.offset
        return means

    def mixing(self) -> tuple[float, float, float]:
        """Autocorrelation time in sweeps, split R-hat, and by how many errors the energy moved between the halves."""
        weighted, weights = np.stack(self.sums, 1)
        # each walker's energies as they enter the mean: weighted residuals about it
        residuals = (weighted - (self.estimate().value - self.offset) * weights) / weights.mean()
        return autocorrelation_time(residuals) * self.merged, split_rhat(residuals), halves_shift(residuals)
