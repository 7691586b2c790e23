"""Reading result.h5; damage, foreign files and missing parts give an error of one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fkflow.hamiltonian.species import Species
from fkflow.hamiltonian.system import Reference
from fkflow.hamiltonian.user_systems import Definition
from fkflow.recipe.old_keys import current_resolved
from fkflow.results import hdf5
from fkflow.results.layout import COLUMNS, CURVE, ENERGY, FORMAT, FORMAT_VERSION, HISTOGRAMS, PROJECTION, STAGES, STEPS
from fkflow.results.liquid_store import read_liquid
from fkflow.results.paths import find_result
from fkflow.results.records import (
    Axis,
    DriftField,
    Energy,
    Histogram,
    Measurement,
    Observable,
    Observables,
    Projection,
    Trajectories,
)  # fmt: skip
from fkflow.results.result import Result
from fkflow.results.spectrum_store import read_spectrum
from fkflow.results.thermal import without_ground_state
from fkflow.results.thermal_store import read_thermal
from fkflow.statistics import Estimate


def read_result(run: str | Path) -> Result:
    """Read a result from a run folder or a result file.

    Raises StoreError, in one sentence naming the file, if it is missing, not HDF5, truncated or damaged, not
    written by fkflow, of a newer format, or lacks a part.
    """
    path = find_result(run)
    with hdf5.open_file(path, FORMAT, FORMAT_VERSION) as file:
        return _read(file, path)


def _read(file: h5py.File, path: Path) -> Result:
    config = hdf5.get_part(file, "config", path)
    attribute = hdf5.attribute_reader(config, path)
    provenance = _read_mapping(hdf5.get_part(file, "provenance", path))
    seconds = provenance.pop("seconds", {})
    stages = [stage for stage in STAGES if stage in seconds] + [s for s in seconds if s not in STAGES]
    return Result(
        path=path,
        name=attribute("name"),
        system=attribute("system"),
        parameters=json.loads(attribute("parameters")),
        particles=int(attribute("particles")),
        dimensions=int(attribute("dimensions")),
        energy_unit=hdf5.attribute_reader(file, path)("energy_unit"),
        length_unit=hdf5.attribute_reader(file, path)("length_unit"),
        nuclei=config["nuclei"][()] if "nuclei" in config else None,
        reference=_read_reference(file, path),
        recipe_text=hdf5.get_part(file, "config/recipe", path).asstr()[()],
        recipe_source=attribute("source"),
        resolved=current_resolved(json.loads(hdf5.get_part(file, "config/resolved", path).asstr()[()])),
        provenance=provenance,
        seconds={stage: seconds[stage] for stage in stages},
        definition=_read_definition(config, path),
        species=_species(config),
        **(_read_temperatures(file, path) if "thermal" in file else _read_ground_state(file, path)),
    )


def _read_ground_state(file: h5py.File, path: Path) -> dict[str, Any]:
    """What a run for the ground state has."""
    training = hdf5.get_part(file, "training", path)
    # HDF5 lists by name
    names = sorted(training, key=lambda name: (list(COLUMNS).index(name) if name in COLUMNS else len(COLUMNS), name))
    model = hdf5.get_part(file, "model", path)
    return {
        "training": {name: training[name][()] for name in names},
        "measurement": _read_measurement(file, path),
        "model": {name: model[name][()] for name in model},
        "spectrum": read_spectrum(file["spectrum"], path) if "spectrum" in file else None,
        **_read_status(hdf5.get_part(file, "energy", path), path),
        "tail": float(tail) if (tail := file["energy"].attrs.get("tail")) is not None else None,
    }


def _read_temperatures(file: h5py.File, path: Path) -> dict[str, Any]:
    """What a run at temperatures has."""
    group = file["thermal"]
    thermal = read_thermal(group, path)
    states = [
        replace(
            state,
            histograms=[
                _read_histogram(part, kind, name, path, "thermal")
                for kind in ("density", "matrix", "pair")
                # older files have no density matrices
                if kind != "matrix" or f"{number}/matrix" in group
                for name, part in hdf5.get_part(group, f"{number}/{kind}", path).items()
            ],
        )
        for number, state in enumerate(thermal.states, 1)
    ]
    return {
        "training": {},
        "measurement": without_ground_state(path.parent.as_posix()),
        "model": {},
        "thermal": replace(thermal, states=states),
        **_read_status(group, path),
    }


def _read_status(group: h5py.Group, path: Path) -> dict[str, Any]:
    """Status and doubts; a file of an older version has none."""
    if "status" not in group.attrs:
        return {}
    attribute = hdf5.attribute_reader(group, path)
    return {"status": str(attribute("status")), "doubts": [str(doubt) for doubt in attribute("doubts")]}


def _read_definition(config: h5py.Group, path: Path) -> Definition | None:
    if "system_file" not in config:
        return None
    attribute = hdf5.attribute_reader(config["system_file"], path)
    return Definition(str(attribute("file")), str(attribute("sha256")), config["system_file"].asstr()[()])


def _read_reference(file: h5py.File, path: Path) -> Reference | None:
    if "energy/reference" not in file:
        return None
    attribute = hdf5.attribute_reader(file["energy/reference"], path)
    return Reference(float(attribute("value")), float(attribute("error")), attribute("source"))


def _read_measurement(file: h5py.File, path: Path) -> Measurement:
    group = hdf5.get_part(file, "energy/variational", path)
    attribute = hdf5.attribute_reader(group, path)
    drift = hdf5.get_part(file, "drift", path)
    names = [one.name for one in _species(hdf5.get_part(file, "config", path))]
    return Measurement(
        variational=Energy(
            estimate=_read_estimate(attribute),
            blocks=hdf5.get_part(group, "blocks", path)[()],
            **{name: float(attribute(name)) for name in ENERGY},
        ),
        histograms=[
            _read_histogram(hdf5.get_part(file, f"{kind}/{name}", path), kind, name, path)
            for kind in ("density", "pair")
            for name in sorted(hdf5.get_part(file, kind, path), key=partial(_rank, names))
        ],
        drift=[_read_drift(drift[name], name, path) for name in drift],
        samples=hdf5.get_part(file, "samples", path)[()],
        seconds=float(attribute("seconds")),
        curl=float(drift.attrs["curl"]) if "curl" in drift.attrs else None,
        gap=float(group.attrs["gap"]) if "gap" in group.attrs else None,
        warnings=[str(warning) for warning in attribute("warnings")],
        projection=_read_projection(file, path),
        trajectories=_read_trajectories(file, path),
        observables=_read_observables(file, path),
        liquid=read_liquid(file["liquid"], path) if "liquid" in file else None,
    )


def _species(config: h5py.Group) -> tuple[Species, ...]:
    """The species that the system declared; none in files of earlier versions."""
    return tuple(Species(**one) for one in json.loads(config.attrs.get("species", "[]")))


def _rank(species: list[str], name: str) -> tuple[int, int, str]:
    """Sorts histograms as they are made, those along a line first, by species; HDF5 lists by name."""
    axes, _, who = name.partition("_")
    whose = [*species, *("_".join(pair) for pair in combinations_with_replacement(species, 2))]
    first = HISTOGRAMS.index(axes) if axes in HISTOGRAMS else len(HISTOGRAMS)
    return first, whose.index(who) if who in whose else len(whose), name


def _read_projection(file: h5py.File, path: Path) -> Projection | None:
    if "energy/projected" not in file:
        return None
    group = file["energy/projected"]
    attribute = hdf5.attribute_reader(group, path)

    def part(name: str) -> np.ndarray:
        return np.asarray(hdf5.get_part(group, name, path)[()])

    numbers: dict[str, Any] = {name: float(attribute(name)) for name in PROJECTION}
    steps: dict[str, Any] = {field: part(name) for field, (name, *_) in STEPS.items()}
    return Projection(
        estimate=_read_estimate(attribute),
        weights=str(attribute("weights")),
        curve=np.stack([part(name) for name in CURVE], 1),
        blocks=part("blocks"),
        independent=int(attribute("independent_blocks")),
        slow_mode_error=float(group.attrs.get("slow_mode_error", 0.0)),
        warnings=[str(warning) for warning in attribute("warnings")],
        **steps,
        **numbers,
    )


def _read_estimate(attribute: Callable[[str], Any]) -> Estimate:
    return Estimate(*(float(attribute(name)) for name in ("value", "error", "n_effective")))


def _read_histogram(group: h5py.Group, kind: str, name: str, path: Path, dataset: str = "variational") -> Histogram:
    attribute = hdf5.attribute_reader(group, path)
    values = hdf5.get_part(group, dataset, path)
    return Histogram(
        group=kind,
        name=name,
        axes=_read_axes(group, path),
        measure=attribute("measure"),
        values=values[()],
        errors=hdf5.get_part(group, f"{dataset}_error", path)[()],
        unit=hdf5.attribute_reader(values, path)("units"),
        long_name=attribute("long_name"),
        exact=group["exact"][()] if "exact" in group else None,
        projected=group["projected"][()] if "projected" in group else None,
        projected_errors=hdf5.get_part(group, "projected_error", path)[()] if "projected" in group else None,
    )


def _read_drift(group: h5py.Group, name: str, path: Path) -> DriftField:
    return DriftField(
        name=name,
        axes=_read_axes(group, path),
        vectors=hdf5.get_part(group, "vectors", path)[()],
        log_psi=hdf5.get_part(group, "log_psi", path)[()],
        moved=int(hdf5.attribute_reader(group, path)("moved")),
        positions=hdf5.get_part(group, "positions", path)[()],
    )


def _read_trajectories(file: h5py.File, path: Path) -> Trajectories | None:
    if "trajectories" not in file:  # a file of an older version
        return None
    group = file["trajectories"]
    return Trajectories(hdf5.get_part(group, "imaginary_time", path)[()], hdf5.get_part(group, "positions", path)[()])


def _read_observables(file: h5py.File, path: Path) -> Observables:
    if "observables" not in file:  # a file of an older version
        return {}
    group = file["observables"]
    return {name: _read_observable(group[name], path) for name in group}


def _read_observable(group: h5py.Group, path: Path) -> Observable | tuple[Observable, ...]:
    unit = str(hdf5.attribute_reader(group, path)("units"))

    def estimates(kind: str) -> list[Estimate]:
        columns = [hdf5.get_part(group, kind + suffix, path)[()] for suffix in ("", "_error", "_n_effective")]
        return [Estimate(*map(float, numbers)) for numbers in np.stack(columns).reshape(3, -1).T]

    variational = estimates("variational")
    projected = estimates("projected") if "projected" in group else [None] * len(variational)
    parts = tuple(Observable.of(*pair, unit) for pair in zip(variational, projected, strict=True))
    return parts if group["variational"].ndim else parts[0]


def _read_axes(group: h5py.Group, path: Path) -> tuple[Axis, ...]:
    axes = []
    for name in hdf5.attribute_reader(group, path)("axes"):
        attribute = hdf5.attribute_reader(hdf5.get_part(group, name, path), path)
        edges = hdf5.get_part(group, f"{name}_edges", path)[()]
        axes.append(Axis(str(name), attribute("units"), attribute("long_name"), edges))
    return tuple(axes)


def _read_mapping(group: h5py.Group) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in group.attrs.items():
        if isinstance(value, h5py.Empty):
            values[key] = None
        else:
            values[key] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return values | {key: _read_mapping(item) for key, item in group.items() if isinstance(item, h5py.Group)}
