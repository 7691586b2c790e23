"""Bounds of log Z from below, which tell that a training has lost a well.

All paths of what is left may have nearly the same weight then, so that their own spread says nothing. log Z is convex in β, for
any H, so that it lies above the line through two higher temperatures. And the drift of the temperature before, with which a
training begins, may have had the well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from fkflow.statistics import Estimate

#: standard errors, and part of Z, by which it may lie below a bound
APART, SLACK = 4.0, 0.03


def falls_short(log_z: Estimate, bounds: Sequence[Estimate]) -> bool:
    """Whether log Z is below one of the bounds by more than errors explain."""
    return any(log_z.value < low.value - SLACK - APART * math.hypot(log_z.error, low.error) for low in bounds)


@dataclass
class Convexity:
    """log Z of inverse temperatures, from the highest temperature down."""

    points: list[tuple[float, Estimate]] = field(default_factory=list)

    def bounds(self, beta: float) -> list[Estimate]:
        """The line through the two nearest higher temperatures at β, if there are two."""
        before = [point for point in self.points if point[0] < beta * (1 - 1e-9)][-2:]
        if len(before) < 2:
            return []
        (low, first), (high, second) = before
        far = (beta - high) / (high - low)
        error = math.hypot((1 + far) * second.error, far * first.error)
        return [Estimate((1 + far) * second.value - far * first.value, error)]

    def pack(self) -> list[list[float]]:
        """The points as plain numbers."""
        return [[beta, *pack(log_z)] for beta, log_z in self.points]

    @classmethod
    def unpack(cls, found: Sequence[Sequence[float]]) -> Convexity:
        """What `pack` gave."""
        return cls([(beta, Estimate(value, error)) for beta, value, error in found])


def pack(estimate: Estimate) -> list[float]:
    """Value and error as plain numbers."""
    return [float(estimate.value), float(estimate.error)]
