"""`fkflow propagate`: from a request to a `Propagation`, written or not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import Interrupted, UsageError
from fkflow.execution import ranks
from fkflow.execution.device import choose_threads, keep_freed_memory
from fkflow.execution.threads import use_threads
from fkflow.hamiltonian.masses import to_solver_coordinates, to_user_coordinates, user_masses
from fkflow.results.paths import PROPAGATION
from fkflow.results.propagation import Column, DriftFilm, Propagation
from fkflow.results.propagation_store import save_propagation
from fkflow.results.provenance import collect_provenance
from fkflow.results.store import hide_home
from fkflow.runs.context import RunContext
from fkflow.runs.exploration import Explored, find_landscape
from fkflow.runs.propagation_request import GRID, Request, check_request, wave_of, words_of
from fkflow.text import strict_json
from fkflow.thermal import ends as open_ends
from fkflow.thermal.place_means import POOR, Values
from fkflow.thermal.pose import pose, refuse
from fkflow.thermal.problem import Problem
from fkflow.thermal.propagate import Propagator, Wave

Found = TypeVar("Found")

#: paths of a place, of a kernel or an amplitude, and of a place at each time of the drift
PATHS, MANY, DRIFT = 1000, 20_000, 400
#: points of a grid that is chosen here, on a line and along each axis of a plane
LINE, PLANE = 81, 33
#: natural lengths by which the places of a training are spread
SPREAD = 0.15


def execute(context: RunContext, request: Request) -> Propagation:
    """Propagate, and write propagation.h5 into the folder of the context, if there is one, whole or not at all.

    Raises UsageError for what cannot be asked of this system, NumericalError if no path has a weight, Interrupted.
    """
    if ranks.count() > 1:
        raise UsageError("a propagation works in one process: start it without torchrun")
    context.device, context.threads = "cpu", choose_threads(context.threads)
    use_threads(context.threads)
    keep_freed_memory()
    with context.listen():
        try:
            with context.signals.raise_at_once():
                found = _propagate(context, request)
        except KeyboardInterrupt:
            if context.signals.twice:
                raise
            raise Interrupted("stopped: nothing was written") from None
    return found if context.out is None else save_propagation(found, context.out / PROPAGATION)


def _propagate(context: RunContext, request: Request) -> Propagation:
    began = time.monotonic()
    recipe = context.recipe
    system = recipe.system
    shape = int(system.particles), int(system.dimensions)
    check_request(request, shape)
    wave = wave_of(request, shape)
    try:
        refuse(system, None, "boltzmann")
        model = find_landscape(recipe)
        problem = pose(model.system, model.landscape, max(request.times), "boltzmann", context.seed)
    except UsageError as error:
        why = str(error).removesuffix("; leave thermal.temperature out")
        raise UsageError(f"fkflow propagate takes the systems that have a temperature, and {why}") from None
    context.tell(model.notes, model.warnings)
    work = _Work(context, request, problem, model, wave)
    found = work.run()
    return Propagation(
        path=None,
        name=hide_home(context.loaded.name),
        system=str(recipe.resolved()["system"].get("name", system.key)),
        parameters=hide_home(strict_json(system.parameters())),
        particles=shape[0],
        dimensions=shape[1],
        energy_unit=system.energy_unit,
        length_unit=system.length_unit,
        resolved=hide_home(strict_json(recipe.resolved())),
        provenance=collect_provenance(
            seed=context.seed, device="cpu", threads=context.threads or 1, started=context.began
        ),
        wave=words_of(request),
        times=np.array(request.times),
        paths=request.paths or PATHS,
        seconds=time.monotonic() - began,
        doubts=work.doubts,
        **found,  # type: ignore[arg-type]
    )


class _Work:
    """A propagation under way."""

    def __init__(
        self, context: RunContext, request: Request, problem: Problem, model: Explored, wave: Wave | None
    ) -> None:
        self.context, self.request, self.problem, self.wave = context, request, problem, wave
        self.system = model.system
        self.doubts: list[str] = []
        masses = np.array(user_masses(self.system))
        n_d = self.system.particles * self.system.dimensions
        #: ∫ dx of natural coordinates in the units of the user
        self.volume = problem.length**n_d / float(np.prod(masses ** (0.5 * self.system.dimensions)))

    def run(self) -> dict[str, object]:
        """The parts of a `Propagation`."""
        request, shape = self.request, (self.system.particles, self.system.dimensions)
        found: dict[str, object] = {
            "places": np.zeros((0, *shape)), "axes": (), "potential": np.zeros(0), "psi": None, "kernel": None,
            "ends": np.zeros((0, 2, *shape)), "survival": None, "share": None, "drift": None,
        }  # fmt: skip
        if self.wave is not None:
            found |= self._of_wave(self.wave)
        if request.ends is not None:
            found |= self._kernels(request.ends)
        return found

    def _propagator(self, wave: Wave | None) -> Propagator:
        return Propagator(self.problem, wave, self.request.times, self.context.progress, self.context.seed)

    def _natural(self, x: np.ndarray) -> Tensor:
        """Natural coordinates (…, n, D') of places (…, N, D) of the user."""
        return self.problem.from_solver(to_solver_coordinates(self.system, torch.as_tensor(x, dtype=torch.float64)))

    def _of_wave(self, wave: Wave) -> dict[str, object]:
        request = self.request
        work = self._propagator(wave)
        axes, places = self._places(work)
        here = self._natural(places)
        pool = (
            [here + SPREAD * torch.randn(here.shape, generator=work.generator, dtype=torch.float64)]
            if len(here)
            else []
        )
        assert work.ends is not None
        if request.survival:
            pool.append(work.ends.draw(1024, work.generator).view(-1, *work.cloud.shape[1:]))
        work.train(torch.cat(pool), request.iterations)
        found: dict[str, object] = {"places": places, "axes": axes}
        if len(places):
            x = torch.as_tensor(places, dtype=torch.float64)
            found["potential"] = self.system.potential(to_solver_coordinates(self.system, x)).numpy()
            at_places = self._values("measure", len(here), lambda t: work.values(here, t, request.paths or PATHS))
            found["psi"] = self._column(at_places, 1.0, "psi")
            if request.frames:
                found["drift"] = self._drift(work, here)
        if request.survival:
            count = request.paths or MANY
            both = self._values("survival", 1, lambda t: work.survival(t, count))
            found["survival"] = self._column([one for one, _ in both], self.volume, "survival")
            found["share"] = self._column([share for _, share in both], 1.0, "")
        return found

    def _kernels(self, ends: np.ndarray) -> dict[str, object]:
        work = self._propagator(None)
        starts, stops = self._natural(ends[:, 0]), self._natural(ends[:, 1]).flatten(1)
        goals = open_ends.points(work.frequencies, stops)
        work.train(starts, self.request.iterations, goals)
        count = self.request.paths or MANY
        found = self._values("measure", len(starts), lambda t: work.values(starts, t, count, goals))
        return {"ends": ends, "kernel": self._column(found, 1 / self.volume, "kernel")}

    def _values(self, stage: str, count: int, at: Callable[[float], Found]) -> list[Found]:
        """What `at` gives for each time."""
        found = []
        for t in self.request.times:
            self.context.progress.stage(f"{stage} t = {t:g}", float(count))
            found.append(at(t))
        return found

    def _column(self, found: list[Values], scale: float, what: str) -> Column:
        """The values at all times in the units of the user, with doubts about them."""
        for t, one in zip(self.request.times, found, strict=True):
            silent = np.isnan(one.values)
            poor = ~silent & (one.ess < POOR)
            if what and silent.any():
                self.doubts.append(
                    f"t = {t:g}: {silent.sum()} of {len(silent)} values of {what} are left out: a few paths had all the weight"
                )
            if what and poor.any():
                self.doubts.append(
                    f"t = {t:g}: {poor.sum()} of {len(poor)} values of {what} rest on few paths, with errors that may be too "
                    f"small: effective share down to {one.ess[poor].min():.2g}"
                )
        rows = [[getattr(one, name) for one in found] for name in ("values", "errors", "ess", "step_error")]
        values, errors, ess, step = (np.array(row) for row in rows)
        return Column(scale * values, scale * errors, ess, scale * step)

    def _places(self, work: Propagator) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """The axes of a grid, if it is one, and the places (P, N, D)."""
        request, shape = self.request, (self.system.particles, self.system.dimensions)
        if request.points is not None:
            return (), request.points
        axes = request.grid
        if not axes and (request.survival or request.ends is not None) and not request.frames:
            return (), np.zeros((0, *shape))
        if not axes:
            if math.prod(shape) > GRID:
                raise UsageError(
                    f"a grid has at most {GRID} coordinates, and here are {math.prod(shape)}: give the places as --point"
                )
            axes = self._suitable(work)
        places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, *shape)
        return axes, places

    def _suitable(self, work: Propagator) -> tuple[np.ndarray, ...]:
        """Axes that hold the ground state, about, and ψ."""
        assert work.ends is not None
        y = torch.cat([work.cloud.flatten(1), work.ends.draw(len(work.cloud), work.generator)]).view(
            -1, *work.cloud.shape[1:]
        )
        x = to_user_coordinates(self.system, self.problem.to_solver(y)).flatten(1).numpy()
        low, high = np.quantile(x, 0.005, axis=0), np.quantile(x, 0.995, axis=0)
        pad, count = 0.1 * (high - low), LINE if x.shape[1] == 1 else PLANE
        # round numbers
        unit = 10.0 ** np.floor(np.log10(high - low) - 1)
        return tuple(
            np.linspace(u * math.floor((a - p) / u), u * math.ceil((b + p) / u), count)
            for a, b, p, u in zip(low, high, pad, unit, strict=True)
        )

    def _drift(self, work: Propagator, here: Tensor) -> DriftFilm:
        """v(x, t) at equal steps from 0 to before the last time."""
        end, count = max(self.request.times), self.request.frames
        times = end * np.arange(count) / count
        root = torch.as_tensor(np.array(user_masses(self.system)) ** 0.5)[:, None]
        vectors, errors, shares = [], [], []
        self.context.progress.stage("drift", float(count))
        for number, t in enumerate(times, 1):
            found = work.drift(here, end - float(t), self.request.paths or DRIFT)
            axes, length = self.problem.axes, self.problem.length
            flat = (torch.as_tensor(found.vectors), torch.as_tensor(found.errors))
            v, e = (part.view(here.shape) for part in flat)
            shape = (-1, self.system.particles, self.system.dimensions)
            vectors.append(((v @ axes.T).reshape(shape) / root / length).numpy())
            errors.append(((e.square() @ axes.square().T).sqrt().reshape(shape) / root / length).numpy())
            shares.append(found.ess)
            self.context.progress.update(float(number), None, None)
        film = DriftFilm(times, end, np.array(vectors), np.array(errors), np.array(shares))
        if silent := int(np.isnan(film.vectors).sum()):
            self.doubts.append(f"{silent} of {film.vectors.size} drifts are left out: a few paths had all the weight")
        return film
