"""Scans that are stopped or killed go on to the same bits."""

from __future__ import annotations

import json
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from commands import good, start
from short_scans import LONG, NAMES, NO_PICTURE, energies


def stopped(folder: Path, number: int, *arguments: object) -> tuple[int, str]:
    """Start a scan and send it a signal soon after the training of its second point begins."""
    process = start(folder, *arguments, code=NO_PICTURE)
    process.wait_for("fkflow: 2/3 b=2  train ...")
    told = process.stderr.count("iteration 9;")
    while process.stderr.count("iteration 9;") == told:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    code, _, err = process.finish(60)
    return code, err


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The energies of every point of a scan that nobody stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    good(folder, *LONG, code=NO_PICTURE)
    return {name: energies(folder / "runs/quartic" / name) for name in NAMES}


def test_stopped_and_resumed_is_the_same_scan(undisturbed: dict[str, np.ndarray], tmp_path: Path) -> None:
    code, said = stopped(tmp_path, signal.SIGTERM, *LONG)
    assert code == 130 and "Traceback" not in said
    last = said.splitlines()[-1]
    assert "stopped with 1 of 3 points finished; runs/quartic/scan.h5 holds" in last
    assert "go on with" in last and "scan --resume quartic --over" in last
    table = json.loads(good(tmp_path, "show", "runs/quartic", "--json"))
    assert [point["status"] for point in table["points"]] == ["finished", "waiting", "waiting"]
    assert (tmp_path / "runs/quartic/b=2/checkpoint.pt").is_file()
    first = (tmp_path / "runs/quartic/b=1/result.h5").read_bytes()
    # what it says is what is typed
    typed = shlex.split(last.split("go on with ")[1])
    good(tmp_path, *typed[typed.index("scan") :], code=NO_PICTURE)
    assert (tmp_path / "runs/quartic/b=1/result.h5").read_bytes() == first
    for name, expected in undisturbed.items():
        assert np.array_equal(energies(tmp_path / "runs/quartic" / name), expected), name
    # all is there: nothing is computed again
    before = (tmp_path / "runs/quartic/b=3/result.h5").read_bytes()
    assert "3 of 3 points have a reference" in good(tmp_path, *LONG, "--resume", code=NO_PICTURE)
    assert (tmp_path / "runs/quartic/b=3/result.h5").read_bytes() == before


def test_killed_and_resumed_is_the_same_scan(undisturbed: dict[str, np.ndarray], tmp_path: Path) -> None:
    code, _ = stopped(tmp_path, signal.SIGKILL, *LONG)
    assert code == -signal.SIGKILL
    good(tmp_path, *LONG, "--resume", code=NO_PICTURE)
    for name, expected in undisturbed.items():
        assert np.array_equal(energies(tmp_path / "runs/quartic" / name), expected), name
