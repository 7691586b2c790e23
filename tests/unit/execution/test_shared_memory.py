"""Messages through shared memory between forked processes: what arrives, and the error when a process is gone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from commands import run

#: every process checks what it got; the first exits with the number of processes that found something wrong
EXCHANGE = """
import os, random, sys, time
import torch
from fkflow.execution.shared_memory import LENGTH, SLOT, SharedMemory

world = int(sys.argv[1])
shared, first, children, rank = SharedMemory(world), os.getpid(), [], 0
for number in range(1, world):
    if not (pid := os.fork()):
        rank = number
        break
    children.append(pid)
shared.attach(rank, lambda: True)
late = random.Random(rank)
for turn in range(60):
    if late.random() < 0.2:
        time.sleep(0.003)
    size = (1, 5, 8191, 8195, 60_001)[turn % 5]
    own = (turn + 1.0) * torch.arange(size, dtype=torch.float64) + rank
    everybody = torch.stack([own - rank + number for number in range(world)])
    assert torch.equal(shared.gather(own, torch.empty_like(everybody)), everybody)
    assert torch.equal(shared.broadcast(own), everybody[0])
    found = shared.reduce_sum(own.view(1, -1))
    assert found.shape == (1, size) and torch.allclose(found[0], everybody.sum(0), rtol=1e-14)
    assert torch.equal(shared.broadcast(found), found)  # the same bits
    assert torch.equal(shared.reduce_sum(torch.tensor([rank == 0, True])[:0]), torch.empty(0, dtype=torch.bool))
for size in (0, 3, SLOT - LENGTH, SLOT - LENGTH + 1, 5):
    text = b"x" * size
    assert shared.broadcast_bytes(text if rank == 0 else b"") == (text if size <= SLOT - LENGTH else None)
assert shared.fits(torch.empty(SLOT // 8)) and not shared.fits(torch.empty(SLOT // 4 + 1))
if rank:
    os._exit(0)
sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))
"""

#: the error of the first process when its child leaves, or dies, instead of taking part
MISSED = """
import os, sys, time
import torch
from fkflow.execution.shared_memory import SharedMemory

shared = SharedMemory(2)
pid = os.fork()
if not pid:
    shared.attach(1, lambda: True)
    shared.reduce_sum(torch.ones(1))
    if sys.argv[1] == "leaves":
        shared.leave()
        time.sleep(60)
    os._exit(9)
shared.attach(0, lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None)
print(float(shared.reduce_sum(torch.ones(1))))
try:
    shared.reduce_sum(torch.ones(1))
except RuntimeError as error:
    print(error)
os.kill(pid, 9)
"""


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_process_gets_every_message(world: int, tmp_path: Path) -> None:
    code, _, err = run(tmp_path, world, code=EXCHANGE, timeout=60)
    assert code == 0, err


@pytest.mark.parametrize("how", ["leaves", "dies"])
def test_nobody_waits_for_a_process_that_is_gone(how: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    _, out, err = run(tmp_path, how, code=MISSED, timeout=60)
    assert out == "2.0\nanother process has left\n", err
    assert time.monotonic() - begun < 30
