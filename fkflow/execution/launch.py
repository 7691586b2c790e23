"""How the ranks of a run meet and part: by the environment that a launcher such as torchrun, or `forking`, gives each process.

Launchers stop all ranks as soon as one ends, in the middle of a word: hence a rank that fails leaves its error in a store
that all can read, closes its connections, which wakes the others, and waits for rank 0 to speak.
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
from fkflow.execution import processes as forking
from fkflow.execution import ranks

#: seconds after which a rank that neither answers nor ends is given up
PATIENCE = 600.0
#: seconds in which ranks say why they end, and for which rank 0 is waited for, so that its message is the one seen
LAST_WORDS, FAREWELL = 2.0, 10.0


def read_environment() -> tuple[int, int]:
    """Rank and number of ranks by the launcher's environment, (0, 1) without one; raises UsageError if it makes no sense."""
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
    """Join the other ranks that a launcher started, and leave them at the end; an error here ends them all.

    Without a launcher so many `processes` are made here, copies of this one that go on from here as well.

    Raises UsageError if the launcher's environment makes no sense, or if there is one and `processes` is given too; RankError
    if the others cannot be reached.
    """
    number, count = read_environment()
    if processes is not None and count > 1:
        raise UsageError(f"--processes {processes}: a launcher has started {count} processes already; leave it out")
    if processes is None or processes == 1:
        with _join_group(number, count):
            yield
        return
    with forking.fork_ranks(processes), _join_group(*read_environment()):
        yield


@contextmanager
def _join_group(number: int, count: int) -> Iterator[None]:
    if count == 1:
        yield
        return
    meeting = _join(number, count)
    try:
        yield
    except BaseException as error:
        meeting.tell(error)
        _leave()
        meeting.wait(getattr(error, "lost", ()))
        raise
    else:
        _leave()
    finally:
        ranks.set_group(None)


@dataclass(frozen=True)
class _Meeting:
    """The store in which ranks leave word; whether this rank `keeps` it, so that it goes with it."""

    rank: int
    world: int
    store: Any
    keeps: bool

    def put(self, key: str, text: str = "") -> None:
        """Leave word; whoever kept the store may have gone."""
        with suppress(RuntimeError):
            self.store.set(key, text)

    def tell(self, error: BaseException) -> None:
        """Leave word of the error that ends this rank, unless it comes from another one."""
        if isinstance(error, RankError) or getattr(error, "reported", False):
            return
        kind, text = type(error).__name__, str(error)
        if not isinstance(error, FkflowError):
            kind, text = "RankError", f"rank {self.rank} of {self.world} failed: {kind}: {text}"
        self.put(f"word/{self.rank}", json.dumps([kind, text]))

    def why(self, broken: str) -> FkflowError:
        """The error that another rank told of, else one that says which rank is gone without a word."""
        self.put(f"word/{self.rank}")
        _leave()
        others = [other for other in range(self.world) if other != self.rank]
        silent, until = others, time.monotonic() + LAST_WORDS
        try:
            while silent and time.monotonic() < until:
                time.sleep(0.05)
                silent = [other for other in silent if not self.store.check([f"word/{other}"])]
                for other in set(others) - set(silent):
                    if word := self.store.get(f"word/{other}"):
                        kind, text = json.loads(word)
                        found: FkflowError = getattr(errors, kind, RankError)(text)
                        found.reported = True
                        return found
        except RuntimeError:
            silent = [0] if self.rank else others  # rank 0 kept the store
        if not silent:
            return RankError(f"the ranks lost one another ({broken})")
        names = ("rank " if len(silent) == 1 else "ranks ") + ", ".join(map(str, silent))
        return RankError(f"{names} of {self.world} ended", silent)

    def wait(self, lost: Sequence[int]) -> None:
        """Before this rank ends with an error: until rank 0 has spoken or, where it keeps the store, the others have read."""
        if forking.is_child():  # nobody stops rank 0 for it
            return
        keys, seconds = ([] if 0 in lost else ["ended"]), FAREWELL
        if self.rank == 0:
            left = [other for other in range(1, self.world) if self.keeps and other not in lost]
            keys, seconds = [f"word/{other}" for other in left], LAST_WORDS
        if keys:
            with suppress(RuntimeError):
                self.store.wait(keys, datetime.timedelta(seconds=seconds))
            time.sleep(0.5)  # what was waited for still has to happen


def _join(number: int, count: int) -> _Meeting:
    import torch
    import torch.distributed as dist

    # imported later, its functions would have the group for a default argument, and connections could not be closed
    import torch.distributed.nn

    # torchrun keeps the store itself: it then outlives every rank
    keeps = number == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    patience = datetime.timedelta(seconds=PATIENCE)
    host, port = os.environ["MASTER_ADDR"], _integer("MASTER_PORT", 0)
    local = _integer("LOCAL_RANK", 0, number), _integer("LOCAL_WORLD_SIZE", 1, count)
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        store: dist.Store = dist.TCPStore(host, port, count, is_master=keeps, timeout=patience, wait_for_workers=False)
        store = dist.PrefixStore(f"fkflow/{attempt}", store)
        backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
        with _quiet():
            dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=patience)
    except (RuntimeError, OSError) as error:
        first = str(error).splitlines()[0]
        raise RankError(f"rank {number} of {count} could not join the others at {host}:{port}: {first}") from error
    meeting = _Meeting(number, count, store, keeps)
    ranks.set_group(ranks.Group(number, count, *local, meeting.why, forking.memory()))
    if number == 0:
        atexit.register(meeting.put, "ended")
    return meeting


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on stdout, whoever writes there: some versions of gloo tell of connections where --json has its object."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _leave() -> None:
    """Close the connections, which wakes those who wait for this rank; no more collectives after it."""
    import torch.distributed as dist

    if (shared := forking.memory()) is not None:
        shared.leave()
    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
