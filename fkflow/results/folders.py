"""Run folders: what may be written where, with atomic writes.

A file appears whole or not at all: its bytes are written beside the target, fsynced and moved into place.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fkflow.errors import StoreError, UsageError
from fkflow.results.locks import lock_folder, restore_folder
from fkflow.results.paths import CHECKPOINT, LOCK, PREVIOUS, PROPAGATION, RESULT, SCAN, reason


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


def atomic_write(path: Path, content: bytes | memoryview, previous: Path | None = None) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    The old file becomes `previous`, if given; both names exist at all times. Raises StoreError naming the file if the
    disk refuses; the old files are then unchanged.
    """
    temporary = _beside(path)
    try:
        restore_folder(path.parent)
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


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
