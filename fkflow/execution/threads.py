"""Chunks of walkers on threads, one chunk a thread.

Threads inside small operations gain little: at the end of each all threads wait for the slowest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Out = TypeVar("Out")

_count = 1


def use_threads(count: int) -> None:
    """Let `each` work on so many threads, and PyTorch on one inside each operation."""
    global _count
    _count = count
    torch.set_num_threads(1)


def thread_count() -> int:
    """How many threads `each` works on."""
    return _count


def each(work: Callable[[Item], Out], items: Sequence[Item]) -> list[Out]:
    """`work` of every item, in order.

    It must not draw from a generator that another item uses, nor change a module that another item runs: the results then do
    not depend on the number of threads.
    """
    if _count == 1 or len(items) == 1 or torch.cuda.is_initialized():
        return [work(item) for item in items]
    graphs = torch.is_grad_enabled()

    def with_mode(item: Item) -> Out:
        # each thread has a mode of its own
        with torch.set_grad_enabled(graphs):
            return work(item)

    return list(_pool(_count).map(with_mode, items))


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "fkflow", initializer=_alone)


def _alone() -> None:
    """Keep to one thread inside operations, whatever number is set elsewhere later."""
    torch.set_num_threads(1)
    # a thread that has asked for nothing yet would take the number that was set last anywhere
    torch.get_num_threads()


# a forked process has none of its parent's threads
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
