"""The summary of a run: what it says, that it fits the terminal, and its line of bars."""

import dataclasses

import numpy as np
import pytest

from fkflow.results.summary import ASCII, BARS, BLOCKS, summary_text


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
