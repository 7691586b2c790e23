"""Checkpoints: the state of an unfinished training, whole on disk or not there, never unpickled into objects."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from fkflow.errors import DamagedError, FkflowError, StoreError
from fkflow.execution import ranks
from fkflow.results.checksum import add_checksum, strip_checksum
from fkflow.results.folders import PREVIOUS, atomic_write, reason

FORMAT = "fkflow-checkpoint"
FORMAT_VERSION = 1

#: seconds between checkpoints at least, and how many times as long as it took to write the last one
EVERY, PATIENCE = 5.0, 20.0

Error = TypeVar("Error", bound=FkflowError)


def save_checkpoint(path: str | Path, state: Mapping[str, Any], kept: Path | None = None) -> None:
    """Write `state` (nested dicts, lists and tuples of tensors, numbers, strings, None) atomically.

    The checkpoint that was there becomes `kept`, if that is given. Raises TypeError for anything that could not be loaded back
    without unpickling objects, StoreError if the disk refuses.
    """
    import torch

    _check_plain(state, "checkpoint")
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, "state": dict(state)}, buffer)
    atomic_write(Path(path), add_checksum(buffer.getbuffer()), kept)


class CheckpointWriter:
    """The checkpoint of a run at `path`: what to go on from is noted after each iteration, and written now and then.

    The one before it is kept beside it, should the newest be damaged. `iteration` is that of the file, None without one. Where
    the disk refuses a new file, the old ones stay. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.previous = path and path.with_name(PREVIOUS)
        self.damaged = ""
        self.iteration: int | None = None
        self._noted: tuple[Mapping[str, Any], int] | None = None

    def load(self) -> dict[str, Any]:
        """The newest checkpoint; if it is damaged, the one before it, and `damaged` says so.

        Raises StoreError if there is none to go on from.
        """
        assert self.path is not None and self.previous is not None, "nothing was kept"
        try:
            return load_checkpoint(self.path)
        except DamagedError as error:
            try:
                state = load_checkpoint(self.previous)
            except StoreError:
                raise error from None
            self.damaged = f"{error}; going on from the one before it, {self.previous.name}"
            return state

    def update(self, state: Mapping[str, Any], iteration: int) -> None:
        """What to write next time; nothing in it may change until then."""
        self._noted = state, iteration

    def save(self) -> str:
        """Write what was noted; "" or, if the disk refuses, why. All ranks together, rank 0 writes."""
        if self._noted is None or self.path is None:
            return ""
        state, iteration = self._noted
        problem = ""
        if ranks.rank() == 0:
            try:
                # a damaged one is not worth keeping in the place of a good one
                save_checkpoint(self.path, state, None if self.damaged else self.previous)
                self.damaged = ""
            except StoreError as error:
                problem = str(error)
        # no rank goes on, or away, before it is on the disk
        problem = ranks.broadcast(problem)
        if not problem:
            self.iteration = iteration
        return problem

    def remove(self) -> None:
        """Remove the checkpoints: the result is on the disk."""
        with suppress(OSError):
            for path in filter(None, (self.previous, self.path)):
                path.unlink(missing_ok=True)

    def with_hint(self, error: Error) -> Error:
        """`error`, which ends the run, saying what there is to go on from."""
        if self.path is None:
            return error.with_hint("nothing is kept of a run without a folder")
        if not self.path.exists():
            return error.with_hint("there is no checkpoint to go on from")
        holds = "is as it was" if self.iteration is None else f"holds iteration {self.iteration}"
        return error.with_hint(f"{self.path} {holds}", resumable=True)


class Clock:
    """When the next checkpoint is due: writing them takes a small part of the time, however large they are."""

    def __init__(self) -> None:
        self._last, self._asked, self._took = time.perf_counter(), 0.0, 0.0

    def due(self) -> bool:
        """Whether it is time; what is written now has begun."""
        self._asked = time.perf_counter()
        return self._asked - self._last > max(EVERY, PATIENCE * self._took)

    def restart(self) -> None:
        """It is written."""
        self._last = time.perf_counter()
        self._took = self._last - self._asked


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint back, tensors on the CPU; raises StoreError if missing, damaged, foreign or newer."""
    import torch

    path = Path(path)
    if not path.is_file():
        raise StoreError(f"{path} does not exist")
    try:
        content = io.BytesIO(strip_checksum(path.read_bytes(), path))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from error
    try:
        # torch does not verify the checksums of the zip archive it writes; zipfile does
        with zipfile.ZipFile(content) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise DamagedError(f"{path} is damaged: its checksums do not match")
        content.seek(0)
        found = torch.load(content, map_location="cpu", weights_only=True)
    except StoreError:
        raise
    except Exception as error:  # whatever zipfile and torch raise on nonsense
        raise DamagedError(f"{path} is truncated, damaged or not a checkpoint of fkflow") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise StoreError(f"{path} is not a checkpoint of fkflow")
    version, state = found.get("format_version"), found.get("state")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StoreError(
            f"{path} was written by a newer fkflow: its format version is {version}, this one reads up to {FORMAT_VERSION}"
        )
    if not isinstance(state, dict):
        raise StoreError(f"{path} is not a checkpoint of fkflow")
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
