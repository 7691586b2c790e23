"""Run folders and files in them: what may be written where, and never half a file.

A file appears whole or not at all: its bytes are written beside the target, fsynced and moved into place.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fkflow.errors import StoreError, UsageError

RESULT = "result.h5"
CHECKPOINT = "checkpoint.pt"
SCAN = "scan.h5"


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
            raise UsageError(f"{out} already holds a finished run ({RESULT}): choose another --out, or remove it first")
        if (out / SCAN).exists():
            raise UsageError(f"{out} holds a scan ({SCAN}): choose another --out, or go on with fkflow scan --resume")
        if checkpoint.exists() and not resume:
            raise UsageError(f"{out} holds an unfinished run: continue it with --resume, or choose another --out")
        if resume and not checkpoint.exists():
            raise UsageError(f"{out} has no {CHECKPOINT} to resume from: leave out --resume to start a new run")
    except (OSError, ValueError) as error:
        raise UsageError(f"{out} cannot be used: {reason(error)}") from error
    return make_folder(out)


def prepare_scan(out: Path, resume: bool) -> Path:
    """Make sure `out` can take a new scan (or, with `resume`, an unfinished one); creates it and returns it.

    Raises UsageError if it holds a scan without `resume` (or none with it) or a run, is a file, or cannot be written.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file, not a folder: choose another --out")
        if (out / RESULT).exists() or (out / CHECKPOINT).exists():
            raise UsageError(f"{out} holds a run, not a scan: choose another --out")
        if (out / SCAN).exists() and not resume:
            raise UsageError(f"{out} already holds a scan ({SCAN}): continue it with --resume, or choose another --out")
        if resume and not (out / SCAN).exists():
            raise UsageError(f"{out} has no {SCAN} to resume from: leave out --resume to start a new scan")
    except (OSError, ValueError) as error:
        raise UsageError(f"{out} cannot be used: {reason(error)}") from error
    return make_folder(out)


def missing(folder: Path) -> list[Path]:
    """`folder` and those above it that do not exist yet, innermost first."""
    try:
        return [path for path in (folder, *folder.parents) if not path.exists()]
    except (OSError, ValueError):
        return []


def make_folder(folder: Path) -> Path:
    """Create `folder` if need be and make sure files can be written there; raises UsageError if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # permission bits do not tell (root, read-only mounts, quotas): try it
        probe = _beside(folder / "probe")
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        probe.unlink()
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} cannot be written: {reason(error)}") from error
    return folder


def find_result(run: str | Path) -> Path:
    """The result file of `run` (a run folder, or the file itself); raises StoreError if there is none."""
    path = Path(run)
    try:
        if path.is_dir():
            if not (path / RESULT).exists() and (path / SCAN).exists():
                raise StoreError(f"{path} holds a scan: give the folder of one of its points")
            if not (path / RESULT).exists() and (path / CHECKPOINT).exists():
                raise StoreError(f"{path} holds an unfinished run: continue it with fkflow run ... --resume")
            path = path / RESULT
        if not path.is_file():
            raise StoreError(f"{path} does not exist: give a run folder or its {RESULT}")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from error
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
        raise StoreError(f"{path} cannot be written: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """What went wrong, in the operating system's words."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
