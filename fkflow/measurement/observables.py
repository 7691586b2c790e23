"""What is seen of |ψ|² besides the energy: densities, pair distribution, drift on a line or plane, trajectories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import chunks, ranks
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.masses import inward, outward
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.results.records import Axis, DriftField, Histogram, Trajectories
from fkflow.sampling.paths import integrate

#: bins per axis of two-dimensional densities, and points per axis of drift fields: in one dimension and in two
MAP_BINS, LINE_POINTS, FIELD_POINTS = 60, 200, 60
#: points of a bin and dimension over which an exact density is averaged
BIN_POINTS = 4
#: a climb to the most likely places: rounds of so many tries each; a round without success makes the steps shorter. It is
#: over when they are FINE times as long as at first, and asks for that now and then: to look at a device is to wait for it
ROUNDS, TRIES, FINE, LOOK = 120, 64, 1e-3, 10
#: part of a typical distance from the origin beyond which the most likely places are apart
APART = 0.01
#: trajectories show so many particles at least, over so many natural times of so many steps each
SHOWN_PARTICLES, LASTING, STEPS_IN_TIME = 8, 1.5, 64


@dataclass(frozen=True)
class View:
    """One projection of the configurations: `coordinate` picks values (samples, axes) from x (B, N, D)."""

    group: str
    name: str
    axes: tuple[str, ...]
    measure: str
    long_name: str
    #: dimension of the shells each axis counts in: 1 for a line, 2 for circles, 3 for spheres
    shells: tuple[int, ...]

    def coordinates(self, x: Tensor) -> Tensor:
        """(B, n, axes): the value on each axis for each particle (or pair) of each walker."""
        if self.group == "pair":
            return pair_squares(x).sqrt().mT[..., None]
        letters = {"x": 0, "y": 1, "z": 2}
        columns = []
        for axis in self.axes:
            if axis == "r":
                columns.append(x.norm(dim=-1))
            elif axis == "rho":
                columns.append(x[..., :2].norm(dim=-1))
            else:
                columns.append(x[..., letters[axis]])
        return torch.stack(columns, -1)


def views(system: System) -> list[View]:
    """The densities that suit a system: radial if isotropic, on axes if not, cylindrical about a line of nuclei."""
    n, dim = system.particles, system.dimensions
    found = []

    def density(*axes: str, measure: str, shells: tuple[int, ...], words: str) -> None:
        found.append(View("density", "".join(axes), axes, measure, f"one-body density {words}", shells))

    nuclei = system.nuclei()
    on_axis = nuclei is not None and all(p[0] == p[1] == 0 for p in nuclei.positions)
    if dim == 1:
        density("x", measure="dx", shells=(1,), words="along x")
    elif system.isotropic:
        density("r", measure=_shell_measure("r", dim), shells=(dim,), words="against the distance from the origin")
    elif on_axis:
        density("z", measure="dz", shells=(1,), words="along the axis of the nuclei")
        density("rho", measure="2 pi rho drho", shells=(2,), words="against the distance from the axis of the nuclei")
        density("z", "rho", measure="2 pi rho dz drho", shells=(1, 2), words="in a plane through the nuclei")
    elif dim <= 3:
        for axis in "xyz"[:dim]:
            density(axis, measure=f"d{axis}", shells=(1,), words=f"along {axis}")
    else:
        density("r", measure=_shell_measure("r", dim), shells=(dim,), words="against the distance from the origin")
    if dim == 2:
        density("x", "y", measure="dx dy", shells=(1, 1), words="in the plane")
    if n > 1:
        words = "pair distribution against the distance"
        found.append(View("pair", "r", ("r",), _shell_measure("r", dim), words, (dim,)))
    return found


def _shell_measure(r: str, dim: int) -> str:
    return {1: f"d{r}", 2: f"2 pi {r} d{r}", 3: f"4 pi {r}^2 d{r}"}.get(dim, f"S_{dim} {r}^{dim - 1} d{r}")


class Histograms:
    """Weighted counts of all views, gathered in groups of walkers; bounds come from the first walkers seen.

    Walkers are given as the solver has them, and counted in the user's coordinates.

    `like`, those of an earlier measurement of the same system, gives its bounds instead. Each rank counts its own
    walkers, in groups that no other rank shares; densities are those of all, and must be asked for together.
    """

    def __init__(self, system: System, x: Tensor, bins: int, like: Histograms | None = None) -> None:
        self.system, self.views = system, views(system)
        x = outward(system, x)
        self.edges: list[list[np.ndarray]] = (
            [self._bounds(view, x, bins) for view in self.views] if like is None else like.edges
        )
        groups = ranks.own_groups()
        self.counts = [np.zeros((groups, *(len(e) - 1 for e in edges))) for edges in self.edges]
        self.seen = np.zeros(groups)

    @staticmethod
    def _bounds(view: View, x: Tensor, bins: int) -> list[np.ndarray]:
        points = view.coordinates(x).flatten(0, 1).cpu().numpy()
        edges = []
        for column, axis, shells in zip(points.T, view.axes, view.shells, strict=True):
            count = MAP_BINS if len(view.axes) > 1 else bins
            # maps have few bins: they keep to where the density is
            beyond = 1e-3 if len(view.axes) > 1 else 1e-4
            low, high = np.quantile(column, [beyond, 1 - beyond])
            pad = 0.1 * (high - low)
            radial = shells > 1 or axis in ("r", "rho")
            edges.append(np.linspace(0.0 if radial else low - pad, high + pad, count + 1))
        return edges

    def add(self, x: Tensor, weights: Tensor | None = None) -> None:
        """Count the walkers x (B, N, D), each `weights` (B,) times; walker b always belongs to this rank's b mod groups."""
        groups = len(self.seen)
        w = np.ones(len(x)) if weights is None else weights.cpu().numpy()
        group = np.arange(len(x)) % groups
        x = outward(self.system, x)
        for view, edges, counts in zip(self.views, self.edges, self.counts, strict=True):
            points = view.coordinates(x).cpu().numpy()
            # every particle or pair of a walker has its group and weight; groups are bins of an axis of their own
            shared = np.broadcast_to(group[:, None, None], (*points.shape[:2], 1))
            sample = np.concatenate([shared, points], 2).reshape(-1, 1 + len(edges))
            repeated = None if weights is None else np.repeat(w, points.shape[1])
            counts += np.histogramdd(sample, bins=[np.arange(groups + 1) - 0.5, *edges], weights=repeated)[0]
        self.seen += np.bincount(group, w, minlength=groups)

    def state_dict(self) -> dict[str, Any]:
        """Bounds and counts of this rank for a checkpoint."""
        return {
            "edges": [[torch.from_numpy(e) for e in edges] for edges in self.edges],
            "counts": [torch.from_numpy(counts) for counts in self.counts],
            "seen": torch.from_numpy(self.seen),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was asked for."""
        self.edges = [[e.numpy() for e in edges] for edges in state["edges"]]
        self.counts = [counts.numpy() for counts in state["counts"]]
        self.seen = state["seen"].numpy()

    def densities(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each view the density that integrates to 1 over its measure, and its one-σ errors.

        The errors are those of a ratio of sums over independent groups, each left out once (jackknife): a group that
        carries much of the weight draws the density to itself, and its distance from it is too small by just that share.
        None is smaller than what a single visit brings: that few have come to a bin, or nobody, does not prove it empty.
        """
        out = []
        n = self.system.particles
        # few walkers leave some groups empty
        seen, groups = ranks.total_array(np.array([self.seen.sum(), (self.seen > 0).sum()]))
        for view, edges, own in zip(self.views, self.edges, self.counts, strict=True):
            volume = np.ones(())
            for e, shells in zip(edges, view.shells, strict=True):
                volume = np.multiply.outer(volume, _shell_volumes(e, shells))
            per_walker = n * (n - 1) / 2 if view.group == "pair" else n
            # normalised by all that was sampled, not only by what fell inside the bounds
            scaled = own / (per_walker * volume * seen)
            density = ranks.total_array(scaled.sum(0))
            share = (self.seen / seen).reshape(-1, *[1] * len(edges))
            # a lone group has no distance from itself
            without = (scaled - density * share) / np.maximum(1 - share, 1e-9)
            error = np.sqrt(ranks.total_array((without**2).sum(0)) * (groups - 1) / groups)
            # visits are counted in clumps, for walkers stay a while and have weights: variance over mean is their size
            clump = np.sum((volume * error) ** 2) / max(np.sum(volume * density), 1e-300)
            out.append((density, np.maximum(error, clump / volume)))
        return out

    def results(self) -> list[Histogram]:
        """The densities as variational histograms."""
        unit = self.system.length_unit
        out = []
        for view, edges, (density, error) in zip(self.views, self.edges, self.densities(), strict=True):
            axes = tuple(Axis(a, unit, _axis_words(view, a), e) for a, e in zip(view.axes, edges, strict=True))
            dimension = sum(view.shells)
            units = f"1/{unit}" + (f"^{dimension}" if dimension > 1 else "")
            exact = exact_density(self.system, view, edges)
            out.append(
                Histogram(view.group, view.name, axes, view.measure, density, error, units, view.long_name, exact=exact)
            )
        return out


def exact_density(system: System, view: View, edges: Sequence[np.ndarray]) -> np.ndarray | None:
    """The density that `system` knows exactly, averaged over each bin as counts are; None where it knows none."""
    points, weights = np.polynomial.legendre.leggauss(BIN_POINTS)
    places, shares = [], []
    for e, shells in zip(edges, view.shells, strict=True):
        x = e[:-1, None] + np.diff(e)[:, None] * (points + 1) / 2
        share = weights * np.abs(x) ** (shells - 1)
        places.append(x.ravel())
        shares.append(share / share.sum(1, keepdims=True))
    if len(edges) == 1:
        found = system.exact_density(view.group, view.name, places[0])
        return None if found is None else (found.reshape(shares[0].shape) * shares[0]).sum(1)
    found = system.exact_density(view.group, view.name, places[0][:, None], places[1])
    if found is None:
        return None
    means: np.ndarray = np.einsum("iajb,ia,jb->ij", found.reshape(len(shares[0]), BIN_POINTS, -1, BIN_POINTS), *shares)
    return means


def _shell_volumes(edges: np.ndarray, dim: int) -> np.ndarray:
    if dim == 1:
        return np.diff(edges)
    volumes: np.ndarray = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1) * np.diff(edges**dim)
    return volumes


def _axis_words(view: View, axis: str) -> str:
    if view.group == "pair":
        return "distance between two particles"
    radial = {"r": "distance from the origin", "rho": "distance from the axis of the nuclei"}
    return radial.get(axis, f"coordinate {axis}")


def drift_fields(net: LogPsi | PairDrift, system: System, x: Tensor, generator: torch.Generator) -> list[DriftField]:
    """Drift of particle 0 on a line (1D) or plane, the others where the walkers x (B, N, D) and a climb find them most likely.

    The plane is xy for traps and xz (y = 0) where there are nuclei. Where no direction is another it goes through the origin,
    particle 0 and its nearest neighbour. The walkers are the solver's; places and drift are those of the user's coordinates.
    """
    dim = system.dimensions
    place = outward(system, most_likely(net, system, x, generator))
    x = outward(system, x)
    nuclei = system.nuclei()
    # particles that all sit at the origin have no plane
    apart = system.particles > 1 and bool(place.norm(dim=1).max() > APART * x.std())
    if nuclei is None and system.isotropic and dim > 2 and apart:
        place = turned(place)
    # for nuclei z comes first: the axis of the molecule lies flat in a figure
    plane = (0,) if dim == 1 else (2, 0) if nuclei is not None else (0, 1)
    names = ["xyz"[a] if dim <= 3 else f"x{a + 1}" for a in plane]
    axes = []
    for a, name in zip(plane, names, strict=True):
        # all particles and a symmetric range in the plane: the picture shows the whole cloud
        low, high = np.quantile(x[..., a].cpu().numpy(), [0.002, 0.998])
        pad = 0.1 * (high - low)
        points = LINE_POINTS if dim == 1 else FIELD_POINTS
        edges = np.linspace(low - pad, high + pad, points + 1)
        axes.append(Axis(name, system.length_unit, f"coordinate {name} of the moved particle", edges))
    grid = torch.cartesian_prod(*(torch.as_tensor(axis.centres, device=x.device) for axis in axes)).view(-1, len(plane))
    moved = place.repeat(len(grid), 1, 1)
    if nuclei is not None:
        moved[:, 0, 1] = 0.0
    for column, a in enumerate(plane):
        moved[:, 0, a] = grid[:, column].to(moved)
    shape = tuple(len(axis.centres) for axis in axes)
    moved = inward(system, moved)
    if isinstance(net, LogPsi):
        value, v = chunks.value_and_drift(net, moved)
    else:
        v = torch.cat([net.drift(part) for part in moved.split(chunks.chunk_size(net))])
        value = v.new_full((len(moved),), math.nan)
    vectors = outward(system, v)[:, 0, list(plane)].cpu().numpy().reshape(*shape, len(plane))
    log_psi = value.cpu().numpy().reshape(shape)
    return [DriftField("".join(names), tuple(axes), vectors, log_psi, 0, place.cpu().numpy())]


def turned(place: Tensor) -> Tensor:
    """A configuration (N, D) turned about the origin: particle 0 on the axis x, its nearest neighbour in the plane xy."""
    nearest = 1 + int((place[1:] - place[0]).norm(dim=1).argmin())
    frame, corner = torch.linalg.qr(place[[0, nearest]].mT, mode="complete")
    signs = torch.ones(place.shape[1], dtype=place.dtype, device=place.device)
    signs[:2] = torch.where(corner.diagonal() < 0, -1.0, 1.0)
    return torch.matmul(place, frame * signs)


def most_likely(net: LogPsi | PairDrift, system: System, x: Tensor, generator: torch.Generator) -> Tensor:
    """The configuration (N, D) at which log ψ is largest, near the best of the walkers x (B, N, D).

    One particle at a time tries to go uphill: no gradient is asked for, so that a cusp is as good a place as any. A vector
    drift has no log ψ: its best place is the one of lowest potential.
    """
    height = net.value if isinstance(net, LogPsi) else lambda y: -system.potential(y)
    n, dim = x.shape[1:]
    with torch.no_grad():
        values = torch.cat([height(part) for part in x.split(chunks.chunk_size(net))])
        place, value = x[values.argmax()], values.max()
        step = x.std(0).mean()
        fine = FINE * step
        for turn in range(ROUNDS):
            if turn % LOOK == 0 and bool(step < fine):
                break
            tried = place.repeat(TRIES, 1, 1)
            which = torch.randint(n, (TRIES,), generator=generator, device=x.device)
            moves = torch.randn(TRIES, dim, generator=generator, device=x.device, dtype=x.dtype)
            tried[torch.arange(TRIES, device=x.device), which] += step * moves
            found = height(tried)
            uphill = found.max() > value
            place, value = torch.where(uphill, tried[found.argmax()], place), torch.maximum(value, found.max())
            step = torch.where(uphill, step, 0.7 * step)
    return place


def trajectories(
    net: LogPsi | PairDrift, system: System, x: Tensor, natural_time: float, generator: torch.Generator
) -> Trajectories:
    """Euler–Maruyama paths of the first of the walkers x (B, N, D) under the frozen drift, a few natural times long.

    The walkers are the solver's; the paths are those of the user's coordinates.
    """
    start = x[: -(-SHOWN_PARTICLES // x.shape[1])]
    steps, dt = round(LASTING * STEPS_IN_TIME), natural_time / STEPS_IN_TIME
    noise = torch.randn(steps, *start.shape, generator=generator, device=x.device, dtype=x.dtype)
    places = torch.stack([place for place, _, _ in integrate(net.drift, start, dt, noise)], 1)
    return Trajectories(dt * np.arange(places.shape[1]), outward(system, places).cpu().numpy())
