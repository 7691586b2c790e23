"""A Hamiltonian of the user's own, from its file to a result and back: check, run, measure, animate, repeat, resume, scan."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import pytest

from fkflow.cli.entry import main
from fkflow.results.scan_store import read_scan
from fkflow.results.store import read_result

#: two particles of masses 1 and 3 in a trap of frequency 1, tied by a spring k
PAIR = """import fkflow


class Pair(fkflow.System):
    particles = 2
    dimensions = 1
    identical = False
    mass = [1.0, 3.0]
    k: float = 1.5

    def potential(self, x):
        first, second = x[:, 0, 0], x[:, 1, 0]
        return 0.5 * first**2 + 1.5 * second**2 + 0.5 * self.k * (first - second) ** 2
"""
RECIPE = """[system]
file = "pair.py:Pair"
[network]
hidden = 4
[train]
iterations = 3
walkers = 64
[measure]
walkers = 128
target_error = 1e-4
[project]
seconds = 0
"""
#: for what does not look at the energy
ROUGH = ["--set", "measure.target_error=1.0"]
#: the centre of mass has the frequency 1, the distance that of its reduced mass 3/4
EXACT = 0.5 + 0.5 * math.sqrt(1 + 1.5 / 0.75)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe, the file and a finished run of it."""
    folder = tmp_path_factory.mktemp("own")
    before = os.getcwd()
    os.chdir(folder)
    try:
        Path("pair.py").write_text(PAIR)
        Path("pair.toml").write_text(RECIPE)
        assert main(["run", "pair.toml", "--seed", "1"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a copy of them."""
    shutil.copytree(finished, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own"


def test_the_result_knows_its_file(here: Path) -> None:
    result = read_result("runs/pair")
    energy = result.measurement.variational.estimate
    assert abs(energy.value - EXACT) < 4 * energy.error + 1e-6 and energy.error < 1e-3
    assert result.definition is not None and result.definition.text == PAIR
    assert result.definition.file == result.resolved["system"]["file"] == "../../pair.py:Pair"
    assert result.system == "Pair" and result.parameters == {"k": 1.5}


def test_commands_find_the_file_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "elsewhere").mkdir()
    os.chdir("elsewhere")
    assert main(["measure", "../runs/pair", *ROUGH]) == 0
    assert main(["animate", "../runs/pair", "--seconds", "0.2", "--format", "gif", "--size", "160"]) == 0
    assert read_result("../runs/pair").resolved["system"]["file"] == "../../pair.py:Pair"
    os.chdir("..")
    assert main(["run", "runs/pair/result.h5", *ROUGH]) == 0
    capsys.readouterr()
    again, first = read_result("runs/pair-rerun"), read_result("runs/pair")
    assert {name: w.tolist() for name, w in again.model.items()} == {
        name: w.tolist() for name, w in first.model.items()
    }


def test_a_file_that_is_gone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is run from the text in a result: the file is needed, but not to look at the result."""
    Path("pair.py").rename("moved.py")
    for command in (["measure", "runs/pair"], ["animate", "runs/pair"], ["run", "runs/pair/result.h5"]):
        assert main(command) == 2
        said = capsys.readouterr().err.strip()
        assert said == (
            "fkflow: error: runs/pair/result.h5 is a run of Pair in pair.py, which is not there: give it with "
            "--set system.file=FILE.py:Pair"
        )
    assert main(["show", "runs/pair"]) == 0 and main(["plot", "runs/pair", "density_x"]) == 0
    moved = ["--set", "system.file=moved.py:Pair"]
    assert main(["measure", "runs/pair", *moved, *ROUGH]) == 0
    assert read_result("runs/pair").resolved["system"]["file"] == "../../moved.py:Pair"
    assert main(["animate", "runs/pair", "--set", "train.walkers=3"]) == 2


def test_a_file_that_has_changed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pair.py").write_text(PAIR + "# a remark\n")
    assert main(["measure", "runs/pair", *ROUGH]) == 0
    said = capsys.readouterr().err
    assert said.count("warning: pair.py is not what it was when the run was made: its content has changed") == 1
    assert main(["measure", "runs/pair", *ROUGH]) == 0
    assert "warning" not in capsys.readouterr().err, "the result has the new text"


def test_check(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir())
    assert main(["check", "pair.toml", "--set", "system.k=2.0"]) == 0
    said = capsys.readouterr().out
    for words in ("Pair in pair.py  k = 2", "2 distinguishable particles in 1 dimension", "[1.0, 3.0]", "1 minimum"):
        assert words in said
    assert "no fault found" in said
    assert main(["check", "h2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nuclei"] == 2 and found["coordinates"] == 6 and found["reference"]["energy"] < -1.17
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_potential(command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told before training, in one sentence; nothing is written."""
    Path("pair.py").write_text(PAIR.replace("1.5 * second**2", "-1.5 * second**2"))
    before = sorted(str(path) for path in here.rglob("*"))
    assert main([command, "pair.toml", *(["--out", "runs/new"] if command == "run" else [])]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("fkflow: error: Pair in pair.py: V is not bounded below")
    assert len(said.err.splitlines()) == 1 and sorted(str(path) for path in here.rglob("*")) == before


def test_a_run_goes_on_wherever_the_file_lies(here: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    import fkflow.runs.run

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fkflow.runs.run, "measure_and_project", stop)
        assert main(["run", "pair.toml", *ROUGH, "--out", "runs/new", "--seed", "1"]) == 130
    capsys.readouterr()
    (here / "sub").mkdir()
    shutil.copy("pair.toml", "sub")
    Path("sub/pair.py").write_text(PAIR + "# a remark\n")
    assert main(["run", "sub/pair.toml", *ROUGH, "--out", "runs/new", "--resume"]) == 0
    assert "warning: sub/pair.py is not what it was" in capsys.readouterr().err
    new, first = read_result("runs/new"), read_result("runs/pair")
    assert {name: w.tolist() for name, w in new.model.items()} == {name: w.tolist() for name, w in first.model.items()}


def test_a_scan_of_a_parameter(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One of its points is not bounded below: it is recorded, and the scan goes on."""
    # the picture after every point takes longer than the point
    monkeypatch.setattr("fkflow.runs.scan.save_scan", lambda *_: None)
    scan = ["--over", "system.k=[-5.0, 2.0]", *ROUGH]
    assert main(["scan", "pair.toml", *scan, "--out", "runs/scan"]) == 3
    assert "1 of 2 points failed" in capsys.readouterr().err
    (here / "sub").mkdir()
    os.chdir("sub")
    # a parameter without a description has a long name all the same
    assert read_scan(Path("../runs/scan/scan.h5")).axes[0].long_name == "parameter of Pair in pair.py"
    assert main(["scan", "../pair.toml", *scan, "--out", "../runs/scan", "--resume"]) == 3
    assert "belongs to another" not in capsys.readouterr().err


OBSERVED = """
    observable_units = {"heavy": "nm^2"}

    def observables(self, x):
        return {"heavy": x[:, 1, 0] ** 2, "places": x[:, :, 0]}
"""
#: ⟨x²⟩ of the heavy particle: the centre of mass and the distance are independent oscillators
HEAVY = 1 / (2 * 4.0) + 1 / 4**2 / (2 * 0.75 * math.sqrt(1 + 1.5 / 0.75))


def test_observables_of_the_class(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the summary, JSON and a scan; those that are wrong are refused, and nothing is written."""
    Path("pair.py").write_text(PAIR + OBSERVED)
    assert main(["check", "pair.toml"]) == 0 and "the energy and heavy, places" in capsys.readouterr().out
    assert main(["run", "pair.toml", "--out", "runs/new", "--seed", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["observables"]
    heavy = found["heavy"]["variational"]
    assert abs(heavy["value"] - HEAVY) < 4 * heavy["error"] + 0.01 * HEAVY and heavy["error"] < 0.05 * HEAVY
    assert found["heavy"]["unit"] == "nm^2" and len(found["places"]["variational"]["value"]) == 2
    assert main(["show", "runs/new"]) == 0
    assert any(line.split()[0] == "heavy" and line.endswith("nm^2") for line in capsys.readouterr().out.splitlines())
    before = sorted(str(path) for path in here.rglob("*"))
    for wrong, words in (
        ("x[:, 1:]", "has the shape (7, 1, 1)"),
        ("1 / (0 * x[:, 1, 0])", "is not finite at 256 of 256"),
    ):
        Path("pair.py").write_text(PAIR + OBSERVED.replace("x[:, 1, 0] ** 2", wrong))
        for command in ("check", "run"):
            assert main([command, "pair.toml", *(["--out", "runs/no"] if command == "run" else [])]) == 2
            said = capsys.readouterr().err
            assert said.startswith("fkflow: error: Pair in pair.py: the observable heavy") and words in said
            assert len(said.splitlines()) == 1 and sorted(str(path) for path in here.rglob("*")) == before
