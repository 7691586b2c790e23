"""The command line without training: help, errors, exit codes, and the readers of a finished run."""

import dataclasses
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import tomllib
from types import ModuleType, SimpleNamespace

import pytest
import typer.main
from commands import start

from fkflow.cli import completion, output
from fkflow.cli.entry import main
from fkflow.errors import Interrupted, NumericalError
from fkflow.execution.displays import Bar, Lines
from fkflow.hamiltonian.registry import built_in_systems, shipped_recipes
from fkflow.results.store import read_result

COMMANDS = [
    "run",
    "check",
    "scan",
    "measure",
    "spectrum",
    "propagate",
    "show",
    "compare",
    "plot",
    "animate",
    "list",
    "init",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Relative paths start in an empty folder; nothing is drawn for a terminal."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys):
    """Call the command line in this process: arguments → (exit code, stdout, stderr)."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def fake_run(monkeypatch, write_run):
    """Replaces fkflow.runs.run and fkflow.runs.remeasure: records the call, drives the progress, writes a made-up result."""
    calls = {}

    def execute(context):
        calls.update(
            {name: getattr(context, name) for name in ("loaded", "out", "seed", "threads", "device", "resume")}
        )
        print("a library's chatter")
        context.progress.stage("train", 10)
        for done in range(11):
            context.progress.update(done, -1.17, 0.01, note="rate 0.1")
        context.progress.log("checkpoint written")
        return write_run(context.out / "result.h5")

    def measure_again(path, **given):
        calls.update(given, path=path)
        given["progress"].stage("measure", 1.0)
        return write_run(path)

    module = ModuleType("made_up")
    module.execute, module.measure_again = execute, measure_again
    for name in ("run", "remeasure"):
        monkeypatch.setitem(sys.modules, f"fkflow.runs.{name}", module)
    return module, calls


def refused(answer, code, *words):
    """The answer is one `fkflow: error:` line with all `words`, nothing on stdout."""
    assert answer[0] == code and answer[1] == ""
    lines = answer[2].strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("fkflow: error: ")
    for word in words:
        assert word in lines[0]


# -------------------------------------------------------------------------------------------- help and usage


def test_help_is_instant():
    code = (
        "import sys; from fkflow.cli.entry import main\n"
        "codes = [main([c, '--help']) for c in sys.argv[1:]] + [main(['--help'])]\n"
        "heavy = {'torch', 'numpy', 'h5py', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy or any(codes) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "RECIPE" in done.stdout and "--resume" in done.stdout


def test_as_a_module():
    def call(*arguments):
        return subprocess.run([sys.executable, "-m", "fkflow", *arguments], capture_output=True, text=True)

    assert call("--help").returncode == 0
    wrong = call("show", "nothing")
    assert wrong.returncode == 2 and wrong.stdout == "" and wrong.stderr.count("\n") == 1


def test_help_lists_the_commands(cli):
    code, out, _ = cli("--help")
    assert code == 0 and all(command in out for command in COMMANDS)
    assert cli()[:2] == (0, out)
    assert cli("--version")[1].startswith("fkflow ") and cli("-V") == cli("--version")


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["run"], "RECIPE"),
        (["run", "h2", "--device", "tpu"], "--device"),
        (["run", "h2", "--threads", "-1"], "--threads"),
        (["run", "h2", "--threads", "0"], "--threads"),
        (["run", "h2", "--seed", "-1"], "--seed"),
        (["run", "h2", "--seed", "one"], "--seed one: "),
        (["run", "h2", "--colour"], "--colour"),
        (["measure", "h2", "--threads=-1"], "--threads -1: "),
        (["spectrum", "h2", "--states", "0"], "--states"),
        (["spectrum"], "RUN"),
        (["compare", "a", "--sigma", "-1"], "--sigma"),
        (["compare"], "RUN"),
        (["plot", "a", "--format", "jpg"], "--format jpg: 'jpg' is not one of 'png'"),
        (["animate"], "RUN"),
        (["animate", "a", "--format", "avi"], "--format"),
        (["animate", "a", "--fps", "0"], "--fps"),
        (["animate", "a", "--fps", "51"], "--fps"),
        (["animate", "a", "--size", "100"], "--size"),
        (["animate", "a", "--walkers", "0"], "--walkers"),
        (["animate", "a", "--seed", "-1"], "--seed"),
        (["scan"], "RECIPE"),
        (["scan", "h2", "--processes", "0"], "--processes 0: "),
        (["run", "h2", "--log", "."], "--log .: "),
        (["run", "h2", "--quiet=yes"], "--quiet"),
        (["run", "h2", "--force", "--resume"], "--force"),
        (["scan", "scan_h2", "--force", "--resume"], "--force"),
        (["show", "a", "--force"], "--force"),
    ],
)
def test_usage_errors(cli, arguments, word):
    refused(cli(*arguments), 2, word)
    assert os.listdir() == []


# ------------------------------------------------------------------------------------------- run and measure


def test_run_passes_its_options_on(cli, fake_run):
    _, calls = fake_run
    code, out, err = cli("run", "h2", "--set", "train.iterations=7", "--seed", 5, "--threads", 2, "--device", "cpu")
    assert code == 0
    assert calls["out"].as_posix() == "runs/h2" and calls["loaded"].recipe.train.iterations == 7
    given = {key: calls[key] for key in ("seed", "threads", "device", "resume")}
    assert given == {"seed": 5, "threads": 2, "device": "cpu", "resume": False}
    for text in ("-1.17447(2) hartree", "0.021", "0.3 σ", "made up for this test", "40.1 s train",
                 "runs/h2/result.h5", "fkflow plot runs/h2"):  # fmt: skip
        assert text in out
    assert "fkflow: train ..." in err and "-1.17(1)" not in out


def test_a_result_is_run_again(cli, fake_run, write_run, made_up, tmp_path):
    """The stored recipe, seed and threads, in a folder of its own; what is asked for goes before."""
    _, calls = fake_run
    stored = {"seed": 11, "threads": 3}
    loaded = made_up.loaded(R=1.7)
    loaded.recipe.resolved = lambda: {"system": {"name": "h2", "R": 1.7}, "train": {"iterations": 33, "seconds": None}}
    write_run(tmp_path / "runs" / "h2" / "result.h5", loaded=loaded, provenance=stored)
    before = (tmp_path / "runs/h2/result.h5").read_bytes()
    for number, given in enumerate(["runs/h2", "runs/h2/result.h5", "./runs/h2/"]):
        assert cli("run", given, "--out", f"again{number}")[0] == 0
        assert calls["loaded"].recipe.train.iterations == 33 and calls["loaded"].recipe.system.R == 1.7
        assert (calls["seed"], calls["threads"]) == (11, 3)
        assert (calls["loaded"].name, calls["loaded"].source) == ("h2-rerun", "h2.toml")
    assert cli("run", "runs/h2", "--seed", 5, "--threads", 1, "--set", "train.iterations=4")[0] == 0
    assert (calls["seed"], calls["threads"], calls["loaded"].recipe.train.iterations) == (5, 1, 4)
    assert calls["out"].as_posix() == "runs/h2-rerun"
    # never in the folder of the run itself, nor twice in one
    refused(cli("run", "runs/h2", "--out", "runs/h2"), 2, "runs/h2 already holds a finished run", "--out")
    refused(cli("run", "runs/h2"), 2, "runs/h2-rerun already holds a finished run", "--out")
    refused(cli("run", "runs/h2-rerun"), 2, "runs/h2-rerun already holds a finished run", "--out")
    assert (tmp_path / "runs/h2/result.h5").read_bytes() == before
    # where a recipe has the name of a run folder, that is meant
    os.chdir("runs")
    assert cli("run", "h2", "--dry-run")[1] != cli("run", "h2/result.h5", "--dry-run")[1]
    assert "iterations = 33" in cli("run", "h2/result.h5", "--dry-run")[1]
    write_run(tmp_path / "old" / "result.h5", provenance={"version": "0.0.1"})
    refused(cli("run", tmp_path / "old"), 2, "old/result.h5", "seed")
    os.mkdir("half")
    refused(cli("run", "half"), 2, "half", "is a folder")
    open("half/checkpoint.pt", "w").close()
    refused(cli("run", "half"), 2, "half holds an unfinished run", "--resume")


def test_run_json_has_stdout_for_itself(cli, fake_run):
    code, out, err = cli("run", "h2", "--out", "there", "--json")
    assert code == 0 and json.loads(out)["run"] == "there"
    assert "chatter" in err and "warning" in err
    code, shown, _ = cli("show", "there", "--json")
    assert code == 0 and shown == out


def test_dry_run_prints_a_recipe_and_writes_nothing(cli):
    code, out, _ = cli("run", "h2", "--set", "system.R=2", "--dry-run")
    assert code == 0 and "R = 2" in out and "[measure]" in out and "[project]" in out and os.listdir() == []
    code, again, _ = cli("run", "h2", "--set", "system.R=2", "--dry-run", "--json")
    assert json.loads(again)["system"] == {"name": "h2", "R": 2.0}
    with open("mine.toml", "w") as file:
        file.write(out)
    assert cli("run", "mine.toml", "--dry-run")[1] == out


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_bad_recipes_write_nothing(cli, fake_run, extra):
    refused(cli("run", "nope.toml", *extra), 2, "nope.toml")
    refused(cli("run", "h2", "--set", "system.R=0", *extra), 2, "R")
    assert os.listdir() == []


def test_folder_rules(cli, fake_run, tmp_path):
    out = tmp_path / "out"
    # a job script calls one line again and again: in an empty folder --resume begins the run
    assert cli("run", "h2", "--out", out, "--resume")[0] == 0 and fake_run[1].pop("resume") is True
    before = (out / "result.h5").read_bytes()
    refused(cli("run", "h2", "--out", out), 2, "finished run", "--out", "--resume")
    assert (out / "result.h5").read_bytes() == before and "resume" not in fake_run[1]
    assert cli("run", "h2", "--out", out, "--resume")[0] == 0 and fake_run[1].pop("resume") is True
    (out / "result.h5").rename(out / "checkpoint.pt")
    refused(cli("run", "h2", "--out", out), 2, "unfinished run", "--resume")
    refused(cli("run", "h2", "--out", out / "checkpoint.pt"), 2, "is a file")
    assert "resume" not in fake_run[1]
    assert cli("run", "h2", "--out", out, "--resume")[0] == 0 and fake_run[1]["resume"] is True
    (out / "checkpoint.pt").rename(out / "scan.h5")
    (out / "result.h5").unlink()
    refused(cli("run", "h2", "--out", out, "--resume"), 2, "holds a scan")


@pytest.mark.parametrize(
    "error, code",
    [(NumericalError("the energy is\nNaN"), 3), (Interrupted("stopped"), 130), (KeyboardInterrupt(), 130)],
)
def test_failures_of_a_run(cli, fake_run, error, code):
    def fails(*_, **__):
        raise error

    fake_run[0].execute = fails
    refused(cli("run", "h2", "--json"), code)
    # nothing was written, so no empty run folder stays
    assert not os.path.exists("runs/h2")


def test_a_defect_keeps_its_traceback(cli, fake_run):
    def fails(*_, **__):
        raise ZeroDivisionError

    fake_run[0].execute = fails
    with pytest.raises(ZeroDivisionError):
        main(["run", "h2"])


def test_measure(cli, fake_run, write_run, tmp_path):
    write_run(tmp_path / "h2" / "result.h5")
    code, out, _ = cli("measure", "h2/result.h5", "--set", "measure.seconds=5", "--seed", 3, "--json")
    assert code == 0 and json.loads(out)["system"] == "h2"
    assert fake_run[1]["path"].as_posix() == "h2/result.h5"
    assert list(fake_run[1]["overrides"]) == ["measure.seconds=5"]
    # a copy of another name is measured itself, not the result beside it
    (tmp_path / "h2" / "result.h5").rename(tmp_path / "h2" / "copy.h5")
    assert cli("measure", "h2/copy.h5")[0] == 0 and fake_run[1]["path"].as_posix() == "h2/copy.h5"
    refused(cli("measure", "nothing"), 2, "nothing")


# --------------------------------------------------------------------------------------------------- readers


def test_show_refuses_damage(cli, write_run, tmp_path):
    write_run(tmp_path / "h2" / "result.h5")
    content = (tmp_path / "h2" / "result.h5").read_bytes()
    (tmp_path / "h2" / "result.h5").write_bytes(content[:3000])
    for extra in ([], ["--json"]):
        refused(cli("show", "h2", *extra), 2, "h2/result.h5")
        refused(cli("show", "missing", *extra), 2, "missing")


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
    refused(cli("compare", "good", "nowhere", "--json"), 2, "nowhere")


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
    refused(cli("plot", "h2", "projection"), 2, "h2 was not projected", "fkflow measure h2 --set project.seconds=60")
    assert "not there: h2 was not projected" in cli("plot", "h2", "--list")[2]
    write_run(tmp_path / "h2" / "result.h5", measurement=made_up.projected())
    assert "projection" in cli("plot", "h2", "--list")[1].split()
    assert cli("plot", "h2", "projection", "--format", "pdf")[1] == "h2/plots/projection.pdf\n"
    refused(cli("plot", "h2", "nothing"), 2, "nothing", "pair_r")
    refused(cli("plot", "h2", "pair", "--out", "h2/result.h5"), 2, "h2/result.h5")


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
        refused(cli("animate", *arguments), 2, *words)
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


def test_list(cli):
    code, out, _ = cli("list")
    assert code == 0 and "h2.toml" in out and "R = 1.401" in out and "-1.17447593" in out
    runs, scans = out.split("Shipped scans (fkflow scan RECIPE):")
    assert "scan_bosons.toml" in scans and "scan_bosons.toml" not in runs
    listed = json.loads(cli("list", "--json")[1])
    assert {"h2", "he", "bosons", "harmonic", "chain", "double_well"} <= {item["system"] for item in listed["systems"]}
    recipes = {item["recipe"]: item for item in listed["recipes"]}
    assert recipes["h2.toml"]["over"] is None and "system.R=" in recipes["scan_h2.toml"]["over"][0]


def test_init(cli, tmp_path):
    code, out, _ = cli("init", "h2")
    assert code == 0 and 'name = "h2"' in out and "# " in out
    assert cli("init", "h2", "--out", "my.toml")[:2] == (0, "")
    assert (tmp_path / "my.toml").read_text() == out
    assert cli("run", "my.toml", "--dry-run")[0] == 0
    refused(cli("init", "h2", "--out", "my.toml"), 2, "my.toml", "exists", "--force")
    code, scan, err = cli("init", "scan_h2", "--out", "my.toml", "--force")
    assert code == 0 and "next: fkflow scan my.toml" in err and "[scan]" in (tmp_path / "my.toml").read_text()
    refused(cli("init", "h2", "--out", "no/folder.toml"), 2, "no/folder.toml")
    refused(cli("init", "h3"), 2, "h3")
    assert sorted(os.listdir()) == ["my.toml"]


# --------------------------------------------------------------------------------------------- conveniences


def test_quiet_leaves_results_and_warnings(cli, fake_run):
    def execute(context):
        context.progress.log("warning: two particles meet")
        return real(context)

    real, fake_run[0].execute = fake_run[0].execute, execute
    code, out, err = cli("run", "h2", "-q")
    assert code == 0 and "-1.17447(2) hartree" in out
    assert err.splitlines() == ["a library's chatter", "fkflow: warning: two particles meet"][::-1]
    assert cli("run", "h2", "--out", "loud")[2].count("train") > 1


def test_a_log_has_the_progress_and_the_result(cli, fake_run, tmp_path):
    (tmp_path / "log.txt").write_text("earlier\n")
    code, out, err = cli("run", "h2", "--log", "log.txt", "--json", "--quiet")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert code == 0 and json.loads(out) and lines[0] == "earlier"
    assert re.fullmatch(r"[\d-]{10} [\d:]{8}  train \.\.\.", lines[1])
    assert re.search(r"  train  100%  energy -1\.170\(10\)  0 s  rate 0\.1$", lines[2])
    assert lines[4] == "h2  R = 1.401" and "-1.17447(2) hartree" in lines[5] + lines[6]

    def fails(*_):
        raise NumericalError("the energy is NaN")

    fake_run[0].execute = fails
    assert cli("run", "h2", "--out", "other", "--log", "log.txt")[0] == 3
    assert (tmp_path / "log.txt").read_text().splitlines()[-1].endswith("  error: the energy is NaN")
    refused(cli("run", "h2", "--out", "third", "--log", "no/log.txt"), 2, "--log no/log.txt cannot be written")
    assert not os.path.exists("third")


def test_force_replaces_a_run(cli, fake_run, tmp_path):
    """A finished one only once there is another; of an unfinished one nothing is left that --resume could go on with."""
    assert cli("run", "h2")[0] == 0
    folder = tmp_path / "runs" / "h2"
    refused(cli("run", "h2"), 2, "runs/h2 already holds a finished run", "--force")
    for name in ("checkpoint.pt", "checkpoint.previous.pt", "notes.txt"):
        (folder / name).touch()
    refused(cli("run", "h2"), 2, "runs/h2 holds an unfinished run", "--force")
    before = (folder / "result.h5").read_bytes()

    def fails(context):
        assert sorted(os.listdir(folder)) == [".lock", "notes.txt", "result.h5"]
        raise NumericalError("no")

    real, fake_run[0].execute = fake_run[0].execute, fails
    assert cli("run", "h2", "--force")[0] == 3
    assert (folder / "result.h5").read_bytes() == before
    fake_run[0].execute = real
    assert cli("run", "h2", "--force", "--seed", 9)[0] == 0 and fake_run[1]["resume"] is False
    (folder / "scan.h5").touch()
    refused(cli("run", "h2", "--force"), 2, "holds a scan")
    refused(cli("scan", "scan_h2", "--out", folder, "--force"), 2, "holds a run")


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
    refused(cli("show", "h3"), 2, "h3 does not exist", "the name of one in runs")


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


PRINTING = """import fkflow
print("{ imported }")


class Trap(fkflow.System):
    particles: int = 1
    dimensions: int = 1

    def potential(self, x):
        print("[ called ]")
        return x.square().sum((1, 2))
"""


def test_what_a_system_prints_is_not_in_the_output(cli, fake_run, tmp_path):
    """A class of a file is a recipe with the defaults; results are alone on stdout."""
    (tmp_path / "mine.py").write_text(PRINTING)
    code, out, err = cli("check", "mine.py:Trap", "--json")
    assert (
        code == 0 and json.loads(out)["system"] == "Trap in mine.py" and "{ imported }" in err and "[ called ]" in err
    )
    code, out, err = cli("run", "mine.py:Trap", "--json")
    assert code == 0 and json.loads(out) and fake_run[1]["out"].as_posix() == "runs/Trap"
    for arguments in (["run", "mine.py:Trap", "--dry-run"], ["init", "mine.py:Trap"]):
        assert tomllib.loads(cli(*arguments)[1])["system"]["file"].endswith("mine.py:Trap")
    refused(cli("run", "mine.py:Tarp"), 2, "mine.py has no class Tarp: it has Trap")
    refused(cli("run", "yours.py:Trap"), 2, "there is no file yours.py")
    assert tomllib.loads(cli("run", "quartic", "--dry-run")[1])["system"] == {"name": "quartic", "a": 1.0, "b": 1.0}
    refused(cli("run", "quartics"), 2, "did you mean quartic?")


def complete(shell, *words):
    """What the shell is told to complete after these words."""
    environment = {**os.environ, "_FKFLOW_COMPLETE": f"complete_{shell}"}
    line = " ".join(words)
    if shell == "bash":
        environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    else:
        environment |= {"_TYPER_COMPLETE_ARGS": line}
    code = (
        "import sys, fkflow.cli.entry as entry\n"
        "try:\n    entry.main([])\nfinally:\n    assert not {'torch', 'numpy', 'h5py'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr == "", done.stderr
    return done.stdout


def test_the_shell_completes_names(tmp_path):
    """Of recipes, systems and runs, without what is slow to import."""
    (tmp_path / "bosonic.toml").touch()
    for folder in ("runs/boson_trap", "runs/empty", "bosons_here"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "runs/boson_trap/scan.h5").touch()
    (tmp_path / "bosons_here/result.h5").touch()
    assert complete("bash", "fkflow", "show", "boson").split() == ["boson_trap", "bosons_here"]
    assert complete("bash", "fkflow", "compare", "x", "e").split() == []
    found = complete("bash", "fkflow", "run", "boson").split()
    assert found[0] == "bosonic.toml" and {"bosons", "bosons3d"} <= set(found) and len(set(found)) == len(found)
    assert "morse" in complete("zsh", "fkflow", "init", "mor") and "--quiet" in complete("bash", "fkflow", "run", "--q")


def test_every_system_is_completed():
    assert set(completion.systems("")) >= {*built_in_systems(), *(name[:-5] for name in shipped_recipes())}


def test_the_shell_is_told_how_to_complete(cli, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    # which the parser looks at when it is built
    monkeypatch.setattr(typer.main, "get_command", typer.main.get_command.__wrapped__)
    with pytest.raises(SystemExit) as caught:
        cli("--show-completion", "bash")
    assert caught.value.code == 0


def test_colours_are_for_terminals(monkeypatch, capsys):
    rows = [
        "h2  R = 1",
        "  status               doubtful",
        "    doubt              it moved",
        " " * 23 + "far",
        "  time  1 s",
    ]
    text = "\n".join(rows)
    lines = output.coloured(text).splitlines()
    assert lines[0] == "\x1b[1mh2  R = 1\x1b[0m" and "\x1b[33mdoubtful" in lines[1]
    assert lines[2].startswith("\x1b[33m") and lines[3].startswith("\x1b[33m") and lines[4] == "  time  1 s"
    assert "\x1b[31mOUT OF TOLERANCE" in output.coloured("runs\n  a  OUT OF TOLERANCE")
    assert output.coloured('{\n  "failed": 1\n}') == '{\n  "failed": 1\n}'
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.has_colours(terminal) and not output.has_colours(SimpleNamespace(isatty=lambda: False))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.has_colours(terminal)
    output.emit(text)
    assert capsys.readouterr().out == f"{text}\n"


# -------------------------------------------------------------------------------------------------- progress


def test_plain_lines_are_few(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    lines = Lines()
    lines.stage("train", 100)
    for done in range(101):
        clock[0] = 0.2 * done
        lines.update(done, -1.17, None if done < 10 else 0.012)
    lines.stage("measure", None)
    lines.update(0.5, None, None)
    lines.close()
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "fkflow: train ..." and err[-2:] == ["fkflow: measure ...", "fkflow: measure  0 s"]
    assert err[1] == "fkflow: train   25%  energy -1.170(12)  5 s  15 s left"
    assert len(err) == 7


def test_bar_survives_everything(capsys, monkeypatch):
    for width, dumb in (("30", "dumb"), ("120", "xterm")):
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setenv("TERM", dumb)
        monkeypatch.setenv("NO_COLOR", "1")
        bar = Bar()
        bar.stage("train", 3)
        bar.update(1, None, None)
        bar.update(3, -1.17, 0.01, note="[undone]")
        bar.log("a [line] with brackets")
        bar.stage("measure", None)
        bar.update(0.1, float("nan"), 0.0)
        bar.close()
    assert "a [line] with brackets" in capsys.readouterr().err


def test_unicode_never_breaks_the_output(write_run, tmp_path):
    write_run(tmp_path / "h2" / "result.h5")
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "fkflow", "show", "h2"], capture_output=True, text=True, env=env)
    assert done.returncode == 0 and "0.3 " in done.stdout and done.stderr == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_nowhere_to_write_to(closed: str) -> None:
    """A stream that whoever started the command has closed is nobody's loss."""
    done = subprocess.run(f'"{sys.executable}" -m fkflow init h2 {closed}', shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr and bool(done.stdout) == (closed == "2>&-")


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="counts the threads in /proc")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="PyTorch has the same library elsewhere")
def test_linear_algebra_of_numpy_starts_no_threads():
    """They would wait in loops for the processors of others; whoever wants them says so."""
    code = "import fkflow.__main__, numpy, os; numpy.linalg.eigh(numpy.eye(300)); print(len(os.listdir('/proc/self/task')))"
    environment = {name: text for name, text in os.environ.items() if not name.endswith("_NUM_THREADS")}

    def threads(**more):
        run = [sys.executable, "-c", code]
        return int(subprocess.run(run, env=environment | more, capture_output=True, text=True, check=True).stdout)

    assert threads() == 1
    assert threads(OPENBLAS_NUM_THREADS="2") == min(2, os.cpu_count())
