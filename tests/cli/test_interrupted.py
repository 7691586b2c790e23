"""Ctrl-C and SIGTERM: how soon a run stops, which files it leaves, and that the printed command continues it."""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import good, start

from fkflow.cli.entry import main
from fkflow.errors import Interrupted
from fkflow.results.checkpoints import load_checkpoint
from fkflow.results.store import read_result
from fkflow.runs import frozen, run
from fkflow.runs.session import Session
from fkflow.training import schedule
from fkflow.training.state import Record

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
#: the command with something in place of what takes long
CHILD = """
import sys, time
from fkflow.__main__ import command
from fkflow.systems.wells import Quartic
potential, calls, most = Quartic.potential, [], int(sys.argv.pop(1))
def slow(self, x):
    calls.append(1)
    if len(calls) > most:
        print("slow", file=sys.stderr, flush=True)
        for _ in range(600):
            time.sleep(0.1)
    return potential(self, x)
Quartic.potential = slow
command()
"""
RUN = ["run", "quartic", "--threads", "1", "--device", "cpu", "--seed", "7"]
for setting in (
    "train.walkers=64", "train.iterations=8", "train.stop_spread=0", "measure.walkers=256", "measure.target_error=0.02",
    "project.walkers=256", "project.time=2", "project.target_error=0.04",
):  # fmt: skip
    RUN += ["--set", setting]


def stopped(folder: Path, calls: int, number: int, arguments: list[str]) -> tuple[int, float, list[str]]:
    """The command whose potential takes a minute after so many calls, sent a signal then: exit code, seconds, stderr."""
    process = start(folder, calls, *arguments, code=CHILD)
    process.wait_for("slow")
    begun = time.monotonic()
    process.send_signal(number)
    code, _, err = process.finish(30)
    took = time.monotonic() - begun
    assert "Traceback" not in err
    return code, took, err.splitlines()


#: says how often the potential was called when each stage began
COUNTING = CHILD.replace(
    "command()",
    """
import sys
from fkflow.execution.progress import Lines
Lines.stage = lambda self, name, total: print("stage", name, len(calls), file=sys.__stdout__)
command()""",
)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How often the potential is called before each stage begins for the first time, in this recipe."""
    out = good(tmp_path_factory.mktemp("calls"), 1000000, *RUN, code=COUNTING)
    lines = [line for line in out.splitlines() if line.startswith("stage ")]
    # a slow mode that is put into the network takes a run back to training
    return {line.split()[1]: int(line.split()[2]) for line in reversed(lines)}


@pytest.mark.parametrize(
    ("stage", "number"),
    [("before", signal.SIGINT), ("train", signal.SIGINT), ("measure", signal.SIGTERM), ("project", signal.SIGTERM)],
    ids=["exploring", "training", "measuring", "projecting"],
)
def test_a_long_evaluation_is_broken_off(stage: str, number: int, calls: dict[str, int], tmp_path: Path) -> None:
    """In the middle of an evaluation that takes a minute; the printed command then finishes the run."""
    ends = {
        "before": 3,
        "train": (calls["train"] + calls["measure"]) // 2,
        "measure": calls["measure"] + 3,
        "project": calls["project"] + 30,
    }
    code, took, lines = stopped(tmp_path, ends[stage], number, RUN)
    assert code == 130 and took < 4  # one second of it to leave PyTorch
    checkpoint = tmp_path / "runs/quartic/checkpoint.pt"
    if stage == "before":
        assert lines[-1] == "fkflow: error: stopped before the first iteration; there is no checkpoint to go on from"
        assert os.listdir(tmp_path) == []
        return
    done = load_checkpoint(checkpoint)["state"]["iteration"]
    what = f"at iteration {done}" if stage == "train" else f"while {frozen.WORDS[stage]}"
    said, _, command = lines[-1].partition(": go on with ")
    assert said == f"fkflow: error: stopped {what}; runs/quartic/checkpoint.pt holds iteration {done}"
    assert 0 < done < 8 if stage == "train" else done == 8
    assert set(os.listdir(checkpoint.parent)) - {"checkpoint.previous.pt"} == {"checkpoint.pt"}
    if stage == "train":
        program, *arguments = shlex.split(command)
        assert program == "fkflow" and sorted(arguments) == sorted([*RUN, "--resume"])
        good(tmp_path, *arguments)
        assert list(read_result(tmp_path / "runs/quartic").training["iteration"]) == list(range(1, 9))


def test_an_extended_training_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], few_moves: None
) -> None:
    """A run whose training is extended, interrupted after that and resumed, gives the bits of one without interruption."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(schedule, "ENOUGH", math.inf)
    monkeypatch.setattr(schedule, "RETURNS", 1)
    command = ["run", "quartic", "--threads", "1", "--device", "cpu", "--seed", "1"]
    # no spread is small enough for such a target of the training, whatever is measured then
    for setting in (
        "train.walkers=64", "train.target_error=1e-6", "measure.walkers=128", "measure.target_error=1.0",
        "project.walkers=128", "project.target_error=1.0",
    ):  # fmt: skip
        command += ["--set", setting]
    assert main([*command, "--out", "whole"]) == 0
    told = capsys.readouterr().err
    extended = told.count("training goes on")
    assert extended == 1 and told.count("iterations: more would not pay") == extended + 1
    whole = read_result(tmp_path / "whole")
    first, second, *_ = (int(line.split()[2]) for line in told.splitlines() if line.startswith("fkflow: trained"))
    at = (first + second) // 2
    real = run.show

    def stopping(session: Session, record: Record) -> None:
        real(session, record)
        if len(session.records) == at:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(run, "show", stopping)
    assert main([*command, "--out", "parts"]) == 130
    assert f"stopped at iteration {at}" in capsys.readouterr().err
    monkeypatch.setattr(run, "show", real)
    assert main([*command, "--out", "parts", "--resume"]) == 0
    parts = read_result(tmp_path / "parts")
    assert list(parts.training["energy"]) == list(whole.training["energy"])
    assert parts.measurement.variational.estimate == whole.measurement.variational.estimate
    assert parts.measurement.projection is not None and whole.measurement.projection is not None
    assert parts.measurement.projection.estimate == whole.measurement.projection.estimate


def test_interrupted_before_the_run_begins(tmp_path: Path) -> None:
    """While PyTorch is imported: no folder stays."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fkflow", *RUN], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "runs").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.terminate()
    assert process.communicate(timeout=30)[1] == "fkflow: error: interrupted\n"
    assert process.returncode == 130 and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "again"),
    [
        (["run", "h2"], "fkflow run --resume h2"),
        (["run", "h2", "--resume"], "fkflow run h2 --resume"),
        (
            ["run", "my file.toml", "--set", 'network.kind="auto"', "--out", "a;b"],
            "fkflow run --resume 'my file.toml' --set 'network.kind=\"auto\"' --out 'a;b'",
        ),
        (["run", "--out=x", "--", "-odd.toml"], "fkflow run --resume --out=x -- -odd.toml"),
    ],
)
def test_the_command_that_resumes(
    arguments: list[str],
    again: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ends(*_: object, **__: object) -> None:
        raise Interrupted("stopped").with_hint("something is left", resumable=True)

    monkeypatch.chdir(tmp_path)
    recipe = '[system]\nname = "h2"\n'
    for name in ("my file.toml", "-odd.toml", "h2"):
        (tmp_path / name).write_text(recipe)
    if "--resume" in arguments:
        (tmp_path / "runs/h2").mkdir(parents=True)
        (tmp_path / "runs/h2/checkpoint.pt").touch()
    monkeypatch.setattr("fkflow.runs.run.execute", ends)
    # however the tests were started
    monkeypatch.setattr("sys.argv", ["fkflow"])
    assert main(arguments) == 130
    assert capsys.readouterr().err == f"fkflow: error: stopped; something is left: go on with {again}\n"


@pytest.mark.parametrize("calls", [300, 550], ids=["annealing", "paths"])
def test_a_run_at_a_temperature_leaves_nothing_half_written(tmp_path: Path, calls: int) -> None:
    wanted = ["run", "quartic", "--temperature", "1", "--threads", "1", "--seed", "7"]
    wanted += ["--set", "thermal.target_error=0.02", "--set", "thermal.iterations=12"]
    code, took, err = stopped(tmp_path, calls, signal.SIGINT, wanted)
    assert code == 130 and took < 10
    assert "stopped: nothing was written" in err[-1]
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".h5", ".tmp", ".pt")]
