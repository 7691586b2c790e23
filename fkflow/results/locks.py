"""Locks of run folders: one process at a time works in one."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fkflow.errors import StoreError, UsageError
from fkflow.results.paths import CHECKPOINT, LOCK, RESULT, reason

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("fkflow")

#: errors for a lock that another process holds, and for a file system without locks
HELD = (errno.EWOULDBLOCK, errno.EACCES)
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.EBADF)
#: the open locks of this process; files rather than descriptors, which would stay open where a signal loses them
_held: dict[Path, BinaryIO] = {}


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock `folder` against other processes; the lock ends with this process, however that ends.

    Raises UsageError, naming the folder, if another process has it. On a file system without locks it warns and goes on.
    """
    ours = folder not in _held
    try:
        try:
            _take(folder)
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {reason(error)}") from error
        # partial files of killed processes
        for file in (RESULT, CHECKPOINT):
            for rest in folder.glob(f".{file}.*.tmp"):
                rest.unlink(missing_ok=True)
        yield
    finally:
        if ours and folder in _held:
            with _held.pop(folder) as lock, suppress(OSError):
                # while the lock is held, so that a process waiting for it sees that the file is gone
                if _same(lock, folder / LOCK):
                    (folder / LOCK).unlink()


def _take(folder: Path) -> None:
    """Take the lock of `folder`; UsageError if another process has it, OSError if no file can be made there."""
    lock = _lock(folder / LOCK)
    if lock is None:
        raise UsageError(f"{folder} is in use: another fkflow works in it; wait until that ends, or use another folder")
    _held[folder] = lock


def restore_folder(folder: Path) -> None:
    """Make a locked folder again if it was removed; StoreError if another process has done so."""
    lock = _held.get(folder)
    if lock is None:
        return
    try:
        if not _same(lock, folder / LOCK):
            raise StoreError(f"{folder} was removed, and another fkflow works in a new folder of that name")
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        _take(folder)
        lock.close()


def _same(lock: BinaryIO, path: Path) -> bool:
    return os.path.samestat(os.fstat(lock.fileno()), path.stat())


def _lock(path: Path) -> BinaryIO | None:
    """Lock a file and return it; None if another process has the lock, OSError if the file cannot be made."""
    while True:
        lock = open(path, "ab", buffering=0)
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                # unless the process that had the lock has removed the file
                if _same(lock, path):
                    return lock
        except OSError as error:
            if error.errno in NO_LOCKS:
                log.warning("%s cannot be locked on this file system: start nothing else in it", path.parent)
                return lock
            lock.close()
            if error.errno in HELD:
                return None
            raise
        lock.close()
