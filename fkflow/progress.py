"""Progress of a run on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

from fkflow import ranks
from fkflow.statistics import Estimate


class Progress(Protocol):
    """What a run tells whoever watches it. Energies are in the system's unit."""

    def stage(self, name: str, total: float | None) -> None:
        """A new stage begins; `total` is the amount of `done` that ends it."""

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        """Work done in this stage, and the energy so far."""

    def log(self, line: str) -> None:
        """One line worth keeping."""

    def close(self) -> None:
        """No more updates."""


@contextlib.contextmanager
def watch(as_json: bool) -> Iterator[Progress]:
    """A bar on a terminal, else plain lines, both on stderr; with `as_json` stray prints go there too. Rank 0 shows it."""
    progress: Progress = Silent() if ranks.rank() else Bar() if sys.stderr.isatty() else Lines()
    keep_stdout = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with keep_stdout:
        try:
            yield progress
        finally:
            progress.close()


@contextlib.contextmanager
def notices(progress: Progress) -> Iterator[None]:
    """Show what the package logs (memory that ran out, say) among the progress."""

    class Among(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.log(record.getMessage())

    handler = Among(logging.WARNING)
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
    """No progress at all: nobody asked for it, or another rank shows it."""

    def stage(self, name: str, total: float | None) -> None: ...

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None: ...

    def log(self, line: str) -> None: ...

    def close(self) -> None: ...


class Numbered:
    """The progress of one run of several: its stages carry the run's number and name."""

    def __init__(self, progress: Progress, prefix: str) -> None:
        self._progress, self._prefix = progress, prefix

    def stage(self, name: str, total: float | None) -> None:
        self._progress.stage(f"{self._prefix}  {name}", total)

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        self._progress.update(done, energy, error, note)

    def log(self, line: str) -> None:
        self._progress.log(f"{self._prefix}  {line}")

    def close(self) -> None:
        """The others may go on."""


class Lines:
    """Progress as plain lines: one when a stage begins, then one every few seconds, one when it ends."""

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
        self.log(f"{name} ...")

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        now = time.monotonic()
        took = now - self._began
        parts = [self._stage]
        if self._total:
            parts.append(f"{min(100.0, 100 * done / self._total):3.0f}%")
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
        # a log on a full disk, or a terminal that is gone, is no reason to end a run
        with contextlib.suppress(OSError):
            print(f"fkflow: {line}", file=sys.stderr, flush=True)


class Bar:
    """Progress as one bar of rich: stage, bar, energy ± error, time taken and left."""

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
        self._progress.console.print(line, markup=False)

    def close(self) -> None:
        self._progress.stop()
