"""Where the commands print: results on stdout, all else on stderr; colours where a terminal has them."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TextIO

import typer

from fkflow.errors import UsageError
from fkflow.execution import launch

P = ParamSpec("P")

#: stdout while a command runs
_stdout: TextIO | None = None

#: the first word of a row and its colour, which holds for the lines that continue the row
ROWS = {"warning": "yellow", "doubt": "yellow", "failed": "red"}
#: words and their colours
WORDS = (
    (r"(?<=^  status {15})doubtful$", "yellow"),
    (r"(?<=^  status {15})failed$", "red"),
    (r"\bOUT OF TOLERANCE\b|\bFAILED\b", "red"),
    (r"(?<=  )agrees\b|^  no fault found$", "green"),
    (r"(?<=, )doubtful$", "yellow"),
    (r"^fkflow: error:", "red"),
    (r"^fkflow: warning:", "yellow"),
)
#: column from which on a line continues the row above
CONTINUED = 10


def owns_stdout(command: Callable[P, None]) -> Callable[P, None]:
    """Leave stdout to `emit` while a command runs: what else is printed, as by the file of a user's system, goes to stderr."""

    @functools.wraps(command)
    def wrapped(*arguments: P.args, **options: P.kwargs) -> None:
        with _reserved():
            command(*arguments, **options)

    return wrapped


@contextlib.contextmanager
def _reserved() -> Iterator[None]:
    global _stdout
    before, _stdout = _stdout, sys.stdout
    # only rank 0 has an output
    keep = contextlib.nullcontext() if launch.read_environment()[0] else contextlib.redirect_stdout(sys.stderr)
    try:
        with keep:
            yield
    finally:
        _stdout = before


def emit(text: str) -> None:
    """Print a result on stdout, in colours on a terminal."""
    stream = sys.stdout if _stdout is None else _stdout
    typer.echo(coloured(text) if has_colours(stream) else text, file=stream, color=True)


def complain(line: str) -> None:
    """Print a warning or an error, one line, on stderr."""
    typer.echo(coloured(line) if has_colours(sys.stderr) else line, file=sys.stderr, color=True)


def append(log: Path | None, text: str) -> None:
    """Add a text to a log file, if there is one; UsageError if it cannot be written."""
    if log is None:
        return
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        raise UsageError(f"--log {log} cannot be written: {(error.strerror or str(error)).lower()}") from error


def has_colours(stream: Any) -> bool:
    """Whether a stream is a terminal with colours, and NO_COLOR is not set (no-color.org)."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str) -> str:
    """A text of a command with the codes of a terminal's colours; its title, the first of several lines, is bold."""
    if text.startswith("{"):
        return text
    lines, row = text.split("\n"), None
    for number, line in enumerate(lines):
        if not line.startswith(" " * CONTINUED):
            row = ROWS.get(line.split(maxsplit=1)[0]) if line.startswith("  ") and line.strip() else None
        if row is not None:
            lines[number] = typer.style(line, fg=row)
        elif number == 0 and len(lines) > 1 and line and not line.startswith(("#", "[")):
            lines[number] = typer.style(line, bold=True)
        else:
            for pattern, colour in WORDS:
                line = re.sub(pattern, lambda found, colour=colour: typer.style(found[0], fg=colour), line)  # type: ignore[misc]
            lines[number] = line
    return "\n".join(lines)
