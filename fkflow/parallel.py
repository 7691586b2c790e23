"""Work on chunks of walkers, one chunk a thread: small operations gain nothing from threads inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
Out = TypeVar("Out")


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    # PyTorch sets the threads of an operation per calling thread: one in each worker, the caller keeps its own number
    return ThreadPoolExecutor(threads, "fkflow", initializer=torch.set_num_threads, initargs=(1,))


def each(work: Callable[[Item], Out], items: Sequence[Item]) -> list[Out]:
    """`work` of every item, in order, on as many threads as PyTorch was told to use.

    `work` must not draw from a generator that another item uses, nor change a module that another item runs (as
    ``functional_call`` does for a while): the results then do not depend on the threads. Grad mode is each thread's own.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) == 1 or torch.cuda.is_initialized():
        return [work(item) for item in items]
    return list(_pool(threads).map(work, items))


def value_and_drift(
    field: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, chunk: int = 2048
) -> tuple[Tensor, Tensor]:
    """A log ψ and its gradient, (B,) and (B, N, D), by chunks of the walkers x (B, N, D)."""
    if len(x) <= chunk:
        return field(x)
    values, drifts = zip(*each(field, x.split(chunk)), strict=True)
    return torch.cat(values), torch.cat(drifts)
