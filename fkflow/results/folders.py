"""Run folders: what may be written where, by one process at a time, with atomic writes.

A file appears whole or not at all: its bytes are written beside the target, fsynced and moved into place.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fkflow.errors import StoreError, UsageError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("fkflow")

RESULT = "result.h5"
CHECKPOINT = "checkpoint.pt"
#: the previous checkpoint
PREVIOUS = "checkpoint.previous.pt"
SCAN = "scan.h5"
PROPAGATION = "propagation.h5"
LOCK = ".lock"
#: where runs go unless the user says otherwise
RUNS = Path("runs")

#: errors for a lock that another process holds, and for a file system without locks
HELD = (errno.EWOULDBLOCK, errno.EACCES)
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.EBADF)

#: the open locks of this process; files rather than descriptors, which would stay open where a signal loses them
_held: dict[Path, BinaryIO] = {}


@contextmanager
def claim_folder(
    out: Path, resume: bool, prepare: Callable[[Path, bool, bool], object] | None = None, *, force: bool = False
) -> Iterator[None]:
    """Prepare `out` for a run and lock it; folders of a run that writes nothing are removed.

    `prepare` is `prepare_folder` unless it is given. Raises UsageError as that and `lock_folder` do, and for `resume` with
    `force`.
    """
    if resume and force:
        raise UsageError("--force replaces what --resume goes on with: leave out one of them")
    created = missing_folders(out)
    try:
        make_folder(out)
        # first lock: the files may belong to a run in progress
        with lock_folder(out):
            (prepare or prepare_folder)(out, resume, force)
            yield
    except BaseException as error:
        for folder in created:
            # it may not have been made yet
            with suppress(OSError):
                if folder == out and isinstance(error, KeyboardInterrupt):
                    # a signal leaves them where it comes before what would have removed them
                    for file in (out / LOCK, *out.glob(".*.tmp")):
                        file.unlink(missing_ok=True)
                folder.rmdir()
        raise


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


def _restore(folder: Path) -> None:
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


def prepare_folder(out: Path, resume: bool, force: bool = False) -> Path:
    """Create `out` for a new run (or, with `resume`, for whatever is left of one) and return it.

    With `force` an unfinished run in it is removed, and a finished one stays until the new result replaces it. Raises
    UsageError if it holds a scan, holds a run without `resume` or `force`, is a file, or cannot be written.
    """
    try:
        if (out / SCAN).exists():
            raise UsageError(f"{out} holds a scan ({SCAN}): choose another --out, or go on with fkflow scan --resume")
        if (out / PROPAGATION).exists():
            raise UsageError(f"{out} holds a propagation ({PROPAGATION}): choose another --out")
        if not (resume or force) and (out / CHECKPOINT).exists():
            raise UsageError(
                f"{out} holds an unfinished run: continue it with --resume, replace it with --force, or choose another --out"
            )
        if not (resume or force) and (out / RESULT).exists():
            raise UsageError(
                f"{out} already holds a finished run ({RESULT}): choose another --out, or replace it with --force (--resume "
                "gives its result, or goes on where the budget is larger)"
            )
        if force:
            _remove(out, CHECKPOINT, PREVIOUS)
    except (OSError, ValueError) as error:
        raise UsageError(f"{out} cannot be used: {reason(error)}") from error
    return make_folder(out)


def prepare_scan(out: Path, resume: bool, force: bool = False) -> Path:
    """Create `out` for a new scan (or, with `resume`, for whatever is left of one) and return it.

    Raises UsageError if it holds a scan without `resume` or `force`, or a run, is a file, or cannot be written.
    """
    try:
        if (out / RESULT).exists() or (out / CHECKPOINT).exists():
            raise UsageError(f"{out} holds a run, not a scan: choose another --out")
        if (out / PROPAGATION).exists():
            raise UsageError(f"{out} holds a propagation, not a scan: choose another --out")
        if (out / SCAN).exists() and not (resume or force):
            raise UsageError(
                f"{out} already holds a scan ({SCAN}): continue it with --resume, replace it with --force, or choose another "
                "--out"
            )
    except (OSError, ValueError) as error:
        raise UsageError(f"{out} cannot be used: {reason(error)}") from error
    return make_folder(out)


def remove_scan(out: Path, points: Iterable[str]) -> None:
    """Remove a scan and the results of its `points`, the names of their folders; other files stay. UsageError if it cannot."""
    try:
        for folder in (out / point for point in points):
            _remove(folder, CHECKPOINT, PREVIOUS, RESULT)
        _remove(out, SCAN)
    except OSError as error:
        raise UsageError(f"{out} cannot be replaced: {reason(error)}") from error


def _remove(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).unlink(missing_ok=True)


def missing_folders(folder: Path) -> list[Path]:
    """`folder` and those above it that do not exist yet, innermost first."""
    try:
        return [path for path in (folder, *folder.parents) if not path.exists()]
    except (OSError, ValueError):
        return []


def make_folder(folder: Path) -> Path:
    """Create `folder` if needed and test that files can be written there; raises UsageError if not."""
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file, not a folder: choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        # permission bits are not enough (root, read-only mounts, quotas)
        probe = _beside(folder / "probe")
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        finally:
            probe.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} cannot be written: {reason(error)}") from error
    return folder


def locate(run: str | Path) -> Path:
    """The path that a user means by `run`: itself, or else the run or scan of that name in the folder runs.

    Raises StoreError for a path that cannot be looked up.
    """
    path = Path(run)
    named = RUNS / path
    try:
        return named if not (path.is_absolute() or path.is_file() or _is_run(path)) and _is_run(named) else path
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from error


def _is_run(path: Path) -> bool:
    return any((path / file).exists() for file in (RESULT, CHECKPOINT, SCAN, PROPAGATION))


def find_file(run: str | Path, name: str) -> Path | None:
    """The file `name` of `run`: its folder, the name of that in the folder runs, or the file; None if there is none."""
    found = locate(run)
    try:
        if found.is_dir() and (found / name).is_file():
            return found / name
        return found if found.name == name and found.is_file() else None
    except (OSError, ValueError) as error:
        raise StoreError(f"{found} cannot be read: {reason(error)}") from error


def find_result(run: str | Path) -> Path:
    """The result file of `run`: a run folder, the name of one in the folder runs, or the file; StoreError if there is none."""
    path = locate(run)
    try:
        if path.is_dir():
            if not (path / RESULT).exists() and (path / SCAN).exists():
                raise StoreError(f"{path} holds a scan: give the folder of one of its points")
            if not (path / RESULT).exists() and (path / PROPAGATION).exists():
                raise StoreError(f"{path} holds a propagation, which has no ground state: fkflow show and plot take it")
            if not (path / RESULT).exists() and (path / CHECKPOINT).exists():
                raise StoreError(f"{path} holds an unfinished run: continue it with fkflow run ... --resume")
            path = path / RESULT
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise StoreError(f"{path} {what}: give a run folder, the name of one in {RUNS.as_posix()}, or its {RESULT}")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from error
    return path


def atomic_write(path: Path, content: bytes | memoryview, previous: Path | None = None) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    The old file becomes `previous`, if given; both names exist at all times. Raises StoreError naming the file if the
    disk refuses; the old files are then unchanged.
    """
    temporary = _beside(path)
    try:
        _restore(path.parent)
        try:
            # os.open (not mkstemp) so that the file gets the permissions of the user's umask
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            with open(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            if previous is not None:
                _copy(path, previous)
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
        raise StoreError(f"{path} cannot be written: {reason(error)}") from error


def _copy(path: Path, previous: Path) -> None:
    """Make `previous` another name, or a copy, of the file at `path`; remove it if there is none."""
    if not path.exists():
        previous.unlink(missing_ok=True)
        return
    second = _beside(path)
    try:
        try:
            os.link(path, second)
        except OSError:  # some file systems have no links
            shutil.copyfile(path, second)
        os.replace(second, previous)
    finally:
        # replacing does nothing where both names are one file already, after a kill between two renames
        second.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """The reason of an error in the operating system's words."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
