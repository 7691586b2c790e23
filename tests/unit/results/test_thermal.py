"""States at temperatures in files, tables and JSON; such a run has no ground state and says so."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fkflow.errors import UsageError
from fkflow.results import report, store
from fkflow.results.thermal import Thermal, without_ground_state
from fkflow.statistics import Estimate


@pytest.fixture
def run(tmp_path, write_run, made_up):
    thermal = made_up.thermal()
    return dataclasses.replace(
        write_run(tmp_path / "first.h5"), measurement=without_ground_state("runs/x"), thermal=thermal, training={}, model={},
        reference=None, status="doubtful", doubts=["T = 0.5: the halves disagree"],
    )  # fmt: skip


def test_what_is_written_is_read(run, tmp_path) -> None:
    saved = store.save_result(run, tmp_path / "result.h5")
    again = store.read_result(tmp_path)
    assert again.thermal is not None
    assert again.thermal.statistics == "bose" and again.thermal.warnings == list(run.thermal.warnings)
    assert again.thermal.summary() == saved.thermal.summary()
    for one, other in zip(again.thermal.states, saved.thermal.states, strict=True):
        np.testing.assert_array_equal(one.histograms[0].values, other.histograms[0].values)
        np.testing.assert_array_equal(one.histograms[0].errors, other.histograms[0].errors)
    assert (again.status, again.doubts) == ("doubtful", run.doubts)


def test_json_and_table(run) -> None:
    summary = run.summary()
    assert [entry["beta"] for entry in summary["thermal"]] == [2.0, 0.5]
    assert {"temperature", "beta", "free_energy", "free_energy_error", "energy", "energy_error", "entropy",
            "heat_capacity", "ess", "paths", "time_step"} <= summary["thermal"][0].keys()  # fmt: skip
    text = report.result_text(run)
    assert "2.5000(10)" in text and "1.0000(10)" in text and text.count("halves disagree") == 1 and "another" in text
    text.encode("ascii")
    broken = dataclasses.replace(run.thermal.states[0], heat_capacity=Estimate(math.nan, math.inf))
    assert Thermal([broken], "bose").summary()[0]["heat_capacity"] is None


def test_a_run_at_temperatures_has_no_ground_state(run) -> None:
    for ask in (lambda: run.energy, lambda: run.measurement.variational):
        with pytest.raises(UsageError, match="no ground state"):
            ask()
