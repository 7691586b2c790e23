"""scan.h5: writing and reading the table of a scan. docs/file-format.md describes the layout."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fkflow.errors import StoreError
from fkflow.hamiltonian.system import Reference
from fkflow.recipe.old_keys import current_resolved
from fkflow.results import hdf5
from fkflow.results.checksum import add_checksum
from fkflow.results.folders import atomic_write, prepare_scan, remove_scan
from fkflow.results.paths import SCAN, find_file
from fkflow.results.records import Observable, Observables, components
from fkflow.results.scan_records import FAILED, FINISHED, WAITING, Axis, Point, Scan
from fkflow.results.store import hide_home
from fkflow.statistics import Estimate

FORMAT = "fkflow-scan"
FORMAT_VERSION = 1

#: the numbers of a point: name -> (unit or "energy", long name)
NUMBERS = {
    "energy": ("energy", "best energy: projected, else variational"),
    "error": ("energy", "its error, statistical and time step together"),
    "variational": ("energy", "variational energy (upper bound of the ground-state energy)"),
    "variational_error": ("energy", "its statistical error"),
    "projected": ("energy", "energy projected to the exact ground state"),
    "projected_error": ("energy", "its statistical error"),
    "time_step_error": ("energy", "its error of the extrapolation to time step 0"),
    "seconds": ("s", "wall-clock time of the run"),
    "seed": ("", "seed of the run"),
    "attempts": ("", "how often the run failed"),
}
WHOLE = ("seed", "attempts")
#: endings of the columns of an average: its value, error and number of independent samples
AVERAGE = ("", "_error", "_n_effective")
#: the texts of a point
TEXTS = {
    "run": "name of the run folder",
    "status": "waiting, finished or failed",
    "kind": "of the best energy: projected or variational",
    "start": "run whose weights the training began with",
    "reason": "why it failed",
}


def find_scan(path: str | Path) -> Path | None:
    """The scan.h5 of `path` (a scan's folder, its name in the folder runs, or the file), or None if it is no scan's."""
    return find_file(path, SCAN)


def claim_scan(out: Path, resume: bool, force: bool = False) -> None:
    """Prepare `out` for a scan as `folders.prepare_scan` does; with `force` the scan in it is removed, and its points' results.

    Raises UsageError as that does, StoreError if it holds a scan that cannot be read.
    """
    prepare_scan(out, resume, force)
    if force and (found := find_scan(out)) is not None:
        try:
            points = [point.run for point in read_scan(found).points]
        except StoreError as error:
            raise error.with_hint("remove its folder yourself") from None
        remove_scan(out, points)


def write_scan(scan: Scan) -> None:
    """Write `scan` to its path atomically; raises StoreError if the disk refuses."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        _write(file, scan)
    atomic_write(scan.path, add_checksum(buffer.getbuffer()))


def _write(file: h5py.File, scan: Scan) -> None:
    file.attrs.update(format=FORMAT, format_version=FORMAT_VERSION, energy_unit=scan.energy_unit)
    config = file.create_group("config")
    config.attrs.update(
        name=scan.name,
        source=scan.recipe_source,
        system=scan.system,
        parameters=json.dumps(scan.parameters),
        unit=scan.unit,
        warm=scan.warm,
        seed=scan.seed,
        version=scan.version,
    )
    hdf5.write_mapping(config, {"over": list(scan.over), "keys": [axis.key for axis in scan.axes]})
    hdf5.write_text(config, "recipe", hide_home(scan.recipe_text), "base recipe as written (TOML)")
    hdf5.write_text(config, "resolved", json.dumps(hide_home(scan.resolved)), "base recipe with all defaults (JSON)")

    parameters = file.create_group("parameters")
    for axis in scan.axes:
        values = [point.values[axis.key] for point in scan.points]
        if all(type(value) in (int, float) for value in values):
            dataset = hdf5.write_array(parameters, axis.key, values, axis.unit, axis.long_name)
        else:
            # texts, lists and the like
            hdf5.write_text(parameters, axis.key, [json.dumps(value) for value in values], axis.long_name)
            dataset = parameters[axis.key]
            dataset.attrs.update(units=axis.unit, json=True)
        hdf5.label_axes(dataset, "point")

    points = file.create_group("points")
    for name, (unit, words) in NUMBERS.items():
        column = [getattr(point, name) for point in scan.points]
        hdf5.label_axes(
            hdf5.write_array(points, name, column, scan.energy_unit if unit == "energy" else unit, words), "point"
        )
    for name, words in TEXTS.items():
        hdf5.write_text(points, name, [hide_home(getattr(point, name)) for point in scan.points], words)
        hdf5.label_axes(points[name], "point")
    _write_observables(file.create_group("observables"), scan)
    known = [(i, point.reference) for i, point in enumerate(scan.points) if point.reference]
    _references(file.create_group("reference"), known, scan.energy_unit, "ground-state energy known from elsewhere")
    known = [(i, bound) for i, point in enumerate(scan.points) for bound in point.published]
    _references(file.create_group("published"), known, scan.energy_unit, "other published energy")
    hdf5.complete_scales(file)


def _write_observables(group: h5py.Group, scan: Scan) -> None:
    """Write the averages of each observable, (points,) or (points, n), with NaN where a point has none."""
    for name in dict.fromkeys(name for point in scan.points for name in point.observables):
        found = [point.observables.get(name, ()) for point in scan.points]
        several = any(isinstance(one, tuple) and one for one in found)
        width = max(len(components(one)) for one in found)
        unit = next(components(one)[0].unit for one in found if one)
        words = f"observable {name} of the system"
        folder = group.create_group(name)
        folder.attrs.update(units=unit, long_name=words)
        for kind, over in (("variational", "psi^2"), ("projected", "phi_0^2")):
            columns = np.full((3, len(found), width), np.nan)
            for i, one in enumerate(found):
                for j, part in enumerate(components(one)):
                    if (average := getattr(part, kind)) is not None:
                        columns[:, i, j] = average.value, average.error, average.n_effective
            for suffix, units, long_name, column in zip(
                AVERAGE, (unit, unit, ""), ("", "error of ", "independent samples of "), columns, strict=True
            ):
                long_name += f"{words}, averaged over {over}"
                dataset = hdf5.write_array(folder, kind + suffix, column if several else column[:, 0], units, long_name)
                hdf5.label_axes(dataset, "point", *(["component"] if several else []))


def _read_observables(file: h5py.File, count: int, path: Path) -> list[Observables]:
    """The observables of each point."""
    points: list[Observables] = [{} for _ in range(count)]
    for name, group in file["observables"].items() if "observables" in file else ():
        unit = str(hdf5.attribute_reader(group, path)("units"))
        found = {
            kind: np.stack([hdf5.get_part(group, kind + suffix, path)[()] for suffix in AVERAGE], -1)
            for kind in ("variational", "projected")
        }
        several = found["variational"].ndim == 3
        if any(len(column) != count for column in found.values()):
            raise StoreError(f"{path} is damaged: its columns do not fit together")
        for point, *rows in zip(
            points, *(column.reshape(count, -1, 3).tolist() for column in found.values()), strict=True
        ):
            parts = []
            for variational, projected in zip(*rows, strict=True):
                # the number of independent samples is NaN where there is no average
                if not math.isnan(variational[2]):
                    best = None if math.isnan(projected[2]) else Estimate(*projected)
                    parts.append(Observable.of(Estimate(*variational), best, unit))
            if parts:
                point[name] = tuple(parts) if several else parts[0]
    return points


def _references(group: h5py.Group, known: list[tuple[int, Reference]], unit: str, words: str) -> None:
    """Write known energies, each with the number of its point."""
    for name, column, units, long_name in (
        ("point", np.array([i for i, _ in known], dtype=np.int64), "", "number of the point, from 0"),
        ("energy", np.array([reference.energy for _, reference in known]), unit, words),
        ("error", np.array([reference.error for _, reference in known]), unit, "its error"),
    ):
        hdf5.label_axes(hdf5.write_array(group, name, column, units, long_name), "entry")
    hdf5.write_text(group, "source", [reference.source for _, reference in known], "where it comes from")
    hdf5.label_axes(group["source"], "entry")


def read_scan(path: Path) -> Scan:
    """Read scan.h5.

    Raises StoreError, in one sentence naming the file, if it is not HDF5, truncated or damaged, not a scan of fkflow, of
    a newer format, or lacks a part.
    """
    with hdf5.open_file(path, FORMAT, FORMAT_VERSION) as file:
        return _read(file, path)


def _read(file: h5py.File, path: Path) -> Scan:
    config = hdf5.get_part(file, "config", path)
    attribute = hdf5.attribute_reader(config, path)
    parameters = hdf5.get_part(file, "parameters", path)
    axes, columns = [], {}
    for key in attribute("keys"):
        dataset = hdf5.get_part(parameters, str(key), path)
        of_axis = hdf5.attribute_reader(dataset, path)
        axes.append(Axis(str(key), of_axis("long_name"), of_axis("units")))
        coded = "json" in dataset.attrs
        columns[str(key)] = [json.loads(v) for v in dataset.asstr()[()]] if coded else dataset[()].tolist()
    return Scan(
        path=path,
        name=attribute("name"),
        system=attribute("system"),
        parameters=json.loads(attribute("parameters")),
        energy_unit=hdf5.attribute_reader(file, path)("energy_unit"),
        recipe_text=hdf5.get_part(config, "recipe", path).asstr()[()],
        recipe_source=attribute("source"),
        resolved=current_resolved(json.loads(hdf5.get_part(config, "resolved", path).asstr()[()])),
        over=tuple(str(text) for text in attribute("over")),
        axes=tuple(axes),
        unit=float(attribute("unit")),
        warm=bool(attribute("warm")),
        seed=int(attribute("seed")),
        version=attribute("version"),
        points=_read_points(file, columns, path),
    )


def _read_points(file: h5py.File, parameters: dict[str, list[Any]], path: Path) -> tuple[Point, ...]:
    group = hdf5.get_part(file, "points", path)
    columns: dict[str, list[Any]] = {}
    for name in NUMBERS:
        convert: Callable[[Any], Any] = int if name in WHOLE else float
        columns[name] = [convert(value) for value in hdf5.get_part(group, name, path)[()]]
    for name in TEXTS:
        columns[name] = [str(value) for value in hdf5.get_part(group, name, path).asstr()[()]]
    count = len(columns["run"])
    lengths = {len(column) for column in [*columns.values(), *parameters.values()]}
    if lengths != {count} or not count or not set(columns["status"]) <= {WAITING, FINISHED, FAILED}:
        raise StoreError(f"{path} is damaged: its columns do not fit together")
    known = dict(_read_references(file, "reference", count, path))
    published = _read_references(file, "published", count, path)
    observables = _read_observables(file, count, path)
    return tuple(
        Point(
            values={key: column[i] for key, column in parameters.items()},
            reference=known.get(i),
            published=tuple(bound for number, bound in published if number == i),
            observables=observables[i],
            **{name: column[i] for name, column in columns.items()},
        )
        for i in range(count)
    )


def _read_references(file: h5py.File, name: str, count: int, path: Path) -> list[tuple[int, Reference]]:
    group = hdf5.get_part(file, name, path)
    numbers, energies, errors = (
        hdf5.get_part(group, column, path)[()].tolist() for column in ("point", "energy", "error")
    )
    sources = [str(source) for source in hdf5.get_part(group, "source", path).asstr()[()]]
    if not len(numbers) == len(energies) == len(errors) == len(sources) or not set(numbers) <= set(range(count)):
        raise StoreError(f"{path} is damaged: its energies from elsewhere do not fit its points")
    return [(n, Reference(*rest)) for n, *rest in zip(numbers, energies, errors, sources, strict=True)]
