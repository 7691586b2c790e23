"""The training loop: move walkers, find their energies, step or reject, record; freeze the best network at the end.

`train` is a generator that yields one record per iteration; the caller owns stopping, saving and showing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from fkflow.execution import ranks
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.smooth_landscape import user_start
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.recipe.config import TrainConfig
from fkflow.sampling.broad import broad_density
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.training import scouts
from fkflow.training.freezing import freeze, update_average
from fkflow.training.natural_gradient import INFLUENCE, Spring
from fkflow.training.observation import Problem, observe
from fkflow.training.safeguards import CLIP, accept_step, reason_to_reject, reject_step, weighted_moments
from fkflow.training.schedule import add_walkers, is_finished, is_trained_enough, step_size, walker_count
from fkflow.training.state import Record, TrainState, snapshot
from fkflow.training.update import update_network


def initial_state(
    net: LogPsi | PairDrift,
    landscape: Landscape,
    config: TrainConfig,
    seed: int,
    device: str,
    system: System,
) -> TrainState:
    """Fresh training state: this rank's walkers, optimiser and generator of the recipe.

    The walkers start as `system` says, else from the landscape's Gaussians.
    """
    generator = torch.Generator(device).manual_seed(ranks.own_seed(seed))
    count = walker_count(config, 0)
    given = user_start(system, count, torch.Generator().manual_seed(ranks.own_seed(seed)))
    x = landscape.start(count, generator) if given is None else given.to(device)
    # pathwise gradients are those of an average over ψ² itself
    broad = isinstance(net, LogPsi) and config.estimator != "pathwise"
    density = broad_density(system, landscape.length) if broad else None
    walkers = Walkers(x, 0.1 * landscape.length**2, broad=density)
    spring = adam = None
    if config.optimiser == "spring":
        size = sum(p.numel() for p in net.parameters())
        spring = Spring(size, momentum=config.momentum, max_change=config.max_change, influence=INFLUENCE)
    else:
        adam = torch.optim.Adam(net.parameters(), lr=config.rate)
    return TrainState(net, walkers, generator, spring, adam)


def train(system: System, landscape: Landscape, config: TrainConfig, state: TrainState) -> Iterator[Record]:
    """Train state.net; yields after every iteration with `state` complete, so that the caller may stop or save there.

    Once it ends, state.net is the best of the last networks (`freezing.freeze`).

    Raises NumericalError when MOST_REJECTED steps in a row had to be rejected.
    """
    exploring = config.optimiser == "spring" and config.scouts > 0 and scouts.useful(system)
    shifts, wells = landscape.shifts(system), landscape.wells(system)
    problem = Problem(system, config, landscape.length**2, exploring, shifts, wells if len(wells) > 1 else None)
    started = time.perf_counter() - state.seconds
    if state.snapshot is None and isinstance(state.net, LogPsi):
        metropolis(state.net, state.walkers, state.generator, config.equilibrate)
    # the clock is rank 0's
    finished = ranks.broadcast(is_finished(config, state))
    if not finished:
        state.unfreeze()
    while not finished:
        state.snapshot = state.snapshot or snapshot(state)
        add_walkers(config, state)
        size = step_size(config, state)
        observation = observe(problem, state)
        reason = reason_to_reject(observation.deviations, state, problem.natural_time)
        reason = reason or update_network(problem, state, observation, size)
        if reason:
            reject_step(state, reason)
        else:
            accept_step(observation.deviations, state, problem.natural_time)
        update_average(state, not reason)
        mean, error, _ = weighted_moments(observation.deviations.clip(CLIP), observation.weights)
        spread = weighted_moments(observation.energies, observation.weights)[2]
        state.iteration += 1
        good = not reason and is_trained_enough(config, state, spread, problem.natural_time)
        state.good_iterations = state.good_iterations + 1 if good else 0
        state.seconds = time.perf_counter() - started
        yield Record(
            iteration=state.iteration,
            energy=mean,
            error=error,
            spread=spread,
            seconds=state.seconds,
            rate=size.rate,
            damping=size.damping,
            acceptance=state.walkers.acceptance,
            undone=bool(reason),
        )
        finished = ranks.broadcast(is_finished(config, state))
    freeze(problem, state)
