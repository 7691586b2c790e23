"""The `Result` of one run as plain data, as stored in result.h5, and the `Comparison` of energies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fkflow.hamiltonian.system import Reference
from fkflow.hamiltonian.user_systems import Definition
from fkflow.results.records import Measurement
from fkflow.statistics import Estimate, combined_error
from fkflow.text import strict_json, title

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Result:
    """One finished run, as stored in result.h5.

    `path` is the file as the user named it, None if there is none. `name` is that of the recipe, `recipe_text` the recipe as
    written, `recipe_source` its file name, `resolved` the recipe with every default filled in (``[system]`` has ``name`` and
    the parameters). `system` is the name of the system, `parameters` are its values: N `particles` in D `dimensions`, with
    `nuclei` (M, 3) or None. `energy_unit` and `length_unit` are those of all numbers here, `reference` is the known energy or
    None. `training` holds one array a column, all (iterations,); `measurement` what was measured; `model` the weights by
    name; `seconds` the wall-clock time of each stage; `provenance` seed, device, versions and times. `definition` is the file
    that defines the system, where that is not fkflow's own: its text is kept to be read, never run.
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

    @property
    def run(self) -> str:
        """The run folder, as it was named by the user; for messages, words that say there is none."""
        return f"this run of {self.system}" if self.path is None else self.path.parent.as_posix()

    @property
    def file(self) -> str:
        """The file, as messages call it."""
        return self.run if self.path is None else self.path.as_posix()

    @property
    def folder(self) -> Path:
        """Where what belongs to the run is looked for: its folder, else the working directory."""
        return Path() if self.path is None else self.path.parent

    @property
    def ranks(self) -> int:
        """How many processes measured it; files of older versions do not say."""
        return int(self.provenance.get("ranks", 1))

    @property
    def energy(self) -> Estimate:
        """The best energy there is: projected, with its time-step error in the error, else variational."""
        projection = self.measurement.projection
        return self.measurement.variational.estimate if projection is None else projection.total

    @property
    def warnings(self) -> list[str]:
        """What the measurement and the projection have to warn of."""
        projection = self.measurement.projection
        return [*self.measurement.warnings, *(projection.warnings if projection else [])]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The training columns turned back into one dictionary an iteration."""
        columns = {name: column.tolist() for name, column in self.training.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def model_state(self) -> dict[str, Tensor]:
        """The weights as torch tensors, ready for ``load_state_dict``."""
        import torch

        return {name: torch.from_numpy(np.array(weights)) for name, weights in self.model.items()}

    def summary(self) -> dict[str, Any]:
        """The JSON object of ``run``, ``measure`` and ``show``; numbers that are not finite become None."""
        measured, projection = self.measurement.variational, self.measurement.projection
        reference = self.reference
        summary: dict[str, Any] = strict_json(
            {
                "system": self.system,
                "parameters": self.parameters,
                "run": None if self.path is None else self.run,
                "seed": self.provenance.get("seed"),
                "device": self.provenance.get("device"),
                "version": self.provenance.get("version"),
                "variational": {
                    "energy": measured.estimate.value,
                    "error": measured.estimate.error,
                    "local_energy_std": measured.local_energy_std,
                },
                "projected": None
                if projection is None
                else {
                    "energy": projection.estimate.value,
                    "error": projection.estimate.error,
                    "time_step_error": projection.time_step_error,
                },
                "reference": None
                if reference is None
                else {"energy": reference.energy, "error": reference.error, "source": reference.source},
                "seconds": self.seconds,
            }
        )
        return summary

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
