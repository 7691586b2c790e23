"""propagation.h5: writing and reading. docs/file-format.md describes the layout."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from fkflow.errors import UsageError
from fkflow.results import hdf5
from fkflow.results.checksum import add_checksum
from fkflow.results.folders import atomic_write, make_folder
from fkflow.results.paths import CHECKPOINT, PROPAGATION, RESULT, SCAN, find_file, reason
from fkflow.results.propagation import Column, DriftFilm, Propagation
from fkflow.results.store import hide_home
from fkflow.text import strict_json

FORMAT, FORMAT_VERSION = "fkflow-propagation", 1

#: the arrays of a column: ending of their name and what they are
PARTS = {
    "values": "",
    "errors": "error of ",
    "ess": "effective share of the paths of ",
    "step_errors": "time-step error of ",
}


def find_propagation(path: str | Path) -> Path | None:
    """The propagation.h5 of `path` (a folder, its name in the folder runs, or the file), or None if there is none."""
    return find_file(path, PROPAGATION)


def claim_propagation(out: Path, resume: bool, force: bool = False) -> None:
    """Prepare `out` for a propagation. Raises UsageError if it holds one without `force`, or a run or scan."""
    del resume
    try:
        for file, what in ((RESULT, "a run"), (CHECKPOINT, "an unfinished run"), (SCAN, "a scan")):
            if (out / file).exists():
                raise UsageError(f"{out} holds {what} ({file}): choose another --out")
        if (out / PROPAGATION).exists() and not force:
            raise UsageError(
                f"{out} already holds a propagation ({PROPAGATION}): replace it with --force, or choose another --out"
            )
    except (OSError, ValueError) as error:
        raise UsageError(f"{out} cannot be used: {reason(error)}") from error
    make_folder(out)


def save_propagation(found: Propagation, path: Path) -> Propagation:
    """Write a propagation atomically and return it with that path. Raises StoreError if the disk refuses."""
    found = replace(found, path=path)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        _write(file, found)
    atomic_write(path, add_checksum(buffer.getbuffer()))
    return found


def _write(file: h5py.File, found: Propagation) -> None:
    length, time = found.length_unit, f"1/{found.energy_unit}"
    file.attrs.update(
        format=FORMAT, format_version=FORMAT_VERSION, energy_unit=found.energy_unit, length_unit=found.length_unit
    )
    config = file.create_group("config")
    config.attrs.update(
        name=hide_home(found.name),
        system=found.system,
        parameters=json.dumps(found.parameters),
        particles=found.particles,
        dimensions=found.dimensions,
        psi=hide_home(found.wave),
        paths=found.paths,
        seconds=found.seconds,
    )
    hdf5.write_mapping(config, {"doubts": list(found.doubts), "status": found.status})
    hdf5.write_text(
        config, "resolved", json.dumps(hide_home(strict_json(found.resolved))), "recipe with all defaults (JSON)"
    )
    hdf5.write_mapping(file.create_group("provenance"), hide_home(strict_json(found.provenance)))
    hdf5.write_array(file, "time", found.times, time, "imaginary time").make_scale("time")
    volume = found.particles * found.dimensions
    if found.psi is not None or found.drift is not None:
        group = file.create_group("psi")
        shape = tuple(len(axis) for axis in found.axes) or (len(found.places),)
        places = hdf5.write_array(group, "places", found.places, length, "positions of the particles")
        hdf5.label_axes(places, "place", "particle", "component")
        scales = []
        for name, axis in zip("xy", found.axes, strict=False):
            scales.append(hdf5.write_array(group, name, axis, length, f"coordinate {name}"))
            scales[-1].make_scale(name)
        unit = found.energy_unit
        _label(hdf5.write_array(group, "potential", found.potential.reshape(shape), unit, "potential"), scales)
        if found.psi is not None:
            _write_column(group, found.psi, shape, "e^(-tH) psi", "", scales)
    if found.kernel is not None:
        group = file.create_group("kernel")
        ends = hdf5.write_array(group, "ends", found.ends, length, "positions at the start and at the end")
        hdf5.label_axes(ends, "kernel", "end", "particle", "component")
        _write_column(group, found.kernel, (len(found.ends),), "kernel of e^(-tH)", f"1/{length}^{volume}", [])
    if found.survival is not None and found.share is not None:
        _write_column(
            file.create_group("survival"), found.survival, (1,), "<psi|e^(-tH)|psi>", f"{length}^{volume}", []
        )
        words = "<psi|e^(-tH)|psi>/<psi|psi>"
        _write_column(file.create_group("share"), found.share, (1,), words, "", [])
    if (film := found.drift) is not None:
        group = file.create_group("drift")
        group.attrs["end"] = film.end
        times = hdf5.write_array(group, "time", film.times, time, "imaginary time")
        times.make_scale("time")
        for name, array, unit, words in (
            ("vectors", film.vectors, f"1/{length}", "drift of the particles"),
            ("errors", film.errors, f"1/{length}", "error of the drift"),
            ("ess", film.ess, "", "effective share of the paths"),
        ):
            dataset = hdf5.write_array(group, name, array, unit, words)
            dataset.dims[0].attach_scale(times)
            hdf5.label_axes(dataset, *("time", "place", "particle", "component")[: dataset.ndim])
    hdf5.complete_scales(file)


def _write_column(
    group: h5py.Group, column: Column, shape: tuple[int, ...], words: str, unit: str, scales: Sequence[h5py.Dataset]
) -> None:
    for name, of in PARTS.items():
        array = getattr(column, name)
        dataset = hdf5.write_array(
            group, name, array.reshape(len(array), *shape), "" if name == "ess" else unit, of + words
        )
        dataset.dims[0].attach_scale(group.file["time"])
        dataset.dims[0].label = "time"
        _label(dataset, scales, 1)


def _label(dataset: h5py.Dataset, scales: Sequence[h5py.Dataset], first: int = 0) -> None:
    for number, scale in enumerate(scales, first):
        dataset.dims[number].attach_scale(scale)
        dataset.dims[number].label = scale.name.rsplit("/", 1)[-1]


def read_propagation(path: Path) -> Propagation:
    """Read propagation.h5. Raises StoreError, in one sentence naming the file, if it is no such file or damaged."""
    with hdf5.open_file(path, FORMAT, FORMAT_VERSION) as file:
        config = hdf5.get_part(file, "config", path)
        attribute = hdf5.attribute_reader(config, path)
        of_file = hdf5.attribute_reader(file, path)
        n, dim = int(attribute("particles")), int(attribute("dimensions"))
        times = hdf5.get_part(file, "time", path)[()]
        places, axes, potential = np.zeros((0, n, dim)), (), np.zeros(0)
        if "psi" in file:
            group = file["psi"]
            places = hdf5.get_part(group, "places", path)[()]
            axes = tuple(group[name][()] for name in "xy" if name in group)
            potential = hdf5.get_part(group, "potential", path)[()].ravel()
        film = None
        if "drift" in file:
            group = file["drift"]
            arrays = [hdf5.get_part(group, name, path)[()] for name in ("vectors", "errors", "ess")]
            film = DriftFilm(hdf5.get_part(group, "time", path)[()], float(group.attrs["end"]), *arrays)
        return Propagation(
            path=path,
            name=attribute("name"),
            system=attribute("system"),
            parameters=json.loads(attribute("parameters")),
            particles=n,
            dimensions=dim,
            energy_unit=of_file("energy_unit"),
            length_unit=of_file("length_unit"),
            resolved=json.loads(hdf5.get_part(config, "resolved", path).asstr()[()]),
            provenance={
                k: v.item() if isinstance(v, np.generic) else v
                for k, v in hdf5.get_part(file, "provenance", path).attrs.items()
            },
            wave=attribute("psi"),
            times=times,
            places=places,
            axes=axes,
            potential=potential,
            psi=_read_column(file, "psi", path),
            ends=hdf5.get_part(file["kernel"], "ends", path)[()] if "kernel" in file else np.zeros((0, 2, n, dim)),
            kernel=_read_column(file, "kernel", path),
            survival=_read_column(file, "survival", path),
            share=_read_column(file, "share", path),
            drift=film,
            paths=int(attribute("paths")),
            seconds=float(attribute("seconds")),
            doubts=[str(doubt) for doubt in attribute("doubts")],
        )


def _read_column(file: h5py.File, name: str, path: Path) -> Column | None:
    if name not in file or "values" not in file[name]:
        return None
    arrays = [hdf5.get_part(file[name], part, path)[()] for part in PARTS]
    return Column(*(array.reshape(len(array), -1) for array in arrays))
