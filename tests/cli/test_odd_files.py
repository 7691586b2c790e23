"""Strange file arguments to every command: an answer at once, one sentence, nothing written."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fkflow.cli.entry import main
from fkflow.results.store import read_result

READERS = {
    "run": lambda name: ["run", name],
    "show": lambda name: ["show", name],
    "plot": lambda name: ["plot", name],
    "compare": lambda name: ["compare", name],
    "measure": lambda name: ["measure", name],
}
WRITERS = {
    "run --out": lambda name: ["run", "h2", "--out", name],
    "init --out": lambda name: ["init", "h2", "--out", name],
    "plot --out": lambda name: ["plot", "good", "--out", name],
}
OTHERS = {
    "init": lambda name: ["init", name],
    "plot NAME": lambda name: ["plot", "good", name],
    "--set": lambda name: ["run", "h2", "--set", name],
    "--seed": lambda name: ["run", "h2", f"--seed={name}"],
    "--threads": lambda name: ["measure", "good", f"--threads={name}"],
    "command": lambda name: [name],
}
NAMES = {
    "empty": "", "space": " ", "dots": "...", "nul": "a\0b", "newline": "a\nb", "escape": "\x1b[31mred", "dash": "-",
    "long": "x" * 5000, "deep": "/".join(["x"] * 3000), "unicode": "ψ\u202e\U0001f600é", "no text": "\udcff\udc80",
    "loop": "loop", "folder": "folder", "pipe": "pipe", "socket": "socket", "junk": "junk", "locked": "locked",
    "to nowhere": "nowhere", "below a file": "junk/below", "null": "/dev/null", "full": "/dev/full",
    "process": "/proc/self/mem", "digits": "9" * 5000, "percent": "%s%n{}", "option": "--=", "quote": "'\"`$(x)",
}  # fmt: skip

#: what can neither be written nor be a folder
IMPOSSIBLE = {
    "nul",
    "long",
    "deep",
    "loop",
    "pipe",
    "socket",
    "junk",
    "below a file",
    "null",
    "full",
    "process",
    "locked",
}


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one file of each kind, the working directory; whatever waits for ever is stopped."""
    monkeypatch.chdir(tmp_path)
    os.symlink("loop", "loop")
    os.symlink("missing", "nowhere")
    os.mkdir("folder")
    os.mkfifo("pipe")
    Path("junk").write_bytes(bytes(range(256)) * 40)
    Path("locked").write_text('[system]\nname = "h2"\n')
    os.chmod("locked", 0)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")

    def hang(*_: object) -> None:
        raise AssertionError("this takes for ever")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(20)
    yield tmp_path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    listener.close()


def contents() -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*") if path.name != "locked"
    }


@pytest.mark.parametrize("command", [*READERS, *WRITERS, *OTHERS])
def test_odd_names(command: str, strange: Path, write_run, capfd: pytest.CaptureFixture[str]) -> None:
    write_run(strange / "good" / "result.h5")
    before = contents()
    for kind, name in NAMES.items():
        if command == "run" and kind == "locked" and os.geteuid() == 0:
            continue  # the superuser may read it, and it is a recipe
        if command in WRITERS and kind not in IMPOSSIBLE | ({"folder"} if command == "init --out" else set()):
            continue  # odd, but a name that a file or a folder may have
        code = main((READERS | WRITERS | OTHERS)[command](name))
        said = capfd.readouterr()
        lines = said.err.splitlines()
        assert code == 2 and said.out == "" and len(lines) == 1, (kind, code, said)
        assert lines[0].startswith("fkflow: error: ") and lines[0].isprintable(), (kind, lines)
        assert contents() == before, kind


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["init", "h2"], ["run", "h2", "--dry-run"]], ids=" ".join)
def test_a_full_standard_output(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fkflow", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == "fkflow: error: standard output cannot be written: no space left on device\n"


def test_a_recipe_from_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Process substitution: fkflow run <(...)."""
    inner, outer = os.pipe()
    with open(outer, "w") as pipe:
        pipe.write('[system]\nname = "quartic"\n')
    assert main(["run", f"/dev/fd/{inner}", "--dry-run"]) == 0
    assert 'name = "quartic"' in capsys.readouterr().out
    os.close(inner)


def test_a_recipe_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "/dev/zero"]) == 2
    assert capsys.readouterr().err == (
        "fkflow: error: /dev/zero has more than 1048576 bytes: a recipe is a short TOML text\n"
    )


def test_names_that_are_no_text_are_stored(tmp_path: Path, write_run, made_up) -> None:
    """Found out at the end of a run, they would cost its result."""
    loaded = made_up.loaded(name="w\udcff")
    result = write_run(
        tmp_path / "result.h5", loaded=loaded, provenance={"seed": 1, "argv": "fkflow run w\udcff.toml \0"}
    )
    assert (result.name, result.recipe_source) == ("w\ufffd", "w\ufffd.toml")
    assert read_result(tmp_path).provenance["argv"] == "fkflow run w\ufffd.toml \ufffd"
