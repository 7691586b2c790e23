"""Messages between a process and its forked children through shared memory: some 20 µs each, a tenth of what sockets take.

The sender writes a message to its slot; after a barrier every process reads the slots of all. Each process has two slots and
uses them in turn, so that nobody overwrites a message that another process still reads.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.synchronize import Semaphore

    from torch import Tensor

#: bytes of a slot: longer messages go through sockets
SLOT = 2**23
#: bytes before the slots, the first of which says whether a process has left; bytes that hold the length of a text
HEAD, LENGTH = 4096, 8
#: seconds for which a process polls for the others before it sleeps, and seconds between checks that they are alive
POLLING, SLEEPING = 2e-3, 0.05


class SharedMemory:
    """Slots and semaphores for `world` processes, made before the process forks; `attach` gives each its rank.

    All methods but `fits` and `leave` must be called by all processes together; they raise RuntimeError once one has left.
    The constructor raises OSError or ImportError where the system has no such memory or no semaphores.
    """

    def __init__(self, world: int) -> None:
        import multiprocessing  # not every command needs it

        self.world, self.rank, self.turn = world, 0, 0
        self._memory = mmap.mmap(-1, HEAD + 2 * world * SLOT)
        context = multiprocessing.get_context("fork")
        self._arrived: Semaphore = context.Semaphore(0)
        self._go: list[Semaphore] = [context.Semaphore(0) for _ in range(world)]
        self._alive: Callable[[], bool] = lambda: True

    def attach(self, rank: int, alive: Callable[[], bool]) -> None:
        """Set the rank of this process; `alive` says whether those it waits for still run."""
        self.rank, self._alive = rank, alive

    def fits(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the CPU and short enough."""
        return tensor.is_cpu and tensor.numel() * tensor.element_size() <= SLOT

    def leave(self) -> None:
        """Make every process that waits for this one raise an error."""
        self._memory[0] = 1

    def gather(self, tensor: Tensor, out: Tensor) -> Tensor:
        """Copy the tensors (...) of all processes into `out` (world, ...), in the order of their ranks."""
        self._slot(self.rank, tensor).copy_(tensor.detach())
        self._barrier()
        for rank in range(self.world):
            out[rank].copy_(self._slot(rank, tensor))
        self.turn ^= 1
        return out

    def reduce_sum(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all processes, added in the order of their ranks: the same bits for each."""
        self._slot(self.rank, tensor).copy_(tensor.detach())
        self._barrier()
        out = self._slot(0, tensor).clone()
        for rank in range(1, self.world):
            out += self._slot(rank, tensor)
        self.turn ^= 1
        return out

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The tensor of rank 0; all give tensors of one shape."""
        if not self.rank:
            self._slot(0, tensor).copy_(tensor.detach())
        self._barrier()
        out = self._slot(0, tensor).clone()
        self.turn ^= 1
        return out

    def broadcast_bytes(self, text: bytes) -> bytes | None:
        """The text of rank 0; None for all if it is longer than a slot. What the others give is ignored."""
        start = HEAD + self.turn * SLOT + LENGTH
        if not self.rank:
            self._memory[start - LENGTH : start] = len(text).to_bytes(LENGTH, "little")
            if len(text) <= SLOT - LENGTH:
                self._memory[start : start + len(text)] = text
        self._barrier()
        length = int.from_bytes(self._memory[start - LENGTH : start], "little")
        self.turn ^= 1
        return self._memory[start : start + length] if length <= SLOT - LENGTH else None

    def _slot(self, rank: int, like: Tensor) -> Tensor:
        """The slot of a rank in this turn, as a tensor of that shape and type."""
        import torch

        if not like.numel():
            return like.new_empty(like.shape)
        start = HEAD + (2 * rank + self.turn) * SLOT
        return torch.frombuffer(self._memory, dtype=like.dtype, count=like.numel(), offset=start).view(like.shape)

    def _barrier(self) -> None:
        """Wait for all processes. Semaphores order memory: what was written before is read after."""
        if self.rank:
            self._arrived.release()
            self._wait(self._go[self.rank])
            return
        for _ in range(self.world - 1):
            self._wait(self._arrived)
        for go in self._go[1:]:
            go.release()

    def _wait(self, semaphore: Semaphore) -> None:
        until = time.perf_counter() + POLLING
        while time.perf_counter() < until:
            if semaphore.acquire(block=False):
                return
            # others may need this processor
            os.sched_yield()
        while not semaphore.acquire(timeout=SLEEPING):
            if self._memory[0] or not self._alive():
                # it may have left after its last message, which is about to arrive
                if semaphore.acquire(timeout=SLEEPING):
                    return
                raise RuntimeError("another process has left")
