"""``fkflow run`` and ``measure`` where the disk refuses: what can go on does, what is lost and what is left is said."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from commands import Running

from fkflow.cli import entry
from fkflow.results.checkpoints import load_checkpoint
from fkflow.results.store import read_result

RUN = ["--threads", "1", "--device", "cpu", "--seed", "7"]
for setting in (
    "train.walkers=64", "train.stop_spread=0", "measure.walkers=256", "measure.target_error=0.01", "project.seconds=0",
):  # fmt: skip
    RUN += ["--set", setting]
SHORT = ["run", "quartic", *RUN, "--set", "train.iterations=8"]
LONG = ["run", "quartic", *RUN, "--set", "train.iterations=1000000"]
#: the command with a checkpoint after every iteration
CHILD = """
from fkflow.results import checkpoints
from fkflow.__main__ import command
checkpoints.EVERY = checkpoints.PATIENCE = 0.0
command()
"""
#: no file may grow beyond 16 kB, which the messages stay below (Python ignores the signal for it, and gets an error instead)
SMALL_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
"""


def start(folder: Path, *arguments: str, before: str = "") -> Running:
    return commands.start(folder, *arguments, code=before + CHILD)


def finish(process: Running) -> tuple[int, list[str]]:
    code, out, err = process.finish()
    assert "Traceback" not in err and (code == 0) == bool(out), err
    return code, err.splitlines()


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command in this process, in tmp_path: the one line that it says when it refuses."""

    def call(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        assert entry.main(arguments) == 2
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert said.out == "" and len(lines) == 1
        return lines[0]

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    assert finish(start(folder, *SHORT))[0] == 0
    return folder / "runs"


def test_a_disk_that_takes_nothing_costs_only_what_it_must(tmp_path: Path) -> None:
    code, lines = finish(start(tmp_path, *SHORT, before=SMALL_FILES))
    warnings = [line for line in lines if "warning" in line]
    # each iteration's checkpoint, that of the trained network, those of the measurement: the run went on
    assert len(warnings) > 9 and all("checkpoint.pt cannot be written: file too large" in line for line in warnings)
    assert any(line.startswith("fkflow: measure") and "energy" in line for line in lines)
    assert code == 2 and lines[-1] == (
        "fkflow: error: runs/quartic/result.h5 cannot be written: file too large; what was measured is lost; there is "
        "no checkpoint to go on from"
    )
    assert list(tmp_path.rglob("*")) == []


def test_measuring_again_on_a_full_disk_leaves_the_result(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "runs")
    before = (tmp_path / "runs/quartic/result.h5").read_bytes()
    short = ["--threads", "1", "--set", "measure.target_error=1.0"]
    code, lines = finish(start(tmp_path, "measure", "runs/quartic", *short, before=SMALL_FILES))
    assert code == 2 and lines[-1].endswith("what was measured is lost, the earlier result is unchanged")
    assert (tmp_path / "runs/quartic/result.h5").read_bytes() == before
    assert os.listdir(tmp_path / "runs/quartic") == ["result.h5"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def training(tmp_path: Path):
    """A run that trains in tmp_path/runs/quartic and has a checkpoint."""
    process = start(tmp_path, *LONG)
    until((tmp_path / "runs/quartic/checkpoint.pt").exists)
    yield process
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_folder_removed_while_training_is_made_again(training: Running, tmp_path: Path) -> None:
    checkpoint = tmp_path / "runs/quartic/checkpoint.pt"
    while (tmp_path / "runs").exists():
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    until(checkpoint.exists)
    training.send_signal(signal.SIGTERM)
    code, lines = finish(training)
    assert code == 130 and "runs/quartic/checkpoint.pt holds iteration" in lines[-1]
    assert load_checkpoint(checkpoint)["state"]["iteration"] > 1


def test_two_runs_in_one_folder(training: Running, refused: Callable[..., str], tmp_path: Path) -> None:
    """The second is refused, whether it begins or resumes; killing the first frees the folder at once."""
    for arguments in (SHORT, [*LONG, "--resume"]):
        assert "runs/quartic is in use" in refused(*arguments)
    training.send_signal(signal.SIGKILL)
    training.wait()
    assert (tmp_path / "runs/quartic/.lock").exists()
    # now the checkpoint itself is looked at, and the lock is gone again
    assert "another recipe" in refused(*SHORT, "--set", "train.rate=0.1", "--resume")
    assert set(os.listdir(tmp_path / "runs/quartic")) - {"checkpoint.previous.pt"} == {"checkpoint.pt"}


def test_measuring_where_another_process_works(finished: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "runs")
    before = read_result(tmp_path / "runs/quartic").energy
    slow = start(tmp_path, "measure", "runs/quartic", "--set", "measure.target_error=1e-9")
    slow.wait_for("fkflow: measure ...")
    assert "runs/quartic is in use" in refused("measure", "runs/quartic")
    # reading is free
    assert read_result(tmp_path / "runs/quartic").energy == before
    slow.send_signal(signal.SIGTERM)
    assert finish(slow)[0] == 130 and read_result(tmp_path / "runs/quartic").energy == before
