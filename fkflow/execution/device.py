"""Device, number of CPU threads, memory and precision of a run."""

from __future__ import annotations

import ctypes
import os
import time

import torch

from fkflow.errors import UsageError
from fkflow.execution import ranks

#: M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD of malloc.h with their values in bytes (32 MiB is the most for the last)
MALLOPT = {-1: 2**30, -2: 2**26, -3: 2**25}


def choose_device(name: str) -> str:
    """ "cpu" or "cuda" for auto, cpu or cuda; each rank on a machine gets a GPU of its own.

    Raises UsageError if GPUs are asked for and there are too few.
    """
    if name == "auto":
        enough = torch.cuda.is_available() and torch.cuda.device_count() >= ranks.local_count()
        # all ranks compute on the same kind of device
        name = "cuda" if ranks.reduce_min(float(enough)) else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("--device cuda: no CUDA device can be used here; auto and cpu are allowed")
        if torch.cuda.device_count() < ranks.local_count():
            raise UsageError(
                f"--device cuda: {ranks.local_count()} ranks on this machine need a CUDA device each, "
                f"there are {torch.cuda.device_count()}"
            )
        if ranks.count() > 1:
            # "cuda" means this GPU from now on
            torch.cuda.set_device(ranks.local_rank())
    return name


def choose_threads(asked: int | None) -> int:
    """CPU threads as asked, else the idle processors that this process may use, divided among the ranks on this machine.

    All threads wait for the slowest chunk of walkers: on a busy machine fewer threads are faster. More than 8 were not tried.
    """
    if asked is not None:
        return asked
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, (processors - round(busy_processors())) // ranks.local_count()))


def keep_freed_memory() -> None:
    """Make the C library (glibc only) reuse freed memory instead of returning it to the system.

    Otherwise every tensor of a few hundred kilobytes costs a page fault per 4 kB: 5 to 15 % of a run.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in MALLOPT.items():
        mallopt(parameter, value)


def keep_single_precision() -> None:
    """Make matrix products of single precision use all digits, whatever the program has set before.

    TF32 on GPUs and bfloat16 on CPUs have three digits: too few for moves, Laplacians and the natural gradient.
    """
    torch.set_float32_matmul_precision("highest")


def busy_processors(seconds: float = 0.1) -> float:
    """Busy processors among those that this process may use, measured for a moment (Linux); 0 if unknown.

    The load average describes the last minute, often a run that has ended.
    """
    try:
        before = _idle_ticks()
        time.sleep(seconds)
        after = _idle_ticks()
    except (AttributeError, OSError, ValueError, IndexError):
        return 0.0
    busy = 0.0
    for name, (idle, total) in after.items():
        passed = total - before[name][1] if name in before else 0
        busy += 1 - (idle - before[name][0]) / passed if passed > 0 else 0.0
    return busy


def _idle_ticks() -> dict[str, tuple[int, int]]:
    """Idle and total clock ticks since boot of each processor this process may use."""
    allowed = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = {}
    with open("/proc/stat", encoding="ascii") as lines:
        for line in lines:
            name, *values = line.split()
            if name in allowed:
                numbers = [int(value) for value in values[:8]]
                ticks[name] = (numbers[3] + numbers[4], sum(numbers))
    return ticks
