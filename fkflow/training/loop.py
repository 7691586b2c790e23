"""Training: a generator that yields one record per iteration; the caller owns stopping, saving and showing.

Each iteration moves the walkers (Metropolis), sends Girsanov paths from them, turns their actions into a gradient and
updates the network. A step after which the energy or its spread is not believable is taken back.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.landscape import Landscape, given_start
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.recipe.config import SHORTEST, TrainConfig
from fkflow.sampling.clipping import Deviations
from fkflow.sampling.local_energy import analytic_local_energy, local_energy, writes_out
from fkflow.sampling.metropolis import Walkers, importance_weights, metropolis, sampling_power
from fkflow.sampling.path_energies import path_samples
from fkflow.training import scouts
from fkflow.training.gradients import (
    covariance_gradient,
    flat_step,
    jacobian,
    jacobian_and_derivatives,
    pathwise_gradient,
)
from fkflow.training.natural_gradient import Spring
from fkflow.training.safeguards import CLIP, reason_to_reject, reject_step, respawn, weighted_moments
from fkflow.training.schedule import add_walkers, is_finished, is_trained_enough, schedule_position, walker_count
from fkflow.training.scouts import Scouts
from fkflow.training.state import Record, TrainState, snapshot

log = logging.getLogger("fkflow")

#: price in effective samples for learning the rare places too (`sampling.sampling_power`)
TRAINING_TAIL_COST = 1.3
#: natural energies that are never clipped: where a network is good except in rare places, those must still be learned
NEVER_CLIPPED = 0.2
#: coordinates up to which a whole frame of paths leaves every walker; fewest paths beyond, and what an iteration costs besides
#: in forward passes: moves, drift and jacobians
WHOLE_FRAME, FEWEST_PATHS, OTHER = 32, 8, 25.0
#: weight of a walker beyond which it is not believed, that of the median walker being 1
MOST = 20.0
#: norm beyond which a gradient for Adam is scaled down
MOST_GRADIENT = 10.0
NOT_FINITE = "the step led to parameters that are not finite"


@dataclass(frozen=True)
class Seen:
    """A/T (B,) of the walkers of all ranks in one iteration and their weights (B,), of mean 1; this rank's scouts, if any.

    `about` their median is what judges them and draws them in.
    """

    energies: Tensor
    weights: Tensor
    scouts: Scouts | None = None

    @cached_property
    def about(self) -> Deviations:
        return Deviations(self.energies, self.weights)


def initial_state(
    net: LogPsi | PairDrift,
    landscape: Landscape,
    config: TrainConfig,
    seed: int,
    device: str,
    system: System | None = None,
) -> TrainState:
    """Fresh training state: this rank's walkers, optimiser and generator of the recipe.

    The walkers start as `system` says, else from the landscape's Gaussians.
    """
    generator = torch.Generator(device).manual_seed(ranks.seed(seed))
    walkers = walker_count(config, 0)
    given = None if system is None else given_start(system, walkers, torch.Generator().manual_seed(ranks.seed(seed)))
    start = landscape.start(walkers, generator) if given is None else given.to(device)
    # pathwise gradients are those of an average over ψ² itself
    broad = isinstance(net, LogPsi) and not net.knows_tails and config.estimator != "pathwise"
    power = sampling_power(start[0].numel(), TRAINING_TAIL_COST) if broad else 1.0
    moved = Walkers(start, 0.1 * landscape.length**2, power)
    size = sum(p.numel() for p in net.parameters())
    spring = adam = None
    if config.optimiser == "spring":
        spring = Spring(size, momentum=config.momentum, max_change=config.max_change)
    else:
        adam = torch.optim.Adam(net.parameters(), lr=config.rate)
    return TrainState(net, moved, generator, spring, adam)


def train(system: System, landscape: Landscape, config: TrainConfig, state: TrainState) -> Iterator[Record]:
    """Train state.net; yields after every iteration with `state` complete, so that the caller may stop or save there.

    Raises NumericalError when MOST_REJECTED steps in a row had to be taken back.
    """
    unit = landscape.length**2
    net = state.net
    useful = config.optimiser == "spring" and config.scouts > 0 and scouts.useful(system)
    begun = time.perf_counter() - state.seconds
    if state.snapshot is None and isinstance(net, LogPsi):
        metropolis(net, state.walkers, state.generator, config.equilibrate)
    # the clock is rank 0's
    while not ranks.share(is_finished(config, state)):
        if state.snapshot is None:
            state.snapshot = snapshot(state)
        add_walkers(config, state)
        along = schedule_position(config, state.iteration)
        rate = config.rate * state.caution / (1 + along / config.decay)
        damping = config.damping + config.damping_start * math.exp(-along / config.damping_decay)
        # after trouble, smaller steps and a system that is further from singular
        damping = damping / state.caution
        seen = _look(system, config, state, unit, useful)
        energies, weights = seen.energies, seen.weights
        trouble = reason_to_reject(seen.about, state, unit)
        if not trouble:
            trouble = _step(config, state, seen, unit, rate, damping)
        if trouble:
            reject_step(state, trouble)
        else:
            state.undone, state.caution = 0, min(1.0, state.caution * 1.05)
            if isinstance(net, LogPsi):
                respawn(seen.about, state, unit)
        mean, error, _ = weighted_moments(seen.about.clip(CLIP), weights)
        spread = weighted_moments(energies, weights)[2]
        state.iteration += 1
        state.quiet = state.quiet + 1 if not trouble and is_trained_enough(config, state, spread, unit) else 0
        state.seconds = time.perf_counter() - begun
        yield Record(
            state.iteration,
            mean,
            error,
            spread,
            state.seconds,
            rate,
            damping,
            state.walkers.acceptance,
            bool(trouble),
        )


def _look(system: System, config: TrainConfig, state: TrainState, unit: float, useful: bool) -> Seen:
    """Move this rank's walkers, send paths from them, and say what all ranks saw; a pathwise gradient is left in .grad.

    Scouts, where they are `useful`, join the walkers for their first moves and their paths: that costs little more.
    """
    net, walkers, generator = state.net, state.walkers, state.generator
    if not isinstance(net, LogPsi):
        # free-running paths: the next ones go on where these ended
        energies, walkers.x = _pathwise(system, config, state, unit)
        energies = ranks.gather(energies)
        return Seen(energies, torch.ones_like(energies))
    count, everyone, together = len(walkers.x), walkers, 0
    if useful:
        few = max(1, round(config.scouts * count))
        begun = scouts.begin(walkers.x, state.scouts, few, generator)
        everyone = Walkers(torch.cat([walkers.x, begun]), walkers.step, walkers.power)
        together = min(config.moves, scouts.MOVES)
        metropolis(net, everyone, generator, together, judged=count)
        walkers.follow(everyone)
    if config.moves > together:
        metropolis(net, walkers, generator, config.moves - together, frozen=useful)
        if useful:
            everyone = walkers.joined(everyone)
    if config.estimator == "pathwise":
        energies, _ = _pathwise(system, config, state, unit)
        log_psi, energies = _together(walkers, energies)
        return Seen(energies, _weights(log_psi, walkers.power))
    samples = _sampled(system, config, state, everyone, unit)
    d = walkers.x[0].numel()
    if len(samples) > 1 and not _fixed_paths(config, d):
        state.paths = ranks.share(paths_worth(samples[:, :count], d))
    energies = samples.mean(0)
    log_psi, of_all = _together(walkers, energies[:count])
    found = None
    if useful:
        state.scouts = everyone.x[count:]
        of_scouts, seen = everyone.known[0][count:], energies[count:]
        weights = scouts.weights(of_scouts, log_psi, walkers.power)
        reach = scouts.reach(of_scouts, log_psi)
        found = Scouts(state.scouts, seen, torch.where(seen.isfinite(), weights, 0.0), reach)
    return Seen(of_all, _weights(log_psi, walkers.power), found)


def _together(walkers: Walkers, energies: Tensor) -> tuple[Tensor, Tensor]:
    """log ψ and A/T of the walkers of all ranks, (B,) each, from those of this rank's; their steps become one, the mean."""
    log_psi, _ = walkers.known
    if ranks.world() == 1:
        return log_psi, energies
    # one message: each costs time, whatever its length
    numbers = energies.new_tensor([walkers.step, walkers.acceptance])
    found = ranks.gather(torch.cat([log_psi, energies, numbers])).view(ranks.world(), -1)
    walkers.step, walkers.acceptance = found[:, -2:].mean(0).tolist()
    log_psi, energies = found[:, :-2].view(len(found), 2, -1).transpose(0, 1).flatten(1)
    return log_psi, energies


def _pathwise(system: System, config: TrainConfig, state: TrainState, unit: float) -> tuple[Tensor, Tensor]:
    """A/T (B,) of this rank's walkers and the ends (B, N, D) of their paths; the gradient is left in .grad."""
    return pathwise_gradient(
        state.net, system, state.walkers.x, state.generator, steps=config.steps, dt=config.dt * unit
    )


def _fixed_paths(config: TrainConfig, d: int) -> int:
    """Paths from each walker in d coordinates as the recipe says, or a whole frame where that is few; 0: as many as pay."""
    if not config.paths and (config.antithetic or d <= WHOLE_FRAME):
        return d * (2 if config.antithetic else 1)
    return config.paths


def in_the_limit(config: TrainConfig, net: LogPsi, coordinates: int) -> bool:
    """Whether A/T is taken where paths become infinitely short: what a whole frame of them then says on average is the local
    energy, which a network that knows its Laplacian may have for less than the paths cost."""
    whole = config.dt <= SHORTEST and config.steps == 1 and config.paths == 0 and not config.antithetic
    return config.estimator == "covariance" and whole and writes_out(net, coordinates)


def _sampled(system: System, config: TrainConfig, state: TrainState, walkers: Walkers, unit: float) -> Tensor:
    """A/T (M, B) of the paths that leave each walker, or its exact local energy (1, B), as the recipe says."""
    net, d = state.net, walkers.x[0].numel()
    assert isinstance(net, LogPsi)
    if config.estimator == "local_energy":
        return local_energy(net, system, walkers.x)[None]
    if in_the_limit(config, net, d):
        return analytic_local_energy(net, system, walkers.x)[None]
    return path_samples(
        net,
        system,
        walkers.x,
        state.generator,
        paths=_fixed_paths(config, d) or state.paths or d,
        steps=config.steps,
        dt=config.dt * unit,
        antithetic=config.antithetic,
    )


def paths_worth(samples: Tensor, coordinates: int) -> int:
    """How many paths of a frame of `coordinates` are worth their cost, told by A/T (M, B) of M paths from each walker.

    The spread s of the local energy is there with any number, the noise falls as n²/M: (OTHER + M)(s² + n²/M), the work
    times the variance, is least at M = (n/s) √OTHER. From half a frame on the whole one is taken, which has no noise.
    """
    paths = len(samples)
    noise = float(samples.var(0).median())
    means = samples.mean(0)
    # noise of the mean of part of a frame, whose sum is known: drawn without replacement
    of_mean = noise / paths * (1 - (paths - 1) / (coordinates - 1))
    away = 1.4826 * float((means - means.median()).abs().median())
    spread = max(away**2 - of_mean, 0.0)
    if not (math.isfinite(noise) and math.isfinite(spread)):
        return paths
    wanted = math.sqrt(OTHER * noise / spread) if spread > 0 else coordinates
    # no faster than by a factor of two: both are estimates
    wanted = round(min(max(wanted, FEWEST_PATHS, paths / 2), 2 * paths))
    return coordinates if 2 * wanted >= coordinates else wanted


def _weights(log_psi: Tensor, power: float) -> Tensor:
    """Weights (B,), of mean 1, of walkers of a power with log ψ (B,); one whose log ψ is not finite has the least of them.

    None is more than MOST times that of the median walker: one that sits on a spike of ψ, which training would sharpen just
    there, must not stand for all the others.
    """
    if power == 1:
        return torch.ones_like(log_psi)
    finite = log_psi.isfinite()
    least = log_psi.where(finite, math.inf).min()
    highest = log_psi.nanmedian() + math.log(MOST) / (2 * (1 - power))
    return importance_weights(log_psi.where(finite, least).clamp(max=highest), power)


def _step(config: TrainConfig, state: TrainState, seen: Seen, unit: float, rate: float, damping: float) -> str:
    """Change the parameters of a network whose energies were found believable.

    Returns what went wrong, "" if nothing did.
    """
    net, x, weights = state.net, state.walkers.x, seen.weights
    clipped = seen.about.clip(config.clip, least=NEVER_CLIPPED / unit)
    if state.adam is not None:
        if config.estimator != "pathwise":
            assert isinstance(net, LogPsi)
            covariance_gradient(net, x, clipped, weights)
        _add_gradients(net, 1 / ranks.world() if config.estimator == "pathwise" else 1.0)
        if not _finite(p.grad for p in net.parameters() if p.grad is not None):
            return "the gradient is not finite"
        torch.nn.utils.clip_grad_norm_(net.parameters(), MOST_GRADIENT)
        for group in state.adam.param_groups:
            group["lr"] = rate
        state.adam.step()
        ranks.alike(net.parameters())
        return "" if _finite(net.parameters()) else NOT_FINITE
    assert isinstance(net, LogPsi) and state.spring is not None
    everyone = x if seen.scouts is None else torch.cat([x, seen.scouts.x])
    if config.curvature > 0:
        count = max(1, round(config.curvature * len(x)))
        rows = jacobian_and_derivatives(net, everyone, count, state.generator, 1e-3 * unit**0.5)
    else:
        rows = jacobian(net, everyone)
    # each rank brings its own walkers to the update
    own, weights = ranks.part(clipped), ranks.part(weights)
    if seen.scouts is not None:
        counted = seen.scouts.weights
        rows[len(x) : len(everyone)].masked_fill_(~(counted[:, None] > 0), 0.0)
        # their energies are within those of the walkers, but for what presses a second maximum down
        mean = clipped.mean()
        highest = torch.maximum(clipped.max(), mean + seen.scouts.reach / unit)
        bounded = seen.scouts.energies.nan_to_num(float(mean))
        bounded = torch.minimum(bounded, highest).clamp(min=clipped.min())
        own, weights = torch.cat([own, bounded]), torch.cat([weights, counted])
    change = state.spring.update(rows, own, rate * unit, damping, weights)
    if not _finite([change]):
        return "the natural gradient has no solution"
    flat_step(net, change)
    return "" if _finite(net.parameters()) else NOT_FINITE


def _finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers are finite, with one look at the device."""
    return bool(torch.cat([tensor.detach().flatten() for tensor in tensors]).isfinite().all())


def _add_gradients(net: LogPsi | PairDrift, share: float) -> None:
    """Replace this rank's gradient by `share` times the sum over the ranks."""
    for p in net.parameters():
        if ranks.world() > 1 and p.grad is not None:
            p.grad = share * ranks.total(p.grad)
