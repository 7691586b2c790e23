"""The code is checked as it is tested: style, layout and types, as pyproject.toml sets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def checked(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python module run on the checkout as it stands."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["check", "format"])
def test_style(command: tuple[str, ...]) -> None:
    done = checked("ruff", *command, "--no-cache", ".")
    assert done.returncode == 0, f"ruff {' '.join(command)} finds:\n{done.stdout}{done.stderr}"


def test_types() -> None:
    done = checked("mypy")
    assert done.returncode == 0, f"mypy finds:\n{done.stdout}{done.stderr}"
    assert "no issues found" in done.stdout


def test_a_wrong_type_is_found(tmp_path: Path) -> None:
    """The settings have teeth: a user's program is checked against the types that the package declares."""
    program = tmp_path / "program.py"
    program.write_text("from fkflow.statistics import Estimate\n\nenergy: str = Estimate(-1.0, 1e-3, 50.0).value\n")
    done = checked("mypy", "--follow-imports=silent", program)
    assert done.returncode == 1 and "[assignment]" in done.stdout
