"""Progress of a run on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from fkflow.errors import FkflowError, UsageError
from fkflow.execution import ranks
from fkflow.statistics import Estimate

#: in lines that are warnings, behind the name of the run in a scan
WARNING = "warning: "


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


def _energy_text(energy: float | None, error: float | None) -> str:
    if energy is None or not math.isfinite(energy):
        return ""
    if error is None or not (math.isfinite(error) and error > 0):
        return f"{energy:.6g}"
    return str(Estimate(energy, error))


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


class Lines:
    """Plain lines: one when a stage begins, one every few seconds, one when it ends."""

    every = 5.0

    def __init__(self) -> None:
        self._stage = ""
        self._total: float | None = None
        self._began = self._last = time.monotonic()
        self._pending = ""

    def stage(self, name: str, total: float | None) -> None:
        self._flush()
        self._stage, self._total = name, total
        self._began = self._last = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        self.log(f"{self._stage} ...")

    def _share(self, share: float) -> str:
        return f"{100 * share:3.0f}%"

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        now = time.monotonic()
        took = now - self._began
        parts = [self._stage]
        if self._total:
            parts.append(self._share(min(1.0, done / self._total)))
        if text := _energy_text(energy, error):
            parts.append(f"energy {text}")
        parts.append(f"{took:.0f} s")
        if self._total and 0 < done < self._total:
            parts.append(f"{took * (self._total - done) / done:.0f} s left")
        self._pending = "  ".join([*parts, note]).rstrip()
        if now - self._last >= self.every:
            self._last = now
            self._flush()

    def log(self, line: str) -> None:
        self._flush()
        self._print(line)

    def close(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._print(self._pending)
        self._pending = ""

    def _print(self, line: str) -> None:
        # a full disk or a closed terminal must not end the run
        with contextlib.suppress(OSError):
            print(f"fkflow: {line}", file=sys.stderr, flush=True)


class Log(Lines):
    """Plain lines with date and time in a file."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self._file = file

    def _print(self, line: str) -> None:
        # a full disk must not end the run
        with contextlib.suppress(OSError):
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}", file=self._file, flush=True)


class NotebookLine(Lines):
    """One line a stage on stdout, overwritten a few times a second, which every notebook can show."""

    every, columns = 0.25, 24

    def __init__(self) -> None:
        super().__init__()
        self._shown = ""

    def _begin(self) -> None:
        self._end()
        self._pending = self._stage
        self._flush()

    def _share(self, share: float) -> str:
        done = round(share * self.columns)
        return f"{'━' * done}{'┄' * (self.columns - done)} {super()._share(share)}"

    def log(self, line: str) -> None:
        self._end()
        print(line, flush=True)

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        """Print the last state of the line and end it."""
        self._flush()
        if self._shown:
            print(flush=True)
        self._shown = ""

    def _print(self, line: str) -> None:
        print(f"\r{line:<{len(self._shown)}}", end="", flush=True)
        self._shown = line


class Bar:
    """One bar of rich: stage, bar, energy ± error, time taken and left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True, highlight=False)
        wide = console.width >= 70
        columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f}%")] if wide else []
        columns += [TextColumn("{task.fields[energy]}", markup=False), TimeElapsedColumn()]
        columns += [TextColumn("left"), TimeRemainingColumn()] if wide else []
        self._progress = Progress(*columns, console=console, expand=wide, transient=True)
        self._task: Any = None

    def stage(self, name: str, total: float | None) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total, energy="")
        self._progress.start()

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        text = "  ".join(part for part in (_energy_text(energy, error), note) if part)
        self._progress.update(self._task, completed=done, energy=text)

    def log(self, line: str) -> None:
        self._progress.console.print(line, markup=False, style="yellow" if WARNING in line else None)

    def close(self) -> None:
        self._progress.stop()
