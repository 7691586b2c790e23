"""Several processes that work on one run, each with its share of the walkers; alone, every function here does nothing.

A launcher such as torchrun tells each process its number, the rank, in the environment. Tensors on the CPU travel by gloo,
those on CUDA devices by NCCL. Whatever depends on a clock or a signal is agreed on, so that all ranks always take the same
way: functions marked "together" must be called by all of them.
"""

from __future__ import annotations

import atexit
import datetime
import json
import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fkflow import errors
from fkflow.errors import FkflowError, RankError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

T = TypeVar("T")

#: seconds after which a rank that neither answers nor ends is given up
PATIENCE = 600.0
#: seconds in which ranks say why they end, and for which rank 0 is waited for, so that its message is the one seen
LAST_WORDS, FAREWELL = 2.0, 10.0
#: an odd number far from small ones: what the seeds of neighbouring ranks differ by
SEED_STRIDE = 0x9E3779B1


@dataclass(frozen=True)
class _Group:
    """The ranks of a run: this one's number among them, and the store in which they leave messages."""

    rank: int
    world: int
    local_rank: int
    local_world: int
    store: Any
    hosts: bool


_group: _Group | None = None


def rank() -> int:
    """The number of this process among those of the run: 0 writes and speaks."""
    return 0 if _group is None else _group.rank


def world() -> int:
    """How many processes work on the run."""
    return 1 if _group is None else _group.world


def local_rank() -> int:
    """The number of this process among those on this machine."""
    return 0 if _group is None else _group.local_rank


def local_world() -> int:
    """How many of them share this machine."""
    return 1 if _group is None else _group.local_world


def launched() -> tuple[int, int]:
    """Rank and number of ranks by the launcher's environment, (0, 1) without one; raises UsageError if it makes no sense."""
    if not all(os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")):
        return 0, 1
    number, count = _integer("RANK", 0), _integer("WORLD_SIZE", 1)
    if number >= count:
        raise UsageError(f"RANK={number} in the environment: it must be below WORLD_SIZE={count}")
    return number, count


def _integer(name: str, least: int, default: int | None = None) -> int:
    text = os.environ.get(name, default)
    with suppress(TypeError, ValueError):
        if (number := int(text)) >= least:  # type: ignore[arg-type]
            return number
    raise UsageError(f"{name}={text} in the environment: it must be a whole number from {least} up")


@contextmanager
def joined() -> Iterator[None]:
    """Join the other ranks that a launcher started, and leave them at the end; an error here ends them all.

    Raises UsageError if the launcher's environment makes no sense, RankError if the others cannot be reached.
    """
    number, count = launched()
    if count == 1:
        yield
        return
    _join(number, count)
    try:
        yield
    except BaseException as error:
        _tell(error)
        _leave()
        _part_ways(getattr(error, "lost", ()))
        raise
    else:
        _leave()
    finally:
        _end()


def _join(number: int, count: int) -> None:
    global _group
    import torch
    import torch.distributed as dist

    # imported later, its functions would have the group for a default argument, and connections could not be closed
    import torch.distributed.nn

    # torchrun keeps the store itself: it then outlives every rank
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    patience = datetime.timedelta(seconds=PATIENCE)
    host, port = os.environ["MASTER_ADDR"], _integer("MASTER_PORT", 0)
    local = _integer("LOCAL_RANK", 0, number), _integer("LOCAL_WORLD_SIZE", 1, count)
    try:
        hosted = number == 0 and not kept
        store = dist.TCPStore(host, port, count, is_master=hosted, timeout=patience, wait_for_workers=False)
        store = dist.PrefixStore(f"fkflow/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        nccl = torch.cuda.is_available() and dist.is_nccl_available()
        backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=patience)
    except (RuntimeError, OSError) as error:
        first = str(error).splitlines()[0]
        raise RankError(f"rank {number} of {count} could not join the others at {host}:{port}: {first}") from error
    _group = _Group(number, count, *local, store, hosted)
    if number == 0:
        atexit.register(_set, store, "ended", "")


def _leave() -> None:
    """Close the connections, which wakes those who wait for this rank; no more collectives after it."""
    import torch.distributed as dist

    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()


def _end() -> None:
    global _group
    _group = None


# -- when something goes wrong ---------------------------------------------------------------------------------


def _set(store: Any, key: str, text: str) -> None:
    # whoever kept the store may have gone
    with suppress(RuntimeError):
        store.set(key, text)


def _part_ways(lost: Sequence[int]) -> None:
    """Before ending with an error: launchers stop all ranks as soon as one ends, and rank 0 should have spoken by then."""
    assert _group is not None
    if _group.rank:
        keys, seconds = ([] if 0 in lost else ["ended"]), FAREWELL
    else:
        # where this rank keeps the store, the others still have to read there why
        left = [other for other in range(1, _group.world) if _group.hosts and other not in lost]
        keys, seconds = [f"word/{other}" for other in left], LAST_WORDS
    if keys:
        with suppress(RuntimeError):
            _group.store.wait(keys, datetime.timedelta(seconds=seconds))
        time.sleep(0.5)  # what was waited for still has to happen


def _tell(error: BaseException) -> None:
    """Leave word of the error that ends this rank, unless it comes from another one."""
    assert _group is not None
    if isinstance(error, RankError) or getattr(error, "told", False):
        return
    expected = isinstance(error, FkflowError)
    text = str(error) if expected else f"rank {_group.rank} of {_group.world} failed: {type(error).__name__}: {error}"
    kind = type(error).__name__ if expected else "RankError"
    _set(_group.store, f"word/{_group.rank}", json.dumps([kind, text]))


@contextmanager
def _collective() -> Iterator[None]:
    """Turn a broken connection into the error that another rank told of, or into one that says which rank is gone."""
    try:
        yield
    except RuntimeError as error:
        # its frames hold the connections, which could not be closed
        traceback.clear_frames(error.__traceback__)
        raise _why(str(error).splitlines()[0]) from error


def _why(broken: str) -> FkflowError:
    assert _group is not None
    store, number, count = _group.store, _group.rank, _group.world
    _set(store, f"word/{number}", "")
    _leave()
    others = [other for other in range(count) if other != number]
    until = time.monotonic() + LAST_WORDS
    silent = others
    try:
        while silent and time.monotonic() < until:
            time.sleep(0.05)
            silent = [other for other in silent if not store.check([f"word/{other}"])]
            for other in set(others) - set(silent):
                if word := store.get(f"word/{other}"):
                    kind, text = json.loads(word)
                    found: FkflowError = getattr(errors, kind, RankError)(text)
                    found.told = True  # type: ignore[attr-defined]
                    return found
    except RuntimeError:
        silent = [0] if number else others  # rank 0 kept the store
    if not silent:
        return RankError(f"the ranks lost one another ({broken})")
    names = ("rank " if len(silent) == 1 else "ranks ") + ", ".join(map(str, silent))
    return RankError(f"{names} of {count} ended", silent)


# -- sharing ---------------------------------------------------------------------------------------------------


def seed(number: int) -> int:
    """A seed of this rank's own; rank 0 keeps the run's."""
    return number + rank() * SEED_STRIDE


def check_share(key: str, total: int) -> None:
    """Raise UsageError if so many walkers cannot be shared evenly; `key` is their name in the recipe."""
    if total % world():
        raise UsageError(f"{key} = {total} cannot be shared evenly by {world()} ranks: give a multiple of {world()}")


def part(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor that `gather` put together, or would."""
    return tensor if _group is None else tensor.chunk(_group.world)[_group.rank]


def gather(tensor: Tensor) -> Tensor:
    """The tensors (B, ...) of all ranks, of one shape, as one (ranks · B, ...), rank 0's first; together."""
    if _group is None:
        return tensor
    import torch.distributed as dist

    out = tensor.new_empty(_group.world, *tensor.shape)
    with _collective():
        _meet(tensor)
        dist.all_gather(list(out.unbind(0)), tensor.contiguous())
    return out.flatten(0, 1)


def total(tensor: Tensor) -> Tensor:
    """The sum over the ranks, the same bits on each of them; together."""
    if _group is None:
        return tensor
    import torch.distributed as dist

    out = tensor.clone()
    with _collective():
        _meet(out)
        dist.all_reduce(out)
    return out


def alike(tensors: Iterable[Tensor]) -> None:
    """Give every rank the values of rank 0's tensors, in place; together."""
    if _group is None:
        return
    import torch
    import torch.distributed as dist

    with torch.no_grad(), _collective():
        for tensor in tensors:
            _meet(tensor)
            dist.broadcast(tensor, 0)


def _meet(tensor: Tensor) -> None:
    """Before NCCL, which would wait for a dead rank for long, see by gloo that all are there."""
    if tensor.is_cuda:
        import torch
        import torch.distributed as dist

        dist.all_reduce(torch.zeros(1))


def share(value: T) -> T:
    """Rank 0's value, for all that depends on clocks, files or last bits; together."""
    if _group is None:
        return value
    import torch
    import torch.distributed as dist

    box = [value if _group.rank == 0 else None]
    with _collective():
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
    shared: T = box[0]  # type: ignore[assignment]
    return shared


def either(*flags: bool) -> tuple[bool, ...]:
    """Each flag true if it is on any rank; together."""
    if _group is None:
        return flags
    import torch

    return tuple(bool(count) for count in total(torch.tensor(flags, dtype=torch.int64)))


def mean(*numbers: float) -> tuple[float, ...]:
    """Averages over the ranks; together."""
    if _group is None:
        return numbers
    import torch

    return tuple((total(torch.tensor(numbers, dtype=torch.float64)) / _group.world).tolist())


def lowest(number: float) -> float:
    """The least over the ranks; together."""
    if _group is None:
        return number
    import torch

    return float(gather(torch.tensor([number], dtype=torch.float64)).min())


def total_array(array: np.ndarray) -> np.ndarray:
    """The sum over the ranks of an array; together."""
    if _group is None:
        return array
    import torch

    summed: np.ndarray = total(torch.from_numpy(array)).numpy()
    return summed


def side_by_side(rows: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Rows (..., B) of equal shape, each with those of the other ranks beside it: (..., ranks · B); together."""
    if _group is None or not rows:
        return rows
    import numpy as np
    import torch

    block = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.stack(rows), -1, 0)))
    return list(np.ascontiguousarray(np.moveaxis(gather(block).numpy(), 0, -1)))
