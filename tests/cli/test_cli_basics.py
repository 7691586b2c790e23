"""The command line without training: help, options of a run, folders, errors and exit codes."""

import json
import os
import subprocess
import sys

import pytest
from commands import refuses

from fkflow.cli.entry import main
from fkflow.errors import Interrupted, NumericalError

pytestmark = pytest.mark.usefixtures("elsewhere")


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
        (["run", "h2", "--seconds", "9"], "--set train.seconds=..."),
        (["run", "h2", "--force", "--resume"], "--force"),
        (["scan", "scan_h2", "--force", "--resume"], "--force"),
        (["show", "a", "--force"], "--force"),
    ],
)
def test_usage_errors(cli, arguments, word):
    refuses(cli(*arguments), 2, word)
    assert os.listdir() == []


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
    refuses(cli("run", "runs/h2", "--out", "runs/h2"), 2, "runs/h2 already holds a finished run", "--out")
    refuses(cli("run", "runs/h2"), 2, "runs/h2-rerun already holds a finished run", "--out")
    refuses(cli("run", "runs/h2-rerun"), 2, "runs/h2-rerun already holds a finished run", "--out")
    assert (tmp_path / "runs/h2/result.h5").read_bytes() == before
    # where a recipe has the name of a run folder, that is meant
    os.chdir("runs")
    assert cli("run", "h2", "--dry-run")[1] != cli("run", "h2/result.h5", "--dry-run")[1]
    assert "iterations = 33" in cli("run", "h2/result.h5", "--dry-run")[1]
    write_run(tmp_path / "old" / "result.h5", provenance={"version": "0.0.1"})
    refuses(cli("run", tmp_path / "old"), 2, "old/result.h5", "seed")
    os.mkdir("half")
    refuses(cli("run", "half"), 2, "half", "is a folder")
    open("half/checkpoint.pt", "w").close()
    refuses(cli("run", "half"), 2, "half holds an unfinished run", "--resume")


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
    refuses(cli("run", "nope.toml", *extra), 2, "nope.toml")
    refuses(cli("run", "h2", "--set", "system.R=0", *extra), 2, "R")
    assert os.listdir() == []


def test_folder_rules(cli, fake_run, tmp_path):
    out = tmp_path / "out"
    # a job script calls one line again and again: in an empty folder --resume begins the run
    assert cli("run", "h2", "--out", out, "--resume")[0] == 0 and fake_run[1].pop("resume") is True
    before = (out / "result.h5").read_bytes()
    refuses(cli("run", "h2", "--out", out), 2, "finished run", "--out", "--resume")
    assert (out / "result.h5").read_bytes() == before and "resume" not in fake_run[1]
    assert cli("run", "h2", "--out", out, "--resume")[0] == 0 and fake_run[1].pop("resume") is True
    (out / "result.h5").rename(out / "checkpoint.pt")
    refuses(cli("run", "h2", "--out", out), 2, "unfinished run", "--resume")
    refuses(cli("run", "h2", "--out", out / "checkpoint.pt"), 2, "is a file")
    assert "resume" not in fake_run[1]
    assert cli("run", "h2", "--out", out, "--resume")[0] == 0 and fake_run[1]["resume"] is True
    (out / "checkpoint.pt").rename(out / "scan.h5")
    (out / "result.h5").unlink()
    refuses(cli("run", "h2", "--out", out, "--resume"), 2, "holds a scan")


@pytest.mark.parametrize(
    "error, code",
    [(NumericalError("the energy is\nNaN"), 3), (Interrupted("stopped"), 130), (KeyboardInterrupt(), 130)],
)
def test_failures_of_a_run(cli, fake_run, error, code):
    def fails(*_, **__):
        raise error

    fake_run[0].execute = fails
    refuses(cli("run", "h2", "--json"), code)
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
    refuses(cli("measure", "nothing"), 2, "nothing")


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
    refuses(cli("init", "h2", "--out", "my.toml"), 2, "my.toml", "exists", "--force")
    code, scan, err = cli("init", "scan_h2", "--out", "my.toml", "--force")
    assert code == 0 and "next: fkflow scan my.toml" in err and "[scan]" in (tmp_path / "my.toml").read_text()
    refuses(cli("init", "h2", "--out", "no/folder.toml"), 2, "no/folder.toml")
    refuses(cli("init", "h3"), 2, "h3")
    assert sorted(os.listdir()) == ["my.toml"]


def test_force_replaces_a_run(cli, fake_run, tmp_path):
    """A finished one only once there is another; of an unfinished one nothing is left that --resume could go on with."""
    assert cli("run", "h2")[0] == 0
    folder = tmp_path / "runs" / "h2"
    refuses(cli("run", "h2"), 2, "runs/h2 already holds a finished run", "--force")
    for name in ("checkpoint.pt", "checkpoint.previous.pt", "notes.txt"):
        (folder / name).touch()
    refuses(cli("run", "h2"), 2, "runs/h2 holds an unfinished run", "--force")
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
    refuses(cli("run", "h2", "--force"), 2, "holds a scan")
    refuses(cli("scan", "scan_h2", "--out", folder, "--force"), 2, "holds a run")
