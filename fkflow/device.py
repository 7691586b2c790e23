"""Where a run computes: device and number of CPU threads."""

from __future__ import annotations

import os

import torch

from fkflow.errors import UsageError


def choose_device(name: str) -> str:
    """ "cpu" or "cuda" for auto, cpu or cuda. Raises UsageError when a GPU is asked for and there is none."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA device can be used here; auto and cpu are allowed")
    return name


def choose_threads(asked: int | None) -> int:
    """CPU threads: as asked, else the processors this process may use less those that others keep busy.

    A thread that has to wait for a processor delays all the others at every operation: on a busy machine fewer threads are
    faster. More than 8 do not pay for networks of this size.
    """
    if asked is not None:
        return asked
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        busy = round(os.getloadavg()[0])
    except OSError:
        busy = 0
    return max(1, min(8, processors - min(busy, processors // 2)))
