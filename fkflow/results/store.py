"""result.h5: the only file that writes it, and the door to everything a run keeps on disk.

The bytes are made in memory and appear whole or not at all. A checksum at their end tells of damage on
reading. Nothing read back is ever unpickled into objects: result files are plain HDF5, checkpoints go through
``torch.load(weights_only=True)``. docs/file-format.md describes the layout.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from fkflow.hamiltonian import user_systems
from fkflow.results import hdf5
from fkflow.results.checkpoints import CheckpointWriter, load_checkpoint, save_checkpoint
from fkflow.results.checksum import add_checksum
from fkflow.results.folders import CHECKPOINT, RESULT, atomic_write, find_result, make_folder, prepare_folder
from fkflow.results.reader import COLUMNS, FORMAT, FORMAT_VERSION, read_result
from fkflow.results.records import Axis, DriftField, Histogram, Measurement, Projection, Trajectories
from fkflow.results.result import Result
from fkflow.text import strict_json

if TYPE_CHECKING:
    from torch import Tensor

    from fkflow.recipe.config import Loaded

__all__ = [
    "CHECKPOINT", "CheckpointWriter", "RESULT", "atomic_write", "find_result", "load_checkpoint", "make_folder",
    "make_result", "prepare_folder", "read_result", "save_checkpoint", "save_result",
]  # fmt: skip


def make_result(
    *,
    loaded: Loaded,
    provenance: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    measurement: Measurement,
    model_state: Mapping[str, Tensor],
    seconds: Mapping[str, float],
) -> Result:
    """One finished run as a Result that is in no file yet.

    `provenance` should hold seed, device, version, threads, times, argv; `records` one mapping an iteration
    with the same keys; `model_state` the network's state dictionary, which is copied. The home folder's name is replaced by
    ``~``.
    """
    system = loaded.recipe.system
    resolved = loaded.recipe.resolved()
    charges = system.nuclei()
    definition = loaded.recipe.definition
    return Result(
        path=None,
        name=hide_home(loaded.name),
        system=str(resolved["system"].get("name", system.key)),
        parameters=hide_home(strict_json(system.parameters())),
        particles=int(system.particles),
        dimensions=int(system.dimensions),
        energy_unit=system.energy_unit,
        length_unit=system.length_unit,
        nuclei=None if charges is None else np.array(charges.positions, dtype=float).reshape(-1, 3),
        reference=system.reference(),
        recipe_text=hide_home(loaded.text),
        recipe_source=hide_home(Path(loaded.source).name),
        resolved=hide_home(strict_json(resolved)),
        provenance=hide_home(strict_json(provenance)),
        training=_columns(records),
        measurement=measurement,
        model={name: tensor.detach().cpu().numpy().copy() for name, tensor in model_state.items()},
        seconds={stage: float(took) for stage, took in seconds.items()},
        definition=definition and replace(definition, file=hide_home(definition.file), text=hide_home(definition.text)),
    )


def save_result(result: Result, path: str | Path) -> Result:
    """Write a result to `path` atomically and return it with that path. Raises StoreError if the file cannot be written."""
    path = Path(path)
    if (definition := result.definition) is not None:
        # the result is found again from its own folder
        file = user_systems.absolute_file(result.folder, definition.file)
        definition = replace(definition, file=hide_home(user_systems.relative_file(path.parent, file)))
        resolved = {**result.resolved, "system": {**result.resolved["system"], "file": definition.file}}
        result = replace(result, definition=definition, resolved=resolved)
    result = replace(result, path=path)
    buffer = io.BytesIO()
    # v110: the oldest layout whose metadata carry checksums, readable by HDF5 1.10 and later
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        _write(file, result)
    atomic_write(path, add_checksum(buffer.getbuffer()))
    return result


def _write(file: h5py.File, result: Result) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["energy_unit"] = result.energy_unit
    file.attrs["length_unit"] = result.length_unit

    config = file.create_group("config")
    config.attrs.update(
        name=result.name,
        source=result.recipe_source,
        system=result.system,
        parameters=json.dumps(result.parameters),
        particles=result.particles,
        dimensions=result.dimensions,
    )
    hdf5.write_text(config, "recipe", result.recipe_text, "recipe as written (TOML)")
    hdf5.write_text(config, "resolved", json.dumps(result.resolved), "recipe with all defaults and overrides (JSON)")
    if result.definition is not None:
        long_name = "file that defines the system (Python), to be read: it is never run from here"
        hdf5.write_text(config, "system_file", result.definition.text, long_name)
        config["system_file"].attrs.update(file=result.definition.file, sha256=result.definition.sha256)
    if result.nuclei is not None:
        nuclei = hdf5.write_array(config, "nuclei", result.nuclei, result.length_unit, "positions of the nuclei")
        hdf5.label_axes(nuclei, "nucleus", "component")

    hdf5.write_mapping(file.create_group("provenance"), {**result.provenance, "seconds": result.seconds})

    training = file.create_group("training")
    for name, column in result.training.items():
        unit, long_name = COLUMNS.get(name, ("", name.replace("_", " ")))
        hdf5.write_array(training, name, column, result.energy_unit if unit == "energy" else unit, long_name)
    if "iteration" in training:
        training["iteration"].make_scale("iteration")
        for name in result.training:
            if name != "iteration":
                training[name].dims[0].attach_scale(training["iteration"])
                hdf5.label_axes(training[name], "iteration")

    _write_energy(file.create_group("energy"), result)
    for group in ("density", "pair"):
        folder = file.create_group(group)
        for histogram in result.measurement.histograms:
            if histogram.group == group:
                _write_histogram(folder.create_group(histogram.name), histogram)
    drift = file.create_group("drift")
    if result.measurement.curl is not None:
        drift.attrs["curl"] = result.measurement.curl
    for field in result.measurement.drift:
        _write_drift(drift.create_group(field.name), field, result.length_unit)

    if result.measurement.trajectories is not None:
        _write_trajectories(file.create_group("trajectories"), result.measurement.trajectories, result)
    samples = hdf5.write_array(
        file,
        "samples",
        result.measurement.samples,
        result.length_unit,
        "equilibrated walkers, distributed as psi^2",
    )
    hdf5.label_axes(samples, "walker", "particle", "component")
    model = file.create_group("model")
    for name, weights in result.model.items():
        hdf5.write_array(model, name, weights, "", f"network weights {name}")


def _write_energy(group: h5py.Group, result: Result) -> None:
    measured = result.measurement.variational
    variational = group.create_group("variational")
    bound = "variational energy (upper bound of the ground-state energy)"
    path_average = "energy of the vector drift, averaged over its paths (with a time-step error)"
    variational.attrs.update(
        value=measured.estimate.value,
        error=measured.estimate.error,
        n_effective=measured.estimate.n_effective,
        local_energy_std=measured.local_energy_std,
        autocorrelation=measured.autocorrelation,
        acceptance=measured.acceptance,
        rhat=measured.rhat,
        seconds=result.measurement.seconds,
        units=result.energy_unit,
        long_name=bound if result.measurement.curl is None else path_average,
    )
    hdf5.write_mapping(variational, {"warnings": list(result.measurement.warnings)})
    if result.measurement.projection is not None:
        _write_projection(group.create_group("projected"), result.measurement.projection, result)
    blocks = hdf5.write_array(
        variational, "blocks", measured.blocks, result.energy_unit, "block means of the local energy"
    )
    hdf5.label_axes(blocks, "block")
    if result.reference is not None:
        reference = group.create_group("reference")
        reference.attrs.update(
            value=result.reference.energy,
            error=result.reference.error,
            source=result.reference.source,
            units=result.energy_unit,
            long_name="ground-state energy known from elsewhere",
        )


def _write_projection(group: h5py.Group, projection: Projection, result: Result) -> None:
    energy, time = result.energy_unit, f"1/{result.energy_unit}"
    group.attrs.update(
        value=projection.estimate.value,
        error=projection.estimate.error,
        time_step_error=projection.time_step_error,
        n_effective=projection.estimate.n_effective,
        weights=projection.weights,
        window=projection.window,
        autocorrelation=projection.autocorrelation,
        rhat=projection.rhat,
        independent_blocks=projection.independent,
        seconds=projection.seconds,
        units=energy,
        long_name="energy projected to the exact ground state, extrapolated to time step 0",
    )
    hdf5.write_mapping(group, {"warnings": list(projection.warnings)})
    blocks = hdf5.write_array(group, "blocks", projection.blocks, energy, "block means at the smallest time step")
    hdf5.label_axes(blocks, "block")
    steps = hdf5.write_array(group, "time_step", projection.time_steps, time, "time step of the moves")
    steps.make_scale("time_step")
    for name, values, unit, words in (
        ("energy", projection.energies, energy, "projected energy at each time step"),
        ("energy_error", projection.errors, energy, "statistical error of the projected energy at each time step"),
        ("acceptance", projection.acceptances, "", "acceptance of the moves"),
        ("effective_walkers", projection.effective_walkers, "", "share of the walkers that the weights rest on"),
        ("population_bias", projection.population_biases, energy, "bias that a population of fixed size would have"),
        ("resampled", projection.resampled, "", "walkers had to be resampled"),
    ):
        _scaled(hdf5.write_array(group, name, values, unit, words), [steps])
    curve = projection.curve.reshape(-1, 4)
    times = hdf5.write_array(group, "imaginary_time", curve[:, 0], time, "imaginary time of the projection")
    times.make_scale("imaginary_time")
    for column, name, words in (
        (1, "energy_by_time", "energy at the smallest time step against imaginary time"),
        (2, "energy_by_time_error", "its statistical error"),
        (3, "fall_error", "statistical error of its distance from the variational energy"),
    ):
        _scaled(hdf5.write_array(group, name, curve[:, column], energy, words), [times])


def _write_histogram(group: h5py.Group, histogram: Histogram) -> None:
    group.attrs.update(measure=histogram.measure, long_name=histogram.long_name)
    scales = _write_axes(group, histogram.axes)
    _scaled(hdf5.write_array(group, "variational", histogram.values, histogram.unit, histogram.long_name), scales)
    errors = hdf5.write_array(
        group, "variational_error", histogram.errors, histogram.unit, f"error of {histogram.long_name}"
    )
    _scaled(errors, scales)
    if histogram.exact is not None:
        words = f"exact {histogram.long_name} of the ground state"
        _scaled(hdf5.write_array(group, "exact", histogram.exact, histogram.unit, words), scales)
    if histogram.projected is not None and histogram.projected_errors is not None:
        words = f"{histogram.long_name}, of the exact ground state"
        _scaled(hdf5.write_array(group, "projected", histogram.projected, histogram.unit, words), scales)
        _scaled(
            hdf5.write_array(group, "projected_error", histogram.projected_errors, histogram.unit, f"error of {words}"),
            scales,
        )


def _write_drift(group: h5py.Group, field: DriftField, length: str) -> None:
    group.attrs["moved"] = field.moved
    scales = _write_axes(group, field.axes)
    vectors = hdf5.write_array(
        group, "vectors", field.vectors, f"1/{length}", "drift grad log psi of the moved particle"
    )
    _scaled(vectors, scales)
    vectors.dims[len(scales)].label = "component"
    _scaled(hdf5.write_array(group, "log_psi", field.log_psi, "", "log psi up to a constant"), scales)
    positions = hdf5.write_array(group, "positions", field.positions, length, "where the particles stood")
    hdf5.label_axes(positions, "particle", "component")


def _write_trajectories(group: h5py.Group, trajectories: Trajectories, result: Result) -> None:
    words = "imaginary time of the trajectories"
    times = hdf5.write_array(group, "imaginary_time", trajectories.times, f"1/{result.energy_unit}", words)
    times.make_scale("imaginary_time")
    words = "walkers moving under the drift"
    positions = hdf5.write_array(group, "positions", trajectories.positions, result.length_unit, words)
    hdf5.label_axes(positions, "walker", "imaginary_time", "particle", "component")
    positions.dims[1].attach_scale(times)


def _write_axes(group: h5py.Group, axes: Sequence[Axis]) -> list[h5py.Dataset]:
    group.attrs["axes"] = [axis.name for axis in axes]
    scales = []
    for axis in axes:
        scale = hdf5.write_array(group, axis.name, axis.centres, axis.unit, axis.long_name)
        scale.make_scale(axis.name)
        hdf5.write_array(group, f"{axis.name}_edges", axis.edges, axis.unit, f"bin edges of {axis.long_name}")
        scales.append(scale)
    return scales


def _scaled(dataset: h5py.Dataset, scales: Sequence[h5py.Dataset]) -> None:
    for dimension, scale in enumerate(scales):
        dataset.dims[dimension].attach_scale(scale)
        dataset.dims[dimension].label = scale.name.rsplit("/", 1)[-1]


def _columns(records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    if not records:
        return {}
    nan = float("nan")
    return {
        name: np.array([nan if record[name] is None else record[name] for record in records]) for name in records[0]
    }


def hide_home(value: Any) -> Any:
    """`value` with the home folder's path, which often holds a user name, written as ``~``; text made proper UTF-8."""
    if isinstance(value, str):
        # names of files need not be text, and HDF5 ends a text at a null character
        value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
        home = os.path.expanduser("~").rstrip("/\\")
        return re.sub(re.escape(home) + r"(?![\w.-])", "~", value) if len(home) > 1 else value
    if isinstance(value, Mapping):
        return {key: hide_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide_home(item) for item in value]
    return value
