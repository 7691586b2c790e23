"""Several processes that work on one run, each with its share of the walkers; alone, every function here does nothing.

`joining` says how they find one another. Tensors on the CPU travel by gloo, or through memory where all are copies of one
process (`shared_memory`), those on CUDA devices by NCCL. Whatever depends on
a clock or a signal is agreed on, so that all ranks always take the same way: functions marked "together" must be called by
all of them.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fkflow.errors import FkflowError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from fkflow.execution.shared_memory import SharedMemory

T = TypeVar("T")

#: an odd number far from small ones: what the seeds of neighbouring ranks differ by
SEED_STRIDE = 0x9E3779B1
#: independent groups of walkers: their scatter gives errors, and a projection resamples within them only. Each lives on one
#: rank, so that every rank always has the same number of walkers; ranks share them out, rounding up
GROUPS = 32


@dataclass(frozen=True)
class Group:
    """This process among those of the run and among those on this machine; `why` explains a broken connection.

    `shared` is the memory they have in common, if any.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    why: Callable[[str], FkflowError]
    shared: SharedMemory | None = None


_group: Group | None = None


def rank() -> int:
    """The number of this process among those of the run: 0 writes and speaks."""
    return 0 if _group is None else _group.rank


def count() -> int:
    """How many processes work on the run."""
    return 1 if _group is None else _group.world


def local_rank() -> int:
    """The number of this process among those on this machine."""
    return 0 if _group is None else _group.local_rank


def local_count() -> int:
    """How many of them share this machine."""
    return 1 if _group is None else _group.local_world


def set_group(group: Group | None) -> None:
    """Work with others from now on, or alone."""
    global _group
    _group = group


@contextmanager
def _collective() -> Iterator[None]:
    """Turn a broken connection into the error that another rank told of, or into one that says which rank is gone."""
    try:
        yield
    except RuntimeError as error:
        # its frames hold the connections, which could not be closed
        traceback.clear_frames(error.__traceback__)
        assert _group is not None
        raise _group.why(str(error).splitlines()[0]) from error


def own_seed(number: int) -> int:
    """A seed of this rank's own; rank 0 keeps the run's."""
    return number + rank() * SEED_STRIDE


def check_divisible(key: str, total: int) -> None:
    """Raise UsageError if so many walkers cannot be shared evenly; `key` is their name in the recipe."""
    if total % count():
        raise UsageError(f"{key} = {total} cannot be shared evenly by {count()} ranks: give a multiple of {count()}")


def groups_per_rank() -> int:
    """Independent groups of walkers that live on this rank; walker b belongs to its group b mod own_groups()."""
    return -(-GROUPS // count())


def own_part(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor that `gather` put together; of one that does not divide, first a larger one."""
    return tensor if _group is None else tensor.tensor_split(_group.world)[_group.rank]


def gather(tensor: Tensor) -> Tensor:
    """The tensors (B, ...) of all ranks, of one shape, as one (ranks · B, ...), rank 0's first; together."""
    if _group is None:
        return tensor
    out = tensor.new_empty(_group.world, *tensor.shape)
    if (shared := _near(tensor)) is not None:
        with _collective():
            return shared.gather(tensor, out).flatten(0, 1)
    import torch.distributed as dist

    with _collective():
        _meet(tensor)
        dist.all_gather(list(out.unbind(0)), tensor.contiguous())
    return out.flatten(0, 1)


def reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over the ranks, the same bits on each of them; together."""
    if _group is None:
        return tensor
    if (shared := _near(tensor)) is not None:
        with _collective():
            return shared.total(tensor)
    import torch.distributed as dist

    out = tensor.clone()
    with _collective():
        _meet(out)
        dist.all_reduce(out)
    return out


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Give every rank the values of rank 0's tensors (of one device), in place; together."""
    if _group is None:
        return
    import torch
    import torch.distributed as dist

    kinds: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(tensor.dtype, []).append(tensor.detach())
    for kind in kinds.values():
        # one message: each costs time, whatever its length
        flat = torch.cat([tensor.flatten() for tensor in kind])
        with _collective():
            if (shared := _near(flat)) is not None:
                flat = shared.first(flat)
            else:
                _meet(flat)
                dist.broadcast(flat, 0)
        for tensor, values in zip(kind, flat.split([t.numel() for t in kind]), strict=True):
            tensor.copy_(values.view_as(tensor))


def _near(tensor: Tensor) -> SharedMemory | None:
    """The memory by which a tensor may travel, if any; the same answer on all ranks."""
    shared = None if _group is None else _group.shared
    return shared if shared is not None and shared.fits(tensor) else None


def _meet(tensor: Tensor) -> None:
    """Before NCCL, which would wait for a dead rank for long, see by gloo that all are there."""
    if tensor.is_cuda:
        import torch
        import torch.distributed as dist

        dist.all_reduce(torch.zeros(1))


def broadcast(value: T) -> T:
    """Rank 0's value, for all that depends on clocks, files or last bits; together."""
    if _group is None:
        return value
    if _group.shared is not None:
        import pickle

        with _collective():
            text = _group.shared.word(pickle.dumps(value) if rank() == 0 else b"")
        if text is not None:
            near: T = pickle.loads(text)
            return near
    import torch
    import torch.distributed as dist

    box: list[Any] = [value if _group.rank == 0 else None]
    with _collective():
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
    shared: T = box[0]
    return shared


def gather_values(value: T) -> list[T]:
    """The values of all ranks, on each of them, rank 0's first; together."""
    if _group is None:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * _group.world
    with _collective():
        dist.all_gather_object(values, value)
    return values


def reduce_any(*flags: bool) -> tuple[bool, ...]:
    """Each flag true if it is on any rank; together."""
    if _group is None:
        return flags
    import torch

    return tuple(bool(count) for count in reduce_sum(torch.tensor(flags, dtype=torch.int64)))


def reduce_mean(*numbers: float) -> tuple[float, ...]:
    """Averages over the ranks; together."""
    if _group is None:
        return numbers
    import torch

    return tuple((reduce_sum(torch.tensor(numbers, dtype=torch.float64)) / _group.world).tolist())


def reduce_min(number: float) -> float:
    """The least over the ranks; together."""
    if _group is None:
        return number
    import torch

    return float(gather(torch.tensor([number], dtype=torch.float64)).min())


def reduce_sum_array(array: np.ndarray) -> np.ndarray:
    """The sum over the ranks of an array; together."""
    if _group is None:
        return array
    import torch

    summed: np.ndarray = reduce_sum(torch.from_numpy(array)).numpy()
    return summed


def gather_columns(rows: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Rows (..., B) of equal shape, each with those of the other ranks beside it: (..., ranks · B); together."""
    if _group is None or not rows:
        return rows
    import numpy as np
    import torch

    block = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.stack(rows), -1, 0)))
    return list(np.ascontiguousarray(np.moveaxis(gather(block).numpy(), 0, -1)))
