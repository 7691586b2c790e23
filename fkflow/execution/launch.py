"""How the ranks of a run connect and how they end.

Each rank reads its place from the environment that a launcher such as torchrun, or `processes`, sets. Launchers stop all ranks
as soon as one ends, whatever the others are about to print. A rank that fails therefore leaves its error in a store that all
can read, closes its connections, which wakes the others, and waits until rank 0 has printed.
"""

from __future__ import annotations

import atexit
import datetime
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fkflow import errors
from fkflow.errors import FkflowError, RankError, UsageError
from fkflow.execution import processes as local
from fkflow.execution import ranks

#: seconds after which a rank that neither answers nor ends is given up
PATIENCE = 600.0
#: seconds for which a failing run waits for the errors of its ranks, and for which a rank waits for rank 0 to print
ERRORS_WAIT, FAREWELL = 2.0, 10.0


def read_environment() -> tuple[int, int]:
    """Rank and number of ranks from the launcher's environment, (0, 1) without one; UsageError if it makes no sense."""
    if not all(os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")):
        return 0, 1
    number, count = _integer("RANK", 0), _integer("WORLD_SIZE", 1)
    if number >= count:
        raise UsageError(f"RANK={number} in the environment: it must be below WORLD_SIZE={count}")
    return number, count


def _integer(name: str, least: int, default: int | None = None) -> int:
    text = os.environ.get(name, default)
    with suppress(ValueError):
        if text is not None and (number := int(text)) >= least:
            return number
    raise UsageError(f"{name}={text} in the environment: it must be a whole number from {least} up")


@contextmanager
def join_ranks(processes: int | None = None) -> Iterator[None]:
    """Connect to the ranks that a launcher started, and disconnect at the end; an error inside ends all ranks.

    Without a launcher this process forks until there are `processes`, which all go on from here.

    Raises UsageError if the launcher's environment makes no sense, or if there is one and `processes` is given too; RankError
    if the other ranks cannot be reached.
    """
    number, count = read_environment()
    if processes is not None and count > 1:
        raise UsageError(f"--processes {processes}: a launcher has started {count} processes already; leave it out")
    if processes is None or processes == 1:
        with _connection(number, count):
            yield
        return
    with local.fork_ranks(processes), _connection(*read_environment()):
        yield


@contextmanager
def _connection(number: int, count: int) -> Iterator[None]:
    if count == 1:
        yield
        return
    board = _connect(number, count)
    try:
        yield
    except BaseException as error:
        board.report(error)
        _disconnect()
        board.wait(getattr(error, "lost", ()))
        raise
    else:
        _disconnect()
    finally:
        ranks.set_group(None)


@dataclass(frozen=True)
class _ErrorBoard:
    """The store in which ranks leave their errors; it ends with this rank if it is the `owner`."""

    rank: int
    world: int
    store: Any
    owner: bool

    def put(self, key: str, text: str = "") -> None:
        """Store a text, unless the owner has ended."""
        with suppress(RuntimeError):
            self.store.set(key, text)

    def report(self, error: BaseException) -> None:
        """Store the error that ends this rank, unless it comes from another one."""
        if isinstance(error, RankError) or getattr(error, "reported", False):
            return
        kind, text = type(error).__name__, str(error)
        if not isinstance(error, FkflowError):
            kind, text = "RankError", f"rank {self.rank} of {self.world} failed: {kind}: {text}"
        self.put(f"error/{self.rank}", json.dumps([kind, text]))

    def explain(self, broken: str) -> FkflowError:
        """The error that another rank reported, else one that names the ranks that ended without a report."""
        self.put(f"error/{self.rank}")
        _disconnect()
        others = [other for other in range(self.world) if other != self.rank]
        silent, until = others, time.monotonic() + ERRORS_WAIT
        try:
            while silent and time.monotonic() < until:
                time.sleep(0.05)
                silent = [other for other in silent if not self.store.check([f"error/{other}"])]
                for other in set(others) - set(silent):
                    if report := self.store.get(f"error/{other}"):
                        kind, text = json.loads(report)
                        found: FkflowError = getattr(errors, kind, RankError)(text)
                        found.reported = True
                        return found
        except RuntimeError:
            silent = [0] if self.rank else others  # the store ended with rank 0
        if not silent:
            return RankError(f"the ranks lost one another ({broken})")
        names = ("rank " if len(silent) == 1 else "ranks ") + ", ".join(map(str, silent))
        return RankError(f"{names} of {self.world} ended", silent)

    def wait(self, lost: Sequence[int]) -> None:
        """Before this rank ends with an error, wait until rank 0 has printed or, as the owner, until the others have read."""
        if local.is_child():  # nobody stops rank 0 because a child ends
            return
        keys, seconds = ([] if 0 in lost else ["ended"]), FAREWELL
        if self.rank == 0:
            left = [other for other in range(1, self.world) if self.owner and other not in lost]
            keys, seconds = [f"error/{other}" for other in left], ERRORS_WAIT
        if keys:
            with suppress(RuntimeError):
                self.store.wait(keys, datetime.timedelta(seconds=seconds))
            time.sleep(0.5)  # rank 0 has yet to print, the others have yet to read


def _connect(number: int, count: int) -> _ErrorBoard:
    import torch
    import torch.distributed as dist

    # imported later, its functions would have the group for a default argument, and connections could not be closed
    import torch.distributed.nn

    # torchrun owns the store itself: it then outlives every rank
    owner = number == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    patience = datetime.timedelta(seconds=PATIENCE)
    host, port = os.environ["MASTER_ADDR"], _integer("MASTER_PORT", 0)
    place = _integer("LOCAL_RANK", 0, number), _integer("LOCAL_WORLD_SIZE", 1, count)
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        store: dist.Store = dist.TCPStore(host, port, count, is_master=owner, timeout=patience, wait_for_workers=False)
        store = dist.PrefixStore(f"fkflow/{attempt}", store)
        backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
        with _silence():
            dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=patience)
    except (RuntimeError, OSError) as error:
        first = str(error).splitlines()[0]
        raise RankError(f"rank {number} of {count} could not join the others at {host}:{port}: {first}") from error
    board = _ErrorBoard(number, count, store, owner)
    ranks.set_group(ranks.Group(number, count, *place, board.explain, local.shared_memory()))
    if number == 0:
        atexit.register(board.put, "ended")
    return board


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing on stdout, even from C++: some versions of gloo print connections where --json has its object."""
    sys.stdout.flush()
    stdout, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)


def _disconnect() -> None:
    """Close the connections, which wakes the ranks that wait for this one; no collectives after it."""
    import torch.distributed as dist

    if (shared := local.shared_memory()) is not None:
        shared.leave()
    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
