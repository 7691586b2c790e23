"""How long a projection must be for the slow modes of the learned diffusion, and what they may leave in its energy."""

from __future__ import annotations

import math

from fkflow.execution import ranks
from fkflow.measurement.variational import VariationalEstimator
from fkflow.projection.extrapolation import Extrapolation, average_window
from fkflow.projection.population import Population
from fkflow.recipe.config import ProjectConfig

#: share of the target error that slow modes may leave, and the longest window for them in that of the recipe
LEFT, LONGEST = 0.3, 20.0
#: largest share of ψ² in a mode as slow as the gap that the functions of the relaxation may have missed
UNSEEN = 0.1
#: least error of the difference of two windows, in that of the longer one
SHARED = 0.3
#: gap times imaginary time of the recipe below which the gap is small
QUICK = 3.0


def longest_window(measuring: VariationalEstimator, config: ProjectConfig) -> float:
    """The imaginary time of the recipe, or what slow modes need to leave little of the target error."""
    natural, relaxation = measuring.landscape.length**2, measuring.relaxation
    time, wanted = config.time * natural, LEFT * config.target_error
    if relaxation is None:
        return time
    longest = time if relaxation.left(time) <= wanted else relaxation.time_to(wanted)
    if relaxation.rate * time < QUICK:
        # modes that the functions of the relaxation do not have may be as slow as the slowest of them: about the variance of
        # the local energy is left of their excess at the start
        excess = measuring.spread() ** 2 * natural
        longest = max(longest, math.log(max(1.0, excess / wanted)) / relaxation.rate)
    return ranks.broadcast(min(max(time, longest), LONGEST * time))


def slow_mode_error(
    measuring: VariationalEstimator, config: ProjectConfig, finest: Population, lag: int, found: Extrapolation
) -> float:
    """What slow modes may leave of the excess energy after the window number `lag` that the energy comes from.

    Where the window is short beside the gap Δ, at most 1/(e^(Δt) − 1) of the fall so far, whatever the modes; or as much of the
    last fall with its noise, in which fast modes have no part any more; or what a small share of ψ² in such a mode has.
    """
    relaxation = measuring.relaxation
    if relaxation is None:
        return 0.0
    time = finest.lags[lag] * finest.interval
    left = relaxation.left(time)
    if relaxation.rate * config.time * measuring.landscape.length**2 < QUICK:
        # only what is more than the noise of the difference
        noise = math.sqrt(max(0.0, average_window(finest, lag).covariance[1, 1]))
        fall = measuring.estimate().value - found.value - 2 * max(noise, found.time_step_error)
        unknown = fall / math.expm1(relaxation.rate * time)
        if lag > 1 and not finest.branching:
            short, long = (average_window(finest, index) for index in (lag - 1, lag))
            # the windows share their walkers
            apart = math.sqrt(max(abs(long.covariance[1, 1] - short.covariance[1, 1]), (SHARED * noise) ** 2))
            between = (finest.lags[lag] - finest.lags[lag - 1]) * finest.interval
            last = max(0.0, short.correction - long.correction) + apart
            unknown = min(unknown, last / math.expm1(relaxation.rate * between))
        left = max(left, min(unknown, UNSEEN * relaxation.rate))
    return left
