"""Systems in files of the user's own: how a recipe names them, what is said about a wrong file, what is remembered."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fkflow.errors import RecipeError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import (
    PREFIX,
    absolute_file,
    definition_of,
    relative_file,
    split_file,
    without_folders,
)
from fkflow.recipe.config import load, parse, to_toml, with_values
from fkflow.recipe.template import recipe_template

TRAP = """import fkflow


class Trap(fkflow.System):
    particles = 1
    dimensions = 2
    strength: float = 1.0

    def potential(self, x):
        return self.strength * x.square().sum((1, 2))


class Other(Trap):
    key = "another"


number = 3
"""
RECIPE = '[system]\nfile = "my_trap.py:Trap"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with my_trap.py."""
    monkeypatch.chdir(tmp_path)
    Path("my_trap.py").write_text(TRAP)
    return tmp_path


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(text, "my.toml", overrides)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    assert not any(name.startswith(PREFIX) and "half" in vars(sys.modules[name]) for name in list(sys.modules))
    return message


def test_a_class_in_a_file(folder: Path) -> None:
    recipe = parse(RECIPE + "strength = 2", "my.toml").recipe
    assert type(recipe.system).__name__ == "Trap" and recipe.system.key == "Trap" and recipe.system.strength == 2
    assert recipe.definition is not None and recipe.definition.text == TRAP
    assert recipe.definition.sha256 == hashlib.sha256(TRAP.encode()).hexdigest()
    assert recipe.resolved()["system"] == {"file": "my_trap.py:Trap", "strength": 2.0}
    again = parse(to_toml(recipe.resolved()), "again.toml").recipe
    assert again == recipe and type(again.system) is type(recipe.system), "one class for one content"
    assert parse('[system]\nfile = "my_trap.py:Other"', "my.toml").recipe.system.key == "another"
    Path("my_trap.py").write_text(TRAP.replace("strength: float = 1.0", "strength: float = 5.0"))
    assert parse(RECIPE, "my.toml").recipe.system.strength == 5.0, "what the file says now"


def test_threads_share_a_class(tmp_path: Path) -> None:
    """A thread waits for the file that another one is running: it had only the classes above the line reached so far."""
    file = tmp_path / "slow.py"
    file.write_text(
        "import time\nimport fkflow\nclass First(fkflow.System):\n    particles, dimensions = 1, 1\n"
        "    def potential(self, x):\n        return x.square().sum((1, 2))\ntime.sleep(0.2)\nclass Last(First):\n    pass\n"
    )
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: user_systems.load(f"{file}:Last")[0], range(4)))
    assert len(set(found)) == 1 and found[0].__name__ == "Last"


def test_a_file_imports_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while V is computed; what is installed comes first."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour_of_a_trap.py").write_text("STIFFNESS = 3.0\n")
    (tmp_path / "torch.py").write_text("raise RuntimeError\n")
    (tmp_path / "trap.py").write_text(
        "import fkflow, torch\n"
        "from neighbour_of_a_trap import STIFFNESS\n"
        "class Trap(fkflow.System):\n"
        "    particles = 1\n"
        "    dimensions = 1\n"
        "    def potential(self, x):\n"
        "        import neighbour_of_a_trap\n"
        "        return neighbour_of_a_trap.STIFFNESS * STIFFNESS * x.square().sum((1, 2))\n"
    )
    system, _ = user_systems.load(f"{tmp_path}/trap.py:Trap")
    assert float(system().potential(torch.ones(1, 1, 1))) == 9.0


def test_where_the_file_is_looked_for(folder: Path) -> None:
    """A path in a recipe starts from the recipe's file, one of --set from the working directory."""
    (folder / "sub").mkdir()
    (folder / "my_trap.py").rename(folder / "sub" / "my_trap.py")
    (folder / "sub" / "my.toml").write_text(RECIPE)
    assert load("sub/my.toml").recipe.resolved()["system"]["file"] == "sub/my_trap.py:Trap"
    os.chdir("sub")
    assert load("my.toml").recipe.resolved()["system"]["file"] == "my_trap.py:Trap"
    os.chdir("..")
    (folder / "other.toml").write_text('[system]\nname = "harmonic"\n')
    swapped = load("other.toml", ["system.file=sub/my_trap.py:Trap"]).recipe
    assert swapped.resolved()["system"]["file"] == "sub/my_trap.py:Trap"
    back = load("sub/my.toml", ["system.name=harmonic"]).recipe
    assert back.resolved()["system"]["name"] == "harmonic" and back.definition is None
    absolute = f"{folder / 'sub' / 'my_trap.py'}:Trap"
    assert load("other.toml", [f'system.file="{absolute}"']).recipe.resolved()["system"]["file"] == absolute


def test_scanned_parameters_of_a_file(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "my_trap.py").rename(folder / "sub" / "my_trap.py")
    (folder / "sub" / "my.toml").write_text(RECIPE)
    loaded = with_values(load("sub/my.toml"), {"system.strength": (7.0, RecipeError)})
    assert loaded.recipe.system.strength == 7.0 and loaded.recipe.definition is not None


BROKEN = {
    "missing": (None, "my_trap.py:Trap", "there is no file my_trap.py (looked for in "),
    "no class": (TRAP, "my_trap.py:Trip", "my_trap.py has no class Trip: it has Trap, Other"),
    "no classes": ("x = 1", "my_trap.py:Trap", "has no class Trap: it has none"),
    "no system": (TRAP, "my_trap.py:number", "number in my_trap.py is not a system"),
    "not Python": ("def f(:\n", "my_trap.py:Trap", "my_trap.py is not Python: invalid syntax in line 1"),
    "binary": ("a\0b", "my_trap.py:Trap", "my_trap.py is not Python: "),
    "raises": (
        "x = 1\nhalf = 2\ny = 1 / 0\n",
        "my_trap.py:Trap",
        "raises ZeroDivisionError in line 3: division by zero",
    ),
    "no module": ("import nowhere_at_all", "my_trap.py:Trap", "raises ModuleNotFoundError in line 1: No module named"),
    "leaves": ("import sys\nsys.exit(3)", "my_trap.py:Trap", "raises SystemExit in line 2: 3"),
    "no annotation": (
        "import fkflow\nclass Trap(fkflow.System):\n    g = 1.0",
        "my_trap.py:Trap",
        "in my_trap.py g = 1.0 has no type: write g: float = 1.0 for a parameter",
    ),
    "no potential": (
        TRAP.replace("def potential", "def energy"),
        "my_trap.py:Trap",
        "it has no potential: def potential(self, x) must",
    ),
    "no particles": (TRAP.replace("particles = 1", ""), "my_trap.py:Trap", "it does not say its particles: "),
    "name": (TRAP.replace("strength", "name"), "my_trap.py:Trap", "cannot have a parameter called name"),
    "no form": (TRAP, "my_trap.py", 'it must name a file and a class in it, such as "my_trap.py:Trap"'),
    "no name": (TRAP, "my_trap.py:", "it must name a file and a class in it"),
    "folder": (TRAP, ".:Trap", "is a folder"),
    "mass": (TRAP.replace("particles = 1", "particles = 1; mass = -1"), "my_trap.py:Trap", "mass = -1 is not allowed"),
    "nuclei": (
        TRAP + "Trap.nuclei = lambda self: 1 / 0",
        "my_trap.py:Trap",
        "nuclei() raises ZeroDivisionError in line",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_wrong_files(name: str, folder: Path) -> None:
    text, file, words = BROKEN[name]
    Path("my_trap.py").unlink()
    if text is not None:
        Path("my_trap.py").write_text(text)
    message = refused(f'[system]\nfile = "{file}"')
    assert message.startswith(f'my.toml: system.file = "{file}"') and words in message
    assert "--set system.file" in refused(RECIPE.replace("my_trap", "gone"), f'system.file="{file}"')
    assert not Path("__pycache__").exists()


def test_wrong_parameters(folder: Path) -> None:
    assert "system.q is not a key of [system] for Trap; allowed are file, strength" in refused(RECIPE + "q = 1")
    assert 'system.strength = "x" is not allowed: it must be a number' in refused(RECIPE + 'strength = "x"')
    both = refused(RECIPE + 'name = "h2"')
    assert both == "my.toml: system.name and system.file exclude each other: leave out one of them"
    assert "it must name a file and a class" in refused("[system]\nfile = 3")
    assert "system.file one of your own" in refused("[train]\nwalkers = 4")


ODD = """from pydantic import field_validator, model_validator
import fkflow


class Odd(fkflow.System):
    particles = 1
    dimensions = 1
    powers: list[int] = [2]
    both: float | list[float] = 1.0

    @model_validator(mode="after")
    def _check(self):
        if len(self.powers) > 2:
            raise ValueError("at most two powers, such as [2, 4], since more than two cost more than they are worth")
        if self.powers == [7]:
            raise KeyError("seven")
        return self

    def potential(self, x):
        return sum(x[:, 0, 0] ** p for p in self.powers)
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("powers = 3", "system.powers is not allowed: Input should be a valid list"),
        ("powers = [1.5]", "system.powers[0] is not allowed: Input should be a valid integer"),
        ("powers = [1, 2, 3]", "since more than two cost more than they are worth"),
        ('both = "x"', "is not allowed: Input should be a valid"),
        ("powers = [7]", "[system] is not allowed: KeyError in line 16: 'seven'"),
    ],
)
def test_parameters_of_any_type(line: str, words: str, folder: Path) -> None:
    Path("odd.py").write_text(ODD)
    assert words in refused(f'[system]\nfile = "odd.py:Odd"\n{line}')


def test_a_recipe_to_start_from(folder: Path) -> None:
    text = recipe_template("my_trap.py:Trap")
    assert parse(text, "my.toml").recipe == parse(RECIPE, "my.toml").recipe
    Path("asks.py").write_text(TRAP.replace("strength: float = 1.0", "strength: float"))
    with pytest.raises(RecipeError, match="asks.py:Trap has no default for strength"):
        recipe_template("asks.py:Trap")
    with pytest.raises(RecipeError, match="there is no file gone.py"):
        recipe_template("gone.py:Trap")


def test_names_of_files() -> None:
    assert split_file("a/b.py:C") == ("a/b.py", "C")
    assert relative_file(Path("runs/x"), "a/b.py:C") == "../../a/b.py:C"
    assert (
        relative_file(Path("runs/x"), "/a/b.py:C") == "/a/b.py:C" and relative_file(Path("x"), "~/b.py:C") == "~/b.py:C"
    )
    assert without_folders({"system": {"file": "a/b.py:C", "k": 1}, "train": {}}) == {
        "system": {"file": "b.py:C", "k": 1},
        "train": {},
    }
    assert without_folders({"system": {"name": "h2"}}) == {"system": {"name": "h2"}}


def test_the_public_names_cost_nothing() -> None:
    """``import fkflow`` imports neither torch nor pydantic; its names do without torch."""
    code = (
        "import sys, fkflow; assert not {'torch', 'pydantic'} & set(sys.modules); "
        "fkflow.System, fkflow.Reference, fkflow.Nuclei; assert 'torch' not in sys.modules; "
        "assert not hasattr(fkflow, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_where_a_class_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of a module is known by its file; one of a program, a function or a package by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_module.py").write_text(TRAP)
    module = importlib.import_module("own_module")
    found = definition_of(module.Trap)
    assert (
        found == user_systems.load("own_module.py:Trap")[1] and found.path == "own_module.py" and found.name == "Trap"
    )
    assert definition_of(user_systems.load("own_module.py:Trap")[0]) == found
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert Path(str(definition_of(module.Trap).path)) == tmp_path / "own_module.py"

    class Local(System):
        particles, dimensions = 1, 1

        def potential(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2))

    alone = definition_of(Local)
    assert (alone.file, alone.path, alone.name) == ("Local", None, "Local")
    assert alone.text.startswith("class Local(System):") and alone.sha256 != found.sha256
    monkeypatch.setattr(module.Trap, "__module__", "__main__")
    assert definition_of(module.Trap).path is None
    assert absolute_file(Path("a"), "Local") == relative_file(Path("a"), "Local") == "Local"
    assert without_folders({"system": {"file": "Local"}}) == {"system": {"file": "Local"}}
