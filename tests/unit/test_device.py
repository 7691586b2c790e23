"""Threads and devices: what a run is given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from fkflow import device
from fkflow.device import busy_processors, choose_device, choose_threads
from fkflow.errors import UsageError


def test_threads_as_asked(monkeypatch) -> None:
    monkeypatch.setattr(device, "busy_processors", lambda: 1.0)
    assert choose_threads(3) == 3


@pytest.mark.parametrize(("busy", "threads"), [(0.0, 4), (0.4, 4), (1.2, 3), (3.9, 1), (64.0, 1)])
def test_threads_leave_busy_processors_alone(busy: float, threads: int, monkeypatch) -> None:
    monkeypatch.setattr(device, "busy_processors", lambda: busy)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert choose_threads(None) == threads


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="counts processors only where /proc/stat tells")
def test_a_busy_processor_is_seen() -> None:
    quiet = min(busy_processors() for _ in range(3))
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            busy = max(busy_processors() for _ in range(5))
        finally:
            other.kill()
    assert busy > 0.5 and busy <= len(os.sched_getaffinity(0)) + 1e-9
    assert quiet <= busy


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"):
            choose_device("cuda")
