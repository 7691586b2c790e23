"""Ranks without a launcher: the command forks before it computes anything.

A child finds its place in the same environment that a launcher would set (`launch`); all else is as with a launcher.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fkflow.errors import UsageError
from fkflow.execution.shared_memory import SharedMemory
from fkflow.execution.startup import heavy_imports

#: seconds that the children have to end after the command
FAREWELL = 10.0

_child = False
_memory: SharedMemory | None = None


def is_child() -> bool:
    """Whether `fork_ranks` forked this process: it must end where the command ends, and not return to a caller."""
    return _child


def shared_memory() -> SharedMemory | None:
    """The memory that this process shares with its children; None without children, or where the system has none."""
    return _memory


@contextmanager
def fork_ranks(processes: int) -> Iterator[None]:
    """Fork until there are so many processes, each with the environment of its rank; only the first goes on after the context.

    Children have no stdout. Those that still run FAREWELL seconds after the first has left are killed. Raises UsageError where
    processes cannot fork.
    """
    global _child, _memory
    if not hasattr(os, "fork"):
        raise UsageError(f"--processes {processes}: this system cannot copy a process; use torchrun -m fkflow instead")
    # `launch` reports a process that is gone, and does so once
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if sys.platform == "linux":
        # once for all processes; elsewhere loaded libraries may not survive a fork
        with heavy_imports():
            import torch  # noqa: F401
    place = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _port()}
    before = {name: os.environ.get(name) for name in (*place, "RANK", "LOCAL_RANK", "GLOO_SOCKET_IFNAME")}
    os.environ.update({name: str(value) for name, value in place.items()})
    if before["GLOO_SOCKET_IFNAME"] is None and (inner := _loopback()):
        # the name of a machine need not resolve to it
        os.environ["GLOO_SOCKET_IFNAME"] = inner
    with suppress(OSError, ImportError):
        _memory = SharedMemory(processes)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    children: list[int] = []
    first = os.getpid()
    try:
        rank = _fork_children(processes, children)
        os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
        _child = rank > 0
        if _memory is not None:
            _memory.attach(rank, lambda: os.getppid() == first if rank else len(_running(children)) == processes - 1)
        yield
    finally:
        if not _child:
            _memory = None
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
            _end(children)


def _fork_children(processes: int, children: list[int]) -> int:
    """Fork until there are so many processes and append the children; returns the rank of the process that it returns in."""
    for rank in range(1, processes):
        try:
            pid = _fork()
        except OSError as error:
            _kill(children)
            raise UsageError(f"--processes {processes}: process {rank + 1} cannot be made: {error.strerror}") from None
        if not pid:
            children.clear()
            return rank
        children.append(pid)
    return 0


def _fork() -> int:
    with warnings.catch_warnings():
        # of the idle threads of libraries, which are prepared for a fork
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    return pid


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _loopback() -> str | None:
    """The name of the loopback interface."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), None)


def _end(children: list[int]) -> None:
    """Wait for the children to end, kill those that do not."""
    until = time.monotonic() + FAREWELL
    while _running(children) and time.monotonic() < until:
        time.sleep(0.01)
    _kill(children)


def _kill(children: list[int]) -> None:
    for pid in children:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    children.clear()


def _running(children: list[int]) -> list[int]:
    """The children that have not ended; the others are removed from the list."""
    children[:] = [pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0]
    return children
