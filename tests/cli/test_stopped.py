"""Runs that are stopped by signals go on to the same bits, and a stopped measurement keeps the result."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import COUNTED, good, interrupt
from short_runs import LONG, SMALL, VARIATIONAL, energy, training, unchanged_files

#: what the fixture `refused` gives
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    good(folder, "run", "quartic", *LONG)
    return folder / "runs/quartic/result.h5"


def test_interrupted_twice_and_resumed_is_the_same_run(uninterrupted: Path, tmp_path: Path, refused: Refused) -> None:
    """SIGINT, then SIGTERM on the resumed run, then to the end: bit for bit what nobody interrupted gives."""
    checkpoint, result = tmp_path / "runs/quartic/checkpoint.pt", tmp_path / "runs/quartic/result.h5"
    code, said = interrupt(tmp_path, signal.SIGINT, "iteration 5;", "run", "quartic", *LONG, code=COUNTED)
    assert code == 130 and "fkflow run --resume" in said.splitlines()[-1] and "Traceback" not in said
    assert checkpoint.is_file() and not result.exists()
    first = checkpoint.read_bytes()

    # another recipe, another seed, or no --resume: refused, and the checkpoint stays as it was
    assert "moves" in refused(tmp_path, "run", "quartic", *LONG, "--set", "train.moves=7", "--resume")
    assert "recipe" in refused(tmp_path, "run", "harmonic", *LONG, "--out", "runs/quartic", "--resume")
    assert "--seed 8" in refused(tmp_path, "run", "quartic", *LONG, "--seed", 8, "--resume")
    assert "--resume" in refused(tmp_path, "run", "quartic", *LONG)
    assert "unfinished" in refused(tmp_path, "show", "runs/quartic")
    assert checkpoint.read_bytes() == first and not result.exists()

    code, said = interrupt(tmp_path, signal.SIGTERM, "iteration 15;", "run", "quartic", *LONG, "--resume", code=COUNTED)
    assert code == 130 and "resumed at iteration" in said and checkpoint.read_bytes() != first
    good(tmp_path, "run", "quartic", *LONG, "--resume")
    assert not checkpoint.exists()
    expected, found = training(uninterrupted), training(result)
    assert found.keys() == expected.keys() and len(found["energy"]) == 30
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert energy(result) == energy(uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["int", "kill"])
def test_stopped_while_measuring(finished: Path, tmp_path: Path, number: int) -> None:
    """The trained network is in the checkpoint, so even a killed run only measures again."""
    slow = [
        *SMALL,
        "--set",
        "train.iterations=8",
        "--set",
        "measure.target_error=1e-9",
        "--set",
        "measure.seconds=1",
        "--seed",
        "3",
        *VARIATIONAL,
    ]
    code, said = interrupt(tmp_path, number, "fkflow: measure ...", "run", "quartic", *slow, wait=0.2)
    assert code == (130 if number == signal.SIGINT else -number)
    assert (tmp_path / "runs/quartic/checkpoint.pt").is_file()
    # a killed process leaves its lock, which keeps nobody out
    left = {path.name for path in (tmp_path / "runs/quartic").iterdir()}
    assert left - {"checkpoint.previous.pt"} == {"checkpoint.pt"} | ({".lock"} if number == signal.SIGKILL else set())
    good(tmp_path, "run", "quartic", *slow, "--resume")
    assert os.listdir(tmp_path / "runs/quartic") == ["result.h5"]
    expected, found = (training(folder / "runs/quartic/result.h5") for folder in (finished, tmp_path))
    # for such a target a slow mode is put into the network afterwards
    assert all(np.array_equal(found[name][: len(expected[name])], expected[name]) for name in expected)


@pytest.mark.parametrize("stage", ["measure", "project"])
def test_interrupted_measure_keeps_the_result(copy: Path, stage: str) -> None:
    before = unchanged_files(copy)
    code, said = interrupt(
        copy,
        signal.SIGINT,
        f"fkflow: {stage} ...",
        "measure",
        "runs/quartic",
        "--threads",
        "1",
        "--set",
        f"{stage}.target_error=1e-9",
        "--set",
        "project.seconds=60",
        wait=0.3,
    )
    assert code == 130 and "Traceback" not in said and f"stopped while {stage.removesuffix('e')}ing" in said
    assert unchanged_files(copy) == before
