"""Judging a network by the energies of its walkers: what is believed, what is taken back, and when training gives up."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.execution import ranks
from fkflow.networks.choice import LogPsi
from fkflow.sampling.clipping import Deviations
from fkflow.training.state import TrainState, snapshot

log = logging.getLogger("fkflow")

#: clip used to judge and show energies, in mean absolute deviations (gradients use the recipe's)
CLIP = 5.0
#: median deviations beyond which a walker is wild when a network is judged
OUTLIER = 100.0
#: natural energies by which a walker must be away as well to be lost, and the weight of all who are from which on a step is
#: taken back
FAR, MOST_LOST = 10.0, 0.05
#: a step is taken back when energy plus spread are this many spreads away from their best; the spread counts as no less
#: than SMALLEST natural energies, below which nothing is worth taking back
JUMP, SMALLEST = 8.0, 0.02
#: steps taken back in a row before training gives up, and what may then help
MOST_REJECTED = 12
ADVICE = "try a smaller train.rate or a larger train.damping"


def reason_to_reject(seen: Deviations, state: TrainState, unit: float) -> str:
    """Why the network these energies were `seen` with is not kept, "" if it is; a snapshot is taken of the best so far.

    Judged by mean + spread of firmly clipped energies, the spread a median absolute deviation: single walkers caught in a
    tail do not count, a network that goes wrong everywhere does. Nor do those that are `lost`, unless they have much weight:
    their energies may be far too low, and would make the worst network the best.
    """
    walkers = len(seen.energies)
    infinite = walkers - int(seen.finite.sum())
    if infinite > 0.1 * walkers:
        return f"{infinite} of {walkers} energies are not finite"
    if not isinstance(state.net, LogPsi):
        # free-running walkers are not ψ² distributed while the drift changes: their energies may rise before they fall
        state.snapshot = snapshot(state)
        return ""
    spread = 1.4826 * float(seen.median_deviation)
    gone = lost(seen, unit)
    share = seen.weights.where(~gone, 0.0)
    away = 1 - float(share.sum() / seen.weights.sum())
    merit = weighted_moments(seen.clip(CLIP, wild=OUTLIER), share)[0] + spread
    # the last bits may differ where ranks compute on different processors; what follows from them may not
    merit, spread, away = ranks.share((merit, spread, away))
    best, best_spread = state.best
    if state.undone:
        # This is the snapshot itself, seen by walkers that moved on: what they say of it is now the measure.
        state.best = (merit, spread)
        return ""
    if away > MOST_LOST:
        return f"{100 * away:.0f} % of the walkers, by weight, are lost"
    # Far below is as bad as far above: walkers that no longer belong to ψ² are not bound by the variational principle.
    if abs(merit - best) > JUMP * max(best_spread, SMALLEST / unit):
        return f"the energy went from {best:.6g} to {merit:.6g}, spread included"
    if merit < best or best_spread == math.inf:
        state.best, state.snapshot = (merit, spread), snapshot(state)
    return ""


def lost(seen: Deviations, unit: float) -> Tensor:
    """Which walkers of all ranks (B,) have energies that no tail has."""
    return seen.distance > (OUTLIER * seen.median_deviation).clamp(min=FAR / unit)


def respawn(seen: Deviations, state: TrainState, unit: float) -> None:
    """This rank's walkers that are `lost` go to where others are.

    One on the flank of a second maximum of ψ cannot leave it, and as its energy is far below the mean, training would make
    that maximum higher and higher. It has counted once: whoever comes there later will count again.
    """
    walkers = state.walkers
    gone = ranks.part(lost(seen, unit))
    count = int(gone.sum())
    if 0 < count < len(gone):
        others = (~gone).nonzero()[:, 0]
        pick = torch.randint(len(others), (count,), generator=state.generator, device=gone.device)
        walkers.x = walkers.x.index_copy(0, gone.nonzero()[:, 0], walkers.x[others[pick]])


def weighted_moments(values: Tensor, weights: Tensor) -> tuple[float, float, float]:
    """Mean of values (B,) over ψ², its standard error and the standard deviation, for walkers with `weights` (B,)."""
    share = weights / weights.sum()
    mean = (share * values).sum()
    away = (values - mean).square()
    found = torch.stack([mean, (share.square() * away).sum().sqrt(), (share * away).sum().sqrt()])
    mean_of_all, error, deviation = found.tolist()
    return mean_of_all, error, deviation


def reject_step(state: TrainState, trouble: str) -> None:
    """Return to the snapshot with half the rate and no momentum; the walkers go on with fresh noise from there."""
    state.undone += 1
    if state.undone > MOST_REJECTED:
        # a network that was never any good did not get so by training
        never = state.best[1] == math.inf and isinstance(state.net, LogPsi)
        advice = "a potential that is finite where the walkers are is needed" if never else ADVICE
        raise NumericalError(
            f"training failed at iteration {state.iteration}: {MOST_REJECTED} steps in a row were taken back, "
            f"at last because {trouble}; {advice}"
        )
    log.warning(
        "iteration %d is taken back: %s; going on with half the rate and twice the damping", state.iteration, trouble
    )
    assert state.snapshot is not None
    state.net.load_state_dict(state.snapshot["net"])
    state.walkers.x, state.walkers.step = state.snapshot["x"].clone(), state.snapshot["step"]
    state.caution *= 0.5
    state.scouts = None
    if state.spring:
        state.spring.last.zero_()
    if state.adam:
        state.adam.state.clear()
