"""What one training iteration observes: the walkers move, and their energies come from paths or from the Laplacian."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi
from fkflow.recipe.config import SHORTEST, TrainConfig
from fkflow.sampling.clipping import Deviations
from fkflow.sampling.jumps import jump
from fkflow.sampling.local_energy import analytic_local_energy, local_energy, prefers_laplacian
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.sampling.path_energies import path_samples
from fkflow.training import scouts
from fkflow.training.gradients import pathwise_gradient
from fkflow.training.scouts import Scouts
from fkflow.training.state import TrainState

#: coordinates up to which a whole frame of paths leaves every walker; fewest paths beyond; cost of the rest of an iteration
#: (moves, drift and Jacobians) in forward passes
WHOLE_FRAME, FEWEST_PATHS, OTHER = 32, 8, 25.0


@dataclass(frozen=True)
class Problem:
    """What is trained: a system with its natural time, as the recipe says, with or without exploring walkers."""

    system: System
    config: TrainConfig
    natural_time: float
    exploring: bool = False
    #: distances from well to well (m, N, D), along which walkers jump, and wells (m, N, D) to which exploring walkers are taken
    shifts: Tensor | None = None
    wells: Tensor | None = None

    def crowd(self, scouts: int) -> int:
        """How many of so many exploring walkers are where particles crowd; the others are in wells."""
        return scouts if self.wells is None else scouts // 2


@dataclass(frozen=True)
class Observation:
    """A/T (B,) of the walkers of all ranks and their weights (B,), of mean 1; this rank's exploring walkers, if any."""

    energies: Tensor
    weights: Tensor
    scouts: Scouts | None = None

    @cached_property
    def deviations(self) -> Deviations:
        """The energies about their median, by which they are judged and clipped."""
        return Deviations(self.energies, self.weights)


def observe(problem: Problem, state: TrainState) -> Observation:
    """Move this rank's walkers, find their energies and gather those of all ranks; a pathwise gradient is left in .grad."""
    net, walkers, config = state.net, state.walkers, problem.config
    if not isinstance(net, LogPsi):
        # free-running paths: the next ones start where these ended
        energies, walkers.x = _pathwise_energies(problem, state)
        energies = ranks.gather(energies)
        return Observation(energies, torch.ones_like(energies))
    if problem.shifts is not None and len(problem.shifts):
        walkers.refresh(net)
        jump(net, walkers, state.generator, problem.shifts)
    if problem.exploring:
        everyone = _move_with_scouts(problem, state)
    else:
        metropolis(net, walkers, state.generator, config.moves)
        everyone = walkers
    count = len(walkers.x)
    if config.estimator == "pathwise":
        energies, _ = _pathwise_energies(problem, state)
    else:
        samples = _sample_energies(problem, state, everyone)
        d = walkers.x[0].numel()
        if len(samples) > 1 and not _fixed_path_count(config, d):
            state.paths = ranks.broadcast(best_path_count(samples[:, :count], d))
        energies = samples.mean(0)
    log_psi, log_ratio, gathered = _gather(walkers, energies[:count])
    found = None
    if problem.exploring:
        state.scouts = everyone.x[count:]
        found = scouts.evaluate(everyone, energies, log_psi, count, problem.crowd(len(everyone.x) - count))
    return Observation(gathered, walkers.weights(log_ratio), found)


def _move_with_scouts(problem: Problem, state: TrainState) -> Walkers:
    """Move the walkers, and exploring ones together with them for the first few moves, which costs little more."""
    net, walkers, config, generator = state.net, state.walkers, problem.config, state.generator
    assert isinstance(net, LogPsi)
    count = len(walkers.x)
    wanted = max(1, round(config.scouts * count))
    begun = scouts.begin(walkers.x, state.scouts, wanted, problem.crowd(wanted), problem.wells, generator)
    everyone = Walkers(torch.cat([walkers.x, begun]), walkers.step, broad=walkers.broad)
    together = min(config.moves, scouts.MOVES)
    metropolis(net, everyone, generator, together, first=count)
    walkers.follow(everyone)
    if config.moves > together:
        metropolis(net, walkers, generator, config.moves - together, frozen=True)
        everyone = walkers.with_others_of(everyone)
    return everyone


def _gather(walkers: Walkers, energies: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log ψ, log of the broad density over ψ², and A/T (B,) of the walkers of all ranks; their steps become one, the mean."""
    log_psi, log_ratio = walkers.known[0], walkers.log_ratio()
    if ranks.count() == 1:
        return log_psi, log_ratio, energies
    # one message: each costs time, whatever its length
    numbers = energies.new_tensor([walkers.step, walkers.acceptance])
    found = ranks.gather(torch.cat([log_psi, log_ratio, energies, numbers])).view(ranks.count(), -1)
    walkers.step, walkers.acceptance = found[:, -2:].mean(0).tolist()
    log_psi, log_ratio, energies = found[:, :-2].view(len(found), 3, -1).transpose(0, 1).flatten(1)
    return log_psi, log_ratio, energies


def _pathwise_energies(problem: Problem, state: TrainState) -> tuple[Tensor, Tensor]:
    """A/T (B,) of this rank's walkers and the ends (B, N, D) of their paths; the gradient is left in .grad."""
    steps, dt = problem.config.steps, problem.config.dt * problem.natural_time
    return pathwise_gradient(state.net, problem.system, state.walkers.x, state.generator, steps=steps, dt=dt)


def _sample_energies(problem: Problem, state: TrainState, walkers: Walkers) -> Tensor:
    """A/T (M, B) of the paths that leave each walker, or its exact local energy (1, B), as the recipe says."""
    net, system, config, x = state.net, problem.system, problem.config, walkers.x
    assert isinstance(net, LogPsi)
    if config.estimator == "local_energy":
        return local_energy(net, system, x)[None]
    d = x[0].numel()
    if uses_analytic_energy(config, net, d):
        return (analytic_local_energy if net.analytic else local_energy)(net, system, x)[None]
    return path_samples(
        net,
        system,
        x,
        state.generator,
        paths=_fixed_path_count(config, d) or state.paths or d,
        steps=config.steps,
        dt=config.dt * problem.natural_time,
        antithetic=config.antithetic,
    )


def uses_analytic_energy(config: TrainConfig, net: LogPsi, coordinates: int) -> bool:
    """Whether the local energy replaces A/T: it is the mean of A/T over a whole frame of infinitely short paths, and a
    network that knows its Laplacian may have it for less than the paths cost."""
    whole_frame = config.dt <= SHORTEST and config.steps == 1 and config.paths == 0 and not config.antithetic
    return config.estimator == "covariance" and whole_frame and prefers_laplacian(net, coordinates)


def _fixed_path_count(config: TrainConfig, d: int) -> int:
    """Paths from each walker in d coordinates as the recipe says, or a whole frame where that is few; 0: as many as pay."""
    if not config.paths and (config.antithetic or d <= WHOLE_FRAME):
        return d * (2 if config.antithetic else 1)
    return config.paths


def best_path_count(samples: Tensor, coordinates: int) -> int:
    """How many paths of a frame of `coordinates` are worth their cost, from A/T (M, B) of M paths from each walker.

    The spread s of the local energy does not depend on their number M, the noise falls as n²/M. Work times variance,
    (OTHER + M)(s² + n²/M), is least at M = (n/s) √OTHER. From half a frame on the whole one is taken, which has no noise.
    """
    paths = len(samples)
    noise = float(samples.var(0).median())
    means = samples.mean(0)
    # noise of the mean over part of a frame, whose sum is known: drawn without replacement
    of_mean = noise / paths * (1 - (paths - 1) / (coordinates - 1))
    deviation = 1.4826 * float((means - means.median()).abs().median())
    spread = max(deviation**2 - of_mean, 0.0)
    if not (math.isfinite(noise) and math.isfinite(spread)):
        return paths
    wanted = math.sqrt(OTHER * noise / spread) if spread > 0 else coordinates
    # no faster than by a factor of two: both are estimates
    wanted = round(min(max(wanted, FEWEST_PATHS, paths / 2), 2 * paths))
    return coordinates if 2 * wanted >= coordinates else wanted
