"""Messages between the ranks of a run: processes of which each has its part of the walkers. A single process sends none.

`launch` connects the ranks. CPU tensors go through gloo, or through `shared_memory` where the ranks are forks of one process;
CUDA tensors go through NCCL. Decisions that depend on a clock or a signal are broadcast, so that all ranks take the same
branches. All ranks must call a function marked "collective".
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

#: difference of the seeds of neighbouring ranks: odd and large
SEED_STRIDE = 0x9E3779B1
#: independent groups of walkers: their scatter gives errors, and a projection resamples within them only. No group spans two
#: ranks, so that every rank keeps its number of walkers; each has as many groups, rounded up
GROUPS = 32


@dataclass(frozen=True)
class Group:
    """The place of this process among the ranks of the run and among those on this machine.

    `explain` turns the text of a broken connection into an error; `shared` is the ranks' shared memory, if any.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    explain: Callable[[str], FkflowError]
    shared: SharedMemory | None = None


_group: Group | None = None


def rank() -> int:
    """The number of this process among the ranks of the run; rank 0 prints and writes."""
    return 0 if _group is None else _group.rank


def count() -> int:
    """The number of ranks of the run."""
    return 1 if _group is None else _group.world


def local_rank() -> int:
    """The number of this process among the ranks on this machine."""
    return 0 if _group is None else _group.local_rank


def local_count() -> int:
    """The number of ranks on this machine."""
    return 1 if _group is None else _group.local_world


def set_group(group: Group | None) -> None:
    """Set the place of this process among others; None: it works alone."""
    global _group
    _group = group


@contextmanager
def _collective() -> Iterator[None]:
    """Turn a broken connection into the error that another rank reported, or into one that names the rank that ended."""
    try:
        yield
    except RuntimeError as error:
        # frames that hold the connections would keep them open
        traceback.clear_frames(error.__traceback__)
        assert _group is not None
        raise _group.explain(str(error).splitlines()[0]) from error


def own_seed(number: int) -> int:
    """The seed of this rank from the seed of the run, which rank 0 keeps."""
    return number + rank() * SEED_STRIDE


def check_divisible(key: str, total: int) -> None:
    """Raise UsageError if the number of walkers, `key` in the recipe, is no multiple of the number of ranks."""
    if total % count():
        raise UsageError(f"{key} = {total} cannot be shared evenly by {count()} ranks: give a multiple of {count()}")


def groups_per_rank() -> int:
    """Independent groups of walkers on each rank; walker b of a rank belongs to its group b mod groups_per_rank()."""
    return -(-GROUPS // count())


def own_part(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor (ranks · B, ...) that all ranks have; the first parts are larger if it does not divide."""
    return tensor if _group is None else tensor.tensor_split(_group.world)[_group.rank]


def gather(tensor: Tensor) -> Tensor:
    """The tensors (B, ...) of all ranks, of one shape, as one (ranks · B, ...), rank 0's first; collective."""
    if _group is None:
        return tensor
    out = tensor.new_empty(_group.world, *tensor.shape)
    if (shared := _shared_memory(tensor)) is not None:
        with _collective():
            return shared.gather(tensor, out).flatten(0, 1)
    import torch.distributed as dist

    with _collective():
        _check_all_there(tensor)
        dist.all_gather(list(out.unbind(0)), tensor.contiguous())
    return out.flatten(0, 1)


def reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over the ranks, the same bits on each of them; collective."""
    if _group is None:
        return tensor
    if (shared := _shared_memory(tensor)) is not None:
        with _collective():
            return shared.reduce_sum(tensor)
    import torch.distributed as dist

    out = tensor.clone()
    with _collective():
        _check_all_there(out)
        dist.all_reduce(out)
    return out


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Copy the values of rank 0's tensors, all on one device, into those of every rank, in place; collective."""
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
            if (shared := _shared_memory(flat)) is not None:
                flat = shared.broadcast(flat)
            else:
                _check_all_there(flat)
                dist.broadcast(flat, 0)
        for tensor, values in zip(kind, flat.split([t.numel() for t in kind]), strict=True):
            tensor.copy_(values.view_as(tensor))


def _shared_memory(tensor: Tensor) -> SharedMemory | None:
    """The shared memory if there is one and the tensor fits; the same answer on all ranks."""
    shared = None if _group is None else _group.shared
    return shared if shared is not None and shared.fits(tensor) else None


def _check_all_there(tensor: Tensor) -> None:
    """Check by gloo that all ranks are there before a tensor goes through NCCL, which waits long for a dead rank."""
    if tensor.is_cuda:
        import torch
        import torch.distributed as dist

        dist.all_reduce(torch.zeros(1))


def broadcast(value: T) -> T:
    """The value of rank 0, for whatever depends on clocks, files or last bits; collective."""
    if _group is None:
        return value
    if _group.shared is not None:
        import pickle

        with _collective():
            text = _group.shared.broadcast_bytes(pickle.dumps(value) if rank() == 0 else b"")
        if text is not None:
            copy: T = pickle.loads(text)
            return copy
    import torch
    import torch.distributed as dist

    box: list[Any] = [value if _group.rank == 0 else None]
    with _collective():
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
    sent: T = box[0]
    return sent


def gather_values(value: T) -> list[T]:
    """The values of all ranks, rank 0's first; collective."""
    if _group is None:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * _group.world
    with _collective():
        dist.all_gather_object(values, value)
    return values


def reduce_any(*flags: bool) -> tuple[bool, ...]:
    """Whether each flag is true on any rank; collective."""
    if _group is None:
        return flags
    import torch

    return tuple(bool(count) for count in reduce_sum(torch.tensor(flags, dtype=torch.int64)))


def reduce_mean(*numbers: float) -> tuple[float, ...]:
    """Averages over the ranks; collective."""
    if _group is None:
        return numbers
    import torch

    return tuple((reduce_sum(torch.tensor(numbers, dtype=torch.float64)) / _group.world).tolist())


def reduce_min(number: float) -> float:
    """The least number of all ranks; collective."""
    if _group is None:
        return number
    import torch

    return float(gather(torch.tensor([number], dtype=torch.float64)).min())


def reduce_sum_array(array: np.ndarray) -> np.ndarray:
    """The sum over the ranks of an array; collective."""
    if _group is None:
        return array
    import torch

    summed: np.ndarray = reduce_sum(torch.from_numpy(array)).numpy()
    return summed


def gather_columns(rows: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Rows (..., B) of equal shape, joined with those of the other ranks to (..., ranks · B); collective."""
    if _group is None or not rows:
        return rows
    import numpy as np
    import torch

    block = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.stack(rows), -1, 0)))
    return list(np.ascontiguousarray(np.moveaxis(gather(block).numpy(), 0, -1)))
