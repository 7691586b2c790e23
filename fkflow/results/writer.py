"""Writing a `Result` to an open HDF5 file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import h5py
import numpy as np

from fkflow.results import hdf5
from fkflow.results.layout import COLUMNS, CURVE, ENERGY, FORMAT, FORMAT_VERSION, PROJECTION, STEPS
from fkflow.results.liquid_store import write_liquid
from fkflow.results.records import Axis, DriftField, Histogram, Observable, Projection, Trajectories, components
from fkflow.results.result import Result
from fkflow.results.spectrum_store import write_spectrum
from fkflow.results.thermal import Thermal
from fkflow.results.thermal_store import write_thermal


def write_result(file: h5py.File, result: Result) -> None:
    """Write all parts of `result`."""
    file.attrs.update(
        format=FORMAT, format_version=FORMAT_VERSION, energy_unit=result.energy_unit, length_unit=result.length_unit
    )
    _write_config(file.create_group("config"), result)
    hdf5.write_mapping(file.create_group("provenance"), {**result.provenance, "seconds": result.seconds})
    if result.thermal is not None:
        _write_temperatures(file.create_group("thermal"), result.thermal, result)
        if result.reference is not None:
            _write_reference(file.create_group("energy"), result)
        hdf5.complete_scales(file)
        return
    measurement = result.measurement
    _write_training(file.create_group("training"), result)
    _write_energy(file.create_group("energy"), result)
    _write_histograms(file, measurement.histograms, "variational")
    observables = file.create_group("observables")
    for name, observable in measurement.observables.items():
        _write_observable(observables.create_group(name), name, observable)
    if measurement.liquid is not None:
        write_liquid(file.create_group("liquid"), measurement.liquid)
    drift = file.create_group("drift")
    if measurement.curl is not None:
        drift.attrs["curl"] = measurement.curl
    for field in measurement.drift:
        _write_drift(drift.create_group(field.name), field, result.length_unit)
    if measurement.trajectories is not None:
        _write_trajectories(file.create_group("trajectories"), measurement.trajectories, result)
    words = "equilibrated walkers, distributed as psi^2"
    samples = hdf5.write_array(file, "samples", measurement.samples, result.length_unit, words)
    hdf5.label_axes(samples, "sample", "particle", "component")
    if result.spectrum is not None:
        write_spectrum(file.create_group("spectrum"), result.spectrum, result.energy_unit, result.length_unit)
    model = file.create_group("model")
    for name, weights in result.model.items():
        hdf5.write_array(model, name, weights, "", f"network weights {name}")
    hdf5.complete_scales(file)


def _write_config(config: h5py.Group, result: Result) -> None:
    config.attrs.update(
        name=result.name,
        source=result.recipe_source,
        system=result.system,
        parameters=json.dumps(result.parameters),
        particles=result.particles,
        dimensions=result.dimensions,
    )
    if result.species:
        config.attrs["species"] = json.dumps([asdict(one) for one in result.species])
    hdf5.write_text(config, "recipe", result.recipe_text, "recipe as written (TOML)")
    hdf5.write_text(config, "resolved", json.dumps(result.resolved), "recipe with all defaults and overrides (JSON)")
    if (definition := result.definition) is not None:
        long_name = "file that defines the system (Python), to be read: it is never run from here"
        hdf5.write_text(config, "system_file", definition.text, long_name)
        config["system_file"].attrs.update(file=definition.file, sha256=definition.sha256)
    if result.nuclei is not None:
        nuclei = hdf5.write_array(config, "nuclei", result.nuclei, result.length_unit, "positions of the nuclei")
        hdf5.label_axes(nuclei, "nucleus", "component")


def _write_temperatures(group: h5py.Group, thermal: Thermal, result: Result) -> None:
    write_thermal(group, thermal, result.energy_unit)
    hdf5.write_mapping(group, {"status": result.status, "doubts": list(result.doubts)})
    for number, state in enumerate(thermal.states, 1):
        _write_histograms(group.create_group(str(number)), state.histograms, "thermal")


def _write_training(training: h5py.Group, result: Result) -> None:
    for name, column in result.training.items():
        unit, long_name = COLUMNS.get(name, ("", name.replace("_", " ")))
        hdf5.write_array(training, name, column, _unit(unit, result), long_name)
    if "iteration" in training:
        scale = training["iteration"]
        scale.make_scale("iteration")
        for name in result.training:
            if name != "iteration":
                training[name].dims[0].attach_scale(scale)
                hdf5.label_axes(training[name], "iteration")


def _unit(unit: str, result: Result) -> str:
    return {"energy": result.energy_unit, "time": f"1/{result.energy_unit}"}.get(unit, unit)


def _write_energy(group: h5py.Group, result: Result) -> None:
    measurement, energy = result.measurement, result.measurement.variational
    variational = group.create_group("variational")
    bound = "variational energy (upper bound of the ground-state energy)"
    path_average = "energy of the vector drift, averaged over its paths (with a time-step error)"
    variational.attrs.update(
        value=energy.estimate.value,
        error=energy.estimate.error,
        n_effective=energy.estimate.n_effective,
        **{name: getattr(energy, name) for name in ENERGY},
        seconds=measurement.seconds,
        units=result.energy_unit,
        long_name=bound if measurement.curl is None else path_average,
    )
    hdf5.write_mapping(variational, {"warnings": list(measurement.warnings)})
    hdf5.write_mapping(group, {"status": result.status, "doubts": list(result.doubts)})
    if result.tail is not None:
        group.attrs["tail"] = result.tail
    if measurement.gap is not None:
        variational.attrs["gap"] = measurement.gap
    if measurement.projection is not None:
        _write_projection(group.create_group("projected"), measurement.projection, result)
    words = "block means of the local energy"
    hdf5.label_axes(hdf5.write_array(variational, "blocks", energy.blocks, result.energy_unit, words), "block")
    _write_reference(group, result)


def _write_reference(group: h5py.Group, result: Result) -> None:
    if (reference := result.reference) is not None:
        group.create_group("reference").attrs.update(
            value=reference.energy,
            error=reference.error,
            source=reference.source,
            units=result.energy_unit,
            long_name="ground-state energy known from elsewhere",
        )


def _write_projection(group: h5py.Group, projection: Projection, result: Result) -> None:
    group.attrs.update(
        value=projection.estimate.value,
        error=projection.estimate.error,
        n_effective=projection.estimate.n_effective,
        **{name: getattr(projection, name) for name in PROJECTION},
        slow_mode_error=projection.slow_mode_error,
        weights=projection.weights,
        independent_blocks=projection.independent,
        units=result.energy_unit,
        long_name="energy projected to the exact ground state, extrapolated to time step 0",
    )
    hdf5.write_mapping(group, {"warnings": list(projection.warnings)})
    words = "block means at the smallest time step"
    hdf5.label_axes(hdf5.write_array(group, "blocks", projection.blocks, result.energy_unit, words), "block")
    _write_series(group, ((*STEPS[name], getattr(projection, name)) for name in STEPS), result)
    columns = projection.curve.reshape(-1, len(CURVE)).T
    _write_series(group, ((name, *CURVE[name], column) for name, column in zip(CURVE, columns, strict=True)), result)


def _write_series(group: h5py.Group, series: Iterable[tuple[str, str, str, np.ndarray]], result: Result) -> None:
    """Write arrays (dataset, unit, long name, values) of one length; the first is the scale of the others."""
    scale: h5py.Dataset | None = None
    for name, unit, long_name, values in series:
        dataset = hdf5.write_array(group, name, values, _unit(unit, result), long_name)
        if scale is None:
            scale = dataset
            scale.make_scale(name)
        else:
            _attach(dataset, [scale])


def _write_histograms(group: h5py.Group, histograms: Sequence[Histogram], dataset: str) -> None:
    for kind in ("density", "matrix", "pair"):
        if kind == "matrix" and not any(histogram.group == kind for histogram in histograms):
            continue
        folder = group.create_group(kind)
        for histogram in histograms:
            if histogram.group == kind:
                _write_histogram(folder.create_group(histogram.name), histogram, dataset)


def _write_histogram(group: h5py.Group, histogram: Histogram, dataset: str = "variational") -> None:
    group.attrs.update(measure=histogram.measure, long_name=histogram.long_name)
    scales, words = _write_axes(group, histogram.axes), histogram.long_name
    exact = f"{words}, of the exact ground state"
    for name, values, long_name in (
        (dataset, histogram.values, words),
        (f"{dataset}_error", histogram.errors, f"error of {words}"),
        ("exact", histogram.exact, f"exact {words} of the ground state"),
        ("projected", histogram.projected, exact),
        ("projected_error", histogram.projected_errors, f"error of {exact}"),
    ):
        if values is not None:
            _attach(hdf5.write_array(group, name, values, histogram.unit, long_name), scales)


def _write_observable(group: h5py.Group, name: str, observable: Observable | tuple[Observable, ...]) -> None:
    parts = components(observable)
    words = f"observable {name} of the system"
    group.attrs.update(units=parts[0].unit, long_name=words)
    for kind, over in (("variational", "psi^2"), ("projected", "phi_0^2")):
        estimates = [getattr(part, kind) for part in parts]
        if None in estimates:
            continue
        for suffix, field, unit, long_name in (
            ("", "value", parts[0].unit, f"{words}, averaged over {over}"),
            ("_error", "error", parts[0].unit, f"error of the {words}, averaged over {over}"),
            ("_n_effective", "n_effective", "", "independent samples that would give this error"),
        ):
            numbers = np.array([getattr(estimate, field) for estimate in estimates])
            several = isinstance(observable, tuple)
            dataset = hdf5.write_array(group, kind + suffix, numbers if several else numbers[0], unit, long_name)
            if several:
                hdf5.label_axes(dataset, "component")


def _write_drift(group: h5py.Group, field: DriftField, length: str) -> None:
    group.attrs["moved"] = field.moved
    scales = _write_axes(group, field.axes)
    words = "drift grad log psi of the moved particle"
    vectors = hdf5.write_array(group, "vectors", field.vectors, f"1/{length}", words)
    _attach(vectors, scales)
    vectors.dims[len(scales)].label = "direction"
    _attach(hdf5.write_array(group, "log_psi", field.log_psi, "", "log psi up to a constant"), scales)
    positions = hdf5.write_array(group, "positions", field.positions, length, "where the particles stood")
    hdf5.label_axes(positions, "particle", "component")


def _write_trajectories(group: h5py.Group, trajectories: Trajectories, result: Result) -> None:
    words = "imaginary time of the trajectories"
    times = hdf5.write_array(group, "imaginary_time", trajectories.times, _unit("time", result), words)
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
        edges = hdf5.write_array(group, f"{axis.name}_edges", axis.edges, axis.unit, f"bin edges of {axis.long_name}")
        hdf5.label_axes(edges, f"{axis.name}_edge")
        scales.append(scale)
    return scales


def _attach(dataset: h5py.Dataset, scales: Sequence[h5py.Dataset]) -> None:
    """Make `scales` the scales of the first dimensions."""
    for dimension, scale in enumerate(scales):
        dataset.dims[dimension].attach_scale(scale)
        dataset.dims[dimension].label = scale.name.rsplit("/", 1)[-1]
