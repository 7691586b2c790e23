"""``fkflow scan`` from recipe to table and picture: tiny real runs, signals, files, exit codes; warm starts."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import COUNTED, good, run
from short_scans import NAMES, NO_PICTURE, OVER, SCAN, TINY

#: what the fixture `refused` gives
Refused = Callable[..., str]
#: the command with a picture once all points are there
LAST_PICTURE = (
    """
from fkflow.runs import scan
save = scan.save_scan
scan.save_scan = lambda found, folder: None if found.unfinished else save(found, folder)
"""
    + COUNTED
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a scan was made; not to be changed."""
    folder = tmp_path_factory.mktemp("scanned")
    code, out, err = run(folder, *SCAN, "--seed", 3, "--json", code=LAST_PICTURE)
    assert code == 0, err
    (folder / "out.json").write_text(out)
    (folder / "err.txt").write_text(err)
    return folder


@pytest.fixture(scope="module")
def summary(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "out.json").read_text())
    return found


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "runs", tmp_path / "runs")
    return tmp_path


def test_every_point_is_an_ordinary_run(finished: Path, summary: dict[str, Any]) -> None:
    scan = finished / "runs/quartic"
    assert sorted(path.name for path in scan.iterdir()) == [*NAMES, "scan.csv", "scan.h5", "scan.png"]
    assert [p.name for name in NAMES for p in (scan / name).iterdir()] == ["result.h5"] * 3
    assert (scan / "scan.png").read_bytes().startswith(b"\x89PNG")
    shown = json.loads(good(finished, "show", "runs/quartic/b=2", "--json"))
    point = summary["points"][1]
    assert shown["parameters"]["b"] == 2.0 == point["values"]["system.b"]
    assert shown["variational"]["energy"] == point["energy"] == point["variational"] and point["kind"] == "variational"
    assert shown["seed"] == point["seed"] and shown["reference"]["energy"] == point["reference"]
    compared = good(finished, "compare", *(f"runs/quartic/{name}" for name in NAMES), "--tolerance", 1)
    assert all(f"runs/quartic/{name}" in compared for name in NAMES)


def test_json_is_alone_on_stdout_and_progress_counts_the_points(finished: Path, summary: dict[str, Any]) -> None:
    assert list(summary) == ["scan", "recipe", "over", "system", "unit", "energy_unit", "seed", "version", "points"]
    assert summary["scan"] == "runs/quartic" and summary["over"] == ["system.b=[1.0, 2.0, 3.0]"]
    assert [point["run"] for point in summary["points"]] == NAMES and summary["seed"] == 3
    err = (finished / "err.txt").read_text()
    assert "1/3 b=1  train ..." in err and "3/3 b=3  measure" in err


def test_each_point_starts_from_its_neighbour(finished: Path, summary: dict[str, Any]) -> None:
    starts = [point["start"] for point in summary["points"]]
    # the wells of the others have another natural length than the first: no network fits, and the second starts cold
    assert starts == [None, None, "runs/quartic/b=2"]
    assert len({point["seed"] for point in summary["points"]}) == 3
    with h5py.File(finished / "runs/quartic/b=3/result.h5") as file:
        assert json.loads(file["config/resolved"].asstr()[()])["train"]["from"] == starts[2]


def test_show_plot_and_csv(copy: Path, summary: dict[str, Any], refused: Refused) -> None:
    assert json.loads(good(copy, "show", "runs/quartic", "--json")) == summary
    table = good(copy, "show", "runs/quartic/scan.h5")
    assert table.splitlines()[0].startswith("quartic  a = 1   variational energies") and "root mean square" in table
    with (copy / "runs/quartic/scan.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["energy"]) for row in rows] == [point["energy"] for point in summary["points"]]
    png = (copy / "runs/quartic/scan.png").read_bytes()
    (copy / "runs/quartic/scan.png").unlink()
    assert good(copy, "plot", "runs/quartic").strip() == "runs/quartic/scan.png"
    assert (copy / "runs/quartic/scan.png").read_bytes() == png
    assert good(copy, "plot", "runs/quartic", "--list").split() == ["scan"]
    assert good(copy, "plot", "runs/quartic", "--format", "svg", "--out", "p").strip() == "p/scan.svg"
    assert "scan" in refused(copy, "plot", "runs/quartic", "density")


def test_a_scan_is_no_run(copy: Path, refused: Refused) -> None:
    for arguments in (["compare", "runs/quartic"], ["measure", "runs/quartic"]):
        assert "holds a scan: give the folder of one of its points" in refused(copy, *arguments)
    assert "holds a scan" in refused(copy, "run", "quartic", *TINY)


def test_dry_run_prints_the_points(tmp_path: Path) -> None:
    out = good(tmp_path, *SCAN, "--dry-run")
    assert out.splitlines()[-4:] == ["# 3 points, in this order", *(f"#   {name}" for name in NAMES)]
    found = json.loads(good(tmp_path, *SCAN, "--dry-run", "--json"))
    assert [point["run"] for point in found["points"]] == NAMES and found["recipe"]["train"]["iterations"] == 6
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scan", "quartic"], ["quartic does not say what to scan", "--over section.key"]),
        (["scan", "quartic", "--over", "system.b=3:1:1"], ["--over system.b=3:1:1", "empty"]),
        (["scan", "quartic", "--over", "system.b=0:2:1"], ["--over system.b=0:2:1", "system.b = 0"]),
        ([*SCAN, "--set", "system.b=2.0"], ["also given by --set"]),
        (["run", "scan_h2"], ["section [scan]", "use fkflow scan scan_h2.toml"]),
        (["run", "h2", "--set", "scan.unit=2"], ["section [scan]"]),
        ([*SCAN, "--set", "train.from=nowhere"], ["train.from = nowhere", "does not exist"]),
        ([*SCAN, "--target-error", "0"], ["--target-error"]),
    ],
)
def test_wrong_input_leaves_nothing_behind(
    tmp_path: Path, arguments: list[str], words: list[str], refused: Refused
) -> None:
    line = refused(tmp_path, *arguments)
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


def test_several_ranks_are_refused(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29511"}
    for name, value in alone.items():
        monkeypatch.setenv(name, value)
    assert "a scan works without torchrun: start it with --processes" in refused(tmp_path, *SCAN)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be copied here")
def test_processes_share_the_walkers_of_each_point(tmp_path: Path, refused: Refused) -> None:
    two = ["scan", "quartic", "--over", "system.b=[1.0, 2.0]", *TINY, "--seed", "3", "--processes", "2"]
    found = json.loads(good(tmp_path, *two, "--json", code=NO_PICTURE))
    assert [point["status"] for point in found["points"]] == ["finished", "finished"]
    assert found["points"][1]["start"] in (None, "runs/quartic/b=1")
    for name, point in zip(NAMES, found["points"], strict=False):
        with h5py.File(tmp_path / "runs/quartic" / name / "result.h5") as file:
            assert (file["provenance"].attrs["ranks"], file["provenance"].attrs["seed"]) == (2, point["seed"])
    assert "already holds a scan" in refused(tmp_path, *two)
    odd = ["scan", "quartic", *OVER, *TINY, "--set", "measure.walkers=129", "--processes", "2", "--out", "odd"]
    assert "cannot be shared evenly by 2 ranks" in refused(tmp_path, *odd)


def test_a_scan_is_replaced_by_force(copy: Path, refused: Refused) -> None:
    """Results of its points too; whatever else lies in the folders stays."""
    folder = copy / "runs/quartic"
    (folder / "b=3/notes.txt").touch()
    one = ["scan", "quartic", "--over", "system.b=[1.0]", *TINY, "--seed", "4"]
    assert "replace it with --force" in refused(copy, *one)
    assert "leave out one of them" in refused(copy, *one, "--resume", "--force")
    assert json.loads(good(copy, *one, "--force", "--json", code=NO_PICTURE))["seed"] == 4
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "b=1/result.h5", "b=3/notes.txt", "scan.csv", "scan.h5", "scan.png",
    ]  # fmt: skip


def test_a_finished_scan_is_not_overwritten(copy: Path, refused: Refused) -> None:
    assert "already holds a scan" in refused(copy, *SCAN, "--seed", 3)
    assert "has seed 3" in refused(copy, *SCAN, "--seed", 4, "--resume")
    assert "another scan (there: train.iterations = 6)" in refused(
        copy, *SCAN, "--set", "train.iterations=7", "--resume"
    )
    assert "another scan (there: over" in refused(
        copy, "scan", "quartic", "--over", "system.b=[1.0, 2.0]", *TINY, "--resume"
    )
    assert "holds a run" in refused(copy, *SCAN, "--out", "runs/quartic/b=1")


def test_a_foreign_result_among_the_points_is_refused(copy: Path, refused: Refused) -> None:
    scan = copy / "runs/quartic"
    shutil.copy(scan / "b=1/result.h5", scan / "b=2/result.h5")
    line = refused(copy, *SCAN, "--resume")
    assert "b=2/result.h5 belongs to another recipe (there: system.b = 1.0, here 2.0)" in line


def test_a_point_measured_again_is_taken_over(copy: Path) -> None:
    point = "runs/quartic/b=2"
    better = json.loads(good(copy, "measure", point, "--set", "measure.target_error=0.01", "--seed", 1, "--json"))
    found = json.loads(good(copy, *SCAN, "--resume", "--json", code=NO_PICTURE))["points"][1]
    assert found["energy"] == better["variational"]["energy"] and found["error"] <= 0.01


FAILING = """
import sys
import fkflow.runs.run
import fkflow.runs.scan
from fkflow.errors import NumericalError
fkflow.runs.scan.save_scan = lambda *_: None
real = fkflow.runs.run.execute
def execute(context):
    if context.recipe.system.b == 2.0:
        raise NumericalError("training failed at iteration 1")
    return real(context)
fkflow.runs.run.execute = execute
from fkflow.cli.entry import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_point_that_fails_does_not_end_the_scan(summary: dict[str, Any], tmp_path: Path) -> None:
    code, out, err = run(tmp_path, *SCAN, "--seed", 3, "--json", code=FAILING)
    assert code == 3 and "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("fkflow: error: 1 of 3 points failed: b=2; --resume tries again")
    points = json.loads(out)["points"]
    assert [point["status"] for point in points] == ["finished", "failed", "finished"]
    assert points[1]["energy"] is None and "iteration 1" in points[1]["reason"]
    assert points[0]["energy"] == summary["points"][0]["energy"]
    shown = good(tmp_path, "show", "runs/quartic")
    assert "failed: b=2: training failed at iteration 1" in shown
    # tried again, with other random numbers
    again = json.loads(good(tmp_path, *SCAN, "--resume", "--json", code=NO_PICTURE))["points"]
    assert [point["status"] for point in again] == ["finished"] * 3
    assert again[1]["seed"] != points[1]["seed"] and again[0] == points[0]
    assert again[1]["start"] == "runs/quartic/b=3"


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path, refused: Refused) -> None:
    """Without an iteration the weights are those of the other run, to the last bit; a cold start has others.

    In one well: a slow mode of two would be found and put into the network.
    """
    other = tmp_path / "other"
    good(tmp_path, "run", "quartic", *TINY, "--seed", 4, "--out", other)
    still = [*TINY, "--set", "train.iterations=0"]
    good(tmp_path, "run", "quartic", *still, "--set", f"train.from={other}", "--seed", 5, "--out", "warm")
    good(tmp_path, "run", "quartic", *still, "--seed", 5, "--out", "cold")

    def weights(run: Path, learned: bool) -> dict[str, np.ndarray]:
        with h5py.File(run / "result.h5") as file:
            # what lies in the landscape is no weight
            return {n: d[()] for n, d in file["model"].items() if learned != (n in BUFFERS)}

    source, warm, cold = (weights(run, True) for run in (other, tmp_path / "warm", tmp_path / "cold"))
    assert warm.keys() == source.keys() and all(np.array_equal(warm[name], source[name]) for name in source)
    assert any(not np.array_equal(warm[name], cold[name]) for name in source)
    line = refused(tmp_path, "run", "quartic", *TINY, "--set", f"train.from={other}", "--set", "network.hidden=8")
    assert f"train.from = {other}: its network does not fit" in line and "shape" in line
    line = refused(tmp_path, "run", "h2", *TINY, "--set", f"train.from={other}/result.h5")
    assert "its network is SymmetricNet there and MolecularNet here" in line


BUFFERS = {"first", "second", "centre", "exponents", "own_exponents", "heights"}


def test_init_shows_the_key(tmp_path: Path) -> None:
    lines = good(tmp_path, "init", "h2").splitlines()
    (line,) = [line for line in lines if line.startswith("# from =")]
    assert "finished run whose weights to start from" in line
