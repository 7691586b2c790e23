"""What tests of the command line share: a command that is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
