"""What shows the progress of a run: plain lines, one line in a notebook, a bar on a terminal."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from typing import Any, TextIO

from fkflow.statistics import Estimate

#: in lines that are warnings, behind the name of the run in a scan
WARNING = "warning: "


def _energy_text(energy: float | None, error: float | None) -> str:
    if energy is None or not math.isfinite(energy):
        return ""
    if error is None or not (math.isfinite(error) and error > 0):
        return f"{energy:.6g}"
    return str(Estimate(energy, error))


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
