"""Results in memory and on disk: made from the parts of a run, saved to result.h5, read back.

The bytes are made in memory and appear on disk whole or not at all, with a checksum at their end. Nothing read back is
unpickled into objects: result files are plain HDF5.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.species import declared_species
from fkflow.results.checksum import add_checksum
from fkflow.results.folders import atomic_write
from fkflow.results.reader import read_result
from fkflow.results.records import Doubt, Measurement
from fkflow.results.result import Result
from fkflow.results.status import status_of
from fkflow.results.thermal import Thermal
from fkflow.results.writer import write_result
from fkflow.text import strict_json

if TYPE_CHECKING:
    from torch import Tensor

    from fkflow.recipe.config import Loaded

__all__ = ["encode", "hide_home", "make_result", "read_result", "save_result"]


def make_result(
    *,
    loaded: Loaded,
    provenance: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    measurement: Measurement,
    model_state: Mapping[str, Tensor],
    seconds: Mapping[str, float],
    doubts: Sequence[Doubt] = (),
    thermal: Thermal | None = None,
) -> Result:
    """Make the Result of a finished run; it is in no file yet.

    `provenance` has seed, device, version, threads, times, argv; `records` one mapping an iteration with the same keys;
    `model_state` is the network's state dictionary, which is copied. The path of the home folder is replaced by ``~``.
    """
    system = loaded.recipe.system
    resolved = loaded.recipe.resolved()
    nuclei = system.nuclei()
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
        nuclei=None if nuclei is None else np.array(nuclei.positions, dtype=float).reshape(-1, 3),
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
        status=status_of(doubts),
        doubts=[str(doubt) for doubt in doubts],
        species=declared_species(system) or (),
        thermal=thermal,
        tail=None if thermal is not None else system.tail(),
    )


def save_result(result: Result, path: str | Path) -> Result:
    """Write a result to `path` atomically and return it with that path. Raises StoreError if the file cannot be written."""
    path = Path(path)
    if (definition := result.definition) is not None:
        # relative to the folder of the result
        file = user_systems.absolute_file(result.folder, definition.file)
        definition = replace(definition, file=hide_home(user_systems.relative_file(path.parent, file)))
        resolved = {**result.resolved, "system": {**result.resolved["system"], "file": definition.file}}
        result = replace(result, definition=definition, resolved=resolved)
    result = replace(result, path=path)
    atomic_write(path, add_checksum(encode(result)))
    return result


def encode(result: Result) -> memoryview:
    """The bytes of result.h5, without the checksum at their end."""
    buffer = io.BytesIO()
    # v110: the oldest layout whose metadata carry checksums, readable by HDF5 1.10 and later
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        write_result(file, result)
    return buffer.getbuffer()


def _columns(records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    if not records:
        return {}
    nan = float("nan")
    return {
        name: np.array([nan if record[name] is None else record[name] for record in records]) for name in records[0]
    }


def hide_home(value: Any) -> Any:
    """Replace the path of the home folder, which often has a user name, by ``~`` in all texts; make them proper UTF-8."""
    if isinstance(value, str):
        # file names need not be UTF-8, and HDF5 ends a text at a null character
        value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
        home = os.path.expanduser("~").rstrip("/\\")
        return re.sub(re.escape(home) + r"(?![\w.-])", "~", value) if len(home) > 1 else value
    if isinstance(value, Mapping):
        return {key: hide_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide_home(item) for item in value]
    return value
