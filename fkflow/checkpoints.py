"""Checkpoints: the state of an unfinished training, whole on disk or not there, never unpickled into objects."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fkflow.errors import StoreError
from fkflow.folders import atomic_write

FORMAT = "fkflow-checkpoint"
FORMAT_VERSION = 1

# what torch and zipfile raise on damaged bytes
_DAMAGE = (
    zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, MemoryError,
)  # fmt: skip


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write `state` (nested dicts, lists and tuples of tensors, numbers, strings, None) atomically.

    Raises TypeError for anything that could not be loaded back without unpickling objects, StoreError if the
    disk refuses.
    """
    import torch

    _check_plain(state, "checkpoint")
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, "state": dict(state)}, buffer)
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
    except (pickle.UnpicklingError, *_DAMAGE) as error:
        raise StoreError(f"{path} is truncated, damaged or not a checkpoint of fkflow") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
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
    elif value is not None and type(value) not in (bool, int, float, str) and not isinstance(value, torch.Tensor):
        raise TypeError(f"{where}: {type(value).__name__} cannot be part of a checkpoint")
