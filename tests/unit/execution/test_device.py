"""Threads and devices: what a run is given."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from fkflow.errors import UsageError
from fkflow.execution import device
from fkflow.execution.device import busy_processors, choose_device, choose_threads
from fkflow.recipe.config import load
from fkflow.runs.context import RunContext
from fkflow.runs.model import prepare


def test_threads_as_asked(monkeypatch) -> None:
    monkeypatch.setattr(device, "busy_processors", lambda: 1.0)
    assert choose_threads(3) == 3


@pytest.mark.parametrize(("busy", "threads"), [(0.0, 4), (0.4, 4), (1.2, 3), (3.9, 1), (64.0, 1)])
def test_threads_leave_busy_processors_alone(busy: float, threads: int, monkeypatch) -> None:
    monkeypatch.setattr(device, "busy_processors", lambda: busy)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert choose_threads(None) == threads


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="counts processors only where /proc/stat tells")
def test_a_busy_processor_counts() -> None:
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


FAULTS = """
import resource, torch
from fkflow.execution.device import keep_freed_memory
torch.set_num_threads(1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    return sum(float(a[0]) for a in [torch.ones(2**18) for _ in range(40)])
for settings in (lambda: None, keep_freed_memory):
    settings()
    work()
    before = faults()
    for _ in range(5):
        work()
    print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these settings")
def test_freed_memory_is_used_again() -> None:
    """Tensors of a megabyte come without page faults; the twin, without the settings, has hundreds for each."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        capture_output=True,
        text=True,
        check=True,
        # what the user may have set would hide the difference
        env={k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))},
    )
    twin, kept = map(int, done.stdout.split())
    assert kept < 1250 < twin


def test_single_precision_keeps_its_digits() -> None:
    """A program that had allowed fewer digits before does not get them here."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        prepare(RunContext(load("double_well"), seed=0, device="cpu", threads=1))
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)
