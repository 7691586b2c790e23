"""Recipes: reading, overriding, writing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from recipe_texts import GIRSANOV, H2, PAIR_DRIFT, system

from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import built_in_systems, shipped_recipes
from fkflow.recipe.config import Loaded, ProjectConfig, Recipe, load, parse, to_toml
from fkflow.recipe.template import recipe_template


def test_an_estimator_brings_its_own_defaults() -> None:
    plain = parse(H2, "my.toml").recipe.train
    pathwise = parse(H2, "my.toml", ["train.estimator=pathwise"]).recipe.train
    assert (plain.optimiser, pathwise.optimiser) == ("spring", "adam")
    assert pathwise.steps > 1 and pathwise.dt > 1e-4 and pathwise.rate < plain.rate
    assert parse(H2, "my.toml", ["train.estimator=pathwise", "train.steps=5"]).recipe.train.steps == 5
    free = parse(system("bosons") + PAIR_DRIFT, "my.toml").recipe.train
    assert (free.estimator, free.optimiser) == ("pathwise", "adam")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("[]", ()),
        ("[1]", (1.0,)),
        ("[0.04, 0.01]", (0.04, 0.01)),
        ("[1, 0.5, 10]", (1.0, 0.5, 10.0)),
        ("[1e-12]", (1e-12,)),
        ("[1, 2, 3, 4, 5, 6, 7, 8]", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)),
    ],
)
def test_time_steps(steps: str, expected: tuple[float, ...]) -> None:
    """Numbers in the order given, whole ones too; as a file, as --set and in the recipe that is kept."""
    for loaded in (
        parse(f"{H2}[project]\ntime_steps = {steps}", "my.toml"),
        parse(H2, "my.toml", [f"project.time_steps={steps}"]),
    ):
        found = loaded.recipe.project.time_steps
        assert found == expected and all(type(dt) is float for dt in found)
        resolved = loaded.recipe.resolved()
        assert resolved["project"]["time_steps"] == list(expected)
        assert parse(to_toml(resolved), "my.toml").recipe == loaded.recipe


def test_a_vector_drift_is_projected_by_girsanov_weights() -> None:
    free = parse(system("bosons") + PAIR_DRIFT, "my.toml").recipe
    assert free.project.weights == "girsanov" and free.project == ProjectConfig(weights="girsanov")
    # its own keys stay, near nuclei too
    text = H2 + PAIR_DRIFT + "\n[project]\nwalkers = 100"
    assert parse(text, "my.toml").recipe.project == ProjectConfig(weights="girsanov", walkers=100)
    assert parse(system("bosons") + PAIR_DRIFT + "\n" + GIRSANOV, "my.toml").recipe == free
    # a log ψ may have either, where there are no nuclei
    assert parse(system("bosons"), "my.toml").recipe.project.weights == "local_energy"
    assert parse(system("bosons") + GIRSANOV, "my.toml").recipe.project.weights == "girsanov"


def test_overrides() -> None:
    overrides = [
        "train.estimator=pathwise",
        'train.optimiser = "adam"',
        "train.steps=3",
        "system.R=2",
        "train.steps=1_6",
        "measure.seconds=1.5",
    ]
    loaded = parse(H2, "folder/my.toml", overrides)
    assert isinstance(loaded, Loaded)
    assert (loaded.name, loaded.text, loaded.source) == ("my", H2, "folder/my.toml")
    recipe = loaded.recipe
    assert (recipe.train.estimator, recipe.train.optimiser, recipe.train.steps) == ("pathwise", "adam", 16)
    assert recipe.system.parameters() == {"R": 2.0} and recipe.measure.seconds == 1.5
    swapped = parse(H2, "my.toml", ["system.name=molecule", "system.nuclei=[{position=[0,0,0],charge=3}]"])
    assert swapped.recipe.system.nuclei().charges == (3.0,)


def test_sections_are_frozen_and_defaults_those_of_the_schema() -> None:
    recipe = parse(H2, "my.toml").recipe
    assert recipe == Recipe(system=built_in_systems()["h2"]())
    with pytest.raises(ValueError):
        recipe.train.dt = 0.5


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(name)
    assert loaded == load(Path(name).stem)
    assert loaded.source == name and loaded.name == Path(name).stem
    assert loaded.text.startswith("# ") and "target_error" in loaded.text


def test_the_recipes_that_must_be_shipped() -> None:
    shipped = {"h2", "he", "bosons", "bosons8", "harmonic", "chain", "double_well"}
    assert {f"{name}.toml" for name in shipped} <= set(shipped_recipes())


def test_files_come_before_shipped_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "h2").mkdir()
    assert load("h2").recipe.system.R == 1.401
    (tmp_path / "h2.toml").write_bytes("\ufeff# größer\r\n[system]\r\nname = 'h2'\r\nR = 3\r\n".encode())
    assert [load(name).recipe.system.R for name in ("h2", "h2.toml", "./h2")] == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("key", sorted({*built_in_systems(), *(name[:-5] for name in shipped_recipes())}))
def test_init_prints_every_key_with_its_value(key: str) -> None:
    """That of the shipped recipe of that name, with its scan if it has one; else the default."""
    text = recipe_template(key)
    assert recipe_template(f"{key}.toml") == text if f"{key}.toml" in shipped_recipes() else text.startswith("# ")
    lines = text.splitlines()
    loaded = parse(text, "new.toml")
    recipe = loaded.recipe
    # a system may have defaults of its own in other sections
    known = f"{key}.toml" in shipped_recipes()
    expected = load(key) if known else parse(f'[system]\nname = "{key}"\n', "new.toml")
    assert recipe == expected.recipe
    assert loaded.scan == expected.scan
    written = tomllib.loads(text)
    for section, table in recipe.resolved().items():
        for name, value in table.items():
            if value is None:
                assert f"# {name} =" in text
            else:
                assert written[section][name] == value
            if name != "name":
                n = next(n for n, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{name} ="))
                assert "  # " in lines[n] or lines[n - 1].startswith("# ")
    assert max(map(len, lines)) <= 110


def test_a_checkout_that_is_not_installed(tmp_path: Path) -> None:
    """With the repository on PYTHONPATH alone, systems and recipes are found beside the package."""
    root = Path(__file__).resolve().parents[3]
    # -S leaves out site-packages with its editable install; the dependencies come back by name
    path = os.pathsep.join([str(root), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]])
    code = (
        "import sys; from fkflow.recipe.config import load; print(load('he').recipe.system.reference().energy); "
        "assert 'torch' not in sys.modules; print(sys.modules['fkflow.systems'].__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
    )
    energy, file = done.stdout.split()
    assert float(energy) == -2.903724377034 and Path(file).resolve() == root / "systems" / "__init__.py"


def test_init_of_an_unknown_system() -> None:
    with pytest.raises(RecipeError, match="did you mean bosons"):
        recipe_template("boson")


@pytest.mark.parametrize(
    "text",
    [
        H2,
        system("harmonic", "omega = [1, 2.5, 1e-3]"),
        system("poschl_teller", "lambda = 2"),
        system("molecule", "electrons = 1", "nuclei = [{position = [0, 0, 1e-3], charge = 2.5}]"),
        H2 + "[train]\nseconds = 20\ndt = 1e-5",
        H2 + "[project]\nseconds = 0\ntime = 3\ntime_steps = [0.04, 1]",
        system("bosons") + PAIR_DRIFT + "\n[project]\nwalkers = 64",
    ],
)
def test_resolved_recipes_come_back(text: str) -> None:
    recipe = parse(text, "my.toml").recipe
    resolved = recipe.resolved()
    assert json.loads(json.dumps(resolved)) == resolved
    assert (
        list(resolved) == ["system", "network", "train", "measure", "project", "spectrum", "thermal"]
        and "name" in resolved["system"]
    )
    assert parse(to_toml(resolved), "my.toml").recipe == recipe


def test_toml_writer() -> None:
    table = {
        "text": 'quote " back \\ tab \t del \x7f é\n',
        "odd key": [1, 2.5, True, "a"],
        "big": 1e300,
        "inline": {"x": [{"y": 1}]},
        "none": None,
        "small": 1e-05,
        "inf": float("inf"),
    }
    read = tomllib.loads(to_toml({"section": table}))["section"]
    assert read == {key: value for key, value in table.items() if value is not None}
