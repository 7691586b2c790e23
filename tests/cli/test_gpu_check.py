"""The script that checks a GPU, on the CPU with tiny sizes: its table and numbers, and steps that fail or hang."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands import Forked

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu_check.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_check", module)
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec.loader.exec_module(module)
    return module


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows in the JSON, each of which is in the table too."""
    found: list[dict[str, Any]] = json.loads((out / "gpu_check.json").read_text(encoding="utf-8"))["rows"]
    table = (out / "gpu_check.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0] for line in table[4:]] == [f"| {row['step']}" for row in found]
    assert all(row["what"] in line for row, line in zip(found, table[4:], strict=True))
    return found


def test_failing_and_hanging_steps_do_not_end_it(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both are rows, what a hanging step printed before stays, and the next steps give their energies."""
    broken = [sys.executable, "-c", "raise SystemExit('no such card')"]
    hanging = [
        sys.executable,
        "-c",
        'import time; print(\'ROW {"what": "a", "value": 1}\', flush=True); time.sleep(600)',
    ]
    good = [step for step in script.STEPS if step.name in ("same-quartic", "resume")]
    good = [script.Step(s.name, max(s.share, 0.02), s.command) for s in good]
    # the hanging one has a second and a half
    steps = [script.Step("broken", 0.5, broken), script.Step("hanging", 0.003, hanging), *good]
    monkeypatch.setattr(script, "STEPS", steps)
    monkeypatch.setattr(subprocess, "Popen", Forked)
    script.main(["--device", "cpu", "--tiny", "--minutes", "8", "--out", str(tmp_path)])
    found = rows(tmp_path)
    assert list(dict.fromkeys(row["step"] for row in found)) == ["broken", "hanging", "same-quartic", "resume"]
    assert found[0]["ok"] is False and found[0]["note"] == "no such card"
    assert found[1]["what"] == "a" and found[2]["ok"] is False and "stopped after" in found[2]["value"]
    energies = [row for row in found if "sigma" in row]
    assert len(energies) == 4
    # the energy of the quartic oscillator
    assert all(abs(row["value"] - 0.8037706512) < 0.01 and row["error"] > 0 for row in energies)
    assert all(row["ok"] is (abs(row["sigma"]) <= 4) for row in energies)
    resumed = [row for row in found if row["step"] == "resume"]
    assert resumed[0]["ok"], resumed


def test_both_signs_of_a_difference_are_wrong(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    compare = sys.modules["gpu.steps"].compare
    for value, ok in ((1.0, True), (1.3, True), (1.5, False), (0.7, True), (0.5, False), (float("nan"), False)):
        compare("energy", value, 0.06, 1.0, 0.08)
        assert json.loads(capsys.readouterr().out.removeprefix("ROW "))["ok"] is ok


def test_without_time_no_step_begins(script: ModuleType, tmp_path: Path) -> None:
    script.main(["--device", "cpu", "--tiny", "--minutes", "0.01", "--out", str(tmp_path)])
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [step.name for step in script.STEPS]
    assert all(row["value"] == "not run: no time left" for row in found)
