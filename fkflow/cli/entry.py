"""Run the command line: its exit codes, and one line on stderr for an expected error."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from fkflow.cli import output
from fkflow.cli.commands import app
from fkflow.errors import FkflowError, UsageError
from fkflow.execution import launch, processes, signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; expected errors become one line on stderr."""
    try:
        code = _main(arguments)
    except BaseException:
        if not processes.is_child():
            raise
        traceback.print_exc()
        code = 1
    if processes.is_child():  # a copy of another process must not return to the caller of that
        sys.stderr.flush()
        os._exit(code)
    return code


def _main(arguments: Sequence[str] | None) -> int:
    # the parent process may have closed them
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        # an ASCII terminal shows ? for ±
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    rank = 0
    try:
        if broken := [argument for argument in arguments if "\0" in argument]:
            raise UsageError(f"{broken[0]!r} has a null character, which no name and no value may have")
        rank, count = launch.read_environment()
        with contextlib.ExitStack() as while_running:
            if rank:
                while_running.enter_context(_silence())
            if count == 1:
                while_running.enter_context(signals.interrupt_on_termination())
            else:
                signals.postpone_termination()
            # the exit code of an early exit; a command returns None
            code = app(arguments or ["--help"], prog_name="fkflow", standalone_mode=False) or 0
        sys.stdout.flush()
    except FkflowError as error:
        # the first remaining rank prints it
        rank = _rank(rank)
        if not set(range(rank)) <= set(getattr(error, "lost", ())):
            return error.exit_code
        return _fail(str(error), error.exit_code, _resume_hint(arguments) if error.resumable else "")
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        # the reader (head, less) has gone
        _close_stdout()
        return 1
    except OSError as error:
        # errors of other files are raised elsewhere
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG) or error.filename is not None:
            raise
        _close_stdout()
        return _fail(f"standard output cannot be written: {str(error.strerror).lower()}", 2)
    except Exception as error:
        # usage errors: their class is that of click or of typer, depending on the version
        if not hasattr(error, "format_message"):
            raise
        code = getattr(error, "exit_code", 2)
        return code if _rank(rank) else _fail(_usage(error.format_message(), arguments), code)
    return _fail("interrupted", 130) if code == 130 and not _rank(rank) else code


def _usage(message: str, arguments: Sequence[str]) -> str:
    """An error of the parser of options, with the value that was given and without the words of its own library."""
    if unknown := re.match(r"No such option: --([\w-]+)", message):
        return message + _as_key(unknown[1].replace("-", "_"))
    if not (found := re.fullmatch(r"Invalid value for '(--[\w-]+)'[^:]*: (.*)", message, re.S)):
        return message
    option, reason = found.groups()
    words = list(
        itertools.chain.from_iterable(word.split("=", 1) if word.startswith("--") else [word] for word in arguments)
    )
    given = words[words.index(option) + 1] if option in words[:-1] else ""
    reason = (
        reason.removeprefix("Value error, ").replace("Input should be", "it must be").partition(", unable to parse")[0]
    )
    return f"{option} {given}: {reason}"


def _as_key(name: str) -> str:
    """What says that a word which is no option is a key of the recipe; "" if it is none."""
    from fkflow.recipe.sections import SECTIONS

    known = [f"--set {key}.{name}=..." for key, section in SECTIONS.items() if name in section.model_fields]
    return f"; {', '.join(known)} set the keys of the recipe" if known else ""


def _rank(launched: int) -> int:
    """The rank of this process; a copy made after the launch has a rank of its own."""
    return launch.read_environment()[0] if processes.is_child() else launched


def _close_stdout() -> None:
    """Redirect stdout to nowhere, so that the flush at exit raises nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Print nothing on stdout: rank 0 prints the same."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _resume_hint(arguments: Sequence[str]) -> str:
    """The command that continues an interrupted one."""
    if launch.read_environment()[1] > 1:
        return ": go on with the same command and --resume"
    program = [Path(sys.executable).name, "-m", "fkflow"] if Path(sys.argv[0]).name == "__main__.py" else ["fkflow"]
    command, *rest = arguments
    # first: the rest may hold the end of the options
    rest = rest if "--resume" in rest else ["--resume", *(word for word in rest if word != "--force")]
    return f": go on with {shlex.join([*program, command, *rest])}"


def _fail(message: str, code: int, hint: str = "") -> int:
    """Print an error and return its exit code."""
    # one line without control characters, which a file's name may have
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    output.complain(f"fkflow: error: {line}{hint}")
    return code
