"""Densities and pair distributions of closed paths, extrapolated to time step 0."""

from __future__ import annotations

from dataclasses import replace

import torch

from fkflow.measurement.histograms import Histograms
from fkflow.results.records import Histogram
from fkflow.thermal.density_matrix import DensityMatrix, has_matrix
from fkflow.thermal.estimate import Batch
from fkflow.thermal.problem import Problem

#: points of a path that are counted, and bins of an axis
POINTS, BINS = 8, 100


class ThermalCounts:
    """Weighted counts of the points of paths; all points of a closed path are alike.

    Densities at the points have an error of second order in the time step. The weights of the same paths with every second
    point give those of twice the step, from which they are extrapolated.
    """

    def __init__(self, problem: Problem, batch: Batch) -> None:
        self.problem = problem
        self.level = float(batch.log_w.max())
        weights = (batch.log_w - self.level).exp()
        x = self._points(batch)
        generator = torch.Generator().manual_seed(0)
        pick = torch.multinomial(weights.repeat(len(x) // len(weights)), 4096, True, generator=generator)
        self.fine = Histograms(problem.system, x[pick], BINS)
        self.coarse = Histograms(problem.system, x[pick], BINS, like=self.fine)
        self.pools = 0
        self.matrix = DensityMatrix(problem, batch, self.level) if has_matrix(problem) else None

    def _points(self, batch: Batch) -> torch.Tensor:
        """Points (points·B, N, D) of the paths, those of one path B rows apart."""
        steps = len(batch.paths.y)
        # only points that the coarse paths have too
        stride = 2 * max(1, steps // (2 * POINTS))
        return self.problem.to_solver(batch.paths.y[::stride]).flatten(0, 1)

    def add(self, batch: Batch) -> None:
        """Count the paths of one pool."""
        x = self._points(batch)
        for histograms, log_w in ((self.fine, batch.log_w), (self.coarse, batch.log_coarse)):
            weights = (log_w - self.level).exp()
            histograms.add(x, weights.repeat(len(x) // len(weights)), self.pools if batch.resampled else None)
        self.pools += 1
        if self.matrix is not None:
            self.matrix.add(batch)

    def histograms(self) -> list[Histogram]:
        """The densities, and density matrices, with the errors of those at the time step of the paths."""
        found = []
        for fine, coarse in zip(self.fine.results(), self.coarse.results(), strict=True):
            values = fine.values + (fine.values - coarse.values) / 3
            found.append(replace(fine, values=values, exact=None))
        if self.matrix is None:
            return found
        densities = [one for one in found if one.group == "density"]
        return [*densities, *self.matrix.histograms(), *found[len(densities) :]]
