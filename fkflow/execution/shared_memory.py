"""Messages between the copies of one process through memory that they share: some 20 µs each, where sockets take a millisecond.

A message is written to a slot of its sender's; once all have met, everybody reads the slots of everybody. Each sender has two
slots, used in turn: none can be a whole message ahead of another one.
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

#: bytes of a slot: longer messages go another way
SLOT = 2**23
#: bytes in front of the slots: whether somebody has left; and of the length of a text
HEAD, LENGTH = 4096, 8
#: bytes from which a sum is shared out, each process adding up a part
LONG = 2**16
#: seconds that a process watches for the others before it lets go of its processor, and then between looks at whether they live
WATCHING, ASLEEP = 2e-3, 0.05


class SharedMemory:
    """Made by the process that is about to copy itself, for so many processes; `begin` says which of them this one is.

    Raises OSError or ImportError where the system has no such memory, or no semaphores.
    """

    def __init__(self, world: int) -> None:
        import multiprocessing  # not every command needs it

        self.world, self.rank, self.turn = world, 0, 0
        self._memory = mmap.mmap(-1, HEAD + 2 * world * SLOT)
        context = multiprocessing.get_context("fork")
        self._arrived: Semaphore = context.Semaphore(0)
        self._go: list[Semaphore] = [context.Semaphore(0) for _ in range(world)]
        self._alive: Callable[[], bool] = lambda: True

    def begin(self, rank: int, alive: Callable[[], bool]) -> None:
        """Which process this is, and how it sees that those it waits for are still there."""
        self.rank, self._alive = rank, alive

    def fits(self, tensor: Tensor) -> bool:
        """Whether a message is short enough."""
        return tensor.is_cpu and tensor.numel() * tensor.element_size() <= SLOT

    def leave(self) -> None:
        """Nothing more will come from this process; whoever waits for it gets an error."""
        self._memory[0] = 1

    def gather(self, tensor: Tensor, out: Tensor) -> Tensor:
        """The tensors of all processes in `out` (world, …), that of the first in front; all together."""
        self._slot(self.rank, tensor).copy_(tensor.detach())
        self._meet()
        for rank in range(self.world):
            out[rank].copy_(self._slot(rank, tensor))
        self.turn ^= 1
        return out

    def first(self, tensor: Tensor) -> Tensor:
        """The tensor of the first process; all together, with tensors of one shape."""
        if not self.rank:
            self._slot(0, tensor).copy_(tensor.detach())
        self._meet()
        out = self._slot(0, tensor).clone()
        self.turn ^= 1
        return out

    def word(self, text: bytes) -> bytes | None:
        """The text of the first process, which others need not give; None on all if it is longer than a slot; all together."""
        start = HEAD + self.turn * SLOT + LENGTH
        if not self.rank:
            self._memory[start - LENGTH : start] = len(text).to_bytes(LENGTH, "little")
            if len(text) <= SLOT - LENGTH:
                self._memory[start : start + len(text)] = text
        self._meet()
        length = int.from_bytes(self._memory[start - LENGTH : start], "little")
        self.turn ^= 1
        return self._memory[start : start + length] if length <= SLOT - LENGTH else None

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all processes, added up in their order: the same bits for each; all together."""
        flat = tensor.detach().flatten()
        self._slot(self.rank, flat).copy_(flat)
        self._meet()
        slots = [self._slot(rank, flat) for rank in range(self.world)]
        if flat.numel() * flat.element_size() < LONG:
            out = _added(slots)
        else:
            # each adds up its part where the first of them stands, which nobody else reads there
            parts = [slot.tensor_split(self.world)[self.rank] for slot in slots]
            parts[0].copy_(_added(parts))
            self._meet()
            out = slots[0].clone()
        self.turn ^= 1
        return out.view(tensor.shape)

    def _slot(self, rank: int, like: Tensor) -> Tensor:
        """Room for a tensor of a process in this turn."""
        import torch

        if not like.numel():
            return like.new_empty(like.shape)
        start = HEAD + (2 * rank + self.turn) * SLOT
        return torch.frombuffer(self._memory, dtype=like.dtype, count=like.numel(), offset=start).view(like.shape)

    def _meet(self) -> None:
        """Wait until all are here. What was written before is seen after it: semaphores see to that."""
        if self.rank:
            self._arrived.release()
            self._wait(self._go[self.rank])
            return
        for _ in range(self.world - 1):
            self._wait(self._arrived)
        for go in self._go[1:]:
            go.release()

    def _wait(self, semaphore: Semaphore) -> None:
        until = time.perf_counter() + WATCHING
        while time.perf_counter() < until:
            if semaphore.acquire(block=False):
                return
            # others may need this processor
            os.sched_yield()
        while not semaphore.acquire(timeout=ASLEEP):
            if self._memory[0] or not self._alive():
                # it may have left with all done, and the first be about to say so
                if semaphore.acquire(timeout=ASLEEP):
                    return
                raise RuntimeError("another process has left")


def _added(slots: list[Tensor]) -> Tensor:
    out = slots[0].clone()
    for slot in slots[1:]:
        out += slot
    return out
