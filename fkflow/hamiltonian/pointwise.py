"""Energies from a function of one configuration, such as a compiled program, called by several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

#: pieces of a batch for each process: few keep the messages few, many even out the work and end soon after a signal
PIECES = 4
#: the functions by their numbers; a forked process has those of its parent
_functions: dict[int, Callable[[np.ndarray], float]] = {}


class PointByPoint:
    """A function of one configuration, an array (N, D) to a number, as one of many: (B, N, D) to an array (B,).

    >>> import numpy as np
    >>> from fkflow import PointByPoint
    >>> height = PointByPoint(lambda x: float((x**2).sum()), processes=1)
    >>> height(np.ones((2, 3, 1)))
    array([3., 3.])

    `processes` are forked when it is first called, one for each core if it is left out; the function may be any, also one that
    cannot be pickled. Where there is no fork (Windows), or for one process, it is called in this one. It must give the same for
    the same configuration. Raises what the function raises, and RuntimeError if one of the processes dies.
    """

    def __init__(self, function: Callable[[np.ndarray], float], processes: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if processes is not None and (type(processes) is not int or processes < 1):
            raise ValueError(f"processes = {processes!r} is not allowed: it must be a whole number of at least 1")
        forks = "fork" in multiprocessing.get_all_start_methods()
        self.processes = (cores if processes is None else processes) if forks else 1
        self._number = len(_functions)
        _functions[self._number] = function
        self._pool: ProcessPoolExecutor | None = None
        self._owner = 0

    def __call__(self, x: Any) -> np.ndarray:
        """The numbers (B,) of configurations x (B, N, D), an array or a tensor without a gradient."""
        points = np.ascontiguousarray(x, dtype=np.float64)
        if self.processes == 1 or len(points) < 2:
            return _evaluate(self._number, points)
        parts = np.array_split(points, min(len(points), PIECES * self.processes))
        try:
            found = list(self._start().map(_evaluate, [self._number] * len(parts), parts))
        except BrokenProcessPool:
            self.close()
            raise RuntimeError("a process that computes V has died") from None
        except BaseException:
            self.close()
            raise
        return np.concatenate(found)

    def _start(self) -> ProcessPoolExecutor:
        # a process that was forked since has not the pool of its parent
        if self._pool is None or self._owner != os.getpid():
            before = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(self.processes, multiprocessing.get_context("fork"), _ignore_signals)
            self._pool.submit(int).result()
            self._children = set(multiprocessing.active_children()) - before
            self._owner = os.getpid()
        return self._pool

    def close(self) -> None:
        """End the processes; the next call starts others."""
        if self._pool is not None and self._owner == os.getpid():
            self._pool.shutdown(wait=False, cancel_futures=True)
            for child in self._children:
                child.kill()
        self._pool = None


def _evaluate(number: int, points: np.ndarray) -> np.ndarray:
    function = _functions[number]
    return np.array([float(function(point)) for point in points])


def _ignore_signals() -> None:
    """Ctrl-C reaches all processes of a terminal: the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.SIG_DFL)
