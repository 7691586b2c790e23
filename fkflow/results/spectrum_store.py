"""The spectrum of a run in its result file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import numpy as np

from fkflow.results import hdf5
from fkflow.results.records import Axis
from fkflow.results.spectrum import Level, Spectrum
from fkflow.statistics import Estimate

#: numbers of all levels, one dataset each: unit ("energy" or "") and description
COLUMNS = {
    "energy": ("energy", "energy of the level"),
    "energy_error": ("energy", "error of the energy of the level"),
    "gap": ("energy", "energy above the ground state"),
    "gap_error": ("energy", "error of the energy above the ground state"),
    "variance": ("energy^2", "variance of the local energy of the level"),
    "projected": ("energy", "energy of the level after imaginary time, NaN where noise hides it"),
    "projected_error": ("energy", "error of the projected energy"),
    "sign": ("", "average sign of the paths of the level"),
    "sign_error": ("", "error of the average sign"),
    "degeneracy": ("", "levels that have this energy by symmetry, of which this one is listed"),
}
#: numbers that are attributes of the group
ATTRIBUTES = ("asked", "functions", "decay", "seed", "statistics", "walkers", "seconds", "measure", "time")
#: columns that files of earlier versions do not have
NEW = ("projected", "projected_error", "sign", "sign_error", "degeneracy")


def write_spectrum(group: h5py.Group, spectrum: Spectrum, energy_unit: str, length_unit: str) -> None:
    """Write the spectrum to a group; every dataset has the level as its first dimension but for those of the ground state."""
    group.attrs.update({name: getattr(spectrum, name) for name in ATTRIBUTES})
    group.attrs.update(ground=spectrum.ground.value, ground_error=spectrum.ground.error, axis=spectrum.axis.name)
    levels = spectrum.levels
    hdf5.write_mapping(
        group,
        {
            "sectors": [level.sector for level in levels],
            "bounds": [level.bound for level in levels],
            "searched": list(spectrum.searched),
            "strengths": [json.dumps(level.strengths) for level in levels],
            "warnings": list(spectrum.warnings),
        },
    )
    number = hdf5.write_array(
        group, "level", np.arange(1, len(levels) + 1), "", "number of the level above the ground state"
    )
    number.make_scale("level")
    axis = hdf5.write_array(
        group, spectrum.axis.name, spectrum.axis.centres, spectrum.axis.unit, spectrum.axis.long_name
    )
    axis.make_scale(spectrum.axis.name)
    words = f"bin edges of {spectrum.axis.long_name}"
    hdf5.write_array(group, f"{spectrum.axis.name}_edges", spectrum.axis.edges, spectrum.axis.unit, words)
    projected = [level.projected or Estimate(math.nan, math.nan) for level in levels]
    columns = {
        "energy": [level.energy.value for level in levels],
        "energy_error": [level.energy.error for level in levels],
        "gap": [level.gap.value for level in levels],
        "gap_error": [level.gap.error for level in levels],
        "variance": [level.variance for level in levels],
        "projected": [one.value for one in projected],
        "projected_error": [one.error for one in projected],
        "sign": [level.sign.value for level in levels],
        "sign_error": [level.sign.error for level in levels],
        "degeneracy": [level.degeneracy for level in levels],
    }
    for name, values in columns.items():
        unit, long_name = COLUMNS[name]
        _scaled(hdf5.write_array(group, name, values, unit.replace("energy", energy_unit), long_name), number)
    per_length = f"1/({spectrum.measure})"
    words = "one-body density of the level"
    _scaled(hdf5.write_array(group, "density", [one.density for one in levels], per_length, words), number, axis)
    words = "mean of the function f of the level f psi, with <f^2> = 1"
    _scaled(hdf5.write_array(group, "function", [one.function for one in levels], "", words), number, axis)
    words = "one-body density of psi^2"
    _scaled(hdf5.write_array(group, "ground_density", spectrum.ground_density, per_length, words), axis)
    words = "configurations for which the random functions are made, in the solver's coordinates"
    sample = hdf5.write_array(group, "sample", spectrum.sample, length_unit, words)
    hdf5.label_axes(sample, "walker", "particle", "component")
    check = hdf5.write_array(group, "check", spectrum.check, "", "values of f at the first walkers of the sample")
    hdf5.label_axes(check, "level", "walker")
    folder = group.create_group("coefficients")
    for k, level in enumerate(levels, 1):
        words = f"coefficients of the functions of the sector {level.sector}"
        hdf5.label_axes(hdf5.write_array(folder, str(k), level.coefficients, "", words), "function")


def read_spectrum(group: h5py.Group, path: Path) -> Spectrum:
    """The spectrum in a group. Raises StoreError if a part is missing."""
    attribute = hdf5.attribute_reader(group, path)

    def array(name: str) -> np.ndarray:
        return np.asarray(hdf5.get_part(group, name, path)[()])

    axis = str(attribute("axis"))
    scale = hdf5.get_part(group, axis, path)
    missing = np.full(len(array("energy")), math.nan)
    columns = {name: missing if name in NEW and name not in group else array(name) for name in COLUMNS}

    def estimate(name: str, k: int) -> Estimate:
        return Estimate(float(columns[name][k]), float(columns[f"{name}_error"][k]))

    densities, functions = array("density"), array("function")
    levels = [
        Level(
            str(sector),
            estimate("energy", k),
            estimate("gap", k),
            float(columns["variance"][k]),
            str(bound),
            json.loads(strengths),
            array(f"coefficients/{k + 1}"),
            densities[k],
            functions[k],
            None if math.isnan(columns["projected"][k]) else estimate("projected", k),
            estimate("sign", k),
            1 if math.isnan(columns["degeneracy"][k]) else int(columns["degeneracy"][k]),
        )
        for k, (sector, bound, strengths) in enumerate(
            zip(attribute("sectors"), attribute("bounds"), attribute("strengths"), strict=True)
        )
    ]
    return Spectrum(
        ground=Estimate(float(attribute("ground")), float(attribute("ground_error"))),
        levels=levels,
        axis=Axis(axis, scale.attrs["units"], scale.attrs["long_name"], array(f"{axis}_edges")),
        measure=str(attribute("measure")),
        ground_density=array("ground_density"),
        sample=array("sample"),
        check=array("check"),
        searched=[str(sector) for sector in attribute("searched")],
        asked=int(attribute("asked")),
        functions=int(attribute("functions")),
        decay=float(attribute("decay")),
        seed=int(attribute("seed")),
        statistics=str(attribute("statistics")),
        walkers=int(attribute("walkers")),
        seconds=float(attribute("seconds")),
        time=float(group.attrs.get("time", 0.0)),
        warnings=[str(warning) for warning in attribute("warnings")],
    )


def _scaled(dataset: h5py.Dataset, *scales: h5py.Dataset) -> None:
    for dimension, scale in enumerate(scales):
        dataset.dims[dimension].attach_scale(scale)
        dataset.dims[dimension].label = scale.name.rsplit("/", 1)[-1]
