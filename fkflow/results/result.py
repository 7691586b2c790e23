"""The `Result` of one run as plain data, as stored in result.h5, and the `Comparison` of energies."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fkflow.hamiltonian.species import Species
from fkflow.hamiltonian.system import Reference
from fkflow.hamiltonian.user_systems import Definition
from fkflow.results.records import Measurement, observable_entries
from fkflow.results.spectrum import Spectrum
from fkflow.results.status import FAILED
from fkflow.results.thermal import Thermal
from fkflow.statistics import Estimate, combined_error
from fkflow.text import strict_json, title

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Result:
    """One finished run, as stored in result.h5.

    `path` is the file as the user named it, or None. `name` is that of the recipe, `recipe_text` the recipe as written,
    `recipe_source` its file name, `resolved` the recipe with every default (``[system]`` has ``name`` and the parameters).
    `system` is the name of the system, `parameters` are its values: N `particles` in D `dimensions`, with `nuclei` (M, 3)
    or None, and the `species` that it declares, if any. `energy_unit` and `length_unit` are those of all numbers here,
    `reference` is the known energy or None. `training` has one array a column, all (iterations,); `measurement` what was
    measured; `model` the weights by name; `seconds` the wall-clock time of each stage; `provenance` seed, device, versions
    and times. `definition` is the file that defines the system, if it is not built in: its text is never run. `status` is
    "converged", "doubtful" or "failed", `doubts` say why, a sentence each. `spectrum` are its excited levels, if they were
    computed. `tail` is what an interaction that is cut at a distance would add to the energy beyond it, or None.
    `thermal` are its states at temperatures; a run that has them has no ground state, and its `measurement` raises UsageError
    for all that one has.
    """

    path: Path | None
    name: str
    system: str
    parameters: dict[str, Any]
    particles: int
    dimensions: int
    energy_unit: str
    length_unit: str
    nuclei: np.ndarray | None
    reference: Reference | None
    recipe_text: str
    recipe_source: str
    resolved: dict[str, Any]
    provenance: dict[str, Any]
    training: dict[str, np.ndarray]
    measurement: Measurement
    model: dict[str, np.ndarray]
    seconds: dict[str, float]
    definition: Definition | None = None
    status: str = "converged"
    doubts: list[str] = field(default_factory=list)
    species: tuple[Species, ...] = ()
    spectrum: Spectrum | None = None
    thermal: Thermal | None = None
    tail: float | None = None

    @property
    def run(self) -> str:
        """The run folder as the user named it; words for messages if there is none."""
        return f"this run of {self.system}" if self.path is None else self.path.parent.as_posix()

    @property
    def file(self) -> str:
        """How messages call the file."""
        return self.run if self.path is None else self.path.as_posix()

    @property
    def folder(self) -> Path:
        """The folder of the run, else the working directory."""
        return Path() if self.path is None else self.path.parent

    @property
    def ranks(self) -> int:
        """The number of processes that measured it (1 in files of older versions)."""
        return int(self.provenance.get("ranks", 1))

    @property
    def energy(self) -> Estimate:
        """The best energy: projected, with all errors in the error, else variational; NaN if the run failed."""
        if self.failed:
            return Estimate(math.nan, math.nan)
        projection = self.measurement.projection
        return self.measurement.variational.estimate if projection is None else projection.total

    @property
    def per_particle(self) -> dict[str, float] | None:
        """The best energy of a particle of a liquid, "energy" ± "error", without its "tail"; None where nothing is cut."""
        if self.tail is None or self.failed:
            return None
        energy = self.energy
        found = {"energy": energy.value, "error": energy.error, "tail": self.tail}
        return {name: value / self.particles for name, value in found.items()}

    @property
    def failed(self) -> bool:
        """Whether the run has no energy to trust."""
        return self.status == FAILED

    @property
    def failure(self) -> str:
        """Why a failed run has no energy, and the file that has its pictures, if there is one."""
        return self.named(self.doubts)[0] + (
            "" if self.path is None else f"; {self.file} has its pictures, and no energy"
        )

    @property
    def warnings(self) -> list[str]:
        """The warnings of measurement and projection, or of the temperatures, doubts among them."""
        if self.thermal is not None:
            return list(self.thermal.warnings)
        projection = self.measurement.projection
        return self.named([*self.measurement.warnings, *(projection.warnings if projection else [])])

    def named(self, sentences: Sequence[str]) -> list[str]:
        """Warnings or doubts as they are shown: commands in them have the folder of the run, which may move, for RUN."""
        if self.path is None:
            call = r'solution.measure(\1={"\2": ...})'
            return [re.sub(r"fkflow measure RUN --set (\w+)\.(\w+)=\.\.\.", call, sentence) for sentence in sentences]
        here = f"fkflow measure {shlex.quote(self.run)} "
        return [sentence.replace("fkflow measure RUN ", here) for sentence in sentences]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The training columns as one dictionary an iteration."""
        columns = {name: column.tolist() for name, column in self.training.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def model_state(self) -> dict[str, Tensor]:
        """The weights as torch tensors, ready for ``load_state_dict``."""
        import torch

        return {name: torch.from_numpy(np.array(weights)) for name, weights in self.model.items()}

    def summary(self) -> dict[str, Any]:
        """The JSON object of ``run``, ``measure`` and ``show``; numbers that are not finite become None."""
        if self.thermal is not None:
            return self._thermal_summary(self.thermal)
        measured, projection = self.measurement.variational, self.measurement.projection
        liquid = self.measurement.liquid
        summary: dict[str, Any] = strict_json(
            {
                "system": self.system,
                "parameters": self.parameters,
                **({"species": [asdict(one) for one in self.species]} if self.species else {}),
                **self._head(self.named(self.doubts)),
                "variational": None
                if self.failed
                else {
                    "energy": measured.estimate.value,
                    "error": measured.estimate.error,
                    "local_energy_std": measured.local_energy_std,
                },
                "projected": None
                if self.failed or projection is None
                else {
                    "energy": projection.estimate.value,
                    "error": projection.estimate.error,
                    "time_step_error": projection.time_step_error,
                    "slow_mode_error": projection.slow_mode_error,
                },
                **({} if self.tail is None else {"per_particle": self.per_particle}),
                "gap": self.measurement.gap,
                "observables": {} if self.failed else observable_entries(self.measurement.observables),
                **({} if self.failed or liquid is None else {"liquid": liquid.summary()}),
                "reference": self.reference and asdict(self.reference),
                **({} if self.spectrum is None else {"spectrum": self.spectrum.summary()}),
                "seconds": self.seconds,
            }
        )
        return summary

    def _head(self, doubts: Any) -> dict[str, Any]:
        """What a summary says of every run: where it comes from, its status with these `doubts`, and its units."""
        return {
            "run": None if self.path is None else self.run,
            "seed": self.provenance.get("seed"),
            "device": self.provenance.get("device"),
            "version": self.provenance.get("version"),
            "status": self.status,
            "doubts": doubts,
            "warnings": self.warnings,
            "energy_unit": self.energy_unit,
            "length_unit": self.length_unit,
        }

    def _thermal_summary(self, thermal: Thermal) -> dict[str, Any]:
        """The JSON object of a run at temperatures."""
        found: dict[str, Any] = strict_json(
            {
                "system": self.system,
                "parameters": self.parameters,
                **self._head(self.doubts),
                "statistics": thermal.statistics,
                "thermal": thermal.summary(),
                "seconds": self.seconds,
            }
        )
        return found

    def title(self) -> str:
        """System and parameters in one line, such as ``h2  R = 1.401``."""
        return title(self.system, self.parameters)


@dataclass(frozen=True)
class Comparison:
    """An energy against another: `difference` between them, `error` both errors combined."""

    difference: float
    error: float

    @classmethod
    def of(cls, result: Result) -> Comparison:
        """Compare a result with its reference (which must exist)."""
        assert result.reference is not None
        return cls.between(result.energy.value, result.energy.error, result.reference.energy, result.reference.error)

    @classmethod
    def between(cls, value: float, error: float, other: float, other_error: float) -> Comparison:
        """Compare two energies with independent errors."""
        return cls(value - other, combined_error(value, error, other, other_error))

    @property
    def z(self) -> float:
        """The difference in units of its error."""
        return self.difference / self.error

    def within(self, sigma: float, tolerance: float) -> bool:
        """|difference| ≤ sigma · error + tolerance (False for NaN)."""
        return abs(self.difference) <= sigma * self.error + tolerance

    def words(self) -> str:
        """Such as ``1.2e-05 above, 0.6 σ``."""
        side = "above" if self.difference >= 0 else "below"
        return f"{abs(self.difference):.1e} {side}, {abs(self.z):.1f} σ"
