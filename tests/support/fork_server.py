"""The server of `commands`: a program that imports all libraries once and forks for every line of JSON on its stdin.

A child goes on as if it had just been started, with its own folder, environment, streams and signals. It ends without taking
the libraries down, which would take longer than a short command; functions registered to be called at exit are called.
"""

from __future__ import annotations

import atexit
import functools
import gc
import io
import json
import os
import signal
import sys
import traceback
from typing import Any


def _serve() -> dict[str, Any] | None:
    """Answer requests to their end; in a child, return the request that started it."""
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer: int | None = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            return request
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return None


def _become(request: dict[str, Any]) -> str:
    """Give this process the folder, environment, arguments and streams of a request; returns what it is to run."""
    # those of the libraries are the server's
    atexit._clear()
    if request["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for target, name in enumerate((os.devnull, request["out"], request["err"])):
        file = os.open(name, os.O_WRONLY | os.O_APPEND if target else os.O_RDONLY)
        os.dup2(file, target)
        os.close(file)
    open_streams()
    sys.argv = ["fkflow", *request["arguments"]]
    return request["start"]


def open_streams() -> None:
    """Streams of Python on the first three files, as a new process has them."""
    sys.stdin = open(0, closefd=False)
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False))
    sys.stderr = io.TextIOWrapper(open(2, "wb", closefd=False), errors="backslashreplace", line_buffering=True)


def _import_libraries() -> None:
    """All that a command may need, with the garbage collector as the command leaves it."""
    gc.disable()
    import h5py._hl.dims  # noqa: F401
    import matplotlib.pyplot as plt
    import numpy.polynomial  # noqa: F401
    import pydantic.type_adapter  # noqa: F401
    import torch._dynamo  # noqa: F401  imported by the first gradient of every walker
    import torch.distributed.nn  # noqa: F401
    import typer.main

    import fkflow.api.functions  # noqa: F401
    import fkflow.cli.commands
    import fkflow.cli.entry  # noqa: F401
    import fkflow.plot.catalogue  # noqa: F401
    import fkflow.results.propagation_store
    import fkflow.results.report
    import fkflow.runs.animate
    import fkflow.runs.remeasure
    import fkflow.runs.scan  # noqa: F401
    from fkflow.hamiltonian.registry import built_in_systems

    built_in_systems()
    # fonts, and what reads formulas
    figure, ax = plt.subplots()
    ax.set_title(r"$\psi^2$")
    figure.savefig(io.BytesIO())
    plt.close(figure)
    # the parser of the command line, built once for all children
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(fkflow.cli.commands.app)
    gc.freeze()
    gc.enable()


def run_source(code: str) -> int:
    """Run Python source as a program; returns its exit code."""
    try:
        exec(compile(code, "<command>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(status: int) -> None:
    """End this process without taking the libraries down."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    # Ctrl-C in the tests is not for the server
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_libraries()
    if request := _serve():
        end(run_source(_become(request)))
