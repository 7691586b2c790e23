"""Ranks without a launcher: the command copies itself before it computes anything, and the copies share the walkers.

A copy is told its place by the same environment that a launcher would give it (`joining`), so that all else is as with one.
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

#: seconds that copies have to end once the command itself has
FAREWELL = 10.0

_copy = False
_memory: SharedMemory | None = None


def is_child() -> bool:
    """Whether this process is a copy that `fork_ranks` made: it must end where the command ends, and not return to a caller."""
    return _copy


def memory() -> SharedMemory | None:
    """What this process and its copies share; None without copies, or where the system has nothing of the kind."""
    return _memory


@contextmanager
def fork_ranks(processes: int) -> Iterator[None]:
    """So many processes go on from here, with the environment of ranks on this machine; only the first goes on after it.

    Copies have no stdout. Those that are still there some time after the first has left are killed. Raises UsageError where
    processes cannot be copied.
    """
    global _copy, _memory
    if not hasattr(os, "fork"):
        raise UsageError(f"--processes {processes}: this system cannot copy a process; use torchrun -m fkflow instead")
    # that a process is gone is said once, in words of our own
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if sys.platform == "linux":
        # once for all; elsewhere libraries that were loaded may not survive a copy
        with heavy_imports():
            import torch  # noqa: F401
    place = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _port()}
    before = {name: os.environ.get(name) for name in (*place, "RANK", "LOCAL_RANK", "GLOO_SOCKET_IFNAME")}
    os.environ.update({name: str(value) for name, value in place.items()})
    if before["GLOO_SOCKET_IFNAME"] is None and (inner := _loopback()):
        # the name of a machine need not lead to it
        os.environ["GLOO_SOCKET_IFNAME"] = inner
    with suppress(OSError, ImportError):
        _memory = SharedMemory(processes)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    copies: list[int] = []
    first = os.getpid()
    try:
        rank = _multiply(processes, copies)
        os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
        _copy = rank > 0
        if _memory is not None:
            _memory.begin(rank, lambda: os.getppid() == first if rank else len(_left(copies)) == processes - 1)
        yield
    finally:
        if not _copy:
            _memory = None
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
            _part(copies)


def _multiply(processes: int, copies: list[int]) -> int:
    """Copy this process until there are so many, and note the copies; returns the number of the process that it returns in."""
    for rank in range(1, processes):
        try:
            pid = _fork()
        except OSError as error:
            _kill(copies)
            raise UsageError(f"--processes {processes}: process {rank + 1} cannot be made: {error.strerror}") from None
        if not pid:
            copies.clear()
            return rank
        copies.append(pid)
    return 0


def _fork() -> int:
    with warnings.catch_warnings():
        # idle threads of libraries, which are prepared for this
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
    """The name of the interface that leads nowhere else."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), None)


def _part(copies: list[int]) -> None:
    """Wait for the copies to end, kill those that do not."""
    until = time.monotonic() + FAREWELL
    while _left(copies) and time.monotonic() < until:
        time.sleep(0.01)
    _kill(copies)


def _kill(copies: list[int]) -> None:
    for pid in copies:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    copies.clear()


def _left(copies: list[int]) -> list[int]:
    """The copies that have not ended yet; the others are taken off the list."""
    copies[:] = [pid for pid in copies if os.waitpid(pid, os.WNOHANG)[0] == 0]
    return copies
