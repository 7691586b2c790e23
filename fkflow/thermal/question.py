"""What is asked of a system at temperatures, and a temperature while it is worked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fkflow.statistics import Estimate
from fkflow.thermal.fit import Fitted


@dataclass(frozen=True)
class Question:
    """What is asked: inverse temperatures, statistics, and how much work is done.

    `target_error` is that of the free energy, `seconds` the most for measuring one temperature, `time_step` that of the
    measurement in natural times, None for one that suits.
    """

    betas: Sequence[float]
    statistics: str
    iterations: int
    target_error: float
    seconds: float
    time_step: float | None
    seed: int


@dataclass
class Level:
    """A temperature while it is worked on: β and the steps of a path, in natural units."""

    beta: float
    steps: int
    fitted: Fitted
    #: relative variance of the weights at the end of the training
    variance: float = 1.0
    #: bounds of log Z from below
    bounds: list[Estimate] = field(default_factory=list)
