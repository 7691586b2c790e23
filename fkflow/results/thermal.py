"""A system at temperatures as plain data: free energies, energies, entropies, heat capacities and densities."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from fkflow.errors import UsageError
from fkflow.hamiltonian.system import Reference
from fkflow.results.records import Histogram, Measurement
from fkflow.statistics import Estimate
from fkflow.text import strict_json


@dataclass(frozen=True)
class ThermalState:
    """One temperature T = 1/β, k_B = 1.

    `free_energy` is F = −T log Z with the time-step error in its error, `energy` −∂ log Z/∂β, `entropy` (E − F)/T and
    `heat_capacity` ∂E/∂T, both in units of k_B. `ess` is the effective share of the `paths`, 1 where all have the same weight.
    `time_step` is that of the paths, `time_step_error` what it changes in F. `histograms` are densities, density
    matrices and pair distributions. `classical_free_energy` and `classical_energy` are the limits without ħ, NaN if unknown.
    `reference` is the known free energy, or None.
    """

    temperature: float
    beta: float
    free_energy: Estimate
    energy: Estimate
    entropy: Estimate
    heat_capacity: Estimate
    ess: float
    paths: int
    time_step: float
    time_step_error: float
    histograms: list[Histogram] = field(default_factory=list)
    classical_free_energy: float = math.nan
    classical_energy: float = math.nan
    reference: Reference | None = None

    def summary(self) -> dict[str, Any]:
        """The entry of this temperature in the JSON object."""
        return {
            "temperature": self.temperature,
            "beta": self.beta,
            "free_energy": self.free_energy.value,
            "free_energy_error": self.free_energy.error,
            "energy": self.energy.value,
            "energy_error": self.energy.error,
            "entropy": self.entropy.value,
            "entropy_error": self.entropy.error,
            "heat_capacity": self.heat_capacity.value,
            "heat_capacity_error": self.heat_capacity.error,
            "ess": self.ess,
            "paths": self.paths,
            "time_step": self.time_step,
            "time_step_error": self.time_step_error,
            "classical_free_energy": self.classical_free_energy,
            "classical_energy": self.classical_energy,
            "reference": self.reference and asdict(self.reference),
        }


@dataclass(frozen=True)
class Thermal:
    """The states of a run, in the order of its recipe, for particles of the `statistics` "bose" or "boltzmann"."""

    states: list[ThermalState]
    statistics: str
    warnings: list[str] = field(default_factory=list)

    def summary(self) -> list[dict[str, Any]]:
        """The JSON entries, one a temperature; numbers that are not finite become None."""
        found: list[dict[str, Any]] = strict_json([state.summary() for state in self.states])
        return found

    @property
    def columns(self) -> dict[str, list[float]]:
        """The numbers of all states by name."""
        rows = [state.summary() for state in self.states]
        known = [state.reference or Reference(math.nan, math.nan, "") for state in self.states]
        found = {name: [row[name] for row in rows] for name in rows[0] if name != "reference"}
        if any(state.reference for state in self.states):
            found["reference"] = [one.energy for one in known]
            found["reference_error"] = [one.error for one in known]
        return found


def no_ground_state(run: str) -> str:
    """Why a run at temperatures cannot be asked for what a ground state has."""
    return f"{run} is a run at temperatures and has no ground state: fkflow run without a temperature finds it"


class _NoGroundState:
    """In the place of a measurement: all that one has raises UsageError."""

    def __init__(self, run: str) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UsageError(no_ground_state(self._run))


def without_ground_state(run: str) -> Measurement:
    """What a run at temperatures, which messages call `run`, has for a measurement of its ground state."""
    return cast(Measurement, _NoGroundState(run))
