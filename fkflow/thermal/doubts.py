"""What may be wrong with a free energy, by its own weights, by bounds, and by paths without a drift."""

from __future__ import annotations

from collections.abc import Sequence

from fkflow.results.records import Doubt
from fkflow.statistics import Estimate, z_score
from fkflow.thermal.convexity import falls_short
from fkflow.thermal.estimate import Sums

#: effective share of the paths below which a result is doubtful, and standard errors by which parts of it may differ
POOR, APART = 0.2, 4.0


def doubts(sums: Sums, plain: Sums, bounds: Sequence[Estimate]) -> list[Doubt]:
    """The doubts about weighted paths `sums`, beside paths without a drift and bounds of log Z from below."""
    found, log_z = [], sums.log_z()
    if (ess := sums.ess()) < POOR:
        found.append(Doubt(f"the weights of the paths are uneven, effective share {ess:.2g}"))
    if falls_short(log_z, bounds):
        found.append(Doubt("the free energy is above a bound: the training lost a well"))
    half = sums.pools // 2
    if abs(_apart(sums.log_z(slice(0, half)), sums.log_z(slice(half, None)))) > APART:
        found.append(Doubt("the halves of the measurement disagree"))
    if _apart(plain.log_z(), log_z) > APART:
        # weights are positive and have the mean Z: paths that leave something out give too little of it, whether they are
        # those of a drift that lost a well, or those without one, whose few large weights have not been met
        found.append(Doubt("paths without a drift have a lower free energy: a well may be missed"))
    return found


def _apart(first: Estimate, second: Estimate) -> float:
    return z_score(first.value, first.error, second.value, second.error)
