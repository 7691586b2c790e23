"""The energy of a projection: extrapolated to dt = 0, with what rare and unresolved local energies add to it."""

from __future__ import annotations

import math
from dataclasses import replace

from fkflow.measurement.variational import VariationalEstimator
from fkflow.projection.extrapolation import Extrapolation, extrapolate
from fkflow.projection.population import Population
from fkflow.projection.rare import missed_fall
from fkflow.projection.resolution import left_out


def projected_energy(populations: list[Population], lag: int, measuring: VariationalEstimator) -> Extrapolation:
    """The energy from the window number `lag` of all populations, the smallest time step last; collective."""
    finest = populations[-1]
    found = extrapolate(populations, lag, measuring.estimate())
    found = found.with_error_of_finest(missed_fall(measuring, finest))
    unresolved = [p.unresolved for p in populations if p.unresolved is not None]
    if not unresolved:
        return found
    beyond = left_out(unresolved)
    # the measured energy has all of E_L, the weights have not
    counted = unresolved[-1].excess(finest.interval)
    error = math.hypot(found.time_step_error, counted, beyond.error)
    return replace(found, value=found.value - beyond.value, time_step_error=error)
