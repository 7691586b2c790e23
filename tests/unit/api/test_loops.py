"""Loops and interrupts from Python: your own loop, callbacks, Ctrl-C, threads."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from python_calls import SHORT, SLOW, Pair, same

import fkflow
from fkflow.execution import threads
from fkflow.execution.progress import Silent

pytestmark = pytest.mark.usefixtures("few_moves")


class Interrupting(Silent):
    """Presses Ctrl-C at the n-th update of a stage."""

    def __init__(self, stage: str, after: int) -> None:
        self.wanted, self.left, self.now = stage, after, ""
        self.lines: list[str] = []

    def stage(self, name: str, total: float | None) -> None:
        self.now = name

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        self.left -= self.now == self.wanted
        if self.left == 0 and self.now == self.wanted:
            os.kill(os.getpid(), signal.SIGINT)

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def uninterrupted() -> fkflow.Solution:
    """A longer training that nobody stops."""
    return fkflow.solve(fkflow.make_system("quartic"), **SLOW, progress=False)


def test_ctrl_c_keeps_a_checkpoint(uninterrupted: fkflow.Solution, tmp_path: Path) -> None:
    out, before = tmp_path / "run", signal.getsignal(signal.SIGINT)
    well = fkflow.make_system("quartic")
    with pytest.raises(
        KeyboardInterrupt, match=r"iteration 5; .*checkpoint.pt holds iteration 5: go on with resume=True"
    ):
        fkflow.solve(well, **SLOW, out=out, progress=Interrupting("train", 5))
    assert [path.name for path in out.iterdir()] == ["checkpoint.pt"]
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(
        fkflow.UsageError, match=r"unfinished run: continue it with resume=True, replace it with force=True"
    ):
        fkflow.solve(well, **SLOW, out=out, progress=False)
    with pytest.raises(fkflow.UsageError, match="belongs to another recipe"):
        fkflow.solve(well, **{**SLOW, "network": {"hidden": 5}}, out=out, resume=True, progress=False)
    watching = Interrupting("never", 0)
    finished = fkflow.solve(well, **SLOW, out=out, resume=True, progress=watching)
    assert watching.lines[0] == "resumed at iteration 5"
    assert same(finished, uninterrupted)
    # finished: resume=True gives the result again; more iterations are another budget, not another recipe
    before = (out / "result.h5").read_bytes()
    with pytest.raises(fkflow.UsageError, match="finished run .*resume=True gives its result"):
        fkflow.solve(well, **SLOW, out=out, progress=False)
    watching = Interrupting("never", 0)
    assert same(finished, fkflow.solve(well, **SLOW, out=out, resume=True, progress=watching))
    assert "nothing is left to do" in watching.lines[-1] and (out / "result.h5").read_bytes() == before
    longer = {**SLOW, "train": {"iterations": 14, "walkers": 64}}
    more = fkflow.solve(well, **longer, out=out, resume=True, progress=False)
    assert len(more.training["energy"]) == 14
    assert list(more.training["energy"][:12]) == list(finished.training["energy"])


@pytest.mark.parametrize("stage", ["train", "measure"])
def test_ctrl_c_without_a_folder(stage: str) -> None:
    with pytest.raises(KeyboardInterrupt, match="nothing is saved of a run without a folder"):
        fkflow.solve(fkflow.make_system("quartic"), **SLOW, progress=Interrupting(stage, 1))


def test_another_thread_can_solve(short: fkflow.Solution) -> None:
    """Signals belong to the main thread; the others do without."""
    found: list[fkflow.Solution] = []
    thread = threading.Thread(target=lambda: found.append(fkflow.solve(Pair(), **SHORT, progress=False)))
    thread.start()
    thread.join()
    assert same(found[0], short)


def test_pytorch_keeps_its_threads(pair: fkflow.Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do the threads among which walkers are shared."""
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "_count", 3)
    given = {**SHORT, "train": {"iterations": 1, "walkers": 64}, "threads": 2}
    training = fkflow.train(Pair(), **given)
    next(training)
    fkflow.solve(Pair(), **given, progress=False)
    pair.measure(measure=SHORT["measure"], threads=2, progress=False)
    assert torch.get_num_threads() == 1 and threads.thread_count() == 3


def test_your_own_loop(uninterrupted: fkflow.Solution) -> None:
    training = fkflow.train(fkflow.make_system("quartic"), **SLOW)
    assert training.iteration == 0 and training.seed == 1
    x = np.array([[[0.5]], [[-0.5]]])
    before = training.drift(x)
    for step in training:
        if step.iteration == 3:
            break
    assert training.iteration == 3 == len(training.records) and not np.array_equal(training.drift(x), before)
    assert training.net is training._session.model.net
    early = training.solution(progress=False)
    # the measurement changed nothing: the loop goes on to the same end
    rest = [step.iteration for step in training]
    assert rest[0] == 4
    assert uninterrupted.training["iteration"].tolist()[3:] == rest
    late = training.solution(progress=False)
    assert same(late, uninterrupted) and not same(late, early)
    assert len(early.training["energy"]) == 3
    np.testing.assert_allclose(late.drift(x), training.drift(x), rtol=1e-12)


def test_a_loop_goes_on_after_an_interrupt(uninterrupted: fkflow.Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration that is broken off leaves the training as it was before it."""
    from fkflow.training import loop as module

    training = fkflow.train(fkflow.make_system("quartic"), **SLOW)
    next(training)
    step, calls = module.update_network, []

    def interrupted(*given: Any) -> Any:
        told = step(*given)
        calls.append(told)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return told

    monkeypatch.setattr(module, "update_network", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(training)
    # an iteration whose step is rejected makes no step
    rejected = sum(record["undone"] for record in training.records)
    assert training.iteration == 2 + rejected == len(training.records)
    monkeypatch.undo()
    list(training)
    assert same(training.solution(progress=False), uninterrupted)


def test_a_callback_sees_each_iteration() -> None:
    seen: list[Any] = []
    options = {**SHORT, "train": {"iterations": 3, "walkers": 64}}
    solution = fkflow.solve(Pair(), **options, progress=False, callback=seen.append)
    assert [step.iteration for step in seen] == [1, 2, 3] == solution.training["iteration"].tolist()
    assert [step.energy for step in seen] == solution.training["energy"].tolist()

    def fails(step: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fkflow.solve(Pair(), **options, progress=False, callback=fails)
    with pytest.raises(fkflow.UsageError, match="callback=3 is not allowed: it must be a function"):
        fkflow.solve(Pair(), **options, callback=3)
