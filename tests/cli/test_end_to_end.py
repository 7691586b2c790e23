"""The command from recipe to pictures, in processes of its own: real training, files, exit codes."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import socket
import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import good, run
from short_runs import PROJECTED, TINY, energy, training, unchanged_files

from fkflow.results.result import Result
from fkflow.results.store import read_result

#: what the fixture `refused` gives
Refused = Callable[..., str]


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
    assert summary["reference"]["energy"] == pytest.approx(0.8037706512) and summary["reference"]["source"]
    assert 0.78 < summary["variational"]["energy"] < 1.0 and 0 < summary["variational"]["error"] <= 0.01
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
    (tmp_path / "mine.toml").write_text('[system]\nname = "quartic"\n')
    code, out, err = run(tmp_path, "run", "mine.toml", *TINY, "--seed", 3, "--out", "again", "--json")
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


def test_compare(copy: Path) -> None:
    assert "agrees" in good(copy, "compare", "runs/quartic", "--tolerance", 1)
    code, out, err = run(copy, "compare", "runs/quartic", "--sigma", "1e-6")
    assert code == 4 and "OUT OF TOLERANCE" in out and err.count("\n") == 1
    report = json.loads(good(copy, "compare", "runs/quartic", "runs/quartic/result.h5", "--tolerance", 1, "--json"))
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
            "measure.target_error=0.0001",
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
    assert after["variational"]["error"] <= 0.0001 < before["variational"]["error"]
    assert after["variational"]["energy"] != before["variational"]["energy"]
    assert after["seed"] == 3 and after["seconds"]["train"] == before["seconds"]["train"]
    assert all(np.array_equal(trained[name], column) for name, column in training(result).items())
    # what was asked for is what the file says
    with h5py.File(result) as file:
        assert json.loads(file["config/resolved"].asstr()[()])["measure"]["target_error"] == 0.0001
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
