"""``fkflow run --processes 2``: one command that copies itself; how it is stopped, killed and gone on with."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from commands import Running

from fkflow.cli.entry import main
from fkflow.results.checkpoints import load_checkpoint
from fkflow.results.store import read_result

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for copies in /proc")

RECIPE = ["run", "quartic", "--device", "cpu", "--seed", "7", "--out", "out"]
for setting in (
    "train.walkers=128", "train.iterations=20", "train.stop_spread=0", "measure.walkers=256",
    "measure.target_error=0.02", "project.walkers=256", "project.time=2", "project.target_error=0.04",
):  # fmt: skip
    RECIPE += ["--set", setting]
TWO = ["--processes", "2"]


def start(folder: Path, *arguments: str) -> Running:
    # a group of its own: Ctrl-C goes to all of it
    return commands.start(folder, *RECIPE, *arguments, code=commands.COUNTED, session=True)


def copies(process: Running) -> list[int]:
    """The copies, once the first iteration is done."""
    process.wait_for("iteration ")
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found]


def end(process: Running) -> tuple[int, str, list[str]]:
    code, out, err = process.finish()
    return code, out, [line for line in err.splitlines() if line.startswith("fkflow: error:")]


def gone(pid: int) -> bool:
    until = time.monotonic() + 15
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    out = commands.good(folder, *RECIPE, *TWO, code=commands.NEW)
    assert out.count("projected energy") == 1 and "2 ranks on cpu" in out
    assert os.listdir(folder / "out") == ["result.h5"]
    return folder


@pytest.mark.parametrize("how", ["SIGTERM of a copy, then Ctrl-C", "SIGTERM, then kill -9 of a copy"])
def test_stopped_and_resumed_is_the_same_run(
    how: str, whole: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    process = start(tmp_path, *TWO)
    (copy,) = copies(process)
    os.kill(process.pid if "kill" in how else copy, signal.SIGTERM)
    code, out, errors = end(process)
    assert (code, out, len(errors)) == (130, "", 1) and "stopped at iteration" in errors[0] and gone(copy)
    assert "--resume" in errors[0] and "--processes 2" in errors[0]
    process = start(tmp_path, *TWO, "--resume")
    (copy,) = copies(process)
    if "kill" in how:  # which leaves no word: there is a checkpoint of before
        os.kill(copy, signal.SIGKILL)
    else:
        os.killpg(process.pid, signal.SIGINT)
    code, out, errors = end(process)
    assert out == "" and len(errors) == 1 and gone(copy)
    if "kill" in how:
        assert code == 3 and "rank 1 of 2 ended" in errors[0]
    else:
        assert code == 130 and "stopped at iteration" in errors[0]
    assert "--resume" in errors[0] and "--processes 2" in errors[0]
    assert load_checkpoint(tmp_path / "out/checkpoint.pt")["ranks"] == 2

    if "Ctrl-C" in how:
        line = refused(tmp_path, *RECIPE, "--resume")
        assert "2 ranks" in line and "--processes 2" in line
    code, _, errors = end(start(tmp_path, *TWO, "--resume"))
    assert code == 0, errors
    assert read_result(tmp_path / "out").energy == read_result(whole / "out").energy


def test_copies_end_with_the_command(tmp_path: Path) -> None:
    process = start(tmp_path, *TWO)
    (copy,) = copies(process)
    process.send_signal(signal.SIGKILL)
    assert gone(copy)
    err = process.finish()[2]
    assert "rank 0 of 2 ended" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("wrong", "word"), [("train.walkers=101", "train.walkers = 101"), ("measure.walker=8", "measure.walker")]
)
def test_a_bad_recipe_is_told_once_and_soon(wrong: str, word: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    code, out, errors = end(start(tmp_path, *TWO, "--set", wrong))
    assert code == 2 and out == "" and len(errors) == 1 and word in errors[0]
    assert os.listdir(tmp_path) == [] and time.monotonic() - begun < 30


def test_not_beside_a_launcher(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main([*RECIPE, *TWO]) == 2
    assert "--processes 2: a launcher has started 3 processes" in capsys.readouterr().err


def test_a_run_is_repeated_by_as_many_and_measured_by_any(whole: Path) -> None:
    before = read_result(whole / "out").energy
    out = commands.good(whole, "run", "out", "--out", "again")
    assert "2 ranks on cpu" in out and read_result(whole / "again").energy == before
    out = commands.good(whole, "measure", "again", "--seed", "3", "--processes", "4")
    assert "4 ranks on cpu" in out
    after = read_result(whole / "again").energy
    assert 1e-9 < abs(after.value - before.value) / (after.error**2 + before.error**2) ** 0.5 < 4
