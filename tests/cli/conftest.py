"""What tests of the command line share: calls in this process, made-up and finished runs, a command that is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands import NEW, good
from short_runs import PROJECTED, TINY, TRAINED

from fkflow.cli.entry import main


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function: the one line on stderr of a command, called in this process, that is refused and changes no file."""

    def call(folder: Path, *arguments: object) -> str:
        monkeypatch.chdir(folder)
        before, earlier = contents(folder), capsys.readouterr()
        code, captured = main([str(argument) for argument in arguments]), capsys.readouterr()
        print(earlier.out, end="")
        assert code == 2 and captured.out == "", (captured.out, captured.err)
        lines = captured.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("fkflow: error: "), lines
        assert contents(folder) == before
        return lines[0]

    return call


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Relative paths start in an empty folder; nothing is drawn for a terminal."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys):
    """Call the command line in this process: arguments → (exit code, stdout, stderr)."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def fake_run(monkeypatch, write_run):
    """Replaces fkflow.runs.run and fkflow.runs.remeasure: records the call, drives the progress, writes a made-up result."""
    calls = {}

    def execute(context):
        calls.update(
            {name: getattr(context, name) for name in ("loaded", "out", "seed", "threads", "device", "resume")}
        )
        print("a library's chatter")
        context.progress.stage("train", 10)
        for done in range(11):
            context.progress.update(done, -1.17, 0.01, note="rate 0.1")
        context.progress.log("checkpoint written")
        return write_run(context.out / "result.h5")

    def measure_again(path, **given):
        calls.update(given, path=path)
        given["progress"].stage("measure", 1.0)
        return write_run(path)

    module = ModuleType("made_up")
    module.execute, module.measure_again = execute, measure_again
    for name in ("run", "remeasure"):
        monkeypatch.setitem(sys.modules, f"fkflow.runs.{name}", module)
    return module, calls


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``python -m fkflow run quartic --seed 3`` was called; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    out = good(folder, "run", "quartic", *TINY, "--seed", 3, code=NEW)
    assert "variational energy" in out and "runs/quartic/result.h5" in out
    return folder


@pytest.fixture(scope="session")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the same was projected too; not to be changed."""
    folder = tmp_path_factory.mktemp("projected")
    out = good(folder, "run", "quartic", *TRAINED, *PROJECTED, "--seed", 3)
    assert "projected energy" in out and "variational energy" in out
    return folder


@pytest.fixture(scope="session")
def summary(projected: Path) -> dict[str, Any]:
    """What ``fkflow show --json`` says of the projected run."""
    shown: dict[str, Any] = json.loads(good(projected, "show", "runs/quartic", "--json"))
    return shown


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The finished run, to be changed."""
    shutil.copytree(finished / "runs", tmp_path / "runs")
    return tmp_path
