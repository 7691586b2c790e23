"""Safeguards of training: which walkers are lost, which steps are rejected, and when training gives up."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.execution import ranks
from fkflow.hamiltonian.mistakes import MUST_BE_INFINITE
from fkflow.networks.choice import LogPsi
from fkflow.sampling.clipping import Deviations
from fkflow.training.state import TrainState, snapshot

log = logging.getLogger("fkflow")

#: clip of energies that are judged and shown, in mean absolute deviations (gradients use the recipe's)
CLIP = 5.0
#: a walker is lost if its energy is farther from the median than so many median deviations and so many natural energies
OUTLIER, FAR = 100.0, 10.0
#: weight of all lost walkers from which on a step is rejected
MOST_LOST = 0.05
#: a step is rejected when energy plus spread, or the spread, are this many spreads away from their best; the spread counts as
#: no less than SMALLEST natural energies, below which nothing is worth rejecting
JUMP, SMALLEST = 8.0, 0.02
#: what a rejected step multiplies the rate by, and each accepted one, up to 1
SLOWER, FASTER = 0.5, 1.05
#: steps rejected in a row before training gives up, and what may then help
MOST_REJECTED = 12
ADVICE = "try a smaller train.rate or a larger train.damping"
NEEDED = (
    f"a potential that is finite where the walkers are is needed; where the particles cannot be V {MUST_BE_INFINITE}"
)


def reason_to_reject(energies: Deviations, state: TrainState, natural_time: float) -> str:
    """Why the step that led to these energies is rejected, "" if it is not; a snapshot is taken of the best network so far.

    The measure of a network is mean + spread of firmly clipped energies, the spread a median absolute deviation: a network
    that goes wrong everywhere is seen, single walkers in a tail do not count. Lost walkers do not count either, unless they
    have much weight: their energies may be far too low, and would make the worst network the best.
    """
    walkers = len(energies.energies)
    infinite = walkers - int(energies.finite.sum())
    if infinite > 0.1 * walkers:
        return f"{infinite} of {walkers} energies are not finite"
    if not isinstance(state.net, LogPsi):
        # free-running walkers are not ψ² distributed while the drift changes: their energies may rise before they fall
        state.snapshot = snapshot(state)
        return ""
    spread = 1.4826 * float(energies.median_deviation)
    share = energies.weights.where(~find_lost(energies, natural_time), 0.0)
    gone = 1 - float(share.sum() / energies.weights.sum())
    merit = weighted_moments(energies.clip(CLIP, outlier=OUTLIER), share)[0] + spread
    # the last bits may differ where ranks compute on different processors; what follows from them may not
    merit, spread, gone = ranks.broadcast((merit, spread, gone))
    best, best_spread = state.best
    if state.rejections:
        # This is the snapshot itself, and the walkers have moved: its measure is taken anew.
        state.best = (merit, spread)
        return ""
    if gone > MOST_LOST and best_spread == math.inf:
        # a start that is too broad for steep walls has many walkers high up, and no better network to return to
        state.snapshot = snapshot(state)
        return ""
    if gone > MOST_LOST:
        return f"{100 * gone:.0f} % of the walkers, by weight, are lost"
    # Far below is as bad as far above: walkers that no longer belong to ψ² are not bound by the variational principle. An
    # energy far below with a spread as large has the same sum.
    most = JUMP * max(best_spread, SMALLEST / natural_time)
    if abs(merit - best) > most:
        return f"the energy went from {best:.6g} to {merit:.6g}, spread included"
    if spread - best_spread > most:
        return f"the spread went from {best_spread:.3g} to {spread:.3g}"
    if merit < best or best_spread == math.inf:
        state.best, state.snapshot = (merit, spread), snapshot(state)
    return ""


def accept_step(energies: Deviations, state: TrainState, natural_time: float) -> None:
    """Let the rate grow back, and respawn the lost walkers."""
    state.rejections, state.caution = 0, min(1.0, FASTER * state.caution)
    if isinstance(state.net, LogPsi):
        respawn(energies, state, natural_time)


def reject_step(state: TrainState, reason: str) -> None:
    """Return to the snapshot with half the rate and no momentum; the walkers go on with fresh noise from there."""
    state.rejections += 1
    if state.rejections > MOST_REJECTED:
        # a network that was never any good did not get so by training
        never = state.best[1] == math.inf and isinstance(state.net, LogPsi)
        advice = NEEDED if never else ADVICE
        raise NumericalError(
            f"training failed at iteration {state.iteration}: {MOST_REJECTED} steps in a row were rejected, "
            f"the last one because {reason}; {advice}"
        )
    log.warning(
        "the step of iteration %d is rejected: %s; training continues with half the rate and twice the damping",
        state.iteration,
        reason,
    )
    assert state.snapshot is not None
    state.net.load_state_dict(state.snapshot["net"])
    state.walkers.x, state.walkers.step = state.snapshot["x"].clone(), state.snapshot["step"]
    state.caution *= SLOWER
    state.scouts = None
    if state.spring:
        state.spring.last.zero_()
    if state.adam:
        state.adam.state.clear()


def find_lost(energies: Deviations, natural_time: float) -> Tensor:
    """Which walkers of all ranks, (B,) bool, have energies that no tail of ψ² has."""
    return energies.distance > (OUTLIER * energies.median_deviation).clamp(min=FAR / natural_time)


def respawn(energies: Deviations, state: TrainState, natural_time: float) -> None:
    """Move this rank's lost walkers to the places of others.

    A walker on the flank of a second maximum of ψ cannot leave it. Its energy is far below the mean, so that training would
    make that maximum higher and higher. It has counted once; any walker that comes there later counts again.
    """
    walkers = state.walkers
    gone = ranks.own_part(find_lost(energies, natural_time))
    count = int(gone.sum())
    if 0 < count < len(gone):
        others = (~gone).nonzero()[:, 0]
        pick = torch.randint(len(others), (count,), generator=state.generator, device=gone.device)
        walkers.x = walkers.x.index_copy(0, gone.nonzero()[:, 0], walkers.x[others[pick]])


def weighted_moments(values: Tensor, weights: Tensor) -> tuple[float, float, float]:
    """Mean of values (B,) over ψ², its standard error and the standard deviation, for walkers with `weights` (B,)."""
    share = weights / weights.sum()
    mean = (share * values).sum()
    squares = (values - mean).square()
    found = torch.stack([mean, (share.square() * squares).sum().sqrt(), (share * squares).sum().sqrt()])
    mean_of_all, error, deviation = found.tolist()
    return mean_of_all, error, deviation
