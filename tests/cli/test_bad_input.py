"""Bad input: exit code 2, one sentence that names where, the key, the given and the allowed; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fkflow.cli.entry import main

SYSTEM = '[system]\nname = "{}"\n{}\n'
H2 = SYSTEM.format("h2", "R = 1.401")


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command in a folder with `files`; the one line it says, once all else is checked."""

    def call(*arguments: object, files: dict[str, str | bytes] | None = None) -> str:
        monkeypatch.chdir(tmp_path)
        for name, content in (files or {}).items():
            Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        before = snapshot()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert code == 2 and said.out == "", (code, said)
        lines = said.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("fkflow: error: ") and len(lines[0]) < 500
        assert snapshot() == before, "something was written"
        return lines[0].removeprefix("fkflow: error: ")

    return call


def snapshot() -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


#: the recipe's text, then words the sentence must hold: the key, what was given, what is allowed
RECIPES = {
    "unknown key": (H2 + "[train]\niteration = 5", ["train.iteration ", "did you mean iterations", "walkers, "]),
    "unknown parameter": (SYSTEM.format("h2", "r = 1.4"), ["system.r ", "h2", "allowed are name, R"]),
    "unknown section": (H2 + "[training]\nx = 1", ["[training]", "system, network, train, measure, project"]),
    "another section": (H2 + "[sweep]\nx = 1", ["[sweep]", "system, network, train, measure, project"]),
    "key outside": ("walkers = 3\n" + H2, ['"walkers"', "outside any section", "sections"]),
    "text for a number": (H2 + '[train]\nrate = "fast"', ["train.rate", '"fast"', "a number above 0"]),
    "fraction for a whole": (H2 + "[train]\nwalkers = 10.5", ["train.walkers", "10.5", "a whole number"]),
    "number for text": (H2 + "[network]\nkind = 3", ["network.kind", "= 3 ", '"auto"', '"molecular"']),
    "truth for a number": (H2 + "[train]\ndt = true", ["train.dt", "true", "a number above 0"]),
    "section as a value": ("train = 3\n" + H2, ["train = 3", "section"]),
    "dt = 0": (H2 + "[train]\ndt = 0.0", ["train.dt", "0.0", "a number above 0"]),
    "dt < 0": (H2 + "[train]\ndt = -0.1", ["train.dt", "-0.1", "a number above 0"]),
    "dt NaN": (H2 + "[train]\ndt = nan", ["train.dt", "nan", "a number"]),
    "dt infinite": (H2 + "[train]\ndt = inf", ["train.dt", "inf", "a number"]),
    "R = 0": (SYSTEM.format("h2", "R = 0"), ["system.R", "= 0 ", "a number from 1e-06 to 1000"]),
    "R < 0": (SYSTEM.format("h2", "R = -1.4"), ["system.R", "-1.4", "a number from 1e-06 to 1000"]),
    "3 electrons": (SYSTEM.format("molecule", "electrons = 3"), ["system.electrons", "= 3 ", "1", "2"]),
    "no particles": (SYSTEM.format("bosons", "particles = 0"), ["system.particles", "= 0 ", "whole number"]),
    "no chain": (SYSTEM.format("chain", "particles = 0"), ["system.particles", "= 0 ", "whole number"]),
    "width 0": (SYSTEM.format("bosons", "s = 0.0"), ["system.s", "0.0", "a number from 1e-06"]),
    "unbound": (SYSTEM.format("harmonic", "omega = 0.0"), ["system.omega", "0.0"]),
    "no bound state": (SYSTEM.format("morse", "depth = 0.125"), ["system.a", "= 1.0 ", "below sqrt(8 depth) = 1"]),
    "a key that is code": (
        H2 + '[train]\n"a\\u001b[31m\\n" = 1',
        ["train.", "\\u001b[31m\\n", "is not a key of [train]"],
    ),
    "wrong list": (SYSTEM.format("harmonic", "dimensions = 2\nomega = [1.0, 2.0, 3.0]"), ["omega", "[1.0, 2.0, 3.0]"]),
    "unknown system": (SYSTEM.format("h3", ""), ["system.name", '"h3"', "must be one of", "did you mean"]),
    "system no text": ("[system]\nname = 2", ["system.name", "= 2 ", "must be one of"]),
    "no system": ("[train]\nwalkers = 4", ["system.name is missing", "must name a system"]),
    "empty file": ("", ["system.name is missing"]),
    "wrong network": (H2 + '[network]\nkind = "symmetric"', ["network.kind", '"symmetric"', '"molecular"']),
    "natural pathwise": (H2 + '[train]\nestimator = "pathwise"\noptimiser = "spring"', ["train.optimiser", '"adam"']),
    "no bins": (H2 + "[measure]\nbins = 0", ["measure.bins", "= 0 ", "whole number from 2 to 10000"]),
    "no error": (H2 + "[measure]\ntarget_error = 0", ["measure.target_error", "= 0 ", "above 0"]),
    "no steps": (
        H2 + "[project]\ntime_steps = 0.1",
        ["project.time_steps", "= 0.1 ", "a list of up to 8", "[0.04, 0.01]"],
    ),
    "equal steps": (
        H2 + "[project]\ntime_steps = [0.1, 0.1]",
        ["project.time_steps", "[0.1, 0.1]", "different numbers"],
    ),
    "backwards": (H2 + "[project]\ntime_steps = [-1]", ["project.time_steps", "[-1]", "above 0"]),
    "few to project": (H2 + "[project]\nwalkers = 63", ["project.walkers", "= 63 ", "0 or an integer of at least 64"]),
    "paths past nuclei": (
        H2 + '[project]\nweights = "girsanov"',
        ["project.weights", '"girsanov"', '"local_energy"', "h2", "nuclei"],
    ),
    "not closed": ("[system\nname = 3", ["not valid TOML", "line 1"]),
    "cut off": ('[system]\nname = "h2', ["not valid TOML", "line 2"]),
    "twice": (H2 + "R = 2", ["not valid TOML", "line 4"]),
}


@pytest.mark.parametrize("name", RECIPES)
def test_wrong_recipes(refused: Callable[..., str], name: str) -> None:
    text, words = RECIPES[name]
    said = refused("run", "mine.toml", files={"mine.toml": text})
    assert said.startswith("mine.toml")
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.dt=0", ["train.dt", "= 0 ", "above 0"]),
        ("train.dt=-1e-3", ["-0.001", "above 0"]),
        ("system.R=0", ["system.R", "= 0 ", "a number from 1e-06 to 1000"]),
        ("train.iterations=many", ['"many"', "a whole number"]),
        ("train.steps=1.5", ["1.5", "a whole number"]),
        ("train.walker=3", ["train.walker ", "did you mean walkers"]),
        ("tain.walkers=3", ["[tain]", "did you mean train"]),
        ("train=3", ["section.key=value"]),
        ("train.iterations", ["section.key=value"]),
        ("train.iterations=", ["not a TOML value"]),
        ("train.iterations=[1", ["not a TOML value"]),
        ("system.name=h3", ["system.name", '"h3"', "must be one of"]),
        ("network.kind=generic", ["network.kind", '"generic"', '"molecular"']),
        ("measure.seconds=-1", ["measure.seconds", "-1", "above 0"]),
        ("project.seconds=-1", ["project.seconds", "-1", "from 0 to 1e+09"]),
        ("project.time_steps=0.1,0.05", ["0.1,0.05 is not a TOML value", "[a, list]"]),
        ("project.time_steps=[0.1, 'x']", ["project.time_steps", "different numbers above 0"]),
        ("project.weights=action", ["project.weights", '"action"', '"local_energy", "girsanov"']),
    ],
)
def test_wrong_overrides(refused: Callable[..., str], override: str, words: list[str]) -> None:
    said = refused("run", "h2", "--set", override)
    assert said.startswith(f"--set {override}")
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "nowhere.toml",
            ["nowhere.toml", "is no file", "FILE.py:CLASS or one of those that fkflow list shows, such as "],
        ),
        ("bosns", ["bosns", "did you mean bosons"]),
        ("folder", ["folder", "is a folder"]),
        ("latin.toml", ["latin.toml", "UTF-8"]),
        ("my_trap.py", ["my_trap.py is Python, not a recipe", "my_trap.py:CLASS"]),
        ("", ["shipped recipe"]),
    ],
)
def test_files_that_are_no_recipes(refused: Callable[..., str], tmp_path: Path, name: str, words: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    said = refused("run", name, files={"latin.toml": b'# \xe9\n[system]\nname = "h2"\n'})
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("file", ["file", "not a folder", "--out"]),
        ("file/below", ["file/below", "cannot be"]),
        ("/proc/nowhere", ["/proc/nowhere", "cannot be"]),
        ("x" * 300, ["cannot be", "too long"]),
        ("done", ["done", "finished run", "--out"]),
        ("half", ["half", "unfinished run", "--resume"]),
    ],
)
def test_folders_that_cannot_take_a_run(
    refused: Callable[..., str], tmp_path: Path, out: str, words: list[str]
) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / "half").mkdir()
    said = refused("run", "h2", "--out", out, files={"file": "", "done/result.h5": "x", "half/checkpoint.pt": "x"})
    for word in words:
        assert word in said, said


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "permission" in refused("run", "h2", "--out", "locked/run")


def test_a_device_that_is_not_there(refused: Callable[..., str]) -> None:
    """Found out after the run folder was made: that goes again, and runs/ with it."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "cuda" in refused("run", "h2", "--device", "cuda")


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 half an archive"])
def test_damaged_checkpoints(refused: Callable[..., str], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "half").mkdir()
    said = refused("run", "h2", "--out", "half", "--resume", files={"half/checkpoint.pt": content})
    assert "half/checkpoint.pt" in said


@pytest.mark.parametrize("reader", [("show",), ("measure",), ("compare",), ("plot",)])
def test_readers_of_what_is_no_result(refused: Callable[..., str], tmp_path: Path, reader: tuple[str]) -> None:
    (tmp_path / "run").mkdir()
    assert "run/result.h5" in refused(*reader, "run")
    assert "run/result.h5" in refused(*reader, "run", files={"run/result.h5": "energy = -1"})
    assert "nowhere" in refused(*reader, "nowhere")
