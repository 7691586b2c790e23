"""The spectrum of a solution: levels whose functions can be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from fkflow.results.result import Result
from fkflow.results.spectrum import Level
from fkflow.results.spectrum_table import spectrum_text
from fkflow.runs.evaluation import Positions
from fkflow.runs.model import Model
from fkflow.runs.spectrum import level_function
from fkflow.statistics import Estimate


class SolvedLevel:
    """One excited level f ψ, with the numbers of `fkflow.results.spectrum.Level` and its function f."""

    def __init__(self, result: Result, model: Model, index: int) -> None:
        assert result.spectrum is not None
        self._result, self._model, self._index = result, model, index
        self._level: Level = result.spectrum.levels[index]

    @property
    def energy(self) -> Estimate:
        """The energy of the level, a bound as `bound` says."""
        return self._level.energy

    @property
    def gap(self) -> Estimate:
        """The energy above the ground state."""
        return self._level.gap

    @property
    def sector(self) -> str:
        """The symmetry of the level."""
        return self._level.sector

    @property
    def bound(self) -> str:
        """What the energy is: "upper" or "projected"."""
        return self._level.bound

    @property
    def projected(self) -> Estimate | None:
        """The energy after imaginary time, whether it fell or not; None where noise hides it."""
        return self._level.projected

    @property
    def sign(self) -> Estimate:
        """The average sign of the paths in imaginary time, from 1 down to 0 where all is noise."""
        return self._level.sign

    @property
    def variance(self) -> float:
        """The variance of the local energy, 0 for an eigenstate."""
        return self._level.variance

    @property
    def strengths(self) -> dict[str, float]:
        """|⟨level|O|ground⟩|² of simple operators O by their names."""
        return dict(self._level.strengths)

    def function(self, x: Positions) -> Positions:
        """f (B,) or () at positions x (B, N, D) or (N, D): the wave function of the level over that of the ground state.

        ⟨f²⟩ over |ψ|² is 1; the sign is arbitrary. Arrays give arrays, tensors give tensors. Raises UsageError if x has another
        shape, StoreError if another version of fkflow wrote the spectrum.
        """
        return level_function(self._result, self._model, self._index, x)

    def __repr__(self) -> str:
        return f"<Level {self.sector}: energy {self.energy}, gap {self.gap}>"


class SolvedSpectrum(Sequence[SolvedLevel]):
    """The levels above the ground state, lowest first; printed, it is their table."""

    def __init__(self, result: Result, model: Model) -> None:
        assert result.spectrum is not None
        self._result, self._spectrum = result, result.spectrum
        self._levels = [SolvedLevel(result, model, index) for index in range(len(result.spectrum.levels))]

    @property
    def ground(self) -> Estimate:
        """The energy of the ground state."""
        return self._spectrum.ground

    @property
    def warnings(self) -> list[str]:
        """What may be missing, a sentence each."""
        return list(self._spectrum.warnings)

    def summary(self) -> dict[str, Any]:
        """The numbers as plain values, as ``fkflow spectrum --json`` prints them."""
        return self._spectrum.summary()

    def __len__(self) -> int:
        return len(self._levels)

    @overload
    def __getitem__(self, index: int) -> SolvedLevel: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SolvedLevel]: ...
    def __getitem__(self, index: int | slice) -> SolvedLevel | Sequence[SolvedLevel]:
        return self._levels[index]

    def __str__(self) -> str:
        return spectrum_text(self._result, self._spectrum)

    __repr__ = __str__
