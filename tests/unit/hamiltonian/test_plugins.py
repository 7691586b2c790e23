"""Systems of other packages: found by name, listed with where they come from; a broken one breaks nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fkflow.hamiltonian.plugins
from fkflow.cli.entry import main
from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import find_system
from fkflow.recipe.config import load, parse

MODULE = """import fkflow


class Ring(fkflow.System):
    particles = 1
    dimensions = 2
    radius: float = 2.0

    def potential(self, x):
        return (x.square().sum((1, 2)) - self.radius**2) ** 2

    def reference(self):
        return fkflow.Reference(1.5, 0.0, "made up")


class Asks(Ring):
    depth: float


class Fails(Ring):
    def reference(self):
        raise RuntimeError("no table")


class Named(Ring):
    key = "elsewhere"


number = 3
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make it look as if a package with these entry points were installed."""

    def install(package: str, module: str, text: str, entries: dict[str, str]) -> None:
        site = tmp_path / package
        info = site / f"{package}-0.3.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.3\n")
        lines = "\n".join(f"{name} = {value}" for name, value in entries.items())
        (info / "entry_points.txt").write_text(f"[fkflow.systems]\n{lines}\n")
        monkeypatch.syspath_prepend(str(site))

    monkeypatch.chdir(tmp_path)
    return install


def test_a_plugin_is_found_by_name(installed) -> None:
    installed("ring-traps", "ring_traps_a", MODULE, {"ring": "ring_traps_a:Ring"})
    recipe = parse('[system]\nname = "ring"\nradius = 3.0', "my.toml").recipe
    assert recipe.resolved()["system"] == {"name": "ring", "radius": 3.0} and recipe.definition is None
    with pytest.raises(KeyError, match="one of harmonic, .*, ring .did you mean ring"):
        find_system("rings")


def test_plugins_are_listed_with_their_origin(installed, capsys: pytest.CaptureFixture[str]) -> None:
    entries = {
        "ring": "ring_traps_b:Ring",
        "asks": "ring_traps_b:Asks",
        "fails": "ring_traps_b:Fails",
        "named": "ring_traps_b:Named",
        "nothing": "ring_traps_b:nothing",
        "number": "ring_traps_b:number",
        "harmonic": "ring_traps_b:Ring",
    }
    installed("ring-traps", "ring_traps_b", MODULE, entries)
    installed("bad-traps", "bad_traps_b", "raise OSError('no\\nlibrary')", {"bad": "bad_traps_b:Bad"})
    assert main(["list", "--json"]) == 0
    said = capsys.readouterr()
    listed = {item["system"]: item for item in json.loads(said.out)["systems"]}
    assert listed["harmonic"]["origin"] == listed["h2"]["origin"] == "built in"
    assert listed["ring"]["origin"] == "ring-traps 0.3" and listed["ring"]["reference"]["energy"] == 1.5
    assert listed["asks"]["parameters"] == {"radius": 2.0, "depth": None}
    assert {"fails", "named", "bad", "nothing", "number"}.isdisjoint(listed)
    lines = said.err.splitlines()
    assert all(line.startswith("fkflow: warning: the plug-in ") for line in lines) and len(lines) == 6
    words = [
        "bad of bad-traps 0.3 cannot be imported: OSError: no library",
        "fails of ring-traps 0.3 raises RuntimeError('no table')",
        "harmonic of ring-traps 0.3 is refused: a built-in system has that name",
        "named of ring-traps 0.3 is refused: its class has the key elsewhere",
        "nothing of ring-traps 0.3 cannot be imported: AttributeError",
        "number of ring-traps 0.3 is no system",
    ]
    assert all(word in line for word, line in zip(words, lines, strict=True))
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "Systems of the package ring-traps 0.3:\n" in text and text.index("harmonic") < text.index("ring-traps")


def test_a_broken_plugin_breaks_nothing_else(installed) -> None:
    installed("bad-traps", "bad_traps_c", "import sys; sys.exit(1)", {"bad": "bad_traps_c:Bad"})
    assert load("h2").recipe.system.key == "h2"
    with pytest.raises(RecipeError, match="the plug-in bad of bad-traps 0.3 cannot be imported: SystemExit: 1"):
        parse('[system]\nname = "bad"', "my.toml")


def test_two_packages_with_one_name(installed) -> None:
    installed("ring-traps", "ring_traps_d", MODULE, {"ring": "ring_traps_d:Ring"})
    installed("more-rings", "ring_traps_e", MODULE, {"ring": "ring_traps_e:Ring"})
    with pytest.raises(KeyError, match="only one package may bring a system of that name") as caught:
        find_system("ring")
    assert "ring-traps 0.3" in str(caught.value) and "more-rings 0.3" in str(caught.value)


def test_built_in_names_look_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points are read only where a name is not built in."""

    def looked_up(**_: str) -> None:
        raise AssertionError("entry points were read")

    monkeypatch.setattr(fkflow.hamiltonian.plugins, "entry_points", looked_up)
    assert load("h2").recipe.system.key == "h2"
    with pytest.raises(AssertionError, match="entry points were read"):
        find_system("unknown")
