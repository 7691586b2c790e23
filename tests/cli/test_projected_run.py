"""A projected run: what is shown, what is in its file, and how it is compared."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import good
from short_runs import training


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
