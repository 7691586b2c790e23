"""``torchrun ... -m fkflow run``: two processes, one run; what they print, write and leave when they are stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import h5py
import numpy as np
import pytest
import torch
from two_ranks import launched, said, start, stop

from fkflow.results.checkpoints import load_checkpoint
from fkflow.results.result import Result
from fkflow.results.store import read_result
from fkflow.results.summary import summary_text
from fkflow.statistics import combined_error

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
RECIPE = ["run", "quartic", "--threads", "1", "--device", "cpu", "--seed", "7", "--out", "out"]
for setting in (
    "train.walkers=128", "train.iterations=20", "train.stop_spread=0", "measure.walkers=256",
    "measure.target_error=0.0004", "measure.seconds=600", "project.walkers=256", "project.time=2",
    "project.target_error=0.016", "project.seconds=600",
):  # fmt: skip
    RECIPE += ["--set", setting]
VARIATIONAL = ["--set", "project.seconds=0"]


def errors(text: str) -> list[str]:
    return [line for line in said(text) if line.startswith("fkflow: error:")]


def training(path: Path) -> dict[str, np.ndarray]:
    """The training columns that depend on the seed alone."""
    with h5py.File(path) as file:
        return {name: column[()] for name, column in file["training"].items() if name != "seconds"}


def sigmas(one: Result, other: Result) -> tuple[float, float]:
    """How far apart the variational and the projected energies of two runs are."""
    found = []
    for a, b in (
        (one.measurement.variational.estimate, other.measurement.variational.estimate),
        (one.energy, other.energy),
    ):
        found.append((a.value - b.value) / combined_error(a.value, a.error, b.value, b.error))
    return found[0], found[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A finished run of two ranks with --json: its folder, stdout and stderr."""
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        launched(*RECIPE, "--json"), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The same run in one process."""
    folder = tmp_path_factory.mktemp("one")
    assert "ranks" not in commands.good(folder, *RECIPE)
    return read_result(folder / "out")


def test_two_ranks_find_the_energy_of_one(one: Result, two: tuple[Path, str, str]) -> None:
    result = read_result(two[0] / "out")
    assert (one.ranks, result.ranks) == (1, 2)
    for z in sigmas(result, one):
        assert 1e-9 < abs(z) < 4
    assert one.reference is not None
    assert abs(result.energy.value - one.reference.energy) < 4 * result.energy.error
    projection = result.measurement.projection
    assert projection is not None and projection.estimate.error < 0.016 and not result.warnings
    # each rank's half of the walkers counts
    assert len(result.measurement.samples) == 256 and 0.99 < result.measurement.variational.rhat < 1.1
    for histogram in result.measurement.histograms:
        assert histogram.projected is not None
        width = np.diff(histogram.axes[0].edges)
        assert float(histogram.values @ width) == pytest.approx(1.0, abs=0.01)
        assert float(histogram.projected @ width) == pytest.approx(1.0, abs=0.05)


def test_two_ranks_speak_and_write_once(two: tuple[Path, str, str]) -> None:
    folder, out, err = two
    summary: dict[str, Any] = json.loads(out)
    assert [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()] == ["out/result.h5"]
    for stage in ("train", "measure", "project"):
        assert err.count(f"fkflow: {stage} ...") == 1
    assert summary["device"] == "cpu" and summary["seed"] == 7
    with h5py.File(folder / "out/result.h5") as file:
        assert file["provenance"].attrs["ranks"] == 2 and file["provenance"].attrs["device"] == "cpu"
        assert file["training/iteration"].shape == (20,)
    assert "seed 7, 2 ranks on cpu, 1 thread each" in summary_text(read_result(folder / "out"))


def test_two_ranks_measure_again(two: tuple[Path, str, str], tmp_path: Path) -> None:
    shutil.copytree(two[0] / "out", tmp_path / "out")
    before = read_result(tmp_path / "out")
    again = ["--threads", "1", "--seed", "8", "--set", "measure.target_error=0.001", *VARIATIONAL]
    code, out, err = start(tmp_path, "measure", "out", *again).finish()
    assert code == 0 and out.count("variational energy") == 1, err
    after = read_result(tmp_path / "out")
    assert after.ranks == 2 and after.provenance["measure_seed"] == 8 and after.measurement.projection is None
    assert after.energy.error <= 0.001 and 1e-9 < abs(sigmas(after, before)[0]) < 4


def test_copies_of_the_command_are_ranks_too(two: tuple[Path, str, str], tmp_path: Path) -> None:
    """--processes instead of a launcher: the same bits."""
    assert json.loads(commands.good(tmp_path, *RECIPE, "--processes", "2", "--json"))["seed"] == 7
    expected, found = training(two[0] / "out/result.h5"), training(tmp_path / "out/result.h5")
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert read_result(tmp_path / "out").energy == read_result(two[0] / "out").energy


def test_a_rank_with_another_potential_shifts_the_energy(one: Result, tmp_path: Path) -> None:
    """The twin of the comparison: half of the walkers belong to a well that is a tenth higher."""
    rough = ["--set", "measure.target_error=0.001"]
    code, _, err = start(tmp_path, *RECIPE, *VARIATIONAL, *rough, SPOILT="1.1").finish()
    assert code == 0, err
    assert sigmas(read_result(tmp_path / "out"), one)[0] > 6


def test_stopped_killed_and_resumed_is_the_same_run(
    two: tuple[Path, str, str], tmp_path: Path, refused: Callable[..., str]
) -> None:
    """Ctrl-C, then kill -9 of one rank of the resumed run, then to the end: the bits of a run that nobody stopped."""
    checkpoint, result = tmp_path / "out/checkpoint.pt", tmp_path / "out/result.h5"
    _, lines = stop(start(tmp_path, *RECIPE))
    assert "--resume" in lines[-1] and sum("error" in line for line in lines) == 1
    saved = load_checkpoint(checkpoint)
    assert saved["ranks"] == 2 and saved["state"]["x"].shape == (128, 1, 1)
    assert 0 < saved["state"]["iteration"] < 20 and not result.exists()
    content = checkpoint.read_bytes()

    # one process cannot go on with the walkers of two
    assert "2 ranks" in refused(tmp_path, *RECIPE, "--resume")

    process = start(tmp_path, *RECIPE, "--resume")
    took, lines = stop(process, kill=tmp_path / "pid1")
    assert "rank 1 of 2 ended" in lines[-1] and "checkpoint.pt holds iteration" in lines[-1] and "--resume" in lines[-1]
    assert sum("error" in line for line in lines) == 1 and took < 30
    assert checkpoint.read_bytes() == content and not result.exists()

    code, out, err = start(tmp_path, *RECIPE, "--resume").finish()
    assert code == 0, err
    assert not checkpoint.exists() and out.count("projected energy") == 1
    expected, found = training(two[0] / "out/result.h5"), training(result)
    assert found.keys() == expected.keys() and len(found["energy"]) == 20
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert read_result(tmp_path / "out").energy == read_result(two[0] / "out").energy


def test_killed_while_projecting_and_resumed_is_the_same_run(two: tuple[Path, str, str], tmp_path: Path) -> None:
    """Two ranks go on with a projection, each with its own walkers, where the last checkpoint has them."""
    checkpoint = tmp_path / "out/checkpoint.pt"

    def saved() -> list[dict[str, Any]]:
        return load_checkpoint(checkpoint).get("frozen", [{}]) if checkpoint.exists() else [{}]

    process = start(tmp_path, *RECIPE, EVERY="0.02")
    deadline = time.monotonic() + 120
    while "project" not in saved()[0]:
        assert process.poll() is None and time.monotonic() < deadline, "too late"
        time.sleep(0.01)
    os.kill(int((tmp_path / "pid1").read_text()), signal.SIGKILL)
    code, _, err = process.finish()
    assert code != 0 and "rank 1 of 2 ended" in errors(err)[0] and not (tmp_path / "out/result.h5").exists()

    mine, other = saved()
    assert mine["project"]["turn"] == other["project"]["turn"] > 0
    assert not torch.equal(mine["project"]["generator"], other["project"]["generator"])
    code, _, err = start(tmp_path, *RECIPE, "--resume").finish()
    assert code == 0, err
    expected, found = (read_result(folder / "out").measurement for folder in (two[0], tmp_path))
    assert expected.projection is not None and found.projection is not None
    assert found.projection.estimate == expected.projection.estimate
    assert found.variational.estimate == expected.variational.estimate
    assert np.array_equal(found.samples, expected.samples)


def test_an_error_of_one_rank_is_everybodys(tmp_path: Path) -> None:
    """NaN on one rank while measuring: one message, that rank's, and the trained network is kept."""
    process = start(tmp_path, *RECIPE, "--set", "train.iterations=0", SPOILT="nan")
    code, out, err = process.finish()
    assert code != 0 and out == ""
    assert errors(err) == [
        "fkflow: error: measuring failed: 128 of 128 local energies are not finite; V is not finite at 128 walkers: "
        "where the particles cannot be it must be inf, with walls that are found or that def boundary(self, x) gives"
    ]
    # the connections were closed: nobody had to wait for anybody's patience to end
    assert "timed out" not in err
    assert "exitcode  : 3" in err and load_checkpoint(tmp_path / "out/checkpoint.pt")["ranks"] == 2


@pytest.mark.parametrize(
    ("wrong", "word"), [("train.walkers=101", "train.walkers = 101"), ("measure.walker=8", "measure.walker")]
)
def test_a_bad_recipe_is_told_once(wrong: str, word: str, tmp_path: Path) -> None:
    code, out, err = start(tmp_path, *RECIPE, "--set", wrong).finish()
    for number in range(2):
        (tmp_path / f"pid{number}").unlink()
    assert code != 0 and out == ""
    assert len(errors(err)) == 1 and word in errors(err)[0] and "Traceback" not in said(err)
    assert "exitcode  : 2" in err and os.listdir(tmp_path) == []
