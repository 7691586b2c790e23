"""Reading result.h5 back. Damage, foreign files and missing parts are told in one sentence each."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fkflow.errors import StoreError
from fkflow.folders import find_result, reason
from fkflow.results import Axis, DriftField, Energy, Histogram, Measurement, Projection, Result, Trajectories
from fkflow.seal import checked
from fkflow.statistics import Estimate
from fkflow.system import Reference

FORMAT = "fkflow"
FORMAT_VERSION = 1

CHECKPOINT_FORMAT = "fkflow-checkpoint"

#: what the training columns mean: name -> (unit or "energy", long name)
COLUMNS = {
    "iteration": ("", "training iteration"),
    "energy": ("energy", "mean energy of the batch"),
    "error": ("energy", "standard error of the batch energy"),
    "spread": ("energy", "standard deviation of the energy over the batch"),
    "seconds": ("s", "wall-clock time since training began"),
    "rate": ("", "learning rate"),
    "damping": ("", "damping of the natural gradient"),
    "acceptance": ("", "acceptance of the Metropolis steps"),
    "undone": ("", "the step was taken back"),
}

#: the stages of a run in their order, which HDF5 attributes do not keep
STAGES = ("train", "measure", "project")

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_result(run: str | Path) -> Result:
    """Read a result from a run folder or a result file.

    Raises StoreError, in one sentence naming the file, if it is missing, not HDF5, truncated or damaged, not
    written by fkflow, of a newer format, or lacks a part.
    """
    path = find_result(run)
    with _open(path) as file:
        try:
            return _read(file, path)
        except StoreError:
            raise
        except Exception as error:  # whatever h5py and the conversions raise on nonsense
            raise StoreError(f"{path} is damaged: part of its content cannot be read") from error


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with open(path, "rb") as stream:
            content = stream.read(len(SIGNATURE))
            # the rest of something else may be very long
            content += stream.read() if content == SIGNATURE else b""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from error
    if not content.startswith(SIGNATURE):
        raise StoreError(f"{path} is not an HDF5 file, so not a result of fkflow")
    if content[8:9] == b"\x03" and content[11:12] == b"\x01":  # version and flags of the superblock
        raise StoreError(
            f"{path} is open for writing in another program, or was when that broke off (h5clear -s mends it)"
        )
    try:
        # from memory: a file that another program has open, and locked, can be read all the same
        file = h5py.File(io.BytesIO(checked(content, path)), "r")
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{path} cannot be opened: the file is truncated or damaged") from error
    with file:
        try:
            kind, version = file.attrs.get("format"), file.attrs.get("format_version")
        except Exception as error:
            raise StoreError(f"{path} is damaged: its header cannot be read") from error
        if kind != FORMAT or not isinstance(version, int | np.integer):
            raise StoreError(f"{path} is an HDF5 file, but not one that fkflow wrote")
        if version > FORMAT_VERSION:
            raise StoreError(
                f"{path} was written by a newer fkflow: its format version is {version}, "
                f"this one reads up to {FORMAT_VERSION}"
            )
        yield file


def _read(file: h5py.File, path: Path) -> Result:
    config = _part(file, "config", path)
    attribute = _attributes(config, path)
    provenance = _read_mapping(_part(file, "provenance", path))
    seconds = provenance.pop("seconds", {})
    stages = [stage for stage in STAGES if stage in seconds] + [s for s in seconds if s not in STAGES]
    training = _part(file, "training", path)
    # HDF5 lists by name; the columns come back in their own order
    names = sorted(training, key=lambda name: (list(COLUMNS).index(name) if name in COLUMNS else len(COLUMNS), name))
    model = _part(file, "model", path)
    return Result(
        path=path,
        name=attribute("name"),
        system=attribute("system"),
        parameters=json.loads(attribute("parameters")),
        particles=int(attribute("particles")),
        dimensions=int(attribute("dimensions")),
        energy_unit=_attributes(file, path)("energy_unit"),
        length_unit=_attributes(file, path)("length_unit"),
        nuclei=config["nuclei"][()] if "nuclei" in config else None,
        reference=_read_reference(file, path),
        recipe_text=_part(file, "config/recipe", path).asstr()[()],
        recipe_source=attribute("source"),
        resolved=json.loads(_part(file, "config/resolved", path).asstr()[()]),
        provenance=provenance,
        training={name: training[name][()] for name in names},
        measurement=_read_measurement(file, path),
        model={name: model[name][()] for name in model},
        seconds={stage: seconds[stage] for stage in stages},
    )


def _read_reference(file: h5py.File, path: Path) -> Reference | None:
    if "energy/reference" not in file:
        return None
    attribute = _attributes(file["energy/reference"], path)
    return Reference(float(attribute("value")), float(attribute("error")), attribute("source"))


def _read_measurement(file: h5py.File, path: Path) -> Measurement:
    group = _part(file, "energy/variational", path)
    attribute = _attributes(group, path)
    estimate = Estimate(*(float(attribute(name)) for name in ("value", "error", "n_effective")))
    drift = _part(file, "drift", path)
    return Measurement(
        variational=Energy(
            estimate=estimate,
            local_energy_std=float(attribute("local_energy_std")),
            blocks=_part(group, "blocks", path)[()],
            autocorrelation=float(attribute("autocorrelation")),
            acceptance=float(attribute("acceptance")),
            rhat=float(attribute("rhat")),
        ),
        histograms=[
            _read_histogram(_part(file, f"{kind}/{name}", path), kind, name, path)
            for kind in ("density", "pair")
            for name in _part(file, kind, path)
        ],
        drift=[_read_drift(drift[name], name, path) for name in drift],
        samples=_part(file, "samples", path)[()],
        seconds=float(attribute("seconds")),
        curl=float(drift.attrs["curl"]) if "curl" in drift.attrs else None,
        warnings=[str(warning) for warning in attribute("warnings")],
        projection=_read_projection(file, path),
        trajectories=_read_trajectories(file, path),
    )


def _read_projection(file: h5py.File, path: Path) -> Projection | None:
    if "energy/projected" not in file:
        return None
    group = file["energy/projected"]
    attribute = _attributes(group, path)

    def part(name: str) -> np.ndarray:
        return np.asarray(_part(group, name, path)[()])

    return Projection(
        estimate=Estimate(*(float(attribute(name)) for name in ("value", "error", "n_effective"))),
        time_step_error=float(attribute("time_step_error")),
        weights=str(attribute("weights")),
        time_steps=part("time_step"),
        energies=part("energy"),
        errors=part("energy_error"),
        acceptances=part("acceptance"),
        effective_walkers=part("effective_walkers"),
        population_biases=part("population_bias"),
        resampled=part("resampled"),
        window=float(attribute("window")),
        curve=np.stack(
            [part(name) for name in ("imaginary_time", "energy_by_time", "energy_by_time_error", "fall_error")], 1
        ),
        autocorrelation=float(attribute("autocorrelation")),
        rhat=float(attribute("rhat")),
        blocks=part("blocks"),
        independent=int(attribute("independent_blocks")),
        seconds=float(attribute("seconds")),
        warnings=[str(warning) for warning in attribute("warnings")],
    )


def _read_histogram(group: h5py.Group, kind: str, name: str, path: Path) -> Histogram:
    attribute = _attributes(group, path)
    values = _part(group, "variational", path)
    return Histogram(
        group=kind,
        name=name,
        axes=_read_axes(group, path),
        measure=attribute("measure"),
        values=values[()],
        errors=_part(group, "variational_error", path)[()],
        unit=_attributes(values, path)("units"),
        long_name=attribute("long_name"),
        exact=group["exact"][()] if "exact" in group else None,
        projected=group["projected"][()] if "projected" in group else None,
        projected_errors=_part(group, "projected_error", path)[()] if "projected" in group else None,
    )


def _read_drift(group: h5py.Group, name: str, path: Path) -> DriftField:
    return DriftField(
        name=name,
        axes=_read_axes(group, path),
        vectors=_part(group, "vectors", path)[()],
        log_psi=_part(group, "log_psi", path)[()],
        moved=int(_attributes(group, path)("moved")),
        positions=_part(group, "positions", path)[()],
    )


def _read_trajectories(file: h5py.File, path: Path) -> Trajectories | None:
    if "trajectories" not in file:  # a file of an older version
        return None
    group = file["trajectories"]
    return Trajectories(_part(group, "imaginary_time", path)[()], _part(group, "positions", path)[()])


def _read_axes(group: h5py.Group, path: Path) -> tuple[Axis, ...]:
    axes = []
    for name in _attributes(group, path)("axes"):
        attribute = _attributes(_part(group, name, path), path)
        edges = _part(group, f"{name}_edges", path)[()]
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


def _part(group: h5py.Group, name: str, path: Path) -> Any:
    if name not in group:
        full = f"{group.name.rstrip('/')}/{name}"
        raise StoreError(f"{path} is not a complete result: its part {full} is missing")
    return group[name]


def _attributes(item: Any, path: Path) -> Any:
    def attribute(name: str) -> Any:
        if name not in item.attrs:
            raise StoreError(f"{path} is not a complete result: attribute {name} of {item.name} is missing")
        return item.attrs[name]

    return attribute
