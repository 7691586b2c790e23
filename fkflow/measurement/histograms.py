"""Densities and pair distributions of |ψ|² as weighted histograms with errors from independent groups of walkers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.masses import to_user_coordinates
from fkflow.hamiltonian.system import System
from fkflow.measurement.views import View, exact_density, views
from fkflow.results.records import Axis, Histogram

#: bins per axis of two-dimensional densities
MAP_BINS = 60


class Histograms:
    """Weighted counts of all views of a system, in groups of walkers.

    Walkers are given as the solver has them, and counted in the user's coordinates. The first walkers x (B, N, D) set the
    bounds; `like`, the histograms of an earlier measurement of the same system, gives its bounds instead.

    Each rank counts its own walkers, in groups that no other rank shares; densities are those of all ranks, which must ask
    for them together.
    """

    def __init__(self, system: System, x: Tensor, bins: int, like: Histograms | None = None) -> None:
        self.system, self.views = system, views(system)
        x = to_user_coordinates(system, x)
        self.edges: list[list[np.ndarray]] = (
            [_bounds(view, x, bins) for view in self.views] if like is None else like.edges
        )
        groups = ranks.groups_per_rank()
        self.counts = [np.zeros((groups, *(len(e) - 1 for e in edges))) for edges in self.edges]
        #: weight of the walkers of each group
        self.weights = np.zeros(groups)

    def add(self, x: Tensor, weights: Tensor | None = None, together: int | None = None) -> None:
        """Count the walkers x (B, N, D), each `weights` (B,) times; walker b always belongs to this rank's b mod groups.

        Walkers that depend on one another are counted `together`: all belong to that number mod groups.
        """
        groups = len(self.weights)
        w = np.ones(len(x)) if weights is None else weights.cpu().numpy()
        group = (np.arange(len(x)) if together is None else np.full(len(x), together)) % groups
        x = to_user_coordinates(self.system, x)
        for view, edges, counts in zip(self.views, self.edges, self.counts, strict=True):
            points = view.coordinates(x).cpu().numpy()
            # every particle or pair of a walker has its group and weight; groups are bins of an axis of their own
            shared = np.broadcast_to(group[:, None, None], (*points.shape[:2], 1))
            sample = np.concatenate([shared, points], 2).reshape(-1, 1 + len(edges))
            repeated = None if weights is None else np.repeat(w, points.shape[1])
            counts += np.histogramdd(sample, bins=[np.arange(groups + 1) - 0.5, *edges], weights=repeated)[0]
        self.weights += np.bincount(group, w, minlength=groups)

    def state_dict(self) -> dict[str, Any]:
        """Bounds and counts of this rank for a checkpoint."""
        return {
            "edges": [[torch.from_numpy(e) for e in edges] for edges in self.edges],
            "counts": [torch.from_numpy(counts) for counts in self.counts],
            "seen": torch.from_numpy(self.weights),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.edges = [[e.numpy() for e in edges] for edges in state["edges"]]
        self.counts = [counts.numpy() for counts in state["counts"]]
        self.weights = state["seen"].numpy()

    def densities(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each view the density that integrates to 1 over its measure, and its one-σ errors.

        The errors are those of a ratio of sums over independent groups, each left out once (jackknife): a group with much of
        the weight pulls the density towards itself, which the plain scatter about the mean would miss.
        No error is smaller than that of a single visit: an empty bin is not known to have no density.
        """
        # few walkers leave some groups empty
        total, groups = ranks.reduce_sum_array(np.array([self.weights.sum(), (self.weights > 0).sum()]))
        out = []
        for view, edges, own in zip(self.views, self.edges, self.counts, strict=True):
            volume = view.volumes(edges)
            # normalised by all samples, not only by those inside the bounds
            scaled = own / (view.values_per_walker(self.system.particles) * volume * total)
            density = ranks.reduce_sum_array(scaled.sum(0))
            share = (self.weights / total).reshape(-1, *[1] * len(edges))
            # a lone group has no distance from itself
            without = (scaled - density * share) / np.maximum(1 - share, 1e-9)
            error = np.sqrt(ranks.reduce_sum_array((without**2).sum(0)) * (groups - 1) / groups)
            # walkers stay a while and have weights, so visits come in clumps, whose size is variance over mean
            clump = np.sum((volume * error) ** 2) / max(np.sum(volume * density), 1e-300)
            out.append((density, np.maximum(error, clump / volume)))
        return out

    def results(self) -> list[Histogram]:
        """The densities as variational histograms."""
        unit = self.system.length_unit
        out = []
        for view, edges, (density, error) in zip(self.views, self.edges, self.densities(), strict=True):
            axes = tuple(Axis(a, unit, view.axis_name(a), e) for a, e in zip(view.axes, edges, strict=True))
            dimension = sum(view.shells)
            units = f"1/{unit}" + (f"^{dimension}" if dimension > 1 else "")
            exact = exact_density(self.system, view, edges)
            out.append(
                Histogram(view.group, view.name, axes, view.measure, density, error, units, view.long_name, exact=exact)
            )
        return out


def _bounds(view: View, x: Tensor, bins: int) -> list[np.ndarray]:
    """Bin edges on each axis of a view that hold nearly all of the walkers x (B, N, D)."""
    points = view.coordinates(x).flatten(0, 1).cpu().numpy()
    # maps have few bins: they cover only where the density is
    count, beyond = (MAP_BINS, 1e-3) if len(view.axes) > 1 else (bins, 1e-4)
    edges = []
    for column, axis, shells in zip(points.T, view.axes, view.shells, strict=True):
        low, high = np.quantile(column, [beyond, 1 - beyond])
        pad = 0.1 * (high - low)
        if view.box is not None and (view.group == "pair" or math.isfinite(view.box["xyz".index(axis)])):
            # a box is all there is; farther than half a side only corners are left of a shell
            half = 0.5 * (min(view.box) if view.group == "pair" else view.box["xyz".index(axis)])
            edges.append(np.linspace(0.0 if view.group == "pair" else -half, half, count + 1))
            continue
        radial = shells > 1 or axis in ("r", "rho")
        edges.append(np.linspace(0.0 if radial else low - pad, high + pad, count + 1))
    return edges
