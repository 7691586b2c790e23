"""Commands that read finished runs: show, compare, plot and animate."""

import dataclasses
import json
import os
import re
import signal
import time

import pytest
from commands import refuses, start

from fkflow.results.store import read_result

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_show_refuses_damage(cli, write_run, tmp_path):
    write_run(tmp_path / "h2" / "result.h5")
    content = (tmp_path / "h2" / "result.h5").read_bytes()
    (tmp_path / "h2" / "result.h5").write_bytes(content[:3000])
    for extra in ([], ["--json"]):
        refuses(cli("show", "h2", *extra), 2, "h2/result.h5")
        refuses(cli("show", "missing", *extra), 2, "missing")


def test_compare(cli, write_run, made_up, tmp_path):
    write_run(tmp_path / "good" / "result.h5")
    write_run(tmp_path / "high" / "result.h5", measurement=made_up.measurement(energy=-1.174, error=2e-5))
    write_run(tmp_path / "none" / "result.h5", R=2.0)
    code, out, _ = cli("compare", "good", "none")
    assert code == 0 and "agrees" in out and "no reference" in out and "upper bounds" in out
    code, out, err = cli("compare", "good", "high", "none", "--json")
    report = json.loads(out)
    assert code == 4 and not report["ok"] and "high" in err and "good" not in err
    good, high, none = report["runs"]
    assert good["within"] is True and good["z"] == pytest.approx(0.2965, abs=1e-3)
    assert high["within"] is False and high["difference"] == pytest.approx(4.759e-4, abs=1e-6)
    assert high["above_lowest"] == {
        "run": "good",
        "difference": pytest.approx(4.7e-4),
        "z": pytest.approx(16.617, abs=0.01),
    }
    assert none["reference"] is None and none["within"] is None and none["above_lowest"] is None
    assert cli("compare", "good", "high", "--tolerance", "5e-4")[0] == 0
    assert cli("compare", "good", "high", "--sigma", "30")[0] == 0
    assert "OUT OF TOLERANCE" in cli("compare", "good", "high")[1]
    refuses(cli("compare", "good", "nowhere", "--json"), 2, "nowhere")


@pytest.fixture
def three_kinds(write_run, made_up, tmp_path):
    """Runs with a projection, with one whose time-step error is unknown, and without."""
    both = made_up.projected(energy=-1.1744, error=3e-5, time_step_error=4e-5)
    write_run(tmp_path / "both" / "result.h5", measurement=both)
    write_run(tmp_path / "alone" / "result.h5", measurement=made_up.projected(energy=-1.1745, error=3e-5, steps=1))
    write_run(tmp_path / "plain" / "result.h5")


def test_show_with_and_without_a_projection(cli, three_kinds):
    def shown(run):
        return json.loads(cli("show", run, "--json")[1])["projected"]

    assert shown("both") == {"energy": -1.1744, "error": 3e-5, "time_step_error": 4e-5, "slow_mode_error": 0.0}
    assert shown("alone") == {"energy": -1.1745, "error": 3e-5, "time_step_error": None, "slow_mode_error": 0.0}
    assert shown("plain") is None
    code, out, err = cli("show", "both")
    assert code == 0 and err == ""
    assert out.splitlines()[1:3] == [
        "  projected energy     -1.17440(5) hartree",
        "    its errors         3.0e-05 statistical, 4.0e-05 time step",
    ]
    assert "    its errors         3.0e-05 statistical, unknown time step\n" in cli("show", "alone")[1]
    assert "projected" not in cli("show", "plain")[1]
    # with --json the warnings of measurement and projection are on stderr
    err = cli("show", "both", "--json")[2].splitlines()
    assert err == [
        "fkflow: warning: R-hat is 1.2: measure longer",
        "fkflow: warning: the weights rest on few walkers",
    ]


def test_compare_rows_with_and_without_a_projection(cli, three_kinds):
    """z and the verdict take both errors; what is not known counts as nothing and is said to be unknown."""
    code, out, _ = cli("compare", "both", "alone", "plain", "--json")
    both, alone, plain = json.loads(out)["runs"]
    assert code == 0 and [row["kind"] for row in (both, alone, plain)] == ["projected", "projected", "variational"]
    assert [row["time_step_error"] for row in (both, alone, plain)] == [4e-5, None, None]
    assert [row["error"] for row in (both, alone, plain)] == [3e-5, 3e-5, 2e-5]
    reference = -1.174475931
    assert both["z"] == pytest.approx((-1.1744 - reference) / 5e-5, rel=1e-4)
    assert alone["z"] == pytest.approx((-1.1745 - reference) / 3e-5, rel=1e-4)
    assert plain["z"] == pytest.approx((-1.17447 - reference) / 2e-5, rel=1e-4)
    # the lowest of the three is compared with the others by all their errors
    assert both["above_lowest"] == {
        "run": "alone",
        "difference": pytest.approx(1e-4),
        "z": pytest.approx(1e-4 / (5e-5**2 + 3e-5**2) ** 0.5, rel=1e-4),
    }
    # 1.5 σ of both errors, 1.9 of the larger one alone: the verdict takes both
    assert cli("compare", "both", "--sigma", "1.7")[0] == 0 and cli("compare", "both", "--sigma", "1.5")[0] == 4


def test_compare_as_a_table(cli, three_kinds):
    code, out, _ = cli("compare", "both", "alone", "plain")
    lines = out.splitlines()
    assert lines[0] == "h2  R = 1.401   energies in hartree"
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines[1:5]]
    assert cells[0] == ["run", "energy", "statistical", "time step", "minus reference", "z", "above lowest", "z"]
    assert cells[1] == [
        "both",
        "-1.17440(5)",
        "projected",
        "3.0e-05",
        "4.0e-05",
        "+7.6e-05",
        "+1.5",
        "agrees",
        "1.0e-04",
        "1.7",
    ]
    assert cells[2] == [
        "alone",
        "-1.17450(3)",
        "projected",
        "3.0e-05",
        "unknown",
        "-2.4e-05",
        "-0.8",
        "agrees",
        "0.0e+00",
        "0.0",
    ]
    assert cells[3] == [
        "plain",
        "-1.17447(2)",
        "variational",
        "2.0e-05",
        "none",
        "+5.9e-06",
        "+0.3",
        "agrees",
        "3.0e-05",
        "0.8",
    ]
    # columns stand below their heads
    for head in ("statistical", "time step", "minus reference", "above lowest"):
        place = lines[1].index(head)
        assert all(line[place - 1] == " " != line[place] for line in lines[2:5])
    assert lines[5].startswith("  reference -1.1744759310(10): made up")
    assert (
        "Variational energies are upper bounds" in out and "Projected energies are exact but for the two errors" in out
    )
    # each sentence only where it applies
    assert "Projected" not in cli("compare", "plain")[1] and "Variational" not in cli("compare", "both", "alone")[1]


def test_plot(cli, write_run, made_up, tmp_path):
    write_run(tmp_path / "h2" / "result.h5")
    code, out, _ = cli("plot", "h2", "--list")
    assert code == 0 and set(out.split()) >= {"convergence", "density_z", "pair_r", "drift_xz"}
    code, out, _ = cli("plot", "h2", "pair", "convergence", "--format", "svg")
    assert code == 0 and out.split() == ["h2/plots/pair_r.svg", "h2/plots/convergence.svg"]
    assert cli("plot", "h2/result.h5", "pair", "--out", "p")[1] == "p/pair_r.png\n"
    refuses(cli("plot", "h2", "projection"), 2, "h2 was not projected", "fkflow measure h2 --set project.seconds=60")
    assert "not there: h2 was not projected" in cli("plot", "h2", "--list")[2]
    write_run(tmp_path / "h2" / "result.h5", measurement=made_up.projected())
    assert "projection" in cli("plot", "h2", "--list")[1].split()
    assert cli("plot", "h2", "projection", "--format", "pdf")[1] == "h2/plots/projection.pdf\n"
    refuses(cli("plot", "h2", "nothing"), 2, "nothing", "pair_r")
    refuses(cli("plot", "h2", "pair", "--out", "h2/result.h5"), 2, "h2/result.h5")


def test_animate(cli, untrained_run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg
    untrained_run(tmp_path / "h2", 'name = "h2"')
    short = ("--seconds", 0.2, "--fps", 10, "--size", 160)
    code, out, err = cli("animate", "h2", *short)
    assert (code, out) == (0, "h2/plots/walkers.gif\n") and "fkflow: animate" in err and "100%" in err
    assert cli("animate", "h2/result.h5", *short, "--out", "my.gif")[1] == "my.gif\n"
    with open("my.gif", "rb") as mine, open("h2/plots/walkers.gif", "rb") as theirs:
        assert mine.read() == theirs.read()


def test_animate_refuses(cli, untrained_run, write_run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg
    untrained_run(tmp_path / "h2", 'name = "h2"')
    write_run(tmp_path / "other" / "result.h5")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "result.h5").write_bytes((tmp_path / "h2" / "result.h5").read_bytes()[:3000])
    (tmp_path / "taken.gif").mkdir()
    (tmp_path / "file").touch()
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for arguments, words in (
        (["nothing"], ["nothing"]),
        (["damaged"], ["damaged/result.h5"]),
        (["other"], ["other/result.h5", "network"]),
        (["h2", "--seconds", "0"], ["--seconds", "0"]),
        (["h2", "--seconds", "nan"], ["--seconds"]),
        (["h2", "--seconds", "1000"], ["--seconds", "1000 pictures"]),
        (["h2", "--speed", "0"], ["--speed"]),
        (["h2", "--walkers", "65"], ["64 samples"]),
        (["h2", "--format", "mp4"], ["ffmpeg", "--format gif"]),
        (["h2", "--out", "film.mp4"], ["ffmpeg", "--format gif"]),
        (["h2", "--out", "film.mp4", "--format", "gif"], ["film.mp4", ".gif"]),
        (["h2", "--out", "film.avi"], ["film.avi", ".gif", ".mp4"]),
        (["h2", "--out", "film"], ["film", ".gif"]),
        (["h2", "--out", "no/film.gif"], ["no/film.gif", "no folder no"]),
        (["h2", "--out", "file/film.gif"], ["file/film.gif"]),
        (["h2", "--out", "taken.gif"], ["taken.gif", "folder"]),
        (["h2", "--out", "/proc/film.gif"], ["/proc", "cannot be written"]),
    ):
        refuses(cli("animate", *arguments), 2, *words)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_an_interrupted_film_leaves_nothing(untrained_run, tmp_path):
    untrained_run(tmp_path / "h2", 'name = "double_well"')
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    film = start(tmp_path, "animate", "h2", "--seconds", 50, environment={"TMPDIR": temporary})
    film.wait_for("fkflow: animate ...")
    time.sleep(0.3)
    film.send_signal(signal.SIGINT)
    code, _, err = film.finish()
    assert code == 130 and err.splitlines()[-1] == "fkflow: error: interrupted"
    assert [path.name for path in (tmp_path / "h2").iterdir()] == ["result.h5"] and list(temporary.iterdir()) == []


def test_a_run_is_found_by_its_name(cli, write_run, tmp_path):
    write_run(tmp_path / "runs" / "h2" / "result.h5")
    for command in (["show"], ["compare"], ["plot", "--list"]):
        assert cli(command[0], "h2", *command[1:])[0] == 0
    assert json.loads(cli("show", "h2", "--json")[1])["run"] == "runs/h2"
    assert cli("plot", "h2", "pair")[1] == "runs/h2/plots/pair_r.png\n"
    # what is there goes before what has the name, unless it is no run
    os.mkdir("h2")
    assert json.loads(cli("show", "h2", "--json")[1])["run"] == "runs/h2"
    write_run(tmp_path / "h2" / "result.h5")
    assert json.loads(cli("show", "h2", "--json")[1])["run"] == "h2"
    refuses(cli("show", "h3"), 2, "h3 does not exist", "the name of one in runs")


def test_commands_in_warnings_name_the_run(cli, write_run, made_up, tmp_path):
    sentence = "the time budget ended: fkflow measure RUN --set measure.seconds=... measures longer"
    found = dataclasses.replace(made_up.measurement(), warnings=[sentence])
    write_run(tmp_path / "my runs" / "h2" / "result.h5", measurement=found)
    named = sentence.replace("RUN", "'my runs/h2'")
    assert json.loads(cli("show", "my runs/h2", "--json")[1])["warnings"] == [named]
    assert "fkflow measure 'my runs/h2' --set" in " ".join(cli("show", "my runs/h2")[1].split())
    # the file may move, and there is none yet for what Python has measured
    (tmp_path / "my runs").rename(tmp_path / "moved")
    assert "fkflow measure moved/h2 --set" in json.loads(cli("show", "moved/h2", "--json")[1])["warnings"][0]
    alone = dataclasses.replace(read_result("moved/h2"), path=None)
    assert alone.warnings == ['the time budget ended: solution.measure(measure={"seconds": ...}) measures longer']
