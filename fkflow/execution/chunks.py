"""Work on chunks of walkers that fit the cache or the device, one a thread: layers that leave the cache take twice the time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from fkflow.errors import NumericalError
from fkflow.execution.threads import each

log = logging.getLogger("fkflow")

#: numbers in the widest layer of a chunk that stay in the cache of a CPU
IN_CACHE = 2**18
#: layers of that width that a GPU must hold at once, half of them for a backward pass
ON_DEVICE = 128
#: fewest configurations in a chunk
FEWEST = 16

Out = TypeVar("Out")


class Network(Protocol):
    """The part of a network that decides the size of a chunk."""

    #: configurations at once; 0: as many as the cache or the device holds
    chunk: int

    @property
    def width(self) -> int:
        """Numbers that the widest layer holds for one configuration."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters, which are all on one device."""


class WaveFunction(Network, Protocol):
    """A network that is log ψ."""

    def value(self, x: Tensor) -> Tensor:
        """log ψ (B,)."""

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D)."""


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

    Free memory changes with what PyTorch caches: two runs would have different chunks, each of which has its own seed.
    """
    total: int = torch.cuda.get_device_properties(device).total_memory
    return total


def fit_in_memory(net: Network, attempt: Callable[[int], Out]) -> Out:
    """attempt(chunk); when memory runs out, again with half the chunk, for all later work too.

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


def value(psi: WaveFunction, x: Tensor) -> Tensor:
    """log ψ (B,) by chunks of the walkers x (B, N, D)."""
    return fit_in_memory(psi, lambda chunk: torch.cat(each(psi.value, x.split(chunk))))


def value_and_drift(psi: WaveFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """log ψ and its gradient, (B,) and (B, N, D), by chunks of the walkers x (B, N, D)."""

    def attempt(chunk: int) -> tuple[Tensor, Tensor]:
        if len(x) <= chunk:
            return psi.value_and_drift(x)
        values, drifts = zip(*each(psi.value_and_drift, x.split(chunk)), strict=True)
        return torch.cat(values), torch.cat(drifts)

    return fit_in_memory(psi, attempt)
