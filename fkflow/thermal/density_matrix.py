"""The one-body density matrix ρ(x, x′) along axes, from closed paths that are opened.

A closed path is cut at its start, and the path of one particle is moved so that it begins at x = y_0 − s/2 and ends at
x′ = y_0 + s/2: the points between move as the path of the reference from −s/2 to s/2 does. Particles that take one another's
places are one long path, which moves as a whole. The map has the Jacobian 1, and the integrand of the open path over that of
the closed one is the weight of ρ(x, x′). All other coordinates are integrated over.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.masses import to_solver_coordinates, to_user_coordinates
from fkflow.results.records import Axis, Histogram
from fkflow.thermal.bridges import log_closed
from fkflow.thermal.estimate import Batch
from fkflow.thermal.problem import Problem
from fkflow.thermal.reference import permuted

#: bins of an axis, paths of a pool that are opened, cuts of a path of one particle, and groups of paths for the errors
BINS, OPENED, CUTS, GROUPS = 24, 256, 4, 16
#: share of the density beyond either end of the axes
BEYOND = 5e-4


def has_matrix(problem: Problem) -> bool:
    """Whether all particles have the same one-body density matrix: for one, or identical ones."""
    return problem.reference.bodies == problem.particles and problem.reference.kinds is None


class DensityMatrix:
    """Sums over pools for ρ(x, x′) along the axes of a system; only the first where it is isotropic."""

    def __init__(self, problem: Problem, batch: Batch, level: float) -> None:
        self.problem, self.level = problem, level
        dim = problem.system.dimensions
        self.axes = list(range(1 if problem.system.isotropic else min(dim, 3)))
        x = to_user_coordinates(problem.system, problem.to_solver(batch.paths.y[0]))
        weights = (batch.log_w - level).exp()
        self.edges: list[np.ndarray] = []
        for axis in self.axes:
            column = x[:, :, axis]
            order = column.flatten().argsort()
            share = weights[:, None].expand_as(column).flatten()[order].cumsum(0)
            low, high = (
                float(
                    column.flatten()[order][int(torch.searchsorted(share, part * share[-1]).clamp_max(len(share) - 1))]
                )
                for part in (BEYOND, 1 - BEYOND)
            )
            pad = 0.08 * (high - low)
            self.edges.append(np.linspace(low - pad, high + pad, BINS + 1))
        #: fine and coarse weights, by axis, group, place of x and offset of x′ in bins
        self.sums = np.zeros((2, len(self.axes), GROUPS, BINS, BINS))
        self.weights = np.zeros((2, GROUPS))
        self.pools = 0

    def add(self, batch: Batch) -> None:
        """Open some of the paths of a pool."""
        problem, ref = self.problem, self.problem.reference
        paths = batch.paths
        cuts = CUTS if ref.bodies == 1 else 1
        steps, some = len(paths.y), min(OPENED // cuts, paths.y.shape[1])
        stride = 2 * max(1, steps // (2 * cuts))
        # a path of one particle may be cut anywhere
        y = torch.cat([paths.y[:, :some].roll(-stride * cut, 0) for cut in range(cuts)], 1)
        log_w = batch.log_w[:some].repeat(cuts)
        # as they were drawn: a cut elsewhere does not change it
        log_f = log_closed(problem, paths.first(some))
        known, sent = log_f.repeat(cuts), paths.sent[:some].repeat(cuts, 1)
        body = self.pools % ref.bodies
        # resampled paths of a pool depend on one another
        group = (np.full(some * cuts, self.pools) if batch.resampled else np.arange(some * cuts) % some) % GROUPS
        self.pools += 1
        for level, log in enumerate((batch.log_w, batch.log_coarse)):
            self.weights[level] += np.bincount(
                group, (log[:some].repeat(cuts) - self.level).exp().numpy(), minlength=GROUPS
            )
        begin = to_user_coordinates(problem.system, problem.to_solver(y[0]))[:, body]
        for number, axis in enumerate(self.axes):
            edges = self.edges[number]
            width = edges[1] - edges[0]
            for offset in range(BINS):
                where = np.floor((begin[:, axis].numpy() - 0.5 * offset * width - edges[0]) / width).astype(int)
                inside = (where >= 0) & (where + offset < BINS)
                if not inside.any():
                    continue
                rows = torch.as_tensor(np.flatnonzero(inside))
                logs = self._open(y[:, rows], sent[rows], body, axis, offset * width, float(paths.beta))
                for level, log_f in enumerate(logs):
                    values = (log_w[rows] + log_f - known[rows] - self.level).exp().numpy()
                    np.add.at(self.sums[level, number, :, :, offset], (group[inside], where[inside]), values)

    def _open(self, y: Tensor, sent: Tensor, body: int, axis: int, shift: float, beta: float) -> tuple[Tensor, Tensor]:
        """log f (B,) of the opened paths of y (M, B, n, D), at their step and with every second point alone, without 1/n!."""
        problem, ref = self.problem, self.problem.reference
        steps = len(y)
        dt = beta / steps
        unit = torch.zeros(1, problem.particles, problem.system.dimensions, dtype=torch.float64)
        unit[:, body, axis] = shift
        solver = to_solver_coordinates(problem.system, unit)
        move = (problem.from_solver(solver) - problem.from_solver(0 * solver))[0, body]
        omega, (place, length) = ref.frequencies, _along(sent, body)
        at = dt * torch.arange(steps + 1, dtype=torch.float64)[:, None, None, None] + beta * place[..., None]
        whole = beta * length[:, None, None]
        share = 0.5 * (omega * (at - 0.5 * whole)).sinh() / (0.5 * omega * whole).sinh()
        share = share * (place >= 0)[..., None]
        opened = torch.cat([y, permuted(y[0], sent)[None]]) + share * move
        flat = opened.flatten(0, 1)
        rest = problem.rest(flat)[0].view(steps + 1, -1)
        log_free = ref.log_kernel(opened[:-1], opened[1:], dt).sum(0)
        ends = 0.5 * (rest[0] + rest[-1])
        fine, coarse = (problem.pair_action(opened[::every], every * dt) for every in (1, 2))
        return log_free - fine - dt * (rest[1:-1].sum(0) + ends), log_free - coarse - 2 * dt * (
            rest[2:-1:2].sum(0) + ends
        )

    def histograms(self) -> list[Histogram]:
        """ρ(x, x′) with ∫ρ(x, x) dx = 1, extrapolated to time step 0, with its errors, one an axis."""
        found = []
        unit = self.problem.system.length_unit
        for number, axis in enumerate(self.axes):
            edges = self.edges[number]
            width = edges[1] - edges[0]
            fine, coarse = (_jackknife(self.sums[level, number], self.weights[level], width) for level in (0, 1))
            values, error = fine[0] + (fine[0] - coarse[0]) / 3, fine[1]
            name = "xyz"[axis]
            axes = (
                Axis(name, unit, f"coordinate {name}", edges),
                Axis(f"{name}_prime", unit, f"coordinate {name}'", edges),
            )
            words = f"one-body density matrix along {name}"
            found.append(
                Histogram("matrix", name, axes, f"d{name}", _square(values), _square(error), f"1/{unit}", words)
            )
        return found


def _along(sent: Tensor, body: int) -> tuple[Tensor, Tensor]:
    """The place (B, n) of each body on the long path that begins with `body`, −1 beside it, and its length (B,)."""
    place = torch.full(sent.shape, -1.0, dtype=torch.float64)
    here = torch.full((len(sent), 1), body)
    for k in range(sent.shape[1]):
        before = place.gather(1, here)
        place.scatter_(1, here, torch.where(before < 0, torch.full_like(before, k), before))
        here = sent.gather(1, here)
    return place, (place >= 0).double().sum(1)


def _jackknife(sums: np.ndarray, weights: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The ratio of sums over groups (G, …) and weights (G,), over the width of a bin, with its error."""
    total = weights.sum()
    value = sums.sum(0) / (total * width)
    share = (weights / total).reshape(-1, *[1] * value.ndim)
    without = (sums / (total * width) - value * share) / np.maximum(1 - share, 1e-9)
    count = len(weights)
    error = np.sqrt((without**2).sum(0) * (count - 1) / count)
    # no error is smaller than that of a single visit: an empty bin is not known to be empty
    clump = np.sum((width * error) ** 2) / max(np.sum(width * np.abs(value)), 1e-300)
    return value, np.maximum(error, clump / width)


def _square(offsets: np.ndarray) -> np.ndarray:
    """ρ (n, n), symmetric, from its values by place and offset (n, n)."""
    n = len(offsets)
    found = np.zeros((n, n))
    for k in range(n):
        column = offsets[: n - k, k]
        found[np.arange(n - k), np.arange(n - k) + k] = column
        found[np.arange(n - k) + k, np.arange(n - k)] = column
    return found
