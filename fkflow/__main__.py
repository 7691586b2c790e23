"""The command ``fkflow``, which is also ``python -m fkflow``."""

import atexit
import os
import sys
from contextlib import suppress

from fkflow.cli.entry import main


def command() -> None:
    """Run the command line and end the process with its exit code.

    Whatever asked to be called at the end is called. Then the process just ends: to take the modules of PyTorch apart one by
    one would be a tenth of a second's work for nothing.
    """
    code = main()
    if _watched():
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # `main` has complained of a stdout that cannot be written
            stream.flush()
    os._exit(code)


def _watched() -> bool:
    """Whether a debugger, a profiler or a measurement of coverage runs the command and has something to do after it."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on, with six places for tools
    tools = [] if monitoring is None else [monitoring.get_tool(number) for number in range(6)]
    return any((sys.gettrace(), sys.getprofile(), *tools))


if __name__ == "__main__":
    command()
