"""The solution of a system: energies, densities, pictures, and the drift as a function of positions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fkflow.api import tables
from fkflow.api.arguments import python_errors
from fkflow.api.computing import add_spectrum, measure_again
from fkflow.api.saving import save_result, warn_of_missing_file
from fkflow.errors import UsageError
from fkflow.execution.progress import Progress
from fkflow.hamiltonian.system import Reference, System
from fkflow.recipe.config import Recipe
from fkflow.results.liquid import Liquid
from fkflow.results.records import Histogram, Observables
from fkflow.results.result import Result
from fkflow.results.summary import summary_html, summary_text
from fkflow.results.thermal import ThermalState
from fkflow.runs import evaluation
from fkflow.runs.evaluation import Array, Positions
from fkflow.runs.exploration import Explored
from fkflow.runs.model import Model, load_model
from fkflow.runs.rerun import recipe_of
from fkflow.statistics import Estimate

if TYPE_CHECKING:
    from fkflow.api.spectrum import SolvedSpectrum
    from fkflow.plot.solution_plots import Plots


class Solution:
    """The solution of a system, as `fkflow.solve`, `fkflow.load` and `Training.solution` return it.

    The network, which `drift` and `log_psi` need, is rebuilt when it is first used. Lengths and energies are in the units of
    the system. Printed, it is the summary of the run.
    """

    #: all records of the run, as plain data
    result: Result

    def __init__(
        self,
        result: Result,
        recipe: Recipe | None = None,
        system: System | type[System] | None = None,
        explored: Explored | None = None,
    ) -> None:
        self.result = result
        self._recipe, self._given, self._explored = recipe, system, explored

    @property
    def energy(self) -> Estimate:
        """The best energy: the projected one, with its time-step error in the error, else the variational one."""
        return self.result.energy

    @property
    def thermal(self) -> list[ThermalState]:
        """The states at the temperatures of the run, in the order of its recipe; [] for a run for the ground state.

        Such a run has no ground state: `energy`, `density` and the like raise UsageError.
        """
        return [] if self.result.thermal is None else list(self.result.thermal.states)

    @property
    def free_energy(self) -> Estimate | tuple[Estimate, ...]:
        """F = −T log Z at the temperature of the run, or a tuple for several. UsageError for a run for the ground state."""
        found = tuple(state.free_energy for state in self.thermal)
        if not found:
            raise UsageError(f"{self.result.run} has no free energy: thermal.temperature or thermal.beta asks for one")
        return found[0] if len(found) == 1 else found

    @property
    def variational(self) -> Estimate:
        """The energy of the trained ψ: an upper bound within its error, except for a vector drift."""
        return self.result.measurement.variational.estimate

    @property
    def projected(self) -> Estimate | None:
        """The energy projected to the ground state, statistical and time-step error combined; None without a projection."""
        projection = self.result.measurement.projection
        return None if projection is None else projection.total

    @property
    def status(self) -> str:
        """Whether the energy can be trusted: "converged", "doubtful" or "failed" (the energy is then NaN)."""
        return self.result.status

    @property
    def doubts(self) -> list[str]:
        """Why the run is not converged, a sentence each."""
        return self.result.named(self.result.doubts)

    @property
    def gap(self) -> float | None:
        """E1 − E0: of the levels, if they were computed, else from the slowest mode of the drift; None for a vector drift."""
        return self.result.measurement.gap

    @property
    def observables(self) -> Observables:
        """What `observables` of the system gives, by name: averages with errors, projected to the ground state where possible.

        Each is an `Estimate` that also has `variational` and `projected` (None without a projection); a tuple of them where the
        observable has several numbers.
        """
        return self.result.measurement.observables

    @property
    def liquid(self) -> Liquid:
        """What is measured in a periodic box: ``liquid.curves["structure_factor"]``, ``liquid.numbers["pressure"]``.

        Raises UsageError for a single particle or in open space.
        """
        found = self.result.measurement.liquid
        if found is None:
            raise UsageError(f"{self.result.run} is no liquid: it is not of several particles in a periodic box")
        return found

    @property
    def reference(self) -> Reference | None:
        """The known energy, or None."""
        return self.result.reference

    @property
    def density(self) -> Histogram:
        """The first one-body density along a line; `densities` has all."""
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
        """The warnings of the run, a sentence each."""
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
        """The numbers of the summary as plain values, as ``fkflow show --json`` prints them."""
        return self.result.summary()

    def to_xarray(self) -> Any:
        """All of the result as an `xarray.DataTree`, with the groups of result.h5: ``tree["density/x/projected"]``.

        Axes are coordinates; units and long names are attributes. Raises UsageError if xarray or h5netcdf is not installed
        (``pip install 'fkflow[data]'``).
        """
        return tables.to_xarray(self.result)

    def to_pandas(self, part: str = "training") -> Any:
        """A `pandas.DataFrame`: the training by iteration, or a distribution such as "density/x" or "pair/r" by its bins.

        Raises UsageError if there is no such part, or if pandas is not installed (``pip install 'fkflow[data]'``).
        """
        return tables.to_pandas(self.result, part)

    @cached_property
    def _known_recipe(self) -> Recipe:
        if self._recipe is not None:
            return self._recipe
        with python_errors():
            return recipe_of(self.result, (), system=self._given).recipe

    @cached_property
    def _model(self) -> Model:
        recipe = self._known_recipe
        with python_errors():
            return load_model(recipe, self.result, explored=self._explored)

    def drift(self, x: Positions) -> Positions:
        """The drift v_i = ∇_i log ψ / m_i at positions x (B, N, D) or (N, D), in the same shape, without gradients.

        Arrays give arrays, tensors give tensors. The stationary distribution of dX = v dt + dW/√m is |ψ|².

        Raises:
            UsageError: x has another shape; or the class of the system is in no file: give it to `fkflow.load` as `system`.
        """
        return evaluation.drift(self._model, x)

    def log_psi(self, x: Positions) -> Positions:
        """log ψ (B,) or () at positions x (B, N, D) or (N, D), up to one constant, without gradients.

        Raises:
            UsageError: as for `drift`; or the network is a vector drift, which has no log ψ.
        """
        return evaluation.log_psi(self._model, x)

    @property
    def plot(self) -> Plots:
        """The pictures: ``plot()`` is a summary in one figure; ``plot.density()`` and so on return matplotlib's Axes."""
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

        Returns a new solution, in no file yet. Arguments and errors are those of `fkflow.solve`.
        """
        known, sections = (self.result, self._known_recipe), {"measure": measure, "project": project}
        options: dict[str, Any] = {"seed": seed, "threads": threads, "device": device}
        found, recipe, explored = measure_again(*known, sections, target_error, progress, **options)
        return Solution(found, recipe, explored=explored)

    def spectrum(
        self,
        states: int | None = None,
        *,
        functions: int = 48,
        statistics: str = "bose",
        seed: int | None = None,
        threads: int | None = None,
        progress: bool | Progress = True,
    ) -> SolvedSpectrum:
        """The lowest `states` excited levels, from the drift that is there; they become part of this solution.

        Left out, those that the solution has, or six. `functions` is the number of random functions of one kind, `statistics`
        "bose", or "fermi" for levels that change sign with an exchange of identical particles. `save` stores them.

        Raises:
            UsageError: the run failed or has no log ψ, or the system has no such levels.
            NumericalError: no level is resolved.
        """
        from fkflow.api.spectrum import SolvedSpectrum

        if states is not None or self.result.spectrum is None:
            wanted = {"states": states, "functions": functions, "statistics": statistics}
            known = self.result, self._known_recipe, self._explored
            self.result, self._explored = add_spectrum(*known, wanted, progress, seed=seed, threads=threads)
        return SolvedSpectrum(self.result, self._model)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write a run folder, or a file whose name ends in .h5, and return the file.

        `fkflow show`, `plot`, `compare` and `fkflow.load` read it. Nothing is overwritten, unless `force` is set.

        Raises:
            UsageError: there is a file already, or the folder cannot be written.
        """
        self.result, file = save_result(self.result, Path(path).expanduser(), force=force)
        warn_of_missing_file(self.result)
        return file

    def __repr__(self) -> str:
        return summary_text(self.result)

    def _repr_html_(self) -> str:
        return summary_html(self.result)
