"""When a result is converged, doubtful or failed, and where it says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fkflow.results import store
from fkflow.results.comparison import compare_results, comparison_text
from fkflow.results.records import Doubt, Failure
from fkflow.results.result import Result
from fkflow.results.status import find_doubts, is_useless, status_of
from fkflow.results.summary import summary_text
from fkflow.statistics import Estimate


def doubts(
    result: Result,
    spread: float = 0.01,
    energy: float = 0.5,
    records: Any = (),
    projected: float | None = None,
    threshold: float | None = None,
    gap: float | None = None,
    coordinates: int = 1,
    boxed: bool = False,
) -> list[Doubt]:
    """The doubts about a measurement with other numbers, in a system of natural time 1."""
    measured = result.measurement.variational
    variational = replace(measured, estimate=Estimate(energy, 0.01), local_energy_std=spread)
    projection = result.measurement.projection
    if projection is not None:
        at = energy if projected is None else projected
        projection = replace(projection, estimate=Estimate(at, 0.01), warnings=[])
    measurement = replace(result.measurement, variational=variational, projection=projection, warnings=[], curl=None)
    measurement = replace(measurement, gap=gap)
    return find_doubts(measurement, records, 1.0, coordinates, 0.0, threshold, charged=gap is not None, boxed=boxed)


@pytest.fixture
def result(write_run: Any, tmp_path: Any) -> Result:
    """A made-up finished run without a projection."""
    found: Result = write_run(tmp_path / "run" / "result.h5")
    return found


@pytest.fixture
def projected(write_run: Any, made_up: Any, tmp_path: Any) -> Result:
    """A made-up finished run with one."""
    found: Result = write_run(tmp_path / "run" / "result.h5", measurement=made_up.projected())
    return found


def test_a_good_run_is_converged(result: Result) -> None:
    """Small spread, energies that agree, accepted steps."""
    assert status_of(doubts(result, records=[{"undone": False}] * 30)) == "converged"
    assert status_of(doubts(result, threshold=0.6)) == "converged"
    assert status_of(doubts(result, spread=0.01, gap=0.02)) == "converged"


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"spread": 2.0}, "doubtful", "spreads by 2"),
        ({"spread": 30.0}, "failed", "spreads by 30"),
        ({"spread": float("nan")}, "failed", "spreads by nan"),
        ({"spread": 0.03, "gap": 0.02}, "doubtful", "more than the gap of 0.02"),
        ({"energy": 300.0}, "failed", "300 above the lowest minimum"),
        ({"energy": 0.5, "threshold": 0.51}, "doubtful", "within its error of 0.51"),
        (
            {"energy": 0.5, "threshold": 0.4},
            "failed",
            "that of parts that have left each other: the system is not bound",
        ),
        ({"records": [{"undone": True}] * 4 + [{"undone": False}] * 9}, "doubtful", "4 of the last 13"),
    ],
)
def test_each_fault_is_named(result: Result, changes: dict[str, Any], status: str, words: str) -> None:
    """The worst comes first."""
    found = doubts(result, **changes)
    assert status_of(found) == status and words in found[0] and status_of([]) == "converged"


def test_a_projection_far_below_is_doubtful(projected: Result) -> None:
    """Half a natural energy between the two; none is fine."""
    assert status_of(doubts(projected, projected=0.0)) == "doubtful"
    assert status_of(doubts(projected, energy=20.0, projected=0.0)) == "failed"
    assert status_of(doubts(projected)) == "converged"


def test_the_energies_of_a_liquid_grow_with_the_number_of_particles(projected: Result) -> None:
    """In a box what each of 32 particles may be off is what each of four may; in a trap all count together."""
    for excess, coordinates, boxed, status in (
        (2.0, 96, True, "converged"),
        (3.0, 96, True, "doubtful"),
        (2.0, 96, False, "doubtful"),
        (0.5, 6, True, "doubtful"),
    ):
        found = doubts(projected, energy=excess, projected=0.0, coordinates=coordinates, boxed=boxed)
        assert status_of(found) == status


def test_doubts_are_stored_and_shown(result: Result, tmp_path: Any) -> None:
    """A doubtful result prints its number with the doubt; a failed one prints no energy, also in JSON and compare."""
    doubtful = replace(result, status="doubtful", doubts=["the walkers sleep"])
    failed = replace(result, status="failed", doubts=["nothing came out"])
    for each in (doubtful, failed):
        (tmp_path / each.status).mkdir()
        again = store.read_result(store.save_result(each, tmp_path / each.status / "result.h5").path or "")
        assert (again.status, again.doubts) == (each.status, each.doubts)
    assert "variational energy" in summary_text(doubtful) and "the walkers sleep" in summary_text(doubtful)
    text = summary_text(failed)
    assert "nothing came out" in text and "variational energy" not in text and "reference" not in text
    assert failed.summary()["variational"] is None and failed.summary()["status"] == "failed"
    assert doubtful.summary()["doubts"] == ["the walkers sleep"]
    rows = compare_results([failed, doubtful], 3.0, 0.0)
    assert rows[0]["within"] is not True
    assert "FAILED" in comparison_text(rows) and "doubtful" in comparison_text(rows)


def test_failures_come_first() -> None:
    """Whatever the order they are found in."""
    assert status_of([Doubt("a"), Failure("b")]) == "failed" and status_of([Doubt("a")]) == "doubtful"
    assert is_useless(11.0, 1.0, 1) and not is_useless(11.0, 1.0, 4) and is_useless(float("nan"), 1.0, 1)
