"""When the walkers of a projection have gone far enough: for its energy, for densities and for observables over φ0²."""

from __future__ import annotations

from fkflow.projection.extrapolation import Extrapolation, average_window
from fkflow.projection.population import Population

#: largest fall of the energy from one window to the next, in its error, for which the shorter window is long enough
FALL = 0.2
#: share of the longest window that the walkers must pass for the densities
LEAST = 0.75
#: the same for a hurried projection: densities of a shorter window, whose bias is far below the noise of so few walkers
HURRIED = 0.375
#: more of it that all walkers must pass for observables
PASSED = 0.5


def is_settled(populations: list[Population], lag: int, found: Extrapolation) -> bool:
    """Whether the energy `found` from the window number `lag` no longer falls with the imaginary time, within its error."""
    finest = populations[-1]
    if lag == len(finest.lags) - 1:
        return True
    if finest.branching:
        return False
    falls = [average_window(finest, index).correction if index else 0.0 for index in (lag - 1, lag)]
    return abs(falls[1] - falls[0]) <= FALL * found.total


def share_for_densities(finest: Population, hurried: bool) -> float:
    """The share of the way that walkers must go before there are densities of |φ0|², at most 1."""
    return min(1.0, finest.count / ((HURRIED if hurried else LEAST) * finest.length))


def enough_for_observables(populations: list[Population], hurried: bool) -> bool:
    """Whether the walkers of all populations that have observables have gone far enough for these."""
    least = (HURRIED if hurried else LEAST) + PASSED
    return all(p.walking is None or p.count >= least * p.length for p in populations)
