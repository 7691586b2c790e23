"""Plain data of a scan: its points with their energies.

Energies are in the unit of the system, errors are one standard deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fkflow.hamiltonian.system import Reference
from fkflow.results.records import Observable, Observables, components, observable_entries
from fkflow.results.result import Comparison, Result
from fkflow.results.thermal import ThermalState
from fkflow.statistics import Estimate
from fkflow.text import strict_json, title

NAN = float("nan")
#: status of a point
WAITING, FINISHED, FAILED = "waiting", "finished", "failed"
#: the kind of energy of a point at a temperature
FREE = "free"
#: limits of such points, which stand in files and pictures, and not in the table
LIMITS = ("classical_free_energy", "classical_energy", "ground_state")


@dataclass(frozen=True)
class Point:
    """One point of a scan; unknown values are NaN, "" or None.

    `values` are those of the scanned keys (``section.key``); `run` is the name of its folder in that of the scan, `seed` that
    of its run, `attempts` how often it failed, `start` the run whose weights training began with. `energy` with `error`
    (statistical and time step) is the best one, of the `kind` "projected" or "variational"; `projected_error` is the
    statistical error alone. `reason` says why it failed.
    """

    values: dict[str, Any]
    run: str
    seed: int
    status: str = WAITING
    attempts: int = 0
    start: str = ""
    reason: str = ""
    kind: str = ""
    energy: float = NAN
    error: float = NAN
    variational: float = NAN
    variational_error: float = NAN
    projected: float = NAN
    projected_error: float = NAN
    time_step_error: float = NAN
    reference: Reference | None = None
    published: tuple[Reference, ...] = ()
    seconds: float = NAN
    observables: Observables = field(default_factory=dict)

    def with_result(self, result: Result) -> Point:
        """The point with the energies of its run; a run at a temperature has its free energy, and the rest as observables."""
        if result.thermal is not None:
            return self._with_temperature(result, result.thermal.states[0])
        variational, projection = result.measurement.variational.estimate, result.measurement.projection
        return replace(
            self,
            status=FINISHED,
            start=result.resolved["train"].get("from") or "",
            reason="",
            kind="variational" if projection is None else "projected",
            energy=result.energy.value,
            error=result.energy.error,
            variational=variational.value,
            variational_error=variational.error,
            projected=NAN if projection is None else projection.estimate.value,
            projected_error=NAN if projection is None else projection.estimate.error,
            time_step_error=NAN if projection is None else projection.time_step_error,
            seconds=math.fsum(result.seconds.values()),
            observables=result.measurement.observables,
        )

    def _with_temperature(self, result: Result, state: ThermalState) -> Point:
        unit = result.energy_unit
        found = {
            "energy": (state.energy, unit),
            "entropy": (state.entropy, ""),
            "heat_capacity": (state.heat_capacity, ""),
        }
        found["effective_paths"] = (Estimate(state.ess, 0.0), "")
        limits = {"classical_free_energy": state.classical_free_energy, "classical_energy": state.classical_energy}
        if result.reference is not None:
            limits["ground_state"] = result.reference.energy
        found |= {name: (Estimate(value, 0.0), unit) for name, value in limits.items() if math.isfinite(value)}
        return replace(
            self,
            status=FINISHED,
            reason="",
            kind=FREE,
            energy=state.free_energy.value,
            error=state.free_energy.error,
            time_step_error=state.time_step_error,
            reference=state.reference,
            seconds=math.fsum(result.seconds.values()),
            observables={name: Observable.of(value, None, of) for name, (value, of) in found.items()},
        )

    @property
    def best(self) -> Estimate:
        """The best energy with its error."""
        return Estimate(self.energy, self.error)

    @property
    def comparison(self) -> Comparison | None:
        """The comparison with the reference, if both energies are known."""
        if self.reference is None or self.status != FINISHED:
            return None
        return Comparison.between(self.energy, self.error, self.reference.energy, self.reference.error)

    def row(self) -> dict[str, Any]:
        """The point as one flat row, in JSON and CSV alike."""
        against, reference = self.comparison, self.reference
        return {
            **self.values,
            "run": self.run,
            "status": self.status,
            "kind": self.kind or None,
            "energy": self.energy,
            "error": self.error,
            "variational": self.variational,
            "variational_error": self.variational_error,
            "projected": self.projected,
            "projected_error": self.projected_error,
            "time_step_error": self.time_step_error,
            "reference": reference and reference.energy,
            "reference_error": reference and reference.error,
            "reference_source": reference and reference.source,
            "difference": against and against.difference,
            "z": against and against.z,
            "seconds": self.seconds,
            "seed": self.seed,
            "start": self.start or None,
            "reason": self.reason or None,
        }

    def observable_row(self) -> dict[str, float]:
        """The best values of the observables and their errors as columns, such as ``observables.r`` and ``….r_error``."""
        row: dict[str, float] = {}
        for name, observable in self.observables.items():
            for number, part in enumerate(components(observable)):
                column = f"observables.{name}" + (f".{number}" if isinstance(observable, tuple) else "")
                row |= {column: part.value, f"{column}_error": part.error}
        return row


@dataclass(frozen=True)
class Axis:
    """A scanned key with its description and unit, such as ``system.R``, "distance of the nuclei (bohr)", "bohr"."""

    key: str
    long_name: str
    unit: str

    @property
    def short(self) -> str:
        """The key without its section."""
        return self.key.split(".")[-1]


@dataclass(frozen=True)
class Scan:
    """A scan, finished or not, as stored in scan.h5.

    `path` is its file as the user named it; `resolved` the base recipe with every default; `over` the values to scan as the
    user gave them; `axes` the scanned keys, the first one plotted in units of `unit`; `points` are in the order of computation.
    """

    path: Path
    name: str
    system: str
    parameters: dict[str, Any]
    energy_unit: str
    recipe_text: str
    recipe_source: str
    resolved: dict[str, Any]
    over: tuple[str, ...]
    axes: tuple[Axis, ...]
    unit: float
    warm: bool
    seed: int
    version: str
    points: tuple[Point, ...]

    @property
    def folder(self) -> str:
        """The folder as the user named it."""
        return self.path.parent.as_posix()

    @property
    def failed(self) -> list[Point]:
        """The points whose calculation failed."""
        return [point for point in self.points if point.status == FAILED]

    @property
    def unfinished(self) -> list[Point]:
        """The points without a result."""
        return [point for point in self.points if point.status != FINISHED]

    def with_point(self, point: Point) -> Scan:
        """The scan with the point of the same folder replaced."""
        return replace(self, points=tuple(point if old.run == point.run else old for old in self.points))

    def summary(self) -> dict[str, Any]:
        """The JSON object of ``scan`` and ``show``; numbers that are not finite become None."""
        found: dict[str, Any] = strict_json(
            {
                "scan": self.folder,
                "recipe": self.recipe_source,
                "over": self.over,
                "system": self.system,
                "unit": self.energy_unit,
                "energy_unit": self.energy_unit,
                "seed": self.seed,
                "version": self.version,
                "points": [
                    {
                        "values": point.values,
                        **{k: v for k, v in point.row().items() if k not in point.values},
                        "observables": observable_entries(point.observables),
                    }
                    for point in self.points
                ],
            }
        )
        return found

    def title(self) -> str:
        """The system with the parameters that are not scanned."""
        scanned = {axis.key for axis in self.axes}
        return title(self.system, {key: v for key, v in self.parameters.items() if f"system.{key}" not in scanned})
