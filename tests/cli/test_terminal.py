"""What the command writes and where to: progress, logs, colours, completion, streams that are closed."""

import json
import os
import platform
import re
import subprocess
import sys
import time
import tomllib
from types import SimpleNamespace

import pytest
import typer.main
from commands import refuses

from fkflow.cli import completion, output
from fkflow.errors import NumericalError
from fkflow.execution.displays import Bar, Lines
from fkflow.hamiltonian.registry import built_in_systems, shipped_recipes

pytestmark = pytest.mark.usefixtures("elsewhere")


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
    refuses(cli("run", "h2", "--out", "third", "--log", "no/log.txt"), 2, "--log no/log.txt cannot be written")
    assert not os.path.exists("third")


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
    refuses(cli("run", "mine.py:Tarp"), 2, "mine.py has no class Tarp: it has Trap")
    refuses(cli("run", "yours.py:Trap"), 2, "there is no file yours.py")
    assert tomllib.loads(cli("run", "quartic", "--dry-run")[1])["system"] == {"name": "quartic", "a": 1.0, "b": 1.0}
    refuses(cli("run", "quartics"), 2, "did you mean quartic?")


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
