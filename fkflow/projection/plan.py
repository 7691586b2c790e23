"""Before a projection: how many walkers, which time steps, and how long between weighings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.measurement.variational import VariationalEstimator
from fkflow.measurement.walkers import choose_walker_count
from fkflow.networks.choice import LogPsi
from fkflow.projection.resolution import find_limit
from fkflow.projection.time_steps import GIRSANOV_STEP, RATIO, SMALL_RATIO, largest_step, longest_interval
from fkflow.recipe.config import ProjectConfig
from fkflow.sampling.metropolis import Walkers, draw_evenly, metropolis

#: fewest walkers of a population where the target error decides: a loose one is reached before each has passed a window
FEWEST_PROJECTED = 256
#: spread for that decision with a loose target, in that of the local energy: the noise of the difference is smaller still, but
#: densities need more walkers
LESS_NOISE = 0.35
#: target error in natural energies up to which time steps stay small; from twice that on they are twice as large
EASY = 1e-4
#: energies of each walker up to which a target error is reached in a hurry
FEW = 4
#: moves that separate the walkers from those of the measurement
PART = 30


@dataclass(frozen=True)
class Plan:
    """x: this rank's walkers (B, N, D). steps, strides: time steps, the largest first, and moves of each between weighings.

    limit: the most |δE| in the weights, ∞ where the walkers resolve it. hurried: whether few energies of each walker reach the
    target error, so that the first densities are enough.
    """

    x: Tensor
    steps: list[float]
    strides: list[int]
    limit: float
    hurried: bool


def plan(
    measuring: VariationalEstimator,
    config: ProjectConfig,
    seed: int,
    generator: torch.Generator,
    girsanov: bool,
    late: Callable[[], bool],
) -> Plan:
    """The plan of a projection from the walkers of a measurement; `girsanov`: with Girsanov weights; collective.

    `late` is asked after every trial move whether the time budget has ended.
    """
    net, system, natural = measuring.net, measuring.system, measuring.landscape.length**2
    ease = min(2.0, max(1.0, config.target_error * natural / EASY))
    groups = ranks.groups_per_rank() * ranks.count()
    spread = measuring.spread()
    noise = LESS_NOISE * spread if ease >= 2 else spread
    wanted = choose_walker_count(net, config, lambda: noise, FEWEST_PROJECTED)
    size = -(-max(wanted, 2 * groups) // groups) * ranks.groups_per_rank()
    x = measuring.samples()
    walkers = Walkers(x[draw_evenly(len(x), size, generator)].clone(), measuring.walkers.step)
    if isinstance(net, LogPsi):
        # separate copies of the same walker
        metropolis(net, walkers, generator, PART, adapt=False, frozen=True)
    #: energies of each walker that would reach the target error
    needed = (spread / config.target_error) ** 2 / (size * ranks.count())
    hurried = ranks.broadcast(ease >= 2 and needed <= FEW)
    interval = longest_interval(measuring, natural, generator)
    steps = sorted((natural * dt for dt in config.time_steps), reverse=True)
    if not steps:
        # a loose target allows larger steps: their bias is extrapolated and its error is stated
        if girsanov:
            largest, ratio = ease * GIRSANOV_STEP * natural, SMALL_RATIO
        else:
            assert isinstance(net, LogPsi)
            largest = ease * largest_step(net, walkers, generator, natural)
            ratio = SMALL_RATIO if hurried and needed <= 1 else RATIO
        steps = [min(largest, interval)]
        steps.append(steps[0] / ratio)
    # found with the walkers of rank 0
    interval, steps = ranks.broadcast((interval, steps))
    if girsanov:
        return Plan(walkers.x, steps, [1] * len(steps), math.inf, hurried)
    assert isinstance(net, LogPsi)
    stride = max(1, round(interval / steps[0]))
    # random numbers of its own
    probing = torch.Generator(x.device).manual_seed(ranks.own_seed(seed + 0x11317))
    probes = Walkers(walkers.x.clone(), steps[0])
    limit, step, stride = find_limit(net, system, probes, probing, natural, stride, config.target_error, late)
    if math.isfinite(limit):
        if not config.time_steps:
            steps = [step * dt / steps[0] for dt in steps]
        return Plan(walkers.x, steps, [1] * len(steps), limit, hurried)
    # the error of the moves goes as dt, that of the weighing as its interval squared: both shrink alike
    return Plan(walkers.x, steps, [round(stride * math.sqrt(steps[0] / dt)) for dt in steps], limit, hurried)
