"""Levels after imaginary time: which bounds fall, and what the error of the others holds."""

from __future__ import annotations

import math

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.results.spectrum import PROJECTED, UPPER
from fkflow.spectrum import correlations
from fkflow.spectrum.candidates import Candidate
from fkflow.spectrum.pool import Pool
from fkflow.statistics import Estimate

#: an average sign that nobody has looked at
UNKNOWN = Estimate(math.nan, math.nan)


def lower(
    net: LogPsi,
    system: System,
    landscape: Landscape,
    pool: Pool,
    levels: list[Candidate],
    states: dict[str, correlations.States],
    seed: int,
    fermi: bool,
) -> list[tuple[Estimate, Estimate, str, Estimate | None, Estimate]]:
    """The energy, the gap and the kind of bound of each level, its projected energy, and its average sign.

    Gaps are differences of bounds that both fall. The fall counts where it shows above the noise.
    """
    ground = next((level.sector.name for level in levels if level.sector.ground), None)
    most: dict[str, int] = {}
    for level in levels:
        # where the variance leaves less than the error there is nothing to lower
        if fermi or level.excess > level.energy.error:
            most[level.sector.name] = max(most.get(level.sector.name, 0), level.number)
    wanted = [(states[name][0], states[name][1][:, : number + 1]) for name, number in most.items()]
    falls_of = dict(zip(most, correlations.find_drops(net, system, landscape, pool, wanted, seed), strict=True))
    below = (0.0, 0.0)
    if ground in falls_of and falls_of[ground].seen[0]:
        below = float(falls_of[ground].drops[0]), float(falls_of[ground].errors[0])
    lowered: list[tuple[Estimate, Estimate, str, Estimate | None, Estimate]] = []
    for level in levels:
        k, spread = level.number, math.sqrt(level.variance)
        falls = falls_of.get(level.sector.name)
        if falls is None or k >= len(falls.drops):
            lowered.append((*_with_excess(level, level.excess), UPPER, None, UNKNOWN))
            continue
        drop, error = float(falls.drops[k]), float(falls.errors[k])
        sign = Estimate(float(falls.signs[k]), float(falls.sign_errors[k]))
        after = Estimate(level.energy.value - drop, math.hypot(level.energy.error, error))
        projected = after if falls.allowed(k, spread) else None
        if not falls.seen[k] or drop > spread or projected is None:
            # what longer paths would bring is in the error of the fall
            left = level.excess if projected is None else min(level.excess, max(drop, 0.0) + error)
            lowered.append((*_with_excess(level, left), UPPER, projected, sign))
            continue
        gap = Estimate(level.gap.value - drop + below[0], math.hypot(level.gap.error, error, below[1]))
        lowered.append((after, gap, PROJECTED, projected, sign))
    return lowered


def _with_excess(level: Candidate, left: float) -> tuple[Estimate, Estimate]:
    """The energy and the gap of a bound that may lie too high by what is `left`: both have it in their errors."""
    if not math.isfinite(left):
        left = 0.0  # an upper bound, and no more
    energy = Estimate(level.energy.value, math.hypot(level.energy.error, left))
    return energy, Estimate(level.gap.value, math.hypot(level.gap.error, left, level.lowest_excess))
