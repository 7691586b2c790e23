"""The spectrum of a run as plain data: levels, their states and what shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fkflow.results.records import Axis
from fkflow.statistics import Estimate
from fkflow.text import strict_json

UPPER, PROJECTED = "upper", "projected"


@dataclass(frozen=True)
class Level:
    """One excited level, f ψ, in a symmetry `sector`.

    `energy` is a bound from above ("upper" in `bound`), or that bound lowered by imaginary time ("projected"). `gap` is the
    distance of this level from the lowest, both computed alike: what ψ lacks raises both. `variance` is that of its local
    energy, 0 for an eigenstate. `strengths` are |⟨level|O|ground⟩|² of simple operators O. `coefficients` (n,) are those of f
    in the functions of its sector. `density` and `function` (m,) are its one-body density and the mean of f, with ⟨f²⟩ = 1, on
    the axis of the spectrum. `projected` is its energy after imaginary time, whether it has fallen or not, None where noise
    hides it: f changes sign, and `sign` is the average sign of the paths, which tells how much noise that makes. `degeneracy`
    counts the levels that have this energy by symmetry: of those that a rotation, or an exchange of axes, makes of one, one is
    listed.
    """

    sector: str
    energy: Estimate
    gap: Estimate
    variance: float
    bound: str
    strengths: dict[str, float]
    coefficients: np.ndarray
    density: np.ndarray
    function: np.ndarray
    projected: Estimate | None = None
    sign: Estimate = Estimate(math.nan, math.nan)
    degeneracy: int = 1


@dataclass(frozen=True)
class Spectrum:
    """The levels of a run above its `ground` state, lowest first.

    `axis` is that of the densities, normalised over `measure`, `ground_density` (m,) that of ψ². `sample` (B, N, D),
    `functions`, `decay`, `seed` and `statistics` make the same functions again; `check` (levels, 8) are values of f at the
    first of the sample. `searched` are the sectors that were looked at, `asked` is the number of levels that were asked
    for, `walkers` that of configurations, `seconds` the wall-clock time, `time` the imaginary time of the paths.
    """

    ground: Estimate
    levels: list[Level]
    axis: Axis
    measure: str
    ground_density: np.ndarray
    sample: np.ndarray
    check: np.ndarray
    searched: list[str]
    asked: int
    functions: int
    decay: float
    seed: int
    statistics: str
    walkers: int
    seconds: float
    time: float = 0.0
    warnings: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The JSON object of the command; numbers that are not finite become None."""
        found: dict[str, Any] = strict_json(
            {
                "ground": {"energy": self.ground.value, "error": self.ground.error},
                "levels": [
                    {
                        "energy": level.energy.value,
                        "error": level.energy.error,
                        "gap": level.gap.value,
                        "gap_error": level.gap.error,
                        "sector": level.sector,
                        "degeneracy": level.degeneracy,
                        "bound": level.bound,
                        "projected": level.projected
                        and {"energy": level.projected.value, "error": level.projected.error},
                        "sign": level.sign.value,
                        "sign_error": level.sign.error,
                        "variance": level.variance,
                        "strengths": level.strengths,
                    }
                    for level in self.levels
                ],
                "sectors": self.searched,
                "statistics": self.statistics,
                "imaginary_time": self.time,
                "warnings": self.warnings,
                "seconds": self.seconds,
            }
        )
        return found
