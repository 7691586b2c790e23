"""Observables in files and texts: result.h5, JSON, summary, scans, comparisons."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import h5py
import pytest

from fkflow.errors import StoreError
from fkflow.results.comparison import compare_results, comparison_text
from fkflow.results.report import to_json
from fkflow.results.scan_records import FINISHED, Axis, Point, Scan
from fkflow.results.scan_store import read_scan, write_scan
from fkflow.results.scan_tables import csv_text, table_text
from fkflow.results.store import read_result
from fkflow.results.summary import summary_text


@pytest.mark.parametrize("projected", [False, True])
def test_a_result_keeps_them(projected: bool, tmp_path: Path, write_run: Any, made_up: Any) -> None:
    measurement = made_up.projected() if projected else made_up.measurement()
    write_run(tmp_path / "result.h5", measurement=measurement)
    read = read_result(tmp_path)
    assert read.measurement.observables == measurement.observables and len(measurement.observables) == 2
    with h5py.File(tmp_path / "result.h5") as file:
        group = file["observables/distance"]
        assert group.attrs["units"] == "bohr" == group["variational_error"].attrs["units"]
        assert group["variational"].shape == () and file["observables/places/variational"].shape == (2,)
        assert ("projected" in group) is projected
    entry = json.loads(to_json(read.summary()))["observables"]
    best = {"value": 0.99 * 1.6, "error": 0.02} if projected else None
    assert entry["distance"] == {"unit": "bohr", "variational": {"value": 1.6, "error": 0.01}, "projected": best}
    assert entry["places"]["variational"] == {"value": [0.5, -0.5], "error": [0.01, 0.01]}
    text = summary_text(read)
    assert ("distance             1.58(2) bohr  (variational 1.600(10))" in text) is projected
    assert ("distance             1.600(10) bohr\n" in text) is not projected
    failed = dataclasses.replace(read, status="failed", doubts=["no energy"])
    assert failed.summary()["observables"] == {} and "distance" not in summary_text(failed)


def test_a_file_of_an_older_version_has_none(tmp_path: Path, write_run: Any, made_up: Any) -> None:
    write_run(tmp_path / "result.h5", measurement=dataclasses.replace(made_up.measurement(), observables={}))
    assert read_result(tmp_path).summary()["observables"] == {}


def made_up_scan(path: Path, observables: list[Any]) -> Scan:
    points = tuple(
        Point({"system.R": float(i)}, f"R={i}", seed=i, observables=found)
        if not found
        else Point({"system.R": float(i)}, f"R={i}", seed=i, observables=found, status=FINISHED, energy=-1.0, error=0.1)
        for i, found in enumerate(observables)
    )
    return Scan(
        path=path, name="s", system="h2", parameters={"R": 1.4}, energy_unit="hartree", recipe_text="", recipe_source="s.toml",
        resolved={}, over=("system.R=0:2:1",), axes=(Axis("system.R", "distance", "bohr"),), unit=1.0, warm=True, seed=7,
        version="0.1.0", points=points,
    )  # fmt: skip


def test_a_scan_keeps_them(tmp_path: Path, made_up: Any) -> None:
    """Projected at one point, variational at another, none at the third, and other names at the fourth."""
    first, second = made_up.projected().observables, made_up.measurement().observables
    made = made_up_scan(tmp_path / "scan.h5", [first, second, {}, {"distance": first["distance"]}])
    write_scan(made)
    read = read_scan(tmp_path / "scan.h5")
    assert [point.observables for point in read.points] == [point.observables for point in made.points]
    points = json.loads(to_json(read.summary()))["points"]
    assert points[1]["observables"]["places"]["variational"]["value"] == [0.5, -0.5] and points[2]["observables"] == {}
    rows = list(csv.DictReader(io.StringIO(csv_text(read))))
    assert float(rows[0]["observables.distance"]) == pytest.approx(0.99 * 1.6)
    assert float(rows[1]["observables.places.1"]) == -0.5 and float(rows[1]["observables.places.1_error"]) == 0.01
    assert rows[2]["observables.distance"] == "" == rows[3]["observables.places.0"]
    table = [line.split() for line in table_text(read).splitlines()]
    assert table[1][:4] == ["R", "energy", "distance", "places"] and table[2][2] == "1.58(2)"
    with h5py.File(tmp_path / "scan.h5", "r+") as file:
        del file["observables/distance/projected"]
        file["observables/distance"].create_dataset("projected", data=[1.0])
    with pytest.raises(StoreError, match="damaged"):
        read_scan(tmp_path / "scan.h5")


def test_runs_are_compared(tmp_path: Path, write_run: Any, made_up: Any) -> None:
    runs = []
    for name, measurement in (
        ("a", made_up.projected()),
        ("b", dataclasses.replace(made_up.measurement(), observables={})),
    ):
        (tmp_path / name).mkdir()
        runs.append(write_run(tmp_path / name / "result.h5", measurement=measurement))
    rows = compare_results(runs, 3.0, 0.0)
    assert rows[0]["observables"] == runs[0].summary()["observables"] and rows[1]["observables"] == {}
    lines = [line.split() for line in comparison_text(rows).splitlines()]
    (start,) = [i for i, cells in enumerate(lines) if cells == ["run", "distance", "places"]]
    assert lines[start + 1][1:] == ["1.58(2)", "0.49(2),", "-0.49(2)"]
    assert lines[start + 2][1:] == ["-", "-"]
    assert "distance" not in comparison_text(rows[1:])
