"""Checkpoints: the state of an unfinished training, written atomically, read without unpickling objects."""

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
from fkflow.results.folders import atomic_write
from fkflow.results.paths import PREVIOUS, reason

FORMAT = "fkflow-checkpoint"
FORMAT_VERSION = 1

#: least time between checkpoints: seconds, and times that of writing the last one
EVERY, PATIENCE = 5.0, 20.0

Error = TypeVar("Error", bound=FkflowError)


def save_checkpoint(path: str | Path, state: Mapping[str, Any], previous: Path | None = None) -> None:
    """Write `state` (nested dicts, lists and tuples of tensors, numbers, strings, None) atomically.

    The old checkpoint becomes `previous`, if given. Raises TypeError for values that cannot be loaded without unpickling
    objects, StoreError if the disk refuses.
    """
    import torch

    _check_plain(state, "checkpoint")
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, "state": dict(state)}, buffer)
    atomic_write(Path(path), add_checksum(buffer.getbuffer()), previous)


class CheckpointWriter:
    """Writes the checkpoint of a run at `path`: updated after each iteration, saved now and then.

    The previous checkpoint stays beside it, in case the newest is damaged. `iteration` is that of the file or None. If the disk
    refuses a new file, the old ones stay. Without a path nothing is written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.previous = path and path.with_name(PREVIOUS)
        self.damaged = ""
        self.iteration: int | None = None
        self._latest: tuple[Mapping[str, Any], int] | None = None

    def load(self) -> dict[str, Any]:
        """Load the newest checkpoint, or, if it is damaged, the previous one; then `damaged` says so.

        Raises StoreError if there is none.
        """
        assert self.path is not None and self.previous is not None, "no path, no checkpoint"
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
        """Set what `save` writes; it must not be modified until then."""
        self._latest = state, iteration

    def save(self) -> str:
        """Write the latest state; returns "", or the reason if the disk refuses. All ranks call it, rank 0 writes."""
        if self._latest is None or self.path is None:
            return ""
        state, iteration = self._latest
        problem = ""
        if ranks.rank() == 0:
            try:
                # a damaged file must not replace a good previous one
                save_checkpoint(self.path, state, None if self.damaged else self.previous)
                self.damaged = ""
            except StoreError as error:
                problem = str(error)
        # no rank goes on, or ends, before it is on the disk
        problem = ranks.broadcast(problem)
        if not problem:
            self.iteration = iteration
        return problem

    def remove(self) -> None:
        """Remove the checkpoints, once the result is written."""
        with suppress(OSError):
            for path in filter(None, (self.previous, self.path)):
                path.unlink(missing_ok=True)

    def with_hint(self, error: Error) -> Error:
        """`error`, which ends the run, with the checkpoint to go on from in its message."""
        if self.path is None:
            return error.with_hint("nothing is saved of a run without a folder")
        if not self.path.exists():
            return error.with_hint("there is no checkpoint to go on from")
        holds = "is as it was" if self.iteration is None else f"holds iteration {self.iteration}"
        return error.with_hint(f"{self.path} {holds}", resumable=True)


class Clock:
    """When the next checkpoint is due, so that writing takes a small part of the time."""

    def __init__(self) -> None:
        self._last, self._begun, self._took = time.perf_counter(), 0.0, 0.0

    def due(self) -> bool:
        """Whether it is time to write; if so, writing begins now."""
        self._begun = time.perf_counter()
        return self._begun - self._last > max(EVERY, PATIENCE * self._took)

    def restart(self) -> None:
        """Writing has ended."""
        self._last = time.perf_counter()
        self._took = self._last - self._begun


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint, tensors on the CPU; raises StoreError if it is missing, damaged, foreign or newer."""
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
    except Exception as error:  # zipfile and torch raise many kinds
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
