"""Every block of docs/tutorials/ring.md runs, in its order and in an empty folder, and prints what the page shows.

A block with the title of a file (```python title="ring.py") is written there, with "added to" before the name behind what
the file holds already. Blocks of bash run; those of console run line by line, and what they print on stdout is compared with
what the page shows: words must be equal, numbers with an error bar agree within their errors, the rest of the numbers vary.
Blocks of python share one namespace; the text block behind one is what it prints. Target errors are four times those of
the page, which takes a third of the time: what is printed then still agrees with the page within its errors. Scans are
without the middle one of their three points.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import good
from PIL import Image
from targets import looser

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorials" / "ring.md"
#: the one block that does not run here: .ci/run does the same
INSTALLATION = "python3 -m venv .venv && . .venv/bin/activate\npip install -e .\n"
#: σ between two runs: a difference beyond is no chance
FAR = 5.0
#: 1.7203(2), 1.3e-05, +1.1, 85
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:\((\d+)\))?(?:e[-+]\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, the file it is written to ("" for none) and whether behind what that holds, its text."""

    kind: str
    file: str
    added: bool
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    fence = r'^```(\w+)(?: title="(added to )?([^"]+)")?\n(.*?)^```$'
    for kind, added, file, text in re.findall(fence, page, re.S | re.M):
        yield Block(kind, file, bool(added), text)


def skeleton(text: str) -> list[str]:
    """The lines of an output without numbers, bars and runs of blanks."""
    lines = (
        NUMBER.sub(lambda number: "#(#)" if number[1] else "#", re.sub(r"[▁-█]+", "|", line))
        # how many threads are free is the machine's affair
        for line in text.strip().replace("threads", "thread").splitlines()
    )
    return [" ".join(line.split()) for line in lines]


def measured(text: str) -> list[tuple[float, float]]:
    """The numbers with an error bar, and these."""
    found = []
    for match in NUMBER.finditer(text):
        if match[1]:
            number = match[0].partition("(")[0]
            decimals = len(number.partition(".")[2])
            found.append((float(number), int(match[1]) * 10.0**-decimals))
    return found


def agree(shown: str, printed: str) -> None:
    """Fail unless an output is the one that the page shows, but for chance."""
    assert skeleton(printed) == skeleton(shown), f"the page shows\n{shown}\nbut this was printed:\n{printed}"
    for (a, error_a), (b, error_b) in zip(measured(shown), measured(printed), strict=True):
        assert abs(a - b) < FAR * math.hypot(error_a, error_b), (
            f"the page shows {a} ± {error_a}, printed is {b} ± {error_b}"
        )


def fewer(command: str, shown: str) -> tuple[str, str]:
    """A scan without the middle one of three points, and what the page would show of that: each point takes long."""
    if (scan := re.search(r"=\[(\S+, )(\S+), \S+\]", command)) is None:
        return command, shown
    rows = shown.splitlines(keepends=True)
    kept = [row for row in rows if not re.match(rf"\s*{scan[2]}  ", row)]
    assert len(kept) == len(rows) - 1
    return command.replace(f"[{scan[1]}{scan[2]}, ", f"[{scan[1]}"), "".join(kept)


def run(command: str, folder: Path) -> str:
    """What a shell command prints on stdout; it must succeed. One of fkflow alone needs no shell and no new Python."""
    words = shlex.split(command, comments=True)
    if words[0] == "fkflow" and "\n" not in command.strip():
        return good(folder, *words[1:], environment={"COLUMNS": "120"}, timeout=600)
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={**environment, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        if block.file:
            with (tmp_path / block.file).open("a" if block.added else "w", encoding="utf-8") as file:
                file.write(block.text)
        elif block.kind == "bash":
            if block.text != INSTALLATION:
                run(looser(block.text), tmp_path)
        elif block.kind == "console":
            for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.M):
                command, shown = fewer(command, shown)
                agree(shown, run(looser(command), tmp_path))
        elif block.kind == "python":
            assert not printed, f"the page does not show what was printed:\n{printed}"
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(looser(block.text), PAGE.name, "exec"), namespace)
            printed = output.getvalue()
        else:
            assert block.kind == "text", f"what is to be done with a block of {block.kind}?"
            agree(block.text, printed)
            printed = ""
    assert not printed, f"the page does not show what was printed:\n{printed}"
    # the figure that the page shows is the one it makes
    with (
        Image.open(tmp_path / "ring.png") as made,
        Image.open(ROOT / "docs" / "figures" / "tutorial_ring.png") as shown,
    ):
        assert made.size == shown.size


def test_every_block_is_seen() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert 2 * len(list(blocks(page))) == len(re.findall(r"^\s*(?:```|~~~)", page, re.M)) > 20
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(line in readme for line in INSTALLATION.splitlines())


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("energy 1.7203(2)", "energy 1.7220(2)"),
        ("energy 1.7203(2)", "energy 1.7203"),
        ("energy -1.7203(2)", "energy 1.7203(2)"),
        ("energy 1.7203(2)  (a bound)", "energy 1.7203(2)"),
        ("energy 1.7203(2)", "energy 1.7203(2)\nwarning"),
    ],
)
def test_other_outputs_are_seen(shown: str, printed: str) -> None:
    agree(shown, shown)
    with pytest.raises(AssertionError):
        agree(shown, printed)
