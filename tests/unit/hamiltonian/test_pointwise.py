"""A function of one configuration, called by several processes."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import torch

from fkflow import PointByPoint
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.system import System


def test_the_processes_share_the_points() -> None:
    """The values of one process, in order, from others than this one."""
    x = torch.randn(50, 2, 3, dtype=torch.float64)
    both = PointByPoint(lambda point: float((point**2).sum()), processes=2)
    who = PointByPoint(lambda point: time.sleep(2e-3) or os.getpid(), processes=2)
    try:
        assert both(x) == pytest.approx(x.square().sum((1, 2)).numpy())
        found = set(who(x))
        assert os.getpid() not in found and len(found) == 2
    finally:
        both.close()
        who.close()
    assert PointByPoint(lambda point: os.getpid(), processes=1)(x)[0] == os.getpid()


def test_what_goes_wrong() -> None:
    """An exception, a process that dies, a signal while it works: each is told, and the next call works again."""

    def fragile(point: np.ndarray) -> float:
        if point[0, 0] == 1:
            raise ValueError("no energy here")
        if point[0, 0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if point[0, 0] == 3:
            time.sleep(60)
        return 1.0

    function = PointByPoint(fragile, processes=2)
    x = np.zeros((8, 1, 1))

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        for bad, error, words in (
            (1, ValueError, "no energy"),
            (2, RuntimeError, "has died"),
            (3, KeyboardInterrupt, None),
        ):
            x[5] = bad
            if bad == 3:
                signal.signal(signal.SIGALRM, interrupt)
                signal.setitimer(signal.ITIMER_REAL, 0.2)
            begun = time.perf_counter()
            with pytest.raises(error, match=words):
                function(x)
            assert time.perf_counter() - begun < 2
            x[5] = 0
            assert function(x).tolist() == [1.0] * 8
    finally:
        function.close()
    with pytest.raises(ValueError, match="processes = 0 is not allowed"):
        PointByPoint(fragile, processes=0)


def test_a_system_of_one_passes() -> None:
    energy = PointByPoint(lambda point: 0.5 * float((point**2).sum()), processes=2)

    class Trap(System):
        particles = 1
        dimensions = 1

        def potential(self, x):
            return energy(x)

    try:
        found = check(Trap())
    finally:
        energy.close()
    assert found.warnings == () and "has no gradient" in found.notes[0]
    assert found.landscape.covariance == pytest.approx(0.5 * torch.eye(1), rel=1e-3, abs=1e-3)
