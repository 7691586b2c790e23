"""result.h5, checkpoints and run folders: the only file that writes them.

A file appears whole or not at all: its bytes are made in memory, written beside the target, fsynced and moved
into place. Arrays carry checksums, so damage is noticed on reading. Nothing read here is ever unpickled into
objects: result files are plain HDF5, checkpoints go through ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from fkflow.errors import StoreError, UsageError
from fkflow.results import Axis, DriftField, Energy, Histogram, Measurement, Result, strict_json
from fkflow.statistics import Estimate
from fkflow.system import Reference

if TYPE_CHECKING:
    from torch import Tensor

    from fkflow.config import Loaded

FORMAT = "fkflow"
FORMAT_VERSION = 1
RESULT = "result.h5"
CHECKPOINT = "checkpoint.pt"
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
STAGES = ("train", "measure")

# everything h5py raises on damaged bytes, and what the conversions below raise on nonsense
_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, MemoryError, OverflowError)


# ----------------------------------------------------------------------------------------------- run folders


def prepare_folder(out: Path, resume: bool) -> Path:
    """Make sure `out` can take a new run (or, with `resume`, an unfinished one); creates it and returns it.

    Raises UsageError if it holds a finished run, holds an unfinished one without `resume` (or none with it),
    is a file, or cannot be written.
    """
    result, checkpoint = out / RESULT, out / CHECKPOINT
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file, not a folder: choose another --out")
        if result.exists():
            raise UsageError(
                f"{out} already holds a finished run ({RESULT}): choose another --out, or remove it first"
            )
        if checkpoint.exists() and not resume:
            raise UsageError(
                f"{out} holds an unfinished run: continue it with --resume, or choose another --out"
            )
        if resume and not checkpoint.exists():
            raise UsageError(
                f"{out} has no {CHECKPOINT} to resume from: leave out --resume to start a new run"
            )
    except (OSError, ValueError) as error:
        raise UsageError(f"{out} cannot be used: {_reason(error)}") from error
    return make_folder(out)


def make_folder(folder: Path) -> Path:
    """Create `folder` if need be and make sure files can be written there; raises UsageError if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # permission bits do not tell (root, read-only mounts, quotas): try it
        probe = _beside(folder / "probe")
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        probe.unlink()
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} cannot be written: {_reason(error)}") from error
    return folder


def find_result(run: str | Path) -> Path:
    """The result file of `run` (a run folder, or the file itself); raises StoreError if there is none."""
    path = Path(run)
    try:
        if path.is_dir():
            if not (path / RESULT).exists() and (path / CHECKPOINT).exists():
                raise StoreError(f"{path} holds an unfinished run: continue it with fkflow run ... --resume")
            path = path / RESULT
        if not path.is_file():
            raise StoreError(f"{path} does not exist: give a run folder or its {RESULT}")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {_reason(error)}") from error
    return path


def atomic_write(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    Raises StoreError naming the file if the disk refuses; the old file is then untouched.
    """
    temporary = _beside(path)
    try:
        # os.open (not mkstemp) so that the file gets the permissions of the user's umask
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {_reason(error)}") from error


# --------------------------------------------------------------------------------------------------- writing


def write_result(
    path: str | Path,
    *,
    loaded: Loaded,
    provenance: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    measurement: Measurement,
    model_state: Mapping[str, Tensor],
    seconds: Mapping[str, float],
) -> Result:
    """Write one finished run to `path` atomically and return it as a Result.

    `provenance` should hold seed, device, version, threads, times, argv; `records` one mapping an iteration
    with the same keys; `model_state` the network's state dictionary. The home folder's name is replaced by
    ``~``. Raises StoreError if the file cannot be written.
    """
    path = Path(path)
    system = loaded.recipe.system
    resolved = loaded.recipe.resolved()
    charges = system.nuclei()
    result = Result(
        path=path,
        name=loaded.name,
        system=str(resolved["system"].get("name", system.key)),
        parameters=_impersonal(strict_json(system.parameters())),
        particles=int(system.particles),
        dimensions=int(system.dimensions),
        energy_unit=system.energy_unit,
        length_unit=system.length_unit,
        nuclei=None if charges is None else np.array(charges.positions, dtype=float).reshape(-1, 3),
        reference=system.reference(),
        recipe_text=_impersonal(loaded.text),
        recipe_source=Path(loaded.source).name,
        resolved=_impersonal(strict_json(resolved)),
        provenance=_impersonal(strict_json(provenance)),
        training=_columns(records),
        measurement=measurement,
        model={name: tensor.detach().cpu().numpy() for name, tensor in model_state.items()},
        seconds={stage: float(took) for stage, took in seconds.items()},
    )
    buffer = io.BytesIO()
    # v110: the oldest layout whose metadata carry checksums, readable by HDF5 1.10 and later
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        _write(file, result)
    atomic_write(path, buffer.getbuffer())
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
    _text(config, "recipe", result.recipe_text, "recipe as written (TOML)")
    _text(config, "resolved", json.dumps(result.resolved), "recipe with all defaults and overrides (JSON)")
    if result.nuclei is not None:
        nuclei = _array(config, "nuclei", result.nuclei, result.length_unit, "positions of the nuclei")
        _label(nuclei, "nucleus", "component")

    _mapping(file.create_group("provenance"), {**result.provenance, "seconds": result.seconds})

    training = file.create_group("training")
    for name, column in result.training.items():
        unit, long_name = COLUMNS.get(name, ("", name.replace("_", " ")))
        _array(training, name, column, result.energy_unit if unit == "energy" else unit, long_name)
    if "iteration" in training:
        training["iteration"].make_scale("iteration")
        for name in result.training:
            if name != "iteration":
                training[name].dims[0].attach_scale(training["iteration"])
                _label(training[name], "iteration")

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

    samples = _array(
        file,
        "samples",
        result.measurement.samples,
        result.length_unit,
        "equilibrated walkers, distributed as psi^2",
    )
    _label(samples, "walker", "particle", "component")
    model = file.create_group("model")
    for name, weights in result.model.items():
        _array(model, name, weights, "", f"network weights {name}")


def _write_energy(group: h5py.Group, result: Result) -> None:
    measured = result.measurement.variational
    variational = group.create_group("variational")
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
        long_name="variational energy (upper bound of the ground-state energy)",
    )
    _mapping(variational, {"warnings": list(result.measurement.warnings)})
    blocks = _array(
        variational, "blocks", measured.blocks, result.energy_unit, "block means of the local energy"
    )
    _label(blocks, "block")
    if result.reference is not None:
        reference = group.create_group("reference")
        reference.attrs.update(
            value=result.reference.energy,
            error=result.reference.error,
            source=result.reference.source,
            units=result.energy_unit,
            long_name="ground-state energy known from elsewhere",
        )


def _write_histogram(group: h5py.Group, histogram: Histogram) -> None:
    group.attrs.update(measure=histogram.measure, long_name=histogram.long_name)
    scales = _write_axes(group, histogram.axes)
    _scaled(_array(group, "variational", histogram.values, histogram.unit, histogram.long_name), scales)
    errors = _array(
        group, "variational_error", histogram.errors, histogram.unit, f"error of {histogram.long_name}"
    )
    _scaled(errors, scales)


def _write_drift(group: h5py.Group, field: DriftField, length: str) -> None:
    group.attrs["moved"] = field.moved
    scales = _write_axes(group, field.axes)
    vectors = _array(
        group, "vectors", field.vectors, f"1/{length}", "drift grad log psi of the moved particle"
    )
    _scaled(vectors, scales)
    vectors.dims[len(scales)].label = "component"
    _scaled(_array(group, "log_psi", field.log_psi, "", "log psi up to a constant"), scales)
    positions = _array(group, "positions", field.positions, length, "where the particles stood")
    _label(positions, "particle", "component")


def _write_axes(group: h5py.Group, axes: Sequence[Axis]) -> list[h5py.Dataset]:
    group.attrs["axes"] = [axis.name for axis in axes]
    scales = []
    for axis in axes:
        scale = _array(group, axis.name, axis.centres, axis.unit, axis.long_name)
        scale.make_scale(axis.name)
        _array(group, f"{axis.name}_edges", axis.edges, axis.unit, f"bin edges of {axis.long_name}")
        scales.append(scale)
    return scales


def _scaled(dataset: h5py.Dataset, scales: Sequence[h5py.Dataset]) -> None:
    for dimension, scale in enumerate(scales):
        dataset.dims[dimension].attach_scale(scale)
        dataset.dims[dimension].label = scale.name.rsplit("/", 1)[-1]


def _label(dataset: h5py.Dataset, *labels: str) -> None:
    for dimension, label in enumerate(labels):
        dataset.dims[dimension].label = label


def _array(group: h5py.Group, name: str, values: Any, unit: str, long_name: str) -> h5py.Dataset:
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{group.name}/{name}: only numbers are stored, not {values.dtype}")
    # filters (here the checksum) need chunks, which scalars and empty arrays cannot have
    checksum = values.ndim > 0 and values.size > 0
    dataset = group.create_dataset(name, data=values, fletcher32=True if checksum else None)
    dataset.attrs.update(units=unit, long_name=long_name)
    return dataset


def _text(group: h5py.Group, name: str, text: str, long_name: str) -> None:
    dataset = group.create_dataset(name, data=text, dtype=h5py.string_dtype("utf-8"))
    dataset.attrs.update(units="", long_name=long_name)


def _mapping(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Plain values as attributes, nested mappings as groups, None as an empty attribute."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            _mapping(group.create_group(key), value)
        elif value is None:
            group.attrs[key] = h5py.Empty("f8")
        elif isinstance(value, str | bool | int | float):
            group.attrs[key] = value
        elif all(isinstance(item, str) for item in value):
            group.attrs.create(key, list(value), shape=(len(value),), dtype=h5py.string_dtype("utf-8"))
        elif all(isinstance(item, bool | int | float) for item in value):
            group.attrs[key] = np.asarray(value)
        else:
            group.attrs[key] = json.dumps(value)


def _columns(records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    if not records:
        return {}
    nan = float("nan")
    return {
        name: np.array([nan if record[name] is None else record[name] for record in records])
        for name in records[0]
    }


def _impersonal(value: Any) -> Any:
    """`value` with the home folder's path, which often holds a user name, written as ``~``."""
    if isinstance(value, str):
        home = os.path.expanduser("~").rstrip("/\\")
        return re.sub(re.escape(home) + r"(?![\w.-])", "~", value) if len(home) > 1 else value
    if isinstance(value, Mapping):
        return {key: _impersonal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_impersonal(item) for item in value]
    return value


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


# --------------------------------------------------------------------------------------------------- reading


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
        except _DAMAGE as error:
            raise StoreError(f"{path} is damaged: part of its content cannot be read") from error


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with open(path, "rb") as stream:
            stream.read(1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {_reason(error)}") from error
    try:
        if not h5py.is_hdf5(path):
            raise StoreError(f"{path} is not an HDF5 file, so not a result of fkflow")
        file = h5py.File(path, "r", locking="best-effort")
    except _DAMAGE as error:
        raise StoreError(f"{path} cannot be opened: the file is truncated or damaged") from error
    with file:
        try:
            kind, version = file.attrs.get("format"), file.attrs.get("format_version")
        except _DAMAGE as error:
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
    names = sorted(
        training, key=lambda name: (list(COLUMNS).index(name) if name in COLUMNS else len(COLUMNS), name)
    )
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


# ----------------------------------------------------------------------------------------------- checkpoints


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write `state` (nested dicts, lists and tuples of tensors, numbers, strings, None) atomically.

    Raises TypeError for anything that could not be loaded back without unpickling objects, StoreError if the
    disk refuses.
    """
    import torch

    _check_plain(state, "checkpoint")
    buffer = io.BytesIO()
    torch.save({"format": CHECKPOINT_FORMAT, "format_version": FORMAT_VERSION, "state": dict(state)}, buffer)
    atomic_write(Path(path), buffer.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint back, tensors on the CPU; raises StoreError if missing, damaged, foreign or newer."""
    import pickle

    import torch

    path = Path(path)
    if not path.is_file():
        raise StoreError(f"{path} does not exist")
    try:
        # torch does not verify the checksums of the zip archive it writes; zipfile does
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise StoreError(f"{path} is damaged: its checksums do not match")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, *_DAMAGE) as error:
        raise StoreError(f"{path} is truncated, damaged or not a checkpoint of fkflow") from error
    if not isinstance(content, dict) or content.get("format") != CHECKPOINT_FORMAT:
        raise StoreError(f"{path} is not a checkpoint of fkflow")
    if content.get("format_version", 0) > FORMAT_VERSION:
        raise StoreError(f"{path} was written by a newer fkflow: update fkflow to resume it")
    state: dict[str, Any] = content["state"]
    return state


def _check_plain(value: Any, where: str) -> None:
    import torch

    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
    # exact types: a numpy number is a float, yet torch would refuse to load it back
    elif (
        value is not None
        and type(value) not in (bool, int, float, str)
        and not isinstance(value, torch.Tensor)
    ):
        raise TypeError(f"{where}: {type(value).__name__} cannot be part of a checkpoint")
