"""Two ranks of the command, by torchrun's agent, that do not import PyTorch again."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import commands
from commands import Running

#: the command, except that each rank says which process it is, may save more often, and one may follow another potential
CHILD = """
import os
from pathlib import Path
from fkflow.results import checkpoints
checkpoints.EVERY = float(os.environ.get("EVERY", checkpoints.EVERY))
checkpoints.PATIENCE = 2.0
Path(f"pid{os.environ['RANK']}").write_text(str(os.getpid()))
if "SPOILT" in os.environ and os.environ["RANK"] == "1":
    from fkflow.runs import session
    from fkflow.systems.wells import Quartic
    prepare, potential, factor = session.prepare, Quartic.potential, float(os.environ["SPOILT"])
    def prepared(*given, **named):
        ready = prepare(*given, **named)
        Quartic.potential = lambda self, x: factor * potential(self, x)
        return ready
    session.prepare = prepared
"""
CHILD += commands.COUNTED
#: torchrun's agent, whose ranks are forks of it: they need not import PyTorch
LAUNCHER = """
import atexit, os, signal, sys
from torch.distributed.elastic.multiprocessing.errors import record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

def rank():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    status = 0
    try:
        exec(CODE, {"__name__": "__main__"})
    except SystemExit as end:
        status = int(end.code or 0)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    if status:
        os._exit(status)

store = {"run_id": "test", "rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}
place = LaunchConfig(1, 1, 2, **store, start_method="fork", max_restarts=0)
record(elastic_launch(place, rank))()
"""


def launched(*arguments: str) -> list[str]:
    """The command that starts two ranks, as users do."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "fkflow",
        *arguments,
    ]


def start(folder: Path, *arguments: str, **environment: str) -> Running:
    """Two ranks that can be told apart, in the background."""
    return commands.start(folder, *arguments, code=f"CODE = {CHILD!r}\n{LAUNCHER}", environment=environment)


def stop(process: Running, kill: Path | None = None) -> tuple[float, list[str]]:
    """Ctrl-C, or kill -9 of the rank whose number is in that file, after the first iteration.

    Returns the seconds that it then took to end, and what fkflow said.
    """
    process.wait_for("iteration ")
    begun = time.monotonic()
    if kill is None:
        process.send_signal(signal.SIGINT)
    else:
        os.kill(int(kill.read_text()), signal.SIGKILL)
    code, out, err = process.finish(60)
    took = time.monotonic() - begun
    # shown where a test fails
    print(f"ended after {took:.1f} s with {code}:", err, sep="\n")
    assert out == "" and code != 0
    return took, said(err)


def said(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("fkflow:")]
