"""Runs that are killed again and again, in every stage, give the same bits as one that was not."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import fkflow.runs.run  # noqa: F401  imported once, before the children are forked
from fkflow.cli.entry import main
from fkflow.results import checkpoints
from fkflow.results.checkpoints import CheckpointWriter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are forked, as only Linux does safely here")

#: it is killed in each at least twice
STAGES = ["train", "measure", "project"]
#: ends by target errors and iterations, never by the clock
COMMAND = [
    "run", "double_well", "--seed", "5", "--threads", "1", "--device", "cpu",
    "--set", "train.walkers=128", "--set", "train.iterations=16", "--set", "train.stop_spread=0",
    "--set", "measure.walkers=128", "--set", "measure.target_error=6e-3", "--set", "measure.seconds=600",
    "--set", "project.walkers=128", "--set", "project.target_error=6e-3", "--set", "project.seconds=600",
]  # fmt: skip


def child(folder: Path, log: Path, arguments: list[str]) -> None:
    """Run the command line with checkpoints every few hundredths of a second."""
    os.chdir(folder)
    checkpoints.EVERY, checkpoints.PATIENCE = 0.02, 2.0
    with log.open("a") as output:
        sys.stdout = sys.stderr = output
        code = main(arguments)
        output.flush()
    os._exit(code)


def start(folder: Path, *more: str) -> multiprocessing.Process:
    # forked: torch is imported once
    process = multiprocessing.get_context("fork").Process(
        target=child, args=(folder, folder / "log", [*COMMAND, *more])
    )
    process.start()
    return process


def content(path: Path) -> dict[str, object]:
    """Every number and text of a result except times and the command line."""
    found: dict[str, object] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and name != "training/seconds":
            found[name] = item.asstr()[()] if item.dtype.kind == "O" else item[()].tobytes()
        if not name.startswith("provenance"):
            for key, value in item.attrs.items():  # type: ignore[attr-defined]
                if key != "seconds" and isinstance(value, float | int | np.number):
                    found[f"{name}@{key}"] = float(value)

    with h5py.File(path) as file:
        file.visititems(collect)
    return found


def stage(checkpoint: Path) -> str:
    """The stage at which a run resumes."""
    if not checkpoint.exists():
        return "start"
    saved = CheckpointWriter(checkpoint).load()
    (frozen,) = saved.get("frozen", [{}])
    return "project" if "project" in frozen else "measure" if frozen else "train"


def tells_of_damage(folder: Path) -> bool:
    """Whether a run said that it went on from the checkpoint before the newest."""
    return "going on from the one before it, checkpoint.previous.pt" in (folder / "log").read_text()


def kill_in(process: multiprocessing.Process, checkpoint: Path, wanted: str, wait: float) -> None:
    """Kill a run so many seconds after it has a checkpoint of a stage, unless it ends before."""
    while process.is_alive() and stage(checkpoint) != wanted:
        time.sleep(0.01)
    process.join(wait)
    if process.is_alive():
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()


def test_kills(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    begun = time.monotonic()
    process = start(tmp_path / "whole")
    process.join(120)
    seconds = time.monotonic() - begun
    assert process.exitcode == 0, (tmp_path / "whole" / "log").read_text()
    expected = content(tmp_path / "whole/runs/double_well/result.h5")
    assert "energy/projected@value" in expected and len(expected) > 60

    draw = np.random.default_rng(7)
    seen: list[str] = []
    finished = 0
    damaged: set[Path] = set()
    while (wanted := next((one for one in STAGES if seen.count(one) < 2), "")) or not damaged:
        folder = tmp_path / f"run{finished}"
        folder.mkdir(exist_ok=True)
        out = folder / "runs" / "double_well"
        checkpoint = out / "checkpoint.pt"
        process = start(folder, *(["--resume"] if checkpoint.exists() else []))
        kill_in(process, checkpoint, wanted or STAGES[-1], seconds * draw.uniform(0.0, 0.1))
        # a kill may have come too late
        if process.exitcode == 0:
            assert content(out / "result.h5") == expected
            assert os.listdir(out) == ["result.h5"]
            assert tells_of_damage(folder) == (folder in damaged)
            finished += 1
            continue
        assert process.exitcode == -signal.SIGKILL, (folder / "log").read_text()
        # or nearly so: all is done but the end of the process
        if (out / "result.h5").exists():
            assert content(out / "result.h5") == expected
            finished += 1
            continue
        seen.append(stage(checkpoint))
        # now and then the newest is damaged as well: the one before it serves
        if len(seen) % 4 == 0 and (out / "checkpoint.previous.pt").exists():
            whole = checkpoint.read_bytes()
            checkpoint.unlink()  # a kill between two renames leaves both names to one file
            checkpoint.write_bytes(whole[:-1000])
            damaged.add(folder)
        assert len(seen) + finished < 60, f"no way through: {seen}"
    # the last one goes on to its end, if it has not come there
    if not (out / "result.h5").exists():
        process = start(folder, *(["--resume"] if checkpoint.exists() else []))
        process.join(120)
        assert process.exitcode == 0, (folder / "log").read_text()
        assert tells_of_damage(folder) == (folder in damaged)
    assert content(out / "result.h5") == expected
