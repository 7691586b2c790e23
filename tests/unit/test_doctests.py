"""The examples in the documentation of the Python interface, and the one in the README, do what they show."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from types import ModuleType

import pytest

from fkflow import units
from fkflow.api import functions, solution, training_loop
from fkflow.runs import evaluation

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "module", [functions, evaluation, training_loop, solution, units], ids=lambda module: module.__name__
)
def test_examples(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted or module not in (functions, units), "there are examples"


def test_a_wrong_example_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ModuleType("wrong", ">>> 1 + 1\n3\n")
    assert doctest.testmod(wrong).failed == 1
    assert "Expected" in capsys.readouterr().out


def test_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The program under "From Python" runs as it stands, in the folder of a new user, and prints what it says."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## From Python\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "runs/wells/result.h5").is_file()
    printed = capsys.readouterr().out
    assert re.search(r"^\d\.\d+\(\d+\)$", printed, re.MULTILINE), printed
