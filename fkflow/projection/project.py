"""Projection to the exact ground state with the learned drift: diffusion Monte Carlo without population-control bias.

Populations with different time steps (`population`) are followed side by side; the energy is extrapolated to dt = 0. Where
the drift is good enough for walkers to go uncopied, only the small difference between projected and variational energy of
the same walkers is extrapolated, in which their common noise drops out, and added to the measured variational energy, whose
walkers also see the tails. A drift that is far off costs a larger error bar; one that cannot be mended is refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.measurement.histograms import Histograms
from fkflow.measurement.variational import VariationalEstimator, choose_walker_count
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.projection.extrapolation import Combined, averages, combine, longest_window
from fkflow.projection.population import EVEN, LARGEST_CHANGE, MIDDLE, PLACES, SHORT_MIDDLE, Mover, Population
from fkflow.projection.summary import ACCEPTANCE, projection_of
from fkflow.recipe.config import ProjectConfig
from fkflow.results.records import Histogram, Projection
from fkflow.sampling.local_energy import fastest_local_energy, local_energy_cost
from fkflow.sampling.metropolis import Walkers, draw_evenly, langevin_move, metropolis
from fkflow.sampling.samplers import MOVES_PER_SWEEP
from fkflow.statistics import Estimate

#: bound of the largest time step, in natural times, when the recipe names none
LARGEST_STEP = 0.1
#: walkers that the time step is judged by, and how far from right it may be
JUDGES, NEARLY = 256, 0.15
#: walkers of a population where their number is left to the target error, at least: a loose one is reached before each has
#: gone through a window
FEWEST_PROJECTED = 256
#: spread that their number is chosen by for a loose target, as a share of that of the local energy: where walkers go uncopied
#: only a difference is projected, whose noise is smaller still (densities want more walkers)
LESS_NOISE = 0.35
#: most that a weighing may change a weight by (one σ), and its interval's bound in natural times
CHANGE, LARGEST_INTERVAL = 0.1, 0.1
#: share of the walkers whose local energies may lie so far off that their change of weight is cut
OUTLYING = 2e-3
#: target error in natural energies up to which the time steps are these; at twice that and above they are twice as large
EASY = 1e-4
#: ratio of the two time steps that are chosen where the recipe names none; and for a target so loose that one energy of each
#: walker would reach it: the extrapolation is noisier, but its finer step takes less work
RATIO, CLOSE = 4.0, 2.0
#: what a gradient costs in evaluations of log ψ
GRADIENT = 3
#: sweeps of the measurement that are done at once
SWEEPS = 4
#: share of the error by which the energy may still fall from one window to the next for the shorter one to do
FALL = 0.2
#: share of the longest window that the walkers go through at least, for the sake of the densities
LEAST = 0.75
#: the same for a target so loose that this many energies of each walker would reach it: the first densities, of a shorter
#: window, whose bias is far below the noise of so few walkers
HURRIED, FEW = 0.375, 4
#: moves before weighing begins; moves by which walkers part from those of the measurement
SETTLE, PART = 30, 30

Report = Callable[[Estimate, float], None]


def project(
    measuring: VariationalEstimator, config: ProjectConfig, seed: int, report: Report
) -> tuple[Projection | None, list[Histogram] | None]:
    """Project the frozen drift of a measurement to the exact ground state; None and None where `projectable` says no.

    Stops once the statistical and the time-step error together are at most config.target_error, or after config.seconds.
    """
    return Projecting(measuring, config, seed).run(report) if projectable(measuring, config) else (None, None)


def projectable(measuring: VariationalEstimator, config: ProjectConfig) -> bool:
    """Whether there is a time budget, and weights of finite variance; a warning in the measurement says if not."""
    if config.seconds == 0:
        return False
    if measuring.system.nuclei() is not None and not isinstance(measuring.net, LogPsi):
        measuring.sampler.warnings.append(
            "no projected energy: a vector drift has Girsanov weights only, and near nuclei they have no finite variance"
        )
        return False
    return True


class Projecting:
    """The populations of all time steps and the measurement, each advanced where it lowers the error most.

    Starts from the measured walkers, and measures the variational energy further where that helps the projected one. Each
    rank has its share of the walkers; all of them must do everything together, and take the same decisions: rank 0's. `saved`
    is what `state_dict` gave before, with that of the measurement: the projection then goes on to the same bits.
    """

    def __init__(
        self, measuring: VariationalEstimator, config: ProjectConfig, seed: int, saved: Mapping[str, Any] | None = None
    ) -> None:
        self.begun, self.measured = time.perf_counter(), measuring.seconds
        self.measuring, self.config = measuring, config
        self.natural = measuring.landscape.length**2
        self.ease = min(2.0, max(1.0, config.target_error * self.natural / EASY))
        self.generator = torch.Generator(measuring.walkers.x.device).manual_seed(ranks.own_seed(seed + 0xD1FF))
        self.populations: list[Population] = []
        self.work: list[float] = []
        self.costs: list[float] = []
        self.turn = 0
        #: whether few energies of each walker would do: then the first densities are enough
        self.hurried = False
        self.lag: int | None = None
        self.found: Combined | None = None
        if saved is None:
            self._begin()
        else:
            self._load(saved)

    def run(self, report: Report) -> tuple[Projection | None, list[Histogram] | None]:
        """Advance until the target error is reached and the densities are filled, or the time budget ends.

        Returns the densities of |φ0|² beside those of |ψ|² too; None and None, with a warning in the measurement, if nothing
        could be said in time. `report` gets the estimate so far and the seconds spent. Raises NumericalError if the weights
        collapse.
        """
        # asked before each advance, not after: a projection that goes on from its last checkpoint may be done
        while not self._done():
            self.advance()
            found = self.combined()
            estimate = Estimate(found.value, found.total) if found else Estimate(math.nan, math.inf)
            report(estimate, ranks.broadcast(self.spent))
        if self.found is None:
            self.measuring.sampler.warnings.append(
                f"no projected energy: the time budget of {self.config.seconds:g} s ended before the walkers had gone through "
                "an eighth of project.time: fkflow measure RUN --set project.seconds=... projects longer"
            )
            return None, None
        # what went into more of the measurement counts there
        seconds = self.spent - (self.measuring.seconds - self.measured)
        return self.result(self.found, seconds), self.densities()

    @property
    def spent(self) -> float:
        """Seconds since the projection began, on this rank's clock, pauses between a checkpoint and its resume left out."""
        return time.perf_counter() - self.begun

    def _done(self) -> bool:
        """Whether the target error is reached and the densities are filled, or the time is up; at least one turn is done."""
        found, config = self.found, self.config
        reached = found is not None and found.total <= config.target_error and self.settled(found) and self.filled()
        return bool(ranks.broadcast(self.turn > 0 and (reached or self.spent >= config.seconds)))

    def state_dict(self) -> dict[str, Any]:
        """Everything of this rank that a projection needs to go on but for the measurement."""
        return {
            "generator": self.generator.get_state(),
            "movers": [[p.mover.dt, p.mover.stride] for p in self.populations],
            "populations": [p.state_dict() for p in self.populations],
            "work": list(self.work),
            "costs": list(self.costs),
            "turn": self.turn,
            "hurried": self.hurried,
            "spent": self.spent,
            "measured": self.measured,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.hurried = state["hurried"]
        for (dt, stride), saved in zip(state["movers"], state["populations"], strict=True):
            population = self._population(dt, stride, saved["walkers"]["x"], saved["histograms"] is not None)
            population.load_state_dict(saved)
            self.populations.append(population)
        self.generator.set_state(state["generator"])
        self.work, self.costs, self.turn = list(state["work"]), list(state["costs"]), state["turn"]
        self.begun, self.measured = time.perf_counter() - state["spent"], state["measured"]
        self.combined()

    @property
    def girsanov(self) -> bool:
        """Whether walkers carry Girsanov weights, the only ones of a vector drift."""
        return self.config.weights == "girsanov" or not isinstance(self.measuring.net, LogPsi)

    def _population(self, dt: float, stride: int, x: Tensor, pure: bool) -> Population:
        """Walkers at x with time step dt, weighed every `stride` moves; `pure`: with the densities of |φ0|²."""
        measuring = self.measuring
        mover = Mover(measuring.net, measuring.system, dt, stride, self.girsanov, self.natural, self.generator)
        x = x.to(measuring.walkers.x.device)
        histograms = Histograms(measuring.system, x, 2, like=measuring.histograms) if pure else None
        window, middle = self.config.time * self.natural, SHORT_MIDDLE if self.hurried else MIDDLE
        return Population(mover, x, window, measuring.estimate().value, histograms, middle)

    def _begin(self) -> None:
        """Walkers that parted from the measured ones, time steps that suit them, and what each turn costs."""
        measuring, config, natural, generator = self.measuring, self.config, self.natural, self.generator
        net, system, girsanov = measuring.net, measuring.system, self.girsanov
        groups = ranks.groups_per_rank() * ranks.count()
        spread = measuring.spread()
        noise = LESS_NOISE * spread if self.ease >= 2 else spread
        wanted = choose_walker_count(config, lambda: noise, FEWEST_PROJECTED)
        size = -(-max(wanted, 2 * groups) // groups) * ranks.groups_per_rank()
        x = measuring.samples()
        walkers = Walkers(x[draw_evenly(len(x), size, generator)].clone(), measuring.walkers.step)
        if isinstance(net, LogPsi):
            # copies of the same walker part from one another
            metropolis(net, walkers, generator, PART, adapt=False, frozen=True)
        steps = sorted((natural * dt for dt in config.time_steps), reverse=True)
        #: energies of each walker that would reach the target error
        needed = (spread / config.target_error) ** 2 / (size * ranks.count())
        self.hurried = ranks.broadcast(self.ease >= 2 and needed <= FEW)
        interval = min(LARGEST_INTERVAL * natural, CHANGE / spread if spread > 0 else math.inf)
        if isinstance(net, LogPsi):
            local = fastest_local_energy(net, system, measuring.walkers.x, generator, natural)
            outlying = float((local - measuring.estimate().value).abs().quantile(1 - OUTLYING))
            interval = min(interval, LARGEST_CHANGE / outlying if outlying > 0 else math.inf)
        if not steps:
            # a loose target bears more of a bias that is extrapolated away and stated
            ease = self.ease
            if girsanov:
                largest, ratio = ease * 0.02 * natural, CLOSE
            else:
                largest = ease * _largest_step(net, walkers, generator, natural)
                ratio = CLOSE if self.hurried and needed <= 1 else RATIO
            steps = [min(largest, interval)]
            steps.append(steps[0] / ratio)
        # judged by rank 0's walkers
        interval, steps = ranks.broadcast((interval, steps))
        strides = 1 if girsanov else max(1, round(interval / steps[0]))
        for dt in steps:
            # the error of the moves goes as dt, that of the weighing as its interval squared: both fall in step
            stride = 1 if girsanov else round(strides * math.sqrt(steps[0] / dt))
            population = self._population(dt, stride, walkers.x, dt == steps[-1])
            population.settle(SETTLE)
            self.populations.append(population)
        # drift evaluations rather than seconds: the same seed then takes the same decisions
        d = x[0].numel()
        energy = local_energy_cost(net, system)
        weighing, sweep = d if girsanov else energy, MOVES_PER_SWEEP * GRADIENT + energy
        self.work = [0.0] * len(steps) + [float(measuring.count * sweep)]
        self.costs = [size * (p.mover.stride * GRADIENT + weighing) * (p.length // PLACES) for p in self.populations]
        self.costs.append(SWEEPS * len(x) * sweep)
        self.work[-1] *= len(x)

    def advance(self) -> None:
        """Go on with what lowers the error most for the time it takes; first with what fills the windows."""
        populations, found = self.populations, self.found
        self.turn += 1
        if found is None or not self.settled(found):
            which = min(range(len(populations)), key=lambda i: populations[i].count / populations[i].length)
        elif not self.filled() and (self.turn % 2 or found.total <= self.config.target_error):
            # every other turn goes to the densities, and all once nothing else is wanted
            which = len(populations) - 1
        else:
            # errors fall as 1/√work: d(variance)/d(work) = −variance/work
            gain = [share / max(work, 1.0) for share, work in zip(found.shares, self.work, strict=True)]
            which = int(np.argmax(gain))
        which = ranks.broadcast(which)
        self.work[which] += self.costs[which]
        if which == len(populations):  # the measurement
            for _ in range(SWEEPS):
                self.measuring.sweep()
            self.measuring.gather_sweeps()
            return
        population = populations[which]
        for _ in range(population.length // PLACES):
            population.step()
            if not population.branching and population.count <= population.length:
                if population.spread_weights() < EVEN:
                    for each in populations:
                        each.branch()
        population.exchange()

    def combined(self) -> Combined | None:
        """The energy at dt = 0 by the longest window that all have seen; None before there is one."""
        self.lag = longest_window(self.populations)
        self.found = None if self.lag is None else combine(self.populations, self.lag, self.measuring.estimate())
        return self.found

    def settled(self, found: Combined) -> bool:
        """Whether the energy no longer falls with the imaginary time, as far as the error can tell."""
        assert self.lag is not None
        finest = self.populations[-1]
        if self.lag == len(finest.lags) - 1:
            return True
        if finest.branching:
            return False
        falls = [averages(finest, index).correction if index else 0.0 for index in (self.lag - 1, self.lag)]
        return abs(falls[1] - falls[0]) <= FALL * found.total

    def filled(self) -> bool:
        """Whether the walkers have gone far enough for densities of |φ0|²."""
        finest = self.populations[-1]
        return finest.count >= (HURRIED if self.hurried else LEAST) * finest.length

    def densities(self) -> list[Histogram]:
        """The measured densities, with those of |φ0|² at the smallest time step beside them."""
        measured = self.measuring.histograms.results()
        finest = self.populations[-1].histograms
        assert finest is not None
        if not finest.weights.sum() > 0:  # on every rank or on none
            return measured
        return [h.with_projected(*pure) for h, pure in zip(measured, finest.densities(), strict=True)]

    def result(self, found: Combined, seconds: float) -> Projection:
        """Everything about the projection that is stored and shown."""
        assert self.lag is not None
        variational = self.measuring.estimate()
        return projection_of(
            self.populations, self.lag, variational, found, self.config, self.natural, seconds, self.settled(found)
        )


def _largest_step(net: LogPsi | PairDrift, walkers: Walkers, generator: torch.Generator, natural: float) -> float:
    """The time step at which ACCEPTANCE of the moves are accepted, found by moving copies of some walkers.

    The search begins at the step that the walkers' own step and acceptance suggest.
    """
    assert isinstance(net, LogPsi)
    guess = walkers.step * ((1 - ACCEPTANCE) / max(1 - walkers.acceptance, 1 - ACCEPTANCE)) ** (2 / 3)
    walkers = Walkers(walkers.x[:JUDGES].clone(), min(guess, LARGEST_STEP * natural))
    walkers.refresh(net)
    for _ in range(12):
        rejected = 1 - np.mean([float(langevin_move(net, walkers, generator)[0].double().mean()) for _ in range(5)])
        # rejections grow as dt^(3/2)
        change = ((1 - ACCEPTANCE) / max(float(rejected), 1e-4)) ** (2 / 3)
        before = walkers.step
        walkers.step = min(walkers.step * min(max(change, 0.25), 4.0), LARGEST_STEP * natural)
        if abs(walkers.step - before) <= NEARLY * before:
            break
    return walkers.step
