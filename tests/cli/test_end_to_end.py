"""The command from recipe to pictures, in processes of its own: real training, signals, files, exit codes."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import shutil
import signal
import socket
import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import COUNTED, NEW, good, interrupt, run

from fkflow.results.result import Result
from fkflow.results.store import read_result

#: what the fixture `refused` gives
Refused = Callable[..., str]

SMALL = ["--threads", "1", "--device", "cpu", "--set", "train.walkers=128", "--set", "measure.walkers=256"]
#: no projection: the variational energy alone
VARIATIONAL = ["--set", "project.seconds=0"]
#: a projection of a fraction of a second
PROJECTED = [
    "--set",
    "project.walkers=256",
    "--set",
    "project.time=2",
    "--set",
    "project.target_error=0.02",
]
#: ends by its target error, never by the clock: the energy depends on the seed alone
TRAINED = [*SMALL, "--set", "train.iterations=8", "--set", "measure.target_error=0.01"]
TINY = [*TRAINED, *VARIATIONAL]
#: long enough to be interrupted, the same work whatever the machine's speed
LONG = [
    *SMALL,
    *VARIATIONAL,
    "--set",
    "train.iterations=30",
    "--set",
    "train.stop_spread=0",
    "--set",
    "measure.target_error=0.01",
    "--seed",
    "7",
]


def training(path: Path) -> dict[str, np.ndarray]:
    """The training columns that depend on the seed alone."""
    with h5py.File(path) as file:
        return {name: column[()] for name, column in file["training"].items() if name != "seconds"}


def energy(path: Path) -> float:
    with h5py.File(path) as file:
        return float(file["energy/variational"].attrs["value"])


def unchanged_files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``python -m fkflow run quartic --seed 3`` was called; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    out = good(folder, "run", "quartic", *TINY, "--seed", 3, code=NEW)
    assert "variational energy" in out and "runs/quartic/result.h5" in out
    return folder


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the same was projected too; not to be changed."""
    folder = tmp_path_factory.mktemp("projected")
    out = good(folder, "run", "quartic", *TRAINED, *PROJECTED, "--seed", 3)
    assert "projected energy" in out and "variational energy" in out
    return folder


@pytest.fixture(scope="module")
def summary(projected: Path) -> dict[str, Any]:
    """What ``fkflow show --json`` says of the projected run."""
    shown: dict[str, Any] = json.loads(good(projected, "show", "runs/quartic", "--json"))
    return shown


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The finished run, to be changed."""
    shutil.copytree(finished / "runs", tmp_path / "runs")
    return tmp_path


# ------------------------------------------------------------------------------------------ what a run leaves


def test_a_run_leaves_its_result_and_nothing_else(finished: Path) -> None:
    assert [path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()] == [
        "runs/quartic/result.h5"
    ]


def test_the_json_contract(finished: Path) -> None:
    summary = json.loads(good(finished, "show", "runs/quartic", "--json"))
    assert list(summary) == [
        "system",
        "parameters",
        "run",
        "seed",
        "device",
        "version",
        "status",
        "doubts",
        "warnings",
        "energy_unit",
        "length_unit",
        "variational",
        "projected",
        "gap",
        "observables",
        "reference",
        "seconds",
    ]
    assert summary["system"] == "quartic" and summary["parameters"] == {"a": 1.0, "b": 1.0}
    assert (summary["run"], summary["seed"], summary["device"]) == ("runs/quartic", 3, "cpu")
    assert set(summary["variational"]) == {"energy", "error", "local_energy_std"} and summary["projected"] is None
    assert summary["reference"]["energy"] == pytest.approx(0.9004067473) and summary["reference"]["source"]
    assert 0.85 < summary["variational"]["energy"] < 1.2 and 0 < summary["variational"]["error"] <= 0.01
    assert set(summary["seconds"]) == {"train", "measure"}


def test_show_is_for_people(finished: Path) -> None:
    out = good(finished, "show", "runs/quartic/result.h5")
    assert out.startswith("quartic  a = 1  b = 1\n") and max(map(len, out.splitlines())) <= 110
    # a trap's energies are in the units of its parameters: none is made up
    assert re.search(r"variational energy   \S+\(\d+\)  \(an upper bound\)\n", out)


def test_the_file_read_with_plain_h5py(finished: Path) -> None:
    undescribed = []

    def check(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not (
            isinstance(item.attrs.get("units"), str) and isinstance(item.attrs.get("long_name"), str)
        ):
            undescribed.append(name)

    with h5py.File(finished / "runs/quartic/result.h5") as file:
        file.visititems(check)
        assert not undescribed
        assert file.attrs["format"] == "fkflow" and file.attrs["format_version"] == 1
        # beside the numbers of samples, particles and components, and of weights by their size
        assert {name for name, item in file.items() if isinstance(item, h5py.Group) or name == "samples"} == {
            "config",
            "provenance",
            "training",
            "energy",
            "density",
            "pair",
            "drift",
            "trajectories",
            "observables",
            "samples",
            "model",
        }
        assert len(file["training/energy"]) == 8 and list(file["training/iteration"]) == list(range(1, 9))
        x = file["density/x"]
        assert x.attrs["measure"] == "dx" and x["variational"].dims[0][0] == x["x"]
        assert float(x["variational"][()] @ np.diff(x["x_edges"])) == pytest.approx(1.0, abs=2e-3)
        assert file["samples"].shape[1:] == (1, 1) and file["drift/x/vectors"].shape[1:] == (1,)
        blocks = file["energy/variational/blocks"]
        # weighted means of single sweeps: their plain mean is that of the run but for a part of its error
        value, error = (file["energy/variational"].attrs[name] for name in ("value", "error"))
        assert abs(blocks[()].mean() - value) < 0.1 * error
        assert json.loads(file["config/resolved"].asstr()[()])["train"]["iterations"] == 8
        provenance = dict(file["provenance"].attrs)
        assert {"version", "commit", "seed", "device", "threads", "torch", "argv", "started"} <= set(provenance)
        assert provenance["seed"] == 3 and provenance["threads"] == 1


def test_same_seed_same_energy_and_json_alone_on_stdout(finished: Path, tmp_path: Path) -> None:
    code, out, err = run(tmp_path, "run", "quartic.toml", *TINY, "--seed", 3, "--out", "again", "--json")
    summary = json.loads(out)
    assert code == 0 and "train" in err
    assert summary["variational"]["energy"] == energy(finished / "runs/quartic/result.h5")
    first, second = training(finished / "runs/quartic/result.h5"), training(tmp_path / "again/result.h5")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_finished_run_is_repeated_to_the_last_bit(projected: Path, tmp_path: Path) -> None:
    """From nothing but its result: training, weights, measured and projected energies, densities, samples."""
    earlier = projected / "runs/quartic/result.h5"
    assert "runs/quartic-rerun/result.h5" in good(tmp_path, "run", earlier, "--device", "cpu")
    once, again = read_result(earlier), read_result(tmp_path / "runs/quartic-rerun")
    assert again.provenance["seed"] == 3 and again.provenance["threads"] == 1 and again.resolved == once.resolved

    def numbers(result: Result, seconds: float = 0.0) -> bytes:
        projection = replace(result.measurement.projection, seconds=seconds)
        measurement = replace(result.measurement, seconds=seconds, projection=projection)
        training = {name: column for name, column in result.training.items() if name != "seconds"}
        return pickle.dumps([asdict(measurement), training, result.model])

    assert numbers(again) == numbers(once)
    # the twin: a single number that differs is seen
    assert numbers(again, 1e-9) != numbers(once)


def test_where_a_result_comes_from(finished: Path) -> None:
    """Enough to find the program and to run it again; nothing that names a person or a machine."""
    provenance = read_result(finished / "runs/quartic").provenance
    assert set(provenance) == set(
        "version commit dirty seed device ranks threads python torch numpy argv started finished".split()
    )
    assert isinstance(provenance["dirty"], bool) and re.fullmatch("[0-9a-f]{40}|", provenance["commit"])
    content = (finished / "runs/quartic/result.h5").read_bytes()
    for name in (os.path.expanduser("~") + "/", socket.gethostname()):
        assert len(name) < 5 or name.encode() not in content


def test_an_init_recipe_runs_and_a_drawn_seed_is_kept(tmp_path: Path) -> None:
    good(tmp_path, "init", "quartic", "--out", "mine.toml")
    summary = json.loads(good(tmp_path, "run", "mine.toml", *TINY, "--json"))
    assert summary["run"] == "runs/mine" and isinstance(summary["seed"], int)
    again = json.loads(good(tmp_path, "run", "mine", *TINY, "--json", "--out", "b", "--seed", summary["seed"]))
    assert again["variational"]["energy"] == summary["variational"]["energy"]
    with h5py.File(tmp_path / "runs/mine/result.h5") as file:
        assert file["config/recipe"].asstr()[()] == (tmp_path / "mine.toml").read_text()


# --------------------------------------------------------------------------------------------------- projection


def test_a_projected_run_in_json(finished: Path, projected: Path, summary: dict[str, Any]) -> None:
    found, reference = summary["projected"], summary["reference"]["energy"]
    assert list(found) == ["energy", "error", "time_step_error", "slow_mode_error"]
    assert 0 < found["error"] <= 0.02 and 0 < found["time_step_error"] <= 0.02
    assert abs(found["energy"] - reference) < 5 * np.hypot(found["error"], found["time_step_error"])
    assert list(summary["seconds"]) == ["train", "measure", "project"] and summary["seconds"]["project"] > 0
    # the training is that of the run without a projection
    first, second = (training(folder / "runs/quartic/result.h5") for folder in (finished, projected))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_projected_run_for_people(projected: Path) -> None:
    lines = good(projected, "show", "runs/quartic", environment={"COLUMNS": "120"}).splitlines()
    assert re.fullmatch(r"  projected energy     \S+\(\d+\)", lines[1])
    number = r"\d\.\de-\d\d"
    assert re.fullmatch(
        rf"    its errors         {number} statistical, {number} time step(, {number} slow modes)?", lines[2]
    )
    assert re.fullmatch(r"  variational energy   \S+\(\d+\)  \(an upper bound\)", lines[3])
    assert any(re.fullmatch(r"  time +\S+ s train, \S+ s measure, \S+ s project", line) for line in lines)


def test_a_projected_run_in_the_file(projected: Path, summary: dict[str, Any]) -> None:
    undescribed = []

    def check(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not (
            isinstance(item.attrs.get("units"), str) and item.attrs.get("long_name")
        ):
            undescribed.append(name)

    with h5py.File(projected / "runs/quartic/result.h5") as file:
        file.visititems(check)
        assert not undescribed
        group = file["energy/projected"]
        assert {name: group.attrs[at] for name, at in (("energy", "value"), ("error", "error"))} == {
            name: summary["projected"][name] for name in ("energy", "error")
        }
        assert group.attrs["time_step_error"] == summary["projected"]["time_step_error"]
        assert group.attrs["weights"] == "local_energy" and group.attrs["seconds"] == summary["seconds"]["project"]
        steps = group["time_step"][()]
        # one energy of each walker would reach the target: the steps are close to each other
        assert len(steps) == 2 and steps[0] == pytest.approx(2 * steps[1])
        for name in ("energy", "energy_error", "acceptance", "effective_walkers", "population_bias", "resampled"):
            assert group[name].shape == (2,) and group[name].dims[0][0] == group["time_step"]
        assert (group["acceptance"][()] > 0.9).all() and (group["effective_walkers"][()] > 0.1).all()
        times = group["imaginary_time"][()]
        assert (np.diff(times) > 0).all() and group.attrs["window"] in times
        assert group["energy_by_time"].shape == group["fall_error"].shape == times.shape
        # a straight line through both time steps ends at the energy, as far as their own errors go
        line, error = group["energy"][()] @ [-1 / 3, 4 / 3], np.hypot(*(group["energy_error"][()] * [1 / 3, 4 / 3]))
        assert abs(line - group.attrs["value"]) < 5 * np.hypot(error, summary["projected"]["error"])
        x = file["density/x"]
        assert x["projected"].shape == x["variational"].shape and x["projected"].dims[0][0] == x["x"]
        assert x["projected_error"].shape == x["projected"].shape and (x["projected_error"][()] >= 0).all()
        width = np.diff(x["x_edges"])
        assert float(x["projected"][()] @ width) == pytest.approx(1.0, abs=0.05)
        # both minima of the well
        side = x["x"][()] > 0
        assert 0.25 < float(x["projected"][()][side] @ width[side]) < 0.75
        assert json.loads(file["config/resolved"].asstr()[()])["project"]["walkers"] == 256


def test_compare_with_a_projected_run(finished: Path, projected: Path, summary: dict[str, Any]) -> None:
    """Errors in columns of their own; z takes all."""
    one, other = (folder / "runs/quartic" for folder in (finished, projected))
    report = json.loads(good(projected, "compare", one, other, "--tolerance", 1, "--json"))
    plain, row = report["runs"]
    assert (plain["kind"], row["kind"]) == ("variational", "projected") and plain["time_step_error"] is None
    shown = summary["projected"]
    assert all(row[name] == shown[name] for name in ("energy", "error", "time_step_error"))
    total = math.hypot(shown["error"], shown["time_step_error"], shown["slow_mode_error"])
    assert row["z"] == pytest.approx((row["energy"] - summary["reference"]["energy"]) / total, rel=1e-6)
    out = good(projected, "compare", one, other, "--tolerance", 1)
    assert re.search(r"energy +statistical +time step +minus reference +z", out)
    assert re.search(rf"projected +{row['error']:.1e} +{row['time_step_error']:.1e} ", out)
    assert re.search(rf"variational +{plain['error']:.1e} +none ", out)
    assert "upper bounds" in out and "Projected energies are exact" in out


# ------------------------------------------------------------------------------------- what is made of a result


def test_compare(copy: Path) -> None:
    assert "agrees" in good(copy, "compare", "runs/quartic", "--tolerance", 1)
    code, out, err = run(copy, "compare", "runs/quartic", "--sigma", "1e-6")
    assert code == 4 and "OUT OF TOLERANCE" in out and err.count("\n") == 1
    report = json.loads(
        good(copy, "compare", "runs/quartic", "runs/quartic/result.h5", "--tolerance", 1, "--json")
    )
    assert report["ok"] and len(report["runs"]) == 2


def test_plot(copy: Path, refused: Refused) -> None:
    names = good(copy, "plot", "runs/quartic", "--list").split()
    assert names == ["convergence", "density_x", "drift_x", "trajectories"]
    files = good(copy, "plot", "runs/quartic").split()
    assert files == [f"runs/quartic/plots/{name}.png" for name in names]
    for file in files:
        content = (copy / file).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5000
    assert "density_x" in refused(copy, "plot", "runs/quartic", "density_q")


def test_measure_again(copy: Path, refused: Refused) -> None:
    result = copy / "runs/quartic/result.h5"
    before, trained = json.loads(good(copy, "show", "runs/quartic", "--json")), training(result)
    content = result.read_bytes()
    assert "train.iterations" in refused(copy, "measure", "runs/quartic", "--set", "train.iterations=9")
    assert result.read_bytes() == content
    after = json.loads(
        good(
            copy,
            "measure",
            "runs/quartic",
            "--set",
            "measure.target_error=0.0008",
            "--seed",
            5,
            "--threads",
            1,
            "--json",
            *PROJECTED,
            "--set",
            "project.seconds=60",
        )
    )
    assert after["variational"]["error"] <= 0.0008 < before["variational"]["error"]
    assert after["variational"]["energy"] != before["variational"]["energy"]
    assert after["seed"] == 3 and after["seconds"]["train"] == before["seconds"]["train"]
    assert all(np.array_equal(trained[name], column) for name, column in training(result).items())
    # what was asked for is what the file says
    with h5py.File(result) as file:
        assert json.loads(file["config/resolved"].asstr()[()])["measure"]["target_error"] == 0.0008
    # a run that had no projection has one now
    assert before["projected"] is None and abs(after["projected"]["energy"] - after["reference"]["energy"]) < 0.05
    assert list(after["seconds"]) == ["train", "measure", "project"]


@pytest.mark.parametrize("extra", [[], ["--seed", "3"]], ids=["again", "seed"])
def test_a_finished_run_is_not_overwritten(copy: Path, extra: list[str], refused: Refused) -> None:
    before = unchanged_files(copy)
    assert "finished run" in refused(copy, "run", "quartic", *TINY, *extra)
    assert unchanged_files(copy) == before


def test_a_finished_run_has_nothing_left_to_do(copy: Path) -> None:
    before = unchanged_files(copy)
    code, out, err = run(copy, "run", "quartic", *TINY, "--resume")
    assert code == 0 and "variational energy" in out and "nothing is left to do" in err
    assert unchanged_files(copy) == before


# ------------------------------------------------------------------------------------------ other ways to train


@pytest.mark.parametrize("estimator", ["pathwise", "local_energy"])
def test_other_estimators_run(tmp_path: Path, estimator: str) -> None:
    changes = ["--set", "train.steps=4"] if estimator == "pathwise" else []
    changes += ["--set", f"train.estimator={estimator}", "--set", "system.particles=2", "--set", "system.dimensions=1"]
    summary = json.loads(good(tmp_path, "run", "harmonic", *TINY, "--seed", 1, "--json", *changes))
    found = summary["variational"]
    # so short a training by paths leaves a double well's network no ground state, and the run fails
    assert -5 * found["error"] < found["energy"] - summary["reference"]["energy"] < 0.05


def test_a_target_error_is_reached_with_little_work(tmp_path: Path, refused: Refused) -> None:
    """--target-error sets the targets of all sections, what --set says comes after it, and the energy is that good."""
    text = good(tmp_path, "run", "h2", "--target-error", "2e-3", "--seed", 1, "--json", "--threads", 1)
    found = json.loads(text)
    energy = found["projected"]
    error = math.hypot(energy["error"], energy["time_step_error"])
    assert 0 < error <= 2e-3 and abs(energy["energy"] - found["reference"]["energy"]) < 4 * error
    records = training(tmp_path / "runs" / "h2" / "result.h5")
    assert 10 <= len(records["energy"]) < 60  # of 120
    shown = good(tmp_path, "run", "h2", "--target-error", "2e-3", "--set", "project.target_error=1e-3", "--dry-run")
    resolved = tomllib.loads(shown)
    assert [resolved[section]["target_error"] for section in ("train", "measure", "project")] == [2e-3, 2e-3, 1e-3]
    for wrong in ("0", "-1", "nan", "inf"):
        line = refused(tmp_path, "run", "h2", f"--target-error={wrong}", "--out", "other")
        assert "--target-error" in line and not (tmp_path / "other").exists()


def test_a_vector_drift_reports_its_curl(tmp_path: Path) -> None:
    out = good(
        tmp_path,
        "run",
        "bosons",
        *TINY,
        "--set",
        "system.particles=2",
        "--set",
        "network.kind=pair_drift",
        "--set",
        "measure.seconds=0.5",
        "--set",
        "train.steps=8",
        "--set",
        "train.walkers=64",
        *("--set", "project.seconds=60", "--set", "project.walkers=256", "--set", "project.time=0.1"),
        *("--set", "project.target_error=1.0"),
    )
    assert "curl of the drift" in out and "path average" in out and "projected energy" in out
    with h5py.File(tmp_path / "runs/bosons/result.h5") as file:
        # without a log psi there are no local energies
        assert file["energy/projected"].attrs["weights"] == "girsanov" and file["energy/projected/resampled"][()].all()
        assert 0 <= file["drift"].attrs["curl"] < 1.0
        assert np.isnan(file["drift/xy/log_psi"][()]).all()
    # without a log psi the picture shows the drift's magnitude
    assert good(tmp_path, "plot", "runs/bosons", "drift").split() == ["runs/bosons/plots/drift_xy.png"]


# ------------------------------------------------------------------------------------------------- interruption


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

    code, said = interrupt(
        tmp_path, signal.SIGTERM, "iteration 15;", "run", "quartic", *LONG, "--resume", code=COUNTED
    )
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
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


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
