"""The summary of a run: what it says, that it fits the terminal, and its line of bars."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from fkflow.results.result import Comparison
from fkflow.results.spectrum_table import spectrum_text
from fkflow.results.store import read_result, save_result
from fkflow.results.summary import ASCII, BARS, BLOCKS, summary_text
from fkflow.statistics import Estimate
from fkflow.text import display_unit, strict_json, with_unit


def rows(text):
    """Label → lines of text."""
    found, label = {}, ""
    for line in text.splitlines()[1:]:
        label = line[2:23].strip() or label
        found.setdefault(label, []).append(line[23:])
    return found


def test_projected_energies_are_shown_first(tmp_path, write_run, made_up):
    def lines(**changes):
        text = summary_text(write_run(tmp_path / "result.h5", measurement=made_up.projected(**changes)))
        return [line.strip() for line in text.splitlines()]

    both = lines()
    assert both[1:5] == [
        "projected energy     -1.17448(2) hartree",
        "its errors         1.0e-05 statistical, 2.0e-05 time step",
        "variational energy   -1.17447(2) hartree  (an upper bound)",
        "local-energy spread  0.021 hartree",
    ]
    assert both[5].startswith("reference            -1.1744759310(10) hartree: 6.9e-08 below, 0.0 σ")
    # what the measurement and what the projection warn of
    assert [line.split(maxsplit=1)[1] for line in both if line.startswith("warning")] == [
        "R-hat is 1.2: measure longer",
        "the weights rest on few walkers",
    ]
    assert lines(steps=1)[2] == "its errors         1.0e-05 statistical, unknown time step"
    plain = summary_text(write_run(tmp_path / "result.h5"))
    assert "projected energy" not in plain and "time step" not in plain


@pytest.mark.parametrize("width", [60, 80])
def test_no_line_is_wider_than_the_terminal(tmp_path, write_run, made_up, monkeypatch, width):
    monkeypatch.chdir(tmp_path)
    many = {f"parameter_{i}": [0.5, {"position": [0.0, 0.0, 1.0]}] for i in range(4)}
    for measurement in (made_up.projected(), dataclasses.replace(made_up.projected(), warnings=["a long one " * 20])):
        result = write_run(tmp_path / "result.h5", measurement=measurement)
        for parameters in (result.parameters, many):
            lines = summary_text(dataclasses.replace(result, parameters=parameters), width).splitlines()
            assert max(len(line) for line in lines if str(tmp_path) not in line) <= width
            assert "".join(lines).count("parameter_") == (4 if parameters is many else 0)


def test_a_vector_drift_has_no_upper_bound(tmp_path, write_run, made_up):
    vector = dataclasses.replace(made_up.measurement(), curl=0.1)
    text = summary_text(write_run(tmp_path / "result.h5", measurement=vector))
    assert "(a path average)" in text and "upper bound" not in text and "0.1 of its gradient" in text


def trained(result, spread):
    """Bars and words of a training with that spread."""
    return rows(summary_text(dataclasses.replace(result, training={"spread": np.asarray(spread)}))).get(
        "training spread"
    )


def test_bars_show_the_spread_on_a_logarithmic_scale(tmp_path, write_run):
    result = write_run(tmp_path / "result.h5")
    assert trained(result, 10.0 ** -np.arange(8)) == [BLOCKS[::-1], "1 to 1e-07 hartree in 8 iterations, log scale"]
    # many iterations share a bar, by their geometric mean
    assert trained(result, np.repeat([100.0, 1.0], 200)) == [
        BLOCKS[-1] * (BARS // 2) + BLOCKS[0] * (BARS // 2),
        "1e+02 to 1 hartree in 400 iterations, log scale",
    ]
    # noise about a constant is not blown up
    assert set(trained(result, [1.0, 1.1, 1.0, 1.2])[0]) <= set(BLOCKS[:2])


def test_what_has_no_logarithm_is_left_out(tmp_path, write_run):
    result = write_run(tmp_path / "result.h5")
    assert trained(result, [np.nan, 100.0, 0.0, np.inf, 1.0])[0] == BLOCKS[-1] + BLOCKS[0]
    assert trained(result, [1.0]) is None and trained(result, []) is None
    assert "training spread" not in summary_text(dataclasses.replace(result, training={}))


def test_a_terminal_with_ascii_only(tmp_path, write_run):
    result = write_run(tmp_path / "result.h5")
    text = summary_text(result, ascii_only=True)
    assert text.isascii() and "0.3 sigma" in text
    bars, plain = (rows(t)["training spread"][0] for t in (summary_text(result), text))
    assert len(bars) == BARS and [BLOCKS.index(b) for b in bars] == [ASCII.index(b) for b in plain]


def test_conditions(tmp_path, write_run):
    result = write_run(tmp_path / "result.h5")
    assert rows(summary_text(result))["computed with"] == ["seed 0, cpu, 1 thread, fkflow 0.1.0"]
    again = result.provenance | {"measure_seed": 7, "ranks": 2, "threads": 3}
    text = summary_text(dataclasses.replace(result, provenance=again))
    assert rows(text)["computed with"] == ["seed 0 (measured with 7), 2 ranks on cpu, 3 threads each, fkflow 0.1.0"]


def test_the_table_of_a_spectrum(tmp_path, write_run, made_up):
    result = dataclasses.replace(write_run(tmp_path / "result.h5"), spectrum=made_up.spectrum())
    text = spectrum_text(result, result.spectrum)
    lines = text.splitlines()
    assert lines[0] == result.title() and lines[1].split() == [
        "level",
        "sector",
        "energy",
        "gap",
        "variance",
        "strongest",
    ]
    assert "-1.17447(2)" in lines[2] and "triplet z odd" in lines[3] and "dipole 0.3" in lines[3]
    assert "upper bounds within their errors" in text and "warning: a warning" in text
    projected = [dataclasses.replace(level, bound="projected") for level in result.spectrum.levels]
    text = spectrum_text(result, dataclasses.replace(result.spectrum, levels=projected))
    assert "lowered by imaginary time" in text


def test_summary_is_the_agreed_json(tmp_path, write_run, made_up, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = write_run(Path("runs/h2/result.h5")).summary()
    observables = summary.pop("observables")
    assert {name: entry["unit"] for name, entry in observables.items()} == {"distance": "bohr", "places": ""}
    assert json.loads(json.dumps(summary, allow_nan=False)) == {
        "system": "h2",
        "parameters": {"R": 1.401},
        "run": "runs/h2",
        "seed": 0,
        "device": "cpu",
        "version": "0.1.0",
        "status": "converged",
        "doubts": [],
        "warnings": ["R-hat is 1.2: measure longer"],
        "energy_unit": "hartree",
        "length_unit": "bohr",
        "gap": None,
        "variational": {"energy": -1.17447, "error": 2e-5, "local_energy_std": 0.021},
        "projected": None,
        "reference": {"energy": -1.174475931, "error": 1e-9, "source": "made up for this test"},
        "seconds": {"train": 40.1, "measure": 30.2},
    }
    bad = write_run(Path("runs/h2/result.h5"), measurement=made_up.measurement(error=float("nan"))).summary()
    assert bad["variational"]["error"] is None
    projected = write_run(Path("runs/h2/result.h5"), measurement=made_up.projected()).summary()
    energies = {"energy": -1.174476, "error": 1e-5, "time_step_error": 2e-5, "slow_mode_error": 0.0}
    assert projected.pop("projected") == energies
    assert projected.pop("observables") != observables
    assert projected.pop("warnings") == [*summary["warnings"], "the weights rest on few walkers"]
    assert projected == {key: value for key, value in summary.items() if key not in ("projected", "warnings")}
    # what one time step leaves unknown is null
    alone = write_run(Path("runs/h2/result.h5"), measurement=made_up.projected(steps=1)).summary()
    assert json.loads(json.dumps(alone, allow_nan=False))["projected"]["time_step_error"] is None


def test_the_best_energy_has_both_errors(tmp_path, write_run, made_up):
    """Projected where there is a projection; the time-step error counts, unless it is not known."""
    plain = write_run(tmp_path / "result.h5")
    assert plain.energy == Estimate(-1.17447, 2e-5, 5e4)
    two = write_run(tmp_path / "result.h5", measurement=made_up.projected(error=3e-5, time_step_error=4e-5))
    assert two.energy.value == -1.174476 and two.energy.error == pytest.approx(5e-5)
    # against the reference: 6.9e-8 below, of 5e-5
    assert Comparison.of(two).z == pytest.approx(-0.0014, abs=1e-4)
    alone = write_run(tmp_path / "result.h5", measurement=made_up.projected(error=3e-5, steps=1))
    assert alone.energy.error == 3e-5


def test_strict_json():
    given = {"a": np.float32(0.5), "b": [np.inf, 1], "c": np.arange(2), "d": Path("x"), 1: (True, None)}
    assert strict_json(given) == {"a": 0.5, "b": [None, 1], "c": [0, 1], "d": "x", "1": [True, None]}


def test_units_of_traps_are_not_shown():
    assert [display_unit(unit) for unit in ("E", "a", "1/a", "1/a^3", "1", "")] == [""] * 6
    assert [display_unit(unit) for unit in ("hartree", "1/bohr^2")] == ["hartree", "1/bohr^2"]
    assert (with_unit("0.5", "E"), with_unit("0.5", "hartree")) == ("0.5", "0.5 hartree")


def test_comparison():
    assert Comparison.between(1.0, 3e-3, 0.995, 4e-3).z == pytest.approx(1.0)
    assert not Comparison.between(1.0, 1e-3, 0.995, 0.0).within(3, 0.0)
    assert Comparison.between(1.0, 1e-3, 0.995, 0.0).within(3, 0.0025)
    assert Comparison.between(4.0 + 1e-15, 0.0, 4.0, 0.0).within(3, 0.0)
    assert not Comparison.between(float("nan"), 0.1, 1.0, 0.0).within(3, 1.0)


def test_the_tail_of_a_cut_interaction_is_stored(tmp_path, write_run):
    """The energy of a particle, with and without the tail; the twin: a run without one says nothing of it."""
    written = write_run(tmp_path / "r" / "result.h5")
    assert written.tail is None and "per_particle" not in written.summary() and "particle" not in summary_text(written)
    save_result(dataclasses.replace(written, tail=-0.5), tmp_path / "r" / "result.h5")
    again = read_result(tmp_path / "r")
    assert again.tail == -0.5
    found = again.summary()["per_particle"]
    assert found == {"energy": -1.17447 / 2, "error": 1e-5, "tail": -0.25}
    assert "-0.587235(10) hartree; -0.837235(10) hartree with -0.25 hartree from beyond" in " ".join(
        summary_text(again).split()
    )
