"""Projection to the exact ground state with the learned drift: diffusion Monte Carlo without population-control bias.

Populations with different time steps (`population`) advance in turn; their energies are extrapolated to dt = 0. With a good
drift walkers are never resampled. Only the small difference between the projected and the variational energy of the same
walkers is then extrapolated, in which their common noise cancels, and added to the measured variational energy. A poor drift
gives a larger error bar; one whose weights collapse is an error.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.execution.pulse import Pulse
from fkflow.measurement.coherence import Coherence
from fkflow.measurement.histograms import Histograms
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.projection.energy import projected_energy
from fkflow.projection.extrapolation import Extrapolation, find_longest_window
from fkflow.projection.mover import Mover
from fkflow.projection.past import PLACES
from fkflow.projection.plan import plan
from fkflow.projection.population import MIDDLE, SHORT_MIDDLE, Population
from fkflow.projection.rare import FAR
from fkflow.projection.resampling import EVEN
from fkflow.projection.resolution import Unresolved
from fkflow.projection.slow_modes import longest_window, slow_mode_error
from fkflow.projection.stopping import enough_for_observables, is_settled, share_for_densities
from fkflow.projection.summary import average_observables, summarise_projection, with_projected
from fkflow.projection.turns import SWEEPS, Turns
from fkflow.recipe.config import ProjectConfig
from fkflow.results.records import Doubt, Histogram, Projection
from fkflow.statistics import Estimate

#: moves before the first weighing
SETTLE = 30

Report = Callable[[Estimate, float], None]


def project(
    measuring: VariationalEstimator, config: ProjectConfig, seed: int, report: Report
) -> tuple[Projection | None, list[Histogram] | None]:
    """Project the frozen drift of a measurement to the exact ground state; None and None unless `can_project`.

    Stops once the statistical and the time-step error together are at most config.target_error, or after config.seconds.
    """
    return Projector(measuring, config, seed).run(report) if can_project(measuring, config) else (None, None)


def can_project(measuring: VariationalEstimator, config: ProjectConfig) -> bool:
    """Whether there is a time budget and the weights have a finite variance; if not, the measurement gets a warning."""
    if config.seconds == 0:
        return False
    if measuring.system.nuclei() is not None and not isinstance(measuring.net, LogPsi):
        measuring.sampler.warnings.append(
            "no projected energy: a vector drift has Girsanov weights only, and near nuclei they have no finite variance"
        )
        return False
    return True


class Projector:
    """The populations of all time steps and the measurement; each turn advances the one that lowers the error most.

    Starts from the measured walkers, and continues the measurement where that helps the projected energy. Each rank has its
    part of the walkers and takes the decisions of rank 0; all methods are collective. `saved` is an earlier `state_dict`; with
    the measurement restored as well, the projection goes on to the same bits. `pulse` ends a turn for the budget or a signal.
    """

    def __init__(
        self,
        measuring: VariationalEstimator,
        config: ProjectConfig,
        seed: int,
        saved: Mapping[str, Any] | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self.begun, self.measured = time.perf_counter(), measuring.seconds
        self.measuring, self.config = measuring, config
        self.pulse = Pulse() if pulse is None else pulse
        self.natural = measuring.landscape.length**2
        self.window = longest_window(measuring, config)
        self.seed = seed
        self.generator = torch.Generator(measuring.walkers.x.device).manual_seed(ranks.own_seed(seed + 0xD1FF))
        #: of local energies in the weights, about the measured energy; ∞ where the walkers resolve them
        self.limit = math.inf
        #: the largest time step
        self.largest = math.nan
        self.populations: list[Population] = []
        #: whether few energies of each walker reach the target error: then the first densities are enough
        self.hurried = False
        self.lag: int | None = None
        self.found: Extrapolation | None = None
        if saved is None:
            self._start()
        else:
            self._load(saved)

    def run(self, report: Report) -> tuple[Projection | None, list[Histogram] | None]:
        """Advance until the target error is reached and there are densities, or the time budget ends.

        Returns the result and the densities of |φ0|² beside those of |ψ|²; None and None, with a warning in the measurement, if
        the time was too short. `report` gets the estimate so far and the seconds spent. Raises NumericalError if the weights
        collapse.
        """
        # checked first: a projection that goes on from its last checkpoint may be done
        while not self._done():
            self.advance()
            found = self.extrapolate()
            estimate = Estimate(found.value, found.total) if found else Estimate(math.nan, math.inf)
            report(estimate, ranks.broadcast(self.spent))
        if self.found is None:
            # the variational energy alone does not say what slow modes have left in it
            self.measuring.sampler.warnings.append(
                Doubt(
                    f"no projected energy: the time budget of {self.config.seconds:g} s ended before the walkers had gone "
                    "through an eighth of project.time: fkflow measure RUN --set project.seconds=... projects longer"
                )
            )
            return None, None
        # further measurement counts as measurement
        seconds = self.spent - (self.measuring.seconds - self.measured)
        return self.result(self.found, seconds), self.densities()

    @property
    def spent(self) -> float:
        """Seconds of the projection on this rank's clock, without the time between a checkpoint and its resume."""
        return time.perf_counter() - self.begun

    def _late(self) -> bool:
        """Whether the time budget has ended; asked after every move and every weighing, a turn may take minutes."""
        return self.pulse.late(lambda: self.spent >= self.config.seconds)

    def _done(self) -> bool:
        """Whether the target error is reached and there are densities, or the time is up, after at least one turn."""
        found, config = self.found, self.config
        reached = (
            found is not None
            and found.total <= config.target_error
            and self.is_settled(found)
            and self.has_densities()
            and self.has_observables()
        )
        return bool(ranks.broadcast(self.turns.number > 0 and (reached or self.spent >= config.seconds)))

    def state_dict(self) -> dict[str, Any]:
        """The state of this rank without the measurement."""
        return {
            "generator": self.generator.get_state(),
            "movers": [[p.mover.dt, p.mover.stride] for p in self.populations],
            "populations": [p.state_dict() for p in self.populations],
            **self.turns.state_dict(),
            "hurried": self.hurried,
            "limit": self.limit,
            "spent": self.spent,
            "measured": self.measured,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.hurried, self.limit = state["hurried"], state.get("limit", math.inf)
        self.largest = max(dt for dt, _ in state["movers"])
        for (dt, stride), saved in zip(state["movers"], state["populations"], strict=True):
            population = self._population(dt, stride, saved["walkers"]["x"], saved["histograms"] is not None)
            population.load_state_dict(saved)
            self.populations.append(population)
        self.generator.set_state(state["generator"])
        self.turns = Turns.from_state_dict(state)
        self.begun, self.measured = time.perf_counter() - state["spent"], state["measured"]
        self.extrapolate()

    @property
    def girsanov(self) -> bool:
        """Whether walkers carry Girsanov weights, the only ones for a vector drift."""
        return self.config.weights == "girsanov" or not isinstance(self.measuring.net, LogPsi)

    def _population(self, dt: float, stride: int, x: Tensor, pure: bool) -> Population:
        """A population at x (B, N, D) with time step dt, weighed every `stride` moves; `pure`: with densities of |φ0|²."""
        measuring = self.measuring
        mover = Mover(measuring.net, measuring.system, dt, stride, self.girsanov, self.natural, self.generator)
        x = x.to(measuring.walkers.x.device)
        histograms = Histograms(measuring.system, x, 2, like=measuring.histograms) if pure else None
        middle = SHORT_MIDDLE if self.hurried else MIDDLE
        observables = None if measuring.observables.offset is None else measuring.observables
        coherence = measuring.liquid.copy() if pure and measuring.liquid is not None else None
        energy, far = measuring.estimate().value, FAR * measuring.spread()
        unresolved = None if math.isinf(self.limit) else Unresolved(self.limit, self.largest)
        return Population(mover, x, self.window, energy, histograms, middle, observables, coherence, unresolved, far)

    def _start(self) -> None:
        """Make and equilibrate the populations as planned."""
        measuring = self.measuring
        found = plan(measuring, self.config, self.seed, self.generator, self.girsanov, self._late)
        self.hurried, self.limit, self.largest = found.hurried, found.limit, max(found.steps)
        for dt, stride in zip(found.steps, found.strides, strict=True):
            population = self._population(dt, stride, found.x, dt == found.steps[-1])
            population.equilibrate(SETTLE)
            self.populations.append(population)
        self.turns = Turns.of(measuring, self.populations, self.girsanov)

    def advance(self) -> None:
        """One turn: advance what lowers the error most for its cost; before that, what fills the windows."""
        populations, found, turns = self.populations, self.found, self.turns
        turns.number += 1
        behind = min(range(len(populations)), key=lambda i: populations[i].count / populations[i].length)
        if found is None or not self.is_settled(found):
            which = behind
        else:
            # every other turn goes to densities and observables, and every turn once the target error is reached
            theirs = turns.number % 2 or found.total <= self.config.target_error
            if theirs and not self.has_densities():
                which = len(populations) - 1
            elif theirs and not self.has_observables():
                which = behind
            else:
                which = turns.most_gain(found.shares)
        which = turns.take(which)
        if which == len(populations):  # the measurement
            for _ in range(SWEEPS):
                self.measuring.sweep()
                if self._late():
                    break
            self.measuring.energies.gather()
            return
        population = populations[which]
        for _ in range(population.length // PLACES):
            if not population.step(self._late) or self._late():
                break
            if not population.branching and population.count <= population.length:
                if population.effective_share() < EVEN:
                    for each in populations:
                        each.start_resampling()
        population.sums.exchange()
        if population.unresolved is not None:
            population.unresolved.follow(population.mover, population.energy_reference)

    def extrapolate(self) -> Extrapolation | None:
        """The energy at dt = 0 from the longest window that all populations have passed; None before the first."""
        self.lag = find_longest_window(self.populations)
        self.found = None if self.lag is None else projected_energy(self.populations, self.lag, self.measuring)
        return self.found

    def is_settled(self, found: Extrapolation) -> bool:
        """Whether the energy no longer falls with the imaginary time, within its error."""
        assert self.lag is not None
        return is_settled(self.populations, self.lag, found)

    def has_densities(self) -> bool:
        """Whether the walkers have gone far enough for densities of |φ0|²."""
        return self.share() >= 1.0

    def share(self) -> float:
        """The share of the way that walkers must go before there are densities of |φ0|², at most 1."""
        return share_for_densities(self.populations[-1], self.hurried)

    def has_observables(self) -> bool:
        """Whether the walkers of all populations have gone far enough for observables over φ0², or there are none."""
        return not self.measuring.observables.asked or enough_for_observables(self.populations, self.hurried)

    def observables(self) -> list[Estimate] | None:
        """The numbers of the observables over φ0²; None if there are none, or no window for them was passed."""
        relaxation = self.measuring.relaxation
        return average_observables(self.populations, self.girsanov, None if relaxation is None else relaxation.rate)

    def coherence(self) -> Coherence | None:
        """Ratios of ψ over ψφ0 in a periodic box; None in open space, or if no window for them was passed."""
        found = self.populations[-1].coherence
        return found if found is not None and found.counts.any() else None

    def densities(self) -> list[Histogram]:
        """The measured densities with those of |φ0|² at the smallest time step."""
        return with_projected(self.measuring.histograms.results(), self.populations[-1])

    def result(self, found: Extrapolation, seconds: float) -> Projection:
        """The record of the projection that is stored and shown."""
        assert self.lag is not None
        variational = self.measuring.estimate()
        return summarise_projection(
            self.populations,
            self.lag,
            variational,
            found,
            self.config,
            self.natural,
            seconds,
            self.is_settled(found),
            slow_mode_error(self.measuring, self.config, self.populations[-1], self.lag, found),
            0.0 if (relaxation := self.measuring.relaxation) is None else relaxation.rate,
        )
