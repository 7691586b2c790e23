"""From a system to its states at temperatures: train in steps of β, then measure on fresh paths at a finer time step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fkflow.execution.progress import Progress
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.results.thermal import Thermal, ThermalState
from fkflow.statistics import Estimate
from fkflow.thermal import stages
from fkflow.thermal.bridges import Bridges
from fkflow.thermal.classical import classical_limit
from fkflow.thermal.cloud import WALKERS, Bases, anneal
from fkflow.thermal.convexity import Convexity, falls_short, pack
from fkflow.thermal.drift import Drift
from fkflow.thermal.fit import PATHS, Fitted, Iteration, fit, log_z_of
from fkflow.thermal.measure import Measurement
from fkflow.thermal.pose import effective_beta, pose
from fkflow.thermal.question import Level, Question
from fkflow.thermal.starts import Starts

#: a function of the number of a stage and the state after it
Keep = Callable[[int, dict[str, Any]], object]
#: largest β at which a training begins, in natural units, and most factor from one β to the next
FIRST, FACTOR = 1.5, 2.0
#: time step of a training, in times of the mean curvature of V (one body, several: where two meet V is far stiffer than its
#: mean, and errors of twice and once the step may cancel), and its bounds in natural times
CURVED, SHORTEST, LONGEST = (0.2, 0.1), 0.005, 0.15
#: largest κ √dt of charges that attract each other
ATTRACTED = 0.5
#: width of the layers
HIDDEN = 24
#: iterations at least, and what one costs in units of the measurement of as many steps of as many paths
LEAST, COST = 12, 1.5
#: rate of a training that is made again, for the usual one, and iterations that still have the drift of the temperature before
GENTLE, EARLY = 0.2, 3


class ThermalSolver:
    """Trains one drift for all temperatures, from the highest down, and measures each."""

    def __init__(self, system: System, landscape: Landscape, question: Question, progress: Progress) -> None:
        self.system, self.landscape, self.question, self.progress = system, landscape, question, progress
        betas = question.betas
        self.problem = pose(system, landscape, max(betas), question.statistics, question.seed, min(betas))
        self.generator = torch.Generator().manual_seed(question.seed)
        self.drift = Drift(self.problem.reference, HIDDEN, centres=self.problem.centres())
        self.bridges = Bridges(self.problem, self.drift)
        self.theta = self.drift.start(self.generator)
        #: U and exchanges of the starts of the last training, with their level
        self.last_starts: tuple[torch.Tensor, float] | None = None
        self.convexity = Convexity()
        self.warnings: list[str] = []
        self.trained = False

    def solve(self, saved: Mapping[str, Any] | None = None, keep: Keep | None = None) -> Thermal:
        """The states at all temperatures, in the order of the question.

        After each stage `keep` gets its number and the state to go on from, which `saved` gives back: the stages after it then
        have the same random numbers. Raises NumericalError as `fit` does.
        """
        self._saved, found, number, before = dict(saved or {}), {}, 0, 0.0
        done = int(self._saved.get("stage", 0))
        if saved:
            self.theta = saved["theta"]
            if (starts := saved.get("starts")) is not None:
                self.last_starts = starts["theta"], float(starts["level"])
            self.convexity = Convexity.unpack(saved.get("log_z", []))
            self.warnings = stages.unpack_warnings(saved["warnings"])
            found = {state.beta: state for state in map(stages.unpack, saved["found"])}
        for beta in sorted(set(self.question.betas)):
            natural = beta / self.problem.length**2
            for rung in self.ladder(before, natural):
                number += 1
                self.begin(number)
                if number <= done:
                    level = self._restored(rung) if number == done and saved and saved["level"] else None
                    continue
                level = self.train(rung, last=rung == natural)
                self._keep(keep, number, found, level)
            number += 1
            self.begin(number)
            before = natural
            if number <= done:
                continue
            assert level is not None
            found[beta] = self._finished(level)
            self._keep(keep, number, found, None)
        statistics = self.question.statistics
        return Thermal([found[beta] for beta in self.question.betas], statistics, self.warnings)

    def alone(self, beta: float) -> Thermal:
        """The state at one of the temperatures: the drift is trained once, for the lowest, and the starts at each."""
        self.warnings = []
        longest = max(self.question.betas) / self.problem.length**2
        if not self.trained:
            for number, rung in enumerate(self.ladder(0.0, longest), 1):
                self.begin(number)
                self.train(rung, last=rung == longest)
            self.trained = True
        self.begin(stages.FIRST_ALONE + self.question.betas.index(beta))
        level = self.train(beta / self.problem.length**2, last=True, frozen=True)
        return Thermal([self._finished(level)], self.question.statistics, self.warnings)

    def _finished(self, level: Level) -> ThermalState:
        """The state at a temperature, with its classical limit."""
        measurement = Measurement(self.bridges, level, self.question, self.generator, self.progress)
        state, square = measurement.state(), self.problem.length**2
        self.warnings += measurement.warnings
        free, energy = classical_limit(self.problem, level.fitted.starts.base, level.beta)
        return replace(state, classical_free_energy=free / square, classical_energy=energy / square)

    def begin(self, number: int) -> None:
        """Each stage has random numbers of its own, so that it can be done again."""
        self.generator.manual_seed(stages.seed_of(self.question.seed, number))

    def _keep(self, keep: Keep | None, number: int, found: Mapping[float, ThermalState], level: Level | None) -> None:
        if keep is None:
            return
        packed = None
        if level is not None:
            fitted = level.fitted
            packed = {
                "start_theta": fitted.start_theta,
                "level": fitted.starts.level,
                "variance": level.variance,
                "bounds": [pack(bound) for bound in level.bounds],
            }
        starts = None if self.last_starts is None else dict(zip(("theta", "level"), self.last_starts, strict=True))
        keep(
            number,
            {
                "stage": number,
                "theta": self.theta,
                "starts": starts,
                "log_z": self.convexity.pack(),
                "found": [stages.pack(state) for state in found.values()],
                "warnings": stages.pack_warnings(self.warnings),
                "level": packed,
            },
        )

    def _restored(self, beta: float) -> Level:
        """What the training at β had found."""
        level, packed = self.fresh(beta), self._saved["level"]
        level.fitted.start_theta, level.fitted.starts.level = packed["start_theta"], float(packed["level"])
        level.variance = float(packed["variance"])
        level.bounds = [Estimate(*bound) for bound in packed.get("bounds", [])]
        return level

    def ladder(self, before: float, beta: float) -> list[float]:
        """Inverse temperatures up to `beta` from the one `before`."""
        rungs = [beta]
        while rungs[0] > max(FIRST, FACTOR * before):
            rungs.insert(0, rungs[0] / FACTOR)
        return rungs

    def fresh(self, beta: float) -> Level:
        """What a training at β begins with."""
        problem, generator = self.problem, self.generator
        starts, curvature = self._starts(beta)
        dt = min(max(CURVED[problem.reference.bodies > 1] / math.sqrt(curvature), SHORTEST), LONGEST)
        if problem.charges is not None and (deepest := min(problem.charges.strengths)) < 0:
            dt = min(dt, (ATTRACTED / deepest) ** 2)
        steps = 4 * math.ceil(0.25 * beta / dt)
        return Level(beta, steps, Fitted(self.theta, starts, starts.start(generator)))

    def train(self, beta: float, last: bool, frozen: bool = False) -> Level:
        """Train at one β, from the drift that is there; with `frozen` the drift stays as it is.

        A training that loses a well is made again with small steps.
        """
        most = self.question.iterations if last else max(LEAST, self.question.iterations // 3)
        temperature = 1 / (beta * self.problem.length**2)
        self.progress.stage(f"train T = {temperature:.4g}", float(most))
        for scale in (1.0, GENTLE):
            level, log_z = self._train(beta, most, scale, frozen)
            if frozen:
                return level
            if not falls_short(log_z, level.bounds):
                break
        self.convexity.points.append((beta, log_z))
        assert level.fitted.theta is not None
        self.theta = level.fitted.theta
        self.last_starts = level.fitted.start_theta, level.fitted.starts.level
        return level

    def _train(self, beta: float, most: int, scale: float, frozen: bool) -> tuple[Level, Estimate]:
        """One training, and log Z of the paths of its last iterations."""
        level, temperature = self.fresh(beta), 1 / (beta * self.problem.length**2)
        if not frozen and self.last_starts is not None:
            # those of half of β fit better than none: a drift that is good must not be spoilt by starts that are not
            level.fitted.start_theta, level.fitted.starts.level = self.last_starts
        target = self.question.target_error / temperature
        made: list[Iteration] = []
        training = fit(self.bridges, level.fitted, beta, level.steps, most, self.generator, frozen, scale)
        for number, one in enumerate(training, 1):
            self.progress.update(float(number), one.bound * temperature, None, f"effective paths {one.effective:.3g}")
            made.append(one)
            level.variance = float(np.median([1 / each.effective - 1 for each in made[-LEAST // 2 :]]))
            # measuring needs so many paths, of twice the steps
            paths = 2 * level.variance / target**2
            if number >= LEAST and number * PATHS * COST > paths:
                break
        level.bounds = [*self.convexity.bounds(beta), log_z_of(made[:EARLY])]
        return level, log_z_of(made[-LEAST // 2 :])

    def _starts(self, beta: float) -> tuple[Starts, float]:
        """The starts at β before training, and the mean curvature of V along a coordinate where the particles are."""
        problem, generator = self.problem, self.generator
        ref = problem.reference
        cooled = effective_beta(beta)
        cloud = anneal(problem.softened, (ref.bodies, ref.axes), cooled, generator)
        curvature = problem.mean_curvature(cloud, cooled)
        # no minimum that is known is left out
        known = problem.from_solver(self.landscape.start(WALKERS // 16, generator))
        of_body = (0,) * ref.bodies if ref.kinds is None else ref.kinds.of_body
        base = Bases.fitted(torch.cat([cloud, known]), of_body, generator)
        return Starts(base, ref, beta, problem.centres()), curvature
