"""Averages of the observables of a system over ψ², with errors that count the correlation along each walker."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.observables import flatten, observe
from fkflow.hamiltonian.system import System
from fkflow.results.records import Observable, Observables, components
from fkflow.statistics import Estimate


class ObservableAverages:
    """Sums over the sweeps for each walker of this rank, of the observables at configurations like x (B, N, D).

    Walkers are given as the solver has them. A block of the error is the whole history of one walker, as for the energy.
    Averages are those of all ranks, which must ask for them together. Without observables all is empty and free. `more` gives
    further functions of x, which `results` leaves out.
    """

    def __init__(self, system: System, x: Tensor, more: Callable[[Tensor], dict[str, Tensor]] | None = None) -> None:
        self.system, self.more = system, more
        asked = observe(system, x[:2])
        self.asked = list(asked)
        #: the shape of each observable of one configuration, () or (n,)
        self.shapes = {name: tuple(value.shape[1:]) for name, value in self._with_more(asked, x[:2]).items()}
        columns = sum(map(math.prod, self.shapes.values()))
        self.offset: np.ndarray | None = None
        self.sweeps = 0
        #: weight × (value − offset) and weight, summed over the sweeps
        self.sums, self.weights = np.zeros((len(x), columns)), np.zeros(len(x))
        #: sums of weight², weight² × value and weight² × value² over walkers and sweeps
        self.moments = np.zeros((3, columns))

    def values(self, x: Tensor) -> Tensor:
        """The observables (B, columns) at x (B, N, D)."""
        found = self._with_more(observe(self.system, x), x)
        return flatten({name: found[name] for name in self.shapes}, len(x))

    def _with_more(self, found: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        return found if self.more is None else {**found, **self.more(x)}

    def add(self, x: Tensor, weights: Tensor) -> None:
        """Count the walkers x (B, N, D) with their weights (B,); the first call sets the offset, on all ranks together."""
        if not self.shapes:
            return
        values, w = self.values(x).cpu().numpy(), weights.double().cpu().numpy()[:, None]
        if self.offset is None:
            # distances from the first mean lose no digits
            self.offset = np.nan_to_num(ranks.broadcast((w * values).sum(0) / w.sum()), posinf=0.0, neginf=0.0)
        excess = values - self.offset
        with np.errstate(invalid="ignore"):
            self.sums += w * excess
            self.moments += np.stack([(w**2 * excess**k).sum(0) for k in range(3)])
        self.weights += w[:, 0]
        self.sweeps += 1

    def estimates(self) -> list[Estimate]:
        """The average over ψ² of each column; NaN where a value was not finite."""
        if self.offset is None:
            return []
        columns = len(self.offset)
        counts = [self.weights.sum(), float(len(self.sums)), float(len(self.sums) * self.sweeps)]
        with np.errstate(invalid="ignore"):
            totals = ranks.reduce_sum_array(np.concatenate([counts, self.sums.sum(0), self.moments.ravel()]))
            weight, walkers, visits = totals[:3]
            mean = totals[3 : 3 + columns] / weight
            squares = ranks.reduce_sum_array(((self.sums - mean * self.weights[:, None]) ** 2).sum(0))
            error = np.sqrt(squares * walkers / (walkers - 1)) / weight
            zeroth, first, second = totals[3 + columns :].reshape(3, columns)
            # of single values, as they enter the mean
            variance = np.maximum(second - 2 * mean * first + mean**2 * zeroth, 0.0) * visits / weight**2
        return [
            Estimate(float(value), float(one), float(spread / one**2) if one > 0 else math.inf)
            for value, one, spread in zip(mean + self.offset, error, variance, strict=True)
        ]

    def error(self) -> float:
        """The largest error in units of the standard deviation of its observable; 0 without observables, collective."""
        if not self.asked:
            return 0.0
        columns = sum(math.prod(self.shapes[name]) for name in self.asked)
        found = [1 / math.sqrt(one.n_effective) for one in self.estimates()[:columns] if one.n_effective > 0]
        return max(found, default=0.0)

    def unknown(self) -> list[str]:
        """The names of observables that had a value that was not finite."""
        found = self.results().items()
        return [name for name, parts in found if not all(math.isfinite(part.value) for part in components(parts))]

    def results(self, projected: Sequence[Estimate | None] | None = None) -> Observables:
        """The observables by name, a tuple where one has several numbers; `projected` has averages over φ0², one a column."""
        units = self.system.observable_units
        found: Observables = {}
        for name, pairs in self.averages(projected).items():
            if name in self.asked:
                parts = tuple(Observable.of(*pair, units.get(name, "")) for pair in pairs)
                found[name] = parts if self.shapes[name] else parts[0]
        return found

    def averages(
        self, projected: Sequence[Estimate | None] | None = None
    ) -> dict[str, list[tuple[Estimate, Estimate | None]]]:
        """For each name the averages of its numbers over ψ² and, as `projected` gives them, over φ0²."""
        measured = self.estimates()
        if not measured:
            return {}
        columns = iter(zip(measured, [None] * len(measured) if projected is None else projected, strict=True))
        return {name: [next(columns) for _ in range(math.prod(shape))] for name, shape in self.shapes.items()}

    def state_dict(self) -> dict[str, Any]:
        """The sums of this rank for a checkpoint."""
        return {
            "offset": None if self.offset is None else torch.from_numpy(self.offset),
            "sweeps": self.sweeps,
            **{name: torch.from_numpy(getattr(self, name)) for name in ("sums", "weights", "moments")},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave; the last functions, which an older version did not have, are left out."""
        self.offset = None if state["offset"] is None else state["offset"].numpy()
        while self.offset is not None and sum(map(math.prod, self.shapes.values())) > len(self.offset):
            self.shapes.popitem()
        self.sweeps = state["sweeps"]
        for name in ("sums", "weights", "moments"):
            setattr(self, name, state[name].numpy())
