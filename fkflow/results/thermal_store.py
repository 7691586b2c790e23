"""The temperatures of a run in its result file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from fkflow.hamiltonian.system import Reference
from fkflow.results import hdf5
from fkflow.results.thermal import Thermal, ThermalState
from fkflow.statistics import Estimate

#: numbers of all temperatures, one dataset each: unit ("energy", "time" or "") and description; the first is their scale
COLUMNS = {
    "temperature": ("energy", "temperature, k_B = 1"),
    "beta": ("time", "inverse temperature"),
    "free_energy": ("energy", "free energy"),
    "free_energy_error": ("energy", "error of the free energy, with that of the time step"),
    "energy": ("energy", "mean energy"),
    "energy_error": ("energy", "error of the mean energy"),
    "entropy": ("", "entropy in units of k_B"),
    "entropy_error": ("", "error of the entropy"),
    "heat_capacity": ("", "heat capacity in units of k_B"),
    "heat_capacity_error": ("", "error of the heat capacity"),
    "ess": ("", "effective share of the paths"),
    "paths": ("", "closed paths"),
    "time_step": ("time", "time step of the paths"),
    "time_step_error": ("energy", "error of the free energy by the time step"),
    "classical_free_energy": ("energy", "free energy without hbar"),
    "classical_energy": ("energy", "mean energy without hbar"),
    "reference": ("energy", "free energy known from elsewhere"),
    "reference_error": ("energy", "its error"),
}


def write_thermal(group: h5py.Group, thermal: Thermal, energy_unit: str) -> None:
    """Write the numbers of all temperatures to a group."""
    sources = [state.reference.source if state.reference else "" for state in thermal.states]
    hdf5.write_mapping(
        group, {"statistics": thermal.statistics, "warnings": list(thermal.warnings), "references": sources}
    )
    units = {"energy": energy_unit, "time": f"1/{energy_unit}", "": ""}
    scale: h5py.Dataset | None = None
    for name, values in thermal.columns.items():
        unit, long_name = COLUMNS[name]
        dataset = hdf5.write_array(group, name, values, units[unit], long_name)
        if scale is None:
            scale = dataset
            scale.make_scale(name)
        else:
            dataset.dims[0].attach_scale(scale)
            dataset.dims[0].label = "temperature"


def read_thermal(group: h5py.Group, path: Path) -> Thermal:
    """The temperatures in a group, without densities. Raises StoreError if a part is missing."""
    attribute = hdf5.attribute_reader(group, path)
    # not all files have limits and references
    names = [name for name in COLUMNS if name in group or not name.startswith(("classical", "reference"))]
    column = {name: np.asarray(hdf5.get_part(group, name, path)[()]) for name in names}
    unknown = np.full(len(column["beta"]), np.nan)

    def reference(k: int) -> Reference | None:
        if "reference" not in column or not np.isfinite(column["reference"][k]):
            return None
        known = float(column["reference"][k]), float(column["reference_error"][k])
        return Reference(*known, str(attribute("references")[k]))

    def estimate(name: str, k: int) -> Estimate:
        return Estimate(float(column[name][k]), float(column[f"{name}_error"][k]))

    states = [
        ThermalState(
            temperature=float(column["temperature"][k]),
            beta=float(column["beta"][k]),
            free_energy=estimate("free_energy", k),
            energy=estimate("energy", k),
            entropy=estimate("entropy", k),
            heat_capacity=estimate("heat_capacity", k),
            ess=float(column["ess"][k]),
            paths=int(column["paths"][k]),
            time_step=float(column["time_step"][k]),
            time_step_error=float(column["time_step_error"][k]),
            classical_free_energy=float(column.get("classical_free_energy", unknown)[k]),
            classical_energy=float(column.get("classical_energy", unknown)[k]),
            reference=reference(k),
        )
        for k in range(len(column["beta"]))
    ]
    return Thermal(states, str(attribute("statistics")), [str(warning) for warning in attribute("warnings")])
