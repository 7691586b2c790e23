"""One line of a job script, again and again: it begins, goes on, and prints what is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fkflow.errors import Interrupted, UsageError
from fkflow.execution.progress import Silent
from fkflow.recipe import config
from fkflow.results.result import Result
from fkflow.results.store import read_result
from fkflow.runs.budgets import first_change, grew
from fkflow.runs.context import RunContext
from fkflow.runs.run import execute

BEFORE: dict[str, Any] = {
    "system": {"name": "h2"},
    "train": {"iterations": 10, "seconds": None, "target_error": None, "rate": 0.3},
    "measure": {"seconds": 60.0, "target_error": 1e-3, "walkers": 64},
}


pytestmark = pytest.mark.usefixtures("few_moves")


@pytest.mark.parametrize(
    ("section", "changes", "more"),
    [
        ("train", {}, False),
        ("train", {"iterations": 11}, True),
        ("train", {"iterations": 9}, False),
        ("train", {"seconds": 3.0}, False),
        ("train", {"target_error": 1e-3}, False),
        ("measure", {"seconds": 61.0}, True),
        ("measure", {"seconds": 59.0}, False),
        ("measure", {"target_error": 1e-4}, True),
        ("measure", {"target_error": 1e-2, "walkers": 128}, False),
    ],
)
def test_budgets_are_no_other_recipe(section: str, changes: dict[str, Any], more: bool) -> None:
    now = {**BEFORE, section: {**BEFORE[section], **changes}}
    assert first_change(BEFORE, now) is None
    assert grew(BEFORE, now) == ((section,) if more else ())


def test_all_else_is_another_recipe() -> None:
    rate = {**BEFORE, "train": {**BEFORE["train"], "rate": 0.1}}
    assert first_change(BEFORE, rate) == "train.rate = 0.3"
    assert first_change(BEFORE, {**BEFORE, "system": {"name": "h2", "R": 1.4}}) == "no system.R"


def test_a_new_key_that_changes_nothing_is_no_other_recipe() -> None:
    """Runs of earlier versions can be resumed; with another value of the key they cannot."""
    assert first_change(BEFORE, {**BEFORE, "train": {**BEFORE["train"], "ramp": 0}}) is None
    assert first_change(BEFORE, {**BEFORE, "train": {**BEFORE["train"], "ramp": 30}}) == "no train.ramp"


class Lines(Silent):
    """Keeps the lines that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)


def run(out: Path, seed: int | None = None, stop: bool = False, **changes: Any) -> tuple[Result | None, str]:
    """The run of a quick recipe with --resume, and what it logs; `stop` ends it at the first sweep."""
    quick = {
        "train.iterations": 4,
        "train.walkers": 64,
        "measure.walkers": 64,
        "measure.target_error": 1.0,
        "measure.seconds": 60.0,
        "project.seconds": 0,
        "network.hidden": 4,
    }
    out.mkdir(exist_ok=True)
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    loaded = config.load("quartic", [f"{key}={value}" for key, value in {**quick, **changes}.items()])
    lines = Lines()
    context = RunContext(loaded, lines, seed=seed, device="cpu", threads=1, out=out, resume=True)
    if stop:
        lines.stage = lambda name, _: context.signals._received.append(2) if name == "measure" else None  # type: ignore
    return execute(context), "\n".join(lines.lines)


def test_a_job_script_calls_one_line_again_and_again(tmp_path: Path) -> None:
    """Nothing there: it begins. Stopped: it goes on. Finished: it prints. More to do: it goes on from what is finished."""
    with pytest.raises(Interrupted):
        run(tmp_path, seed=3, stop=True)
    first, said = run(tmp_path)
    assert first is not None and "resumed at iteration 4" in said and len(first.records) == 4
    again, said = run(tmp_path)
    assert again is not None and "nothing is left to do" in said and again.energy == first.energy
    sharp = 0.8 * first.energy.error
    finer, said = run(tmp_path, measure__target_error=sharp)
    assert finer is not None and "measured with a larger budget" in said
    assert finer.energy.error <= sharp and finer.records == first.records
    longer, said = run(tmp_path, train__iterations=6, measure__target_error=sharp)
    assert longer is not None and "its training goes on from iteration 4" in said
    assert [r["iteration"] for r in longer.records] == [1, 2, 3, 4, 5, 6] and longer.records[:4] == first.records
    assert longer.provenance["seed"] == 3 and read_result(tmp_path).energy == longer.energy
    assert "nothing is left to do" in run(tmp_path, train__iterations=6, measure__target_error=sharp)[1]
    with pytest.raises(UsageError, match="the run to resume has seed 3"):
        run(tmp_path, seed=4)
    with pytest.raises(UsageError, match=r"another recipe \(there: network.hidden = 4\)"):
        run(tmp_path, network__hidden=5)


def test_an_unfinished_run_takes_another_budget(tmp_path: Path) -> None:
    """What was measured of a network that is trained further is not used: the result is that of a run without a stop."""
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", seed=3, stop=True)
    resumed, _ = run(tmp_path / "stopped", train__iterations=6)
    whole, _ = run(tmp_path / "whole", seed=3, train__iterations=6)
    assert resumed is not None and whole is not None
    assert resumed.energy == whole.energy and len(resumed.records) == 6
