"""What was found of a system, for Python: energies, densities, pictures, and the drift as a function of positions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from torch import Tensor

from fkflow.api.arguments import (
    LARGEST_SEED,
    MOST_THREADS,
    given,
    kept_threads,
    known_device,
    python_words,
    shown,
    whole,
)
from fkflow.errors import UsageError
from fkflow.execution.progress import Progress
from fkflow.hamiltonian.system import Reference, System
from fkflow.recipe.config import Recipe, composed
from fkflow.results import folders, store
from fkflow.results.records import Histogram, Result
from fkflow.results.summary import summary_html, summary_text
from fkflow.runs import evaluation
from fkflow.runs.evaluation import Array
from fkflow.runs.rerun import recipe_of
from fkflow.runs.restore import Model, trained
from fkflow.runs.run import again
from fkflow.statistics import Estimate

if TYPE_CHECKING:
    from fkflow.plot.solution_plots import Plots


class Solution:
    """What was found of a system: `fkflow.solve`, `fkflow.load` and `Training.solution` return it.

    Numbers and arrays are there at once; the network, which `drift` and `log_psi` need, is rebuilt when it is first asked
    for. Lengths and energies are in the units of the system. Printed, it is the summary of the run.
    """

    #: all that was measured, trained and recorded, as plain data
    result: Result

    def __init__(
        self, result: Result, recipe: Recipe | None = None, system: System | type[System] | None = None
    ) -> None:
        self.result = result
        self._recipe, self._given = recipe, system

    @property
    def energy(self) -> Estimate:
        """The best energy there is: projected to the ground state, with its time-step error in the error, else variational."""
        return self.result.energy

    @property
    def variational(self) -> Estimate:
        """The energy of the trained ψ: an upper bound (but for its error) unless the drift is no gradient."""
        return self.result.measurement.variational.estimate

    @property
    def projected(self) -> Estimate | None:
        """The energy projected to the ground state, statistical and time-step error combined; None if it was not."""
        projection = self.result.measurement.projection
        return None if projection is None else projection.total

    @property
    def reference(self) -> Reference | None:
        """The known energy, or None."""
        return self.result.reference

    @property
    def density(self) -> Histogram:
        """The one-body density along a line; `densities` has all."""
        return self._first("density")

    @property
    def pair(self) -> Histogram:
        """The distribution of the distance of two particles. Raises UsageError for a single one."""
        if self.result.particles == 1:
            raise UsageError(f"{self.result.run} has no pair distribution: it is a single particle")
        return self._first("pair")

    @property
    def densities(self) -> dict[str, Histogram]:
        """All one-body densities by the names of their axes, such as "r", "z" or, in a plane, "xy"."""
        return {h.name: h for h in self.result.measurement.histograms if h.group == "density"}

    def _first(self, group: str) -> Histogram:
        for histogram in self.result.measurement.histograms:
            if histogram.group == group and len(histogram.axes) == 1:
                return histogram
        raise UsageError(f"{self.result.file} is not a complete result: it has no {group} distribution")

    @property
    def samples(self) -> Array:
        """Configurations (n, N, D) distributed as |ψ|²."""
        return self.result.measurement.samples

    @property
    def training(self) -> dict[str, Array]:
        """The columns of the training, each (iterations,): iteration, energy, error, spread, seconds and more."""
        return self.result.training

    @property
    def warnings(self) -> list[str]:
        """What the run has to warn of, a sentence each."""
        return self.result.warnings

    @property
    def path(self) -> Path | None:
        """The file it was read from or saved to, if any."""
        return self.result.path

    @property
    def recipe(self) -> dict[str, dict[str, Any]]:
        """The recipe with every default filled in: {"system": {...}, "train": {...}, ...}."""
        return self.result.resolved

    @property
    def system(self) -> System:
        """The system. Raises as `drift` does."""
        return self._known_recipe.system

    def summary(self) -> dict[str, Any]:
        """The numbers of the summary as plain values: what ``fkflow show --json`` prints."""
        return self.result.summary()

    @cached_property
    def _known_recipe(self) -> Recipe:
        if self._recipe is not None:
            return self._recipe
        with python_words():
            return recipe_of(self.result, (), system=self._given).recipe

    @cached_property
    def _model(self) -> Model:
        recipe = self._known_recipe
        with python_words():
            return trained(recipe, self.result)

    @overload
    def drift(self, x: Tensor) -> Tensor: ...
    @overload
    def drift(self, x: Array) -> Array: ...
    def drift(self, x: Tensor | Array) -> Tensor | Array:
        """The drift v_i = ∇_i log ψ / m_i at positions x (B, N, D) or (N, D), in the same shape, without gradients.

        Arrays give arrays, tensors tensors. The paths dX = v dt + dW/√m are distributed as |ψ|² in the end.

        Raises:
            UsageError: x has another shape; or the class of the system is not found again: `fkflow.load` takes it as `system`.
        """
        return evaluation.drift(self._model, x)

    @overload
    def log_psi(self, x: Tensor) -> Tensor: ...
    @overload
    def log_psi(self, x: Array) -> Array: ...
    def log_psi(self, x: Tensor | Array) -> Tensor | Array:
        """log ψ (B,) or () at positions x (B, N, D) or (N, D), up to one constant, without gradients.

        Raises:
            UsageError: as `drift`; or the network is a vector drift, which has no log ψ.
        """
        return evaluation.log_psi(self._model, x)

    @property
    def plot(self) -> Plots:
        """The pictures: ``plot.density()``, ``plot.convergence()`` and so on return matplotlib's Axes."""
        from fkflow.plot.solution_plots import Plots

        return Plots(self.result)

    def measure(
        self,
        *,
        measure: Mapping[str, Any] | None = None,
        project: Mapping[str, Any] | None = None,
        target_error: float | None = None,
        seed: int | None = None,
        threads: int | None = None,
        device: str = "auto",
        progress: bool | Progress = True,
    ) -> Solution:
        """Measure and project the same drift once more, with other keys of [measure] and [project].

        The solution it returns is in no file; this one stays what it is. Arguments and errors as in `fkflow.solve`.
        """
        with python_words(), kept_threads(), shown(progress) as watcher:
            tables = given({"measure": measure, "project": project}, target_error)
            # how it was trained stays what it was
            tables.pop("train", None)
            resolved = self._known_recipe.resolved()
            sections = {name: {**table, **tables.get(name, {})} for name, table in resolved.items() if name != "system"}
            recipe = composed(self.system, sections).recipe
            recipe = recipe.model_copy(update={"definition": self._known_recipe.definition})
            result = again(
                self.result,
                recipe,
                seed=whole("seed", seed, 0, LARGEST_SEED),
                threads=whole("threads", threads, 1, MOST_THREADS),
                device=known_device(device),
                progress=watcher,
            )
        return Solution(result, recipe)

    def save(self, path: str | Path) -> Path:
        """Write it to a run folder, or to a file whose name ends in .h5, and return the file.

        What `fkflow show`, `plot`, `compare` and `fkflow.load` take. Nothing is overwritten.

        Raises:
            UsageError: there is a file already, or the folder cannot be written.
        """
        path = Path(path).expanduser()
        with python_words():
            if path.suffix == ".h5":
                if path.exists():
                    raise UsageError(f"{path} exists already: choose another file, or remove it first")
                folders.make_folder(path.parent)
                self.result = store.save_result(self.result, path)
            else:
                with folders.claimed(path, False):
                    path = path / folders.RESULT
                    self.result = store.save_result(self.result, path)
        warn_of_lost_class(self.result)
        return path

    def __str__(self) -> str:
        return summary_text(self.result)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html(self.result)


def warn_of_lost_class(result: Result) -> None:
    """Say what cannot be had back from a file if the class of its system is in no file."""
    definition = result.definition
    if definition is not None and definition.path is None:
        name = definition.name
        warnings.warn(
            f"{name} is a class of this program, in no file: {result.run} keeps energies, densities and plots, but its drift "
            f"and log_psi need the class again: fkflow.load({result.run!r}, system={name})",
            stacklevel=3,
        )
