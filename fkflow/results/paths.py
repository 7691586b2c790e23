"""The names of the files of a run, and where the runs are that a user names."""

from __future__ import annotations

from pathlib import Path

from fkflow.errors import StoreError

RESULT = "result.h5"
CHECKPOINT = "checkpoint.pt"
#: the previous checkpoint
PREVIOUS = "checkpoint.previous.pt"
SCAN = "scan.h5"
PROPAGATION = "propagation.h5"
LOCK = ".lock"
#: where runs go unless the user says otherwise
RUNS = Path("runs")


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


def reason(error: BaseException) -> str:
    """The reason of an error in the operating system's words."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
