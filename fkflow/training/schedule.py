"""The schedule of a training: step sizes, numbers of walkers, when it ends, and when it is extended after all."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.stiffness import Stiffness
from fkflow.networks.choice import LogPsi
from fkflow.recipe.config import TrainConfig
from fkflow.training.state import TrainState

#: iterations in a row below train.stop_spread that end the training, and those that are good enough for a target error
QUIET, HURRIED = 10, 5
#: walkers that training never begins with fewer of
FEWEST_WALKERS = 256
#: training continues while reaching train.target_error would cost more than this share of the iterations done; measuring and
#: projecting cost about MEASURING iterations for each in which the walkers of one iteration would reach the target
ENOUGH, MEASURING, FEWEST = 0.5, 2.0, 10
#: an ended training is extended where measuring would cost more than this share of its iterations after all, so many times at
#: most, each time by this share of its iterations at least
LATE, RETURNS, AGAIN = 2.0, 2, 0.5
#: rate at which a ramp begins
RAMP_START = 0.3
#: of a stiff trap: rate in that of the soft modes, its most, iterations of its ramp, and fewest walkers
SOFT, MOST_RATE, RAMP, MANY = 0.05, 10.0, 80, 2048
#: iterations of the schedules of rate, damping and walkers that training from the weights of another run leaves out
HEAD_START = 80


class StepSize(NamedTuple):
    """Rate (imaginary time in natural times; for Adam its own) and damping of one update."""

    rate: float
    damping: float


def paced(config: TrainConfig, stiff: Stiffness | None) -> TrainConfig:
    """The settings of a training, with those of a stiff trap where the recipe has the defaults.

    Updates are as long as the soft modes need. Such steps are stable where all stiff modes are seen in the curvature, by many
    walkers from the start; training ends where the energy spreads little in the units of the soft modes.
    """
    usual = config.model_copy(update={key: TrainConfig.model_fields[key].default for key in ("rate", "ramp", "grow")})
    if stiff is None or config != usual or config.optimiser != "spring" or config.estimator == "pathwise":
        return config
    return config.model_copy(
        update={
            "rate": min(MOST_RATE, max(config.rate, SOFT * stiff.ratio)),
            "ramp": RAMP,
            "grow": 0,
            "walkers": max(config.walkers, MANY),
            "stop_spread": config.stop_spread / stiff.ratio,
        }
    )


def step_size(config: TrainConfig, state: TrainState) -> StepSize:
    """Rate and damping of this iteration; after a rejected step smaller steps, and a system that is further from singular."""
    position = schedule_position(config, state.iteration)
    rate = _ramped(config, position) * state.caution / (1 + max(0, position - config.ramp) / config.decay)
    damping = config.damping + config.damping_start * math.exp(-position / config.damping_decay)
    return StepSize(rate, damping / state.caution)


def _ramped(config: TrainConfig, position: int) -> float:
    """The rate without its decay: a high one is reached in `ramp` iterations, by equal factors."""
    if not config.ramp or config.rate <= RAMP_START:
        return config.rate
    return float(RAMP_START * (config.rate / RAMP_START) ** min(1.0, position / config.ramp))


def schedule_position(config: TrainConfig, iteration: int) -> int:
    """Where in the schedules of rate, damping and walkers an iteration stands; a warm start has a head start."""
    return iteration + (HEAD_START if config.source is not None else 0)


def walker_count(config: TrainConfig, iteration: int) -> int:
    """How many walkers this rank moves in an iteration: its share of all that the iteration uses.

    The natural gradient begins with a quarter of the recipe's walkers, then takes a half, then all; Adam always takes all.
    Early on the network is far off and the noise of few walkers does not matter; what they save goes into iterations.
    """
    if config.optimiser != "spring":
        return config.walkers // ranks.count()
    position = schedule_position(config, iteration)
    share = 4 if 2 * position < config.grow else 2 if position < config.grow else 1
    return max(min(config.walkers, FEWEST_WALKERS), config.walkers // share) // ranks.count()


def add_walkers(config: TrainConfig, state: TrainState) -> None:
    """Copy walkers where the schedule wants more of them; the next moves part the copies."""
    x = state.walkers.x
    wanted = walker_count(config, state.iteration)
    if len(x) < wanted:
        state.walkers.x = x.repeat(-(-wanted // len(x)), 1, 1)[:wanted]


def is_finished(config: TrainConfig, state: TrainState) -> bool:
    """Whether this rank finds nothing left to train; rank 0's answer counts."""
    return _is_over(config, state) or state.good_iterations >= (QUIET if config.target_error is None else HURRIED)


def _is_over(config: TrainConfig, state: TrainState) -> bool:
    """Whether the recipe allows no further iteration."""
    return state.iteration >= config.iterations or (config.seconds is not None and state.seconds >= config.seconds)


def is_trained_enough(config: TrainConfig, state: TrainState, spread: float, natural_time: float) -> bool:
    """Whether the local energy spreads so little that more training would not pay.

    Measuring costs c·spread², and the spread falls about as 1/iterations: c·spread² + iterations is least where the
    measurement costs half of the training (a warm start counts what it was spared).
    """
    if spread * natural_time < config.stop_spread:
        return True
    if config.target_error is None or state.iteration < max(FEWEST, state.min_iterations):
        return False
    return _measuring_cost(config, state, spread) <= ENOUGH


def _measuring_cost(config: TrainConfig, state: TrainState, spread: float) -> float:
    """What reaching the target error costs after training, as a share of the training so far."""
    assert config.target_error is not None
    measuring = MEASURING * spread**2 / (config.target_error**2 * len(state.walkers.x) * ranks.count())
    return measuring / schedule_position(config, state.iteration)


def extend_training(config: TrainConfig, state: TrainState, spread: float, x: Tensor) -> bool:
    """Whether an ended training continues, as the measured `spread` of the local energy is far above the one in training.

    If so, `state` is ready for it, with walkers from among those of the measurement x (B, N, D): they have been where the
    network is poor. All ranks must ask together.
    """
    if config.target_error is None or not isinstance(state.net, LogPsi):
        return False
    if not state.iteration or state.extensions >= RETURNS:
        return False
    # the clock is rank 0's
    if ranks.broadcast(_is_over(config, state) or _measuring_cost(config, state, spread) <= LATE):
        return False
    state.extensions += 1
    state.take_walkers(x, x.new_ones(len(x)))
    train_on(state)
    return True


def train_on(state: TrainState) -> None:
    """Make an ended training go on, by a share AGAIN of its iterations at least where that many are allowed."""
    state.min_iterations, state.good_iterations = math.ceil((1 + AGAIN) * state.iteration), 0
