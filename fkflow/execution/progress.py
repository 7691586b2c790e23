"""Progress of a run: what a run reports, and to whom."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from fkflow.errors import FkflowError, UsageError
from fkflow.execution import ranks
from fkflow.execution.displays import WARNING, Bar, Lines, Log, NotebookLine


class Progress(Protocol):
    """What a run reports. Energies are in the system's unit."""

    def stage(self, name: str, total: float | None) -> None:
        """Start a stage; `total` is the amount of `done` at its end."""

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        """Report the work done in this stage and the energy so far."""

    def log(self, line: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """End the progress."""


@contextlib.contextmanager
def show_progress(quiet: bool = False, log: Path | None = None) -> Iterator[Progress]:
    """Progress of rank 0 on stderr, a bar on a terminal, else lines; `quiet` shows warnings only.

    Its lines are also added to the file `log`, with the time, and so is the error that ends it. Raises UsageError if the file
    cannot be written.
    """
    if ranks.rank():
        yield Silent()
        return
    shown: Progress = Warnings() if quiet else choose_progress()
    with contextlib.ExitStack() as stack:
        watchers = [shown]
        if log is not None:
            try:
                watchers.append(Log(stack.enter_context(log.open("a", encoding="utf-8"))))
            except (OSError, ValueError) as error:
                what = (getattr(error, "strerror", None) or str(error)).lower()
                raise UsageError(f"--log {log} cannot be written: {what}") from error
        progress = shown if log is None else Several(watchers)
        try:
            yield progress
        except FkflowError as error:
            for watcher in watchers[1:]:
                watcher.log(f"error: {error}")
            raise
        finally:
            progress.close()


def choose_progress() -> Progress:
    """The progress for the place where the program runs: a bar on a terminal, one line in a notebook, else plain lines."""
    # never import IPython; a shell with a kernel is that of a notebook
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if hasattr(shell, "kernel"):
        return NotebookLine()
    return Bar() if sys.stderr.isatty() else Lines()


@contextlib.contextmanager
def show_warnings(progress: Progress) -> Iterator[None]:
    """Show warnings that the package logs, such as memory that ran out, among the progress."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.log(record.getMessage())

    handler = Handler(logging.WARNING)
    logger = logging.getLogger("fkflow")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class Silent:
    """No progress: nobody asked for it, or another rank shows it."""

    def stage(self, name: str, total: float | None) -> None: ...

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None: ...

    def log(self, line: str) -> None: ...

    def close(self) -> None: ...


class Warnings(Silent):
    """Warnings on stderr, and nothing else."""

    def log(self, line: str) -> None:
        if WARNING in line:
            with contextlib.suppress(OSError):
                print(f"fkflow: {line}", file=sys.stderr, flush=True)


class Several:
    """Several watchers of one run."""

    def __init__(self, watchers: Sequence[Progress]) -> None:
        self._watchers = watchers

    def stage(self, name: str, total: float | None) -> None:
        for each in self._watchers:
            each.stage(name, total)

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        for each in self._watchers:
            each.update(done, energy, error, note)

    def log(self, line: str) -> None:
        for each in self._watchers:
            each.log(line)

    def close(self) -> None:
        for each in self._watchers:
            each.close()


class PrefixedProgress:
    """The progress of one run of several; a prefix with its number and name stands before each stage."""

    def __init__(self, progress: Progress, prefix: str) -> None:
        self._progress, self._prefix = progress, prefix

    def stage(self, name: str, total: float | None) -> None:
        self._progress.stage(f"{self._prefix}  {name}", total)

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        self._progress.update(done, energy, error, note)

    def log(self, line: str) -> None:
        self._progress.log(f"{self._prefix}  {line}")

    def close(self) -> None:
        """Nothing: the other runs use the same progress."""
