"""Work on chunks of walkers that fit the cache or the device, one chunk a thread.

Small operations gain nothing from threads inside them, and layers that leave the cache cost twice the time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from fkflow.errors import NumericalError

log = logging.getLogger("fkflow")

#: numbers in the widest layer of a chunk that stay in the cache of a CPU
IN_CACHE = 2**18
#: layers of that width for which a GPU must have room in all: half of it for those of a backward pass
ON_DEVICE = 128
#: configurations at once that are never worth splitting
FEWEST = 16

Item = TypeVar("Item")
Out = TypeVar("Out")


class Network(Protocol):
    """What decides how many configurations go through a network at once."""

    #: configurations at once; 0: as many as suit cache or device
    chunk: int

    @property
    def width(self) -> int:
        """Numbers that the widest layer holds for one configuration."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters, which are all on one device."""


class WaveFunction(Network, Protocol):
    """A network that is log ψ."""

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D)."""


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    # PyTorch sets the threads of an operation per calling thread: one in each worker, the caller keeps its own number
    return ThreadPoolExecutor(threads, "fkflow", initializer=_alone)


def _alone() -> None:
    """Use one thread inside this one, whatever number is set elsewhere later."""
    torch.set_num_threads(1)
    # a thread that has asked for nothing yet would take the number that was set last anywhere
    torch.get_num_threads()


def each(work: Callable[[Item], Out], items: Sequence[Item]) -> list[Out]:
    """`work` of every item, in order, on as many threads as PyTorch was told to use.

    `work` must not draw from a generator that another item uses, nor change a module that another item runs (as
    ``functional_call`` does for a while): the results then do not depend on the threads. Grad mode is each thread's own.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) == 1 or torch.cuda.is_initialized():
        return [work(item) for item in items]
    return list(_pool(threads).map(work, items))


def chunk_size(net: Network) -> int:
    """Configurations to work on at once: the recipe's `train.chunk`, else as many as the cache or the device holds."""
    if net.chunk:
        return net.chunk
    parameter = next(net.parameters(), None)
    numbers = IN_CACHE
    if parameter is not None and parameter.is_cuda:
        numbers = device_memory(parameter.device) // (ON_DEVICE * parameter.element_size())
    return max(FEWEST, int(numbers / net.width))


@lru_cache(maxsize=8)
def device_memory(device: torch.device) -> int:
    """Bytes of memory of a GPU, asked for once.

    What is free changes with what PyTorch keeps in store: chunks, each of which has a seed of its own, would not be the same in
    two runs, and to ask takes as long as several operations.
    """
    total: int = torch.cuda.get_device_properties(device).total_memory
    return total


def fitting(net: Network, attempt: Callable[[int], Out]) -> Out:
    """attempt(chunk), again with half the chunk, of this and all later work, whenever memory runs out.

    Raises NumericalError if one configuration at a time is too much.
    """
    while True:
        chunk = chunk_size(net)
        try:
            return attempt(chunk)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
        # outside the except clause: its traceback would keep the tensors alive
        if chunk == 1:
            raise NumericalError(
                "out of memory with one walker at a time: a smaller network or another device is needed"
            )
        net.chunk = chunk // 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        log.warning("out of memory: going on with %d instead of %d walkers at a time", net.chunk, chunk)


def _out_of_memory(error: Exception) -> bool:
    # on CPUs PyTorch says so in a plain RuntimeError
    texts = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in str(error) for text in texts)


def value_and_drift(psi: WaveFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """log ψ and its gradient, (B,) and (B, N, D), by chunks of the walkers x (B, N, D)."""

    def attempt(chunk: int) -> tuple[Tensor, Tensor]:
        if len(x) <= chunk:
            return psi.value_and_drift(x)
        values, drifts = zip(*each(psi.value_and_drift, x.split(chunk)), strict=True)
        return torch.cat(values), torch.cat(drifts)

    return fitting(psi, attempt)
