"""The command ``fkflow``, which is also ``python -m fkflow``."""

import atexit
import os
import sys
from contextlib import suppress

from fkflow.cli.entry import main


def command() -> None:
    """Run the command line and end the process with its exit code.

    Exit handlers run. The modules of PyTorch are not torn down, which saves a tenth of a second.
    """
    code = main()
    if _is_monitored():
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # `main` has printed the error of a stdout that cannot be written
            stream.flush()
    os._exit(code)


def _is_monitored() -> bool:
    """Whether a debugger, a profiler or a coverage tool runs the command and acts after it."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on, with six slots for tools
    tools = [] if monitoring is None else [monitoring.get_tool(number) for number in range(6)]
    return any((sys.gettrace(), sys.getprofile(), *tools))


if __name__ == "__main__":
    command()
