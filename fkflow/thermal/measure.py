"""The state at a temperature, from fresh paths of a frozen drift at a finer time step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import islice

import torch

from fkflow.execution.progress import Progress
from fkflow.results.thermal import ThermalState
from fkflow.statistics import Estimate
from fkflow.thermal.bridges import Bridges
from fkflow.thermal.counts import ThermalCounts
from fkflow.thermal.doubts import doubts
from fkflow.thermal.estimate import POOLS, Batch, Sums, batches
from fkflow.thermal.fit import Fitted
from fkflow.thermal.question import Level, Question
from fkflow.thermal.resampling import Resampling, learn

#: paths of a pool at least and at most (one body, several), and pools of a first look
FEWEST, COUNTS, LOOK = 256, (2048, 1024), 4
#: most halvings of the time step, the share of the target error by which it may change F, and the relative variance of weights
#: from which on a finer one is tried to lower it
HALVINGS, SHARE, UNEVEN = 4, 0.3, 0.5
#: by how much the plan of pools grows at once, and shortfalls in paths that are let be
MOST, CLOSE = 4, 1.2
#: effective share below which paths are resampled
RESAMPLED = 0.4
#: pools without a drift, for comparison
PLAIN = 16


class Measurement:
    """Measures one temperature with the drift and the starts of its `level`."""

    def __init__(
        self, bridges: Bridges, level: Level, question: Question, generator: torch.Generator, progress: Progress
    ) -> None:
        self.bridges, self.level, self.question = bridges, level, question
        self.generator, self.progress, self.problem = generator, progress, bridges.problem
        self.beta = level.beta * self.problem.length**2
        self.target = question.target_error * self.beta
        self.warnings: list[str] = []

    def state(self) -> ThermalState:
        """The numbers of the temperature in the units of the system; what may be wrong with it joins the `warnings`."""
        question, beta = self.question, self.beta
        self.progress.stage(f"measure T = {1 / beta:.4g}", 1.0)
        began = time.monotonic()
        steps, look = self._steps()
        sums, counts, planned = Sums(self.level.beta, self.problem.gain), None, POOLS
        for batch in self._batches(self.level.fitted, steps, resampling=self._resampling(steps, look)):
            sums.add(batch)
            counts = counts or ThermalCounts(self.problem, batch)
            counts.add(batch)
            spent = time.monotonic() - began
            log_z = sums.log_z()
            share = max(sums.pools / planned, min(sums.pools / POOLS, spent / question.seconds))
            self.progress.update(min(1.0, share), -log_z.value / beta, log_z.error / beta)
            if sums.pools == planned:
                # to stop whenever the error happens to be small would make it too small
                planned = min(math.ceil(sums.pools * (log_z.error / self.target) ** 2), MOST * sums.pools)
                if planned <= CLOSE * sums.pools:
                    break
            if sums.pools >= POOLS and spent > question.seconds:
                break
        assert counts is not None
        about = f"T = {1 / beta:.4g}: "
        self.warnings += [type(text)(about + text) for text in doubts(sums, self._plain(steps), self.level.bounds)]
        if sums.log_z().error > 2 * self.target:
            self.warnings.append(
                f"{about}the time for measuring ended before the target error: thermal.seconds gives it more"
            )
        return self._state(sums, counts, steps)

    def _batches(
        self, fitted: Fitted, steps: int, carried: bool = True, resampling: Resampling | None = None
    ) -> Iterator[Batch]:
        return batches(self.bridges, fitted, self.level.beta, steps, self._count(), self.generator, carried, resampling)

    def _resampling(self, steps: int, look: Sums) -> Resampling | None:
        """How paths whose weights are very uneven in a `look` are resampled."""
        if look.ess() > RESAMPLED:
            return None
        pools = islice(self._batches(self.level.fitted, steps, False), LOOK)
        return learn(self.bridges, [(batch.paths, batch.log_w) for batch in pools])

    def _count(self) -> int:
        """Paths of a pool, a multiple of the groups of the densities."""
        wanted = self.level.variance / self.target**2 / POOLS
        most = COUNTS[0] if self.problem.reference.bodies == 1 else COUNTS[1]
        return int(min(most, max(FEWEST, 64 * math.ceil(wanted / 64))))

    def _steps(self) -> tuple[int, Sums]:
        """Steps of a path, so many that F changes by little with twice as many, and its error in a given time falls by none.

        Beside them is a look at paths of so many steps.
        """
        given, level = self.question.time_step, self.level
        if given is not None:
            steps = 4 * math.ceil(0.25 * level.beta / given)
            return steps, self._look(steps)
        steps, look = level.steps, self._look(level.steps)
        for _ in range(HALVINGS):
            change, variance = look.step_error(), _variance(look)
            small = change.value <= max(SHARE * self.target, 3 * change.error)
            if small and variance < UNEVEN:
                break
            finer = self._look(2 * steps)
            # twice the steps leave time for half of the paths
            if small and _variance(finer) > 0.5 * variance:
                break
            steps, look = 2 * steps, finer
        return steps, look

    def _look(self, steps: int) -> Sums:
        """A few pools of paths of so many steps."""
        return self._few(self.level.fitted, steps, LOOK)

    def _plain(self, steps: int) -> Sums:
        """Paths without a drift."""
        fitted = self.level.fitted
        return self._few(Fitted(None, fitted.starts, torch.zeros_like(fitted.start_theta)), steps, PLAIN)

    def _few(self, fitted: Fitted, steps: int, pools: int) -> Sums:
        """So many pools of paths of so many steps, none carried to other β."""
        sums = Sums(self.level.beta, self.problem.gain)
        for batch in islice(self._batches(fitted, steps, False), pools):
            sums.add(batch)
        return sums

    def _state(self, sums: Sums, counts: ThermalCounts, steps: int) -> ThermalState:
        beta, square = self.beta, self.problem.length**2
        log_z, step_error = sums.log_z(), sums.step_error().value
        slope, capacity, steeper = sums.slopes()
        free = Estimate(-log_z.value / beta, math.hypot(log_z.error, step_error) / beta)
        energy = Estimate(slope.value / square, math.hypot(slope.error, steeper / self.problem.gain) / square)
        entropy = beta * (energy - free)
        return ThermalState(
            1 / beta, beta, free, energy, entropy, capacity, sums.ess(), sums.paths, beta / steps, step_error / beta,
            counts.histograms(),
        )  # fmt: skip


def _variance(look: Sums) -> float:
    """The relative variance that a path adds to Z. Resampling takes an exponential down to about its exponent."""
    ess = look.ess()
    return 1 / ess - 1 if ess > RESAMPLED else -math.log(ess)
