"""Recipes: reading, overriding, writing, and one clear sentence for everything wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import built_in_systems, shipped_recipes
from fkflow.recipe.config import Loaded, ProjectConfig, Recipe, load, parse, to_toml
from fkflow.recipe.template import recipe_template

H2 = '[system]\nname = "h2"\n'
KINDS = ("symmetric", "molecular", "pair_drift")
SYMMETRIC, MOLECULAR, PAIR_DRIFT = (f'[network]\nkind = "{kind}"' for kind in KINDS)
GIRSANOV = '[project]\nweights = "girsanov"'
ATOMS = "[{position = [0, 0, 0], charge = 1}, {position = [0, 0, 0], charge = 1}]"


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(text, "my.toml", overrides)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and not message.endswith(".")
    assert caught.value.exit_code == 2
    return message


def system(name: str, *lines: str) -> str:
    return "\n".join(["[system]", f'name = "{name}"', *lines, ""])


def nucleus(keys: str) -> str:
    return system("molecule", f"nuclei = [{{{keys}}}]")


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        # unknown names
        (system("h2", "r = 1.0"), "system.r", ["did you mean R?", "allowed are name, R"]),
        (H2 + "[train]\niteration = 5", "train.iteration", ["did you mean iterations?", "steps, dt"]),
        (H2 + "[trian]\nwalkers = 5", "[trian]", ["did you mean train?", "system, network, train, measure, project"]),
        (H2 + "[sweep]\nwalkers = 5", "[sweep]", ["system, network, train, measure, project, spectrum, thermal, scan"]),
        (system("quartic") + "[thermal]\ntemperature = 0", "thermal.temperature", ["above 0", "a list"]),
        (system("quartic") + "[thermal]\nbeta = [1.0, 1.0]", "thermal.beta", ["different"]),
        (system("quartic") + "[thermal]\nbeta = true", "thermal.beta", ["a number above 0"]),
        (system("quartic") + "[thermal]\nbeta = 1\ntemperature = 2", "thermal.beta", ["temperature", "leave one out"]),
        (system("quartic") + '[thermal]\nstatistics = "fermi"', "thermal.statistics", ["bose", "boltzmann"]),
        (H2 + "[scan]\nwalkers = 5", "scan.walkers", ["over, unit, warm"]),
        (H2 + "[scan]\nover = 5", "scan.over", ["5", "a list of texts"]),
        (H2 + "[scan]\nunit = 0", "scan.unit", ["a number above 0"]),
        (H2 + "[scan]\nwarm = 1", "scan.warm", ["true or false"]),
        (H2 + "[train]\nfrom = 5", "train.from", ["5", "the folder of a finished run"]),
        (H2 + "[train]\nfrom = ' '", "train.from", ["the folder of a finished run"]),
        ("x = 1\n" + H2, '"x"', ["outside any section"]),
        (system("bosens"), 'system.name = "bosens"', ["did you mean bosons?", "harmonic, chain"]),
        ("[system]\nname = 3", "system.name = 3", ["one of harmonic"]),
        ("[system]\nR = 1", "system.name is missing", ['"h2"']),
        ("", "system.name is missing", []),
        ("system = 3", "system = 3", ["must be a section"]),
        ('[[system]]\nname = "h2"', "system = [", ["must be a section"]),
        (system("poschl_teller", "lambda_ = 2"), "system.lambda_", ["did you mean lambda?"]),
        # wrong types
        (system("h2", 'R = "far"'), 'system.R = "far"', ["a number from 1e-06 to 1000"]),
        (system("h2", "R = true"), "system.R = true", ["a number"]),
        (system("h2", "R = 1979-05-27"), "system.R = 1979-05-27", ["a number"]),
        (system("bosons", "particles = 4.0"), "system.particles = 4.0", ["a whole number from 1 to 1024"]),
        (H2 + '[network]\nkind = "deep"', 'network.kind = "deep"', ['"auto", "symmetric"']),
        (H2 + "[train]\nseconds = [1]", "train.seconds = [1]", ["a number above 0"]),
        # impossible values
        (system("h2", "R = 0"), "system.R = 0", ["a number from 1e-06 to 1000"]),
        (system("h2", "R = nan"), "system.R = nan", ["a number"]),
        (system("h2", "R = -inf"), "system.R = -inf", ["a number"]),
        (system("h2", "R = 1e999"), "system.R = inf", ["a number"]),
        (system("h2", f"R = 1{'0' * 400}"), "system.R = 1000", ["a number"]),
        (system("h2", f"R = 0x{'f' * 5000}"), "system.R = a value too long", ["a number"]),
        (system("bosons", "particles = 0"), "system.particles = 0", ["from 1 to 1024"]),
        (system("bosons", f"particles = 1{'0' * 30}"), "system.particles = 1000", ["from 1 to 1024"]),
        (system("bosons", "g = -1"), "system.g = -1", ["from 0 to 1e+06", "never negative"]),
        (system("bosons", "g = nan"), "system.g = nan", ["from 0 to 1e+06"]),
        (system("harmonic", "omega = [1, 2]"), "system.omega = [1, 2]", ["each of the 3 dimensions"]),
        (system("harmonic", "omega = [1, 2, nan]"), "system.omega = [1, 2, nan]", ["each of the 3"]),
        (system("harmonic", "omega = true"), "system.omega = true", ["a number from"]),
        (system("morse", "a = 20"), "system.a = 20", ["sqrt(8 depth) = 8.94427"]),
        (system("molecule", "electrons = 3"), "system.electrons = 3", ["from 1 to 2"]),
        (system("molecule", "nuclei = []"), "system.nuclei = []", ["a list of 1 to 64 nuclei"]),
        (system("molecule", "nuclei = [3]"), "system.nuclei[0] = 3", ["a table of position, charge"]),
        (system("molecule", f"nuclei = {ATOMS}"), "system.nuclei", ["different places", "0 and 1 coincide"]),
        (nucleus("position = [0, 0], charge = 1"), "system.nuclei[0].position = [0, 0]", ["three"]),
        (nucleus("position = [0, 0, 0], charge = 0"), "system.nuclei[0].charge = 0", ["from 0.001"]),
        (nucleus("position = [0, 0, 0]"), "system.nuclei[0].charge is missing", ["from 0.001"]),
        (nucleus("position = [0, 0, 0], charge = 1, mass = 1"), "system.nuclei[0].mass", ["charge"]),
        (H2 + "[train]\ndt = 0", "train.dt = 0", ["a number above 0 and at most 1"]),
        (H2 + "[train]\nwalkers = 1", "train.walkers = 1", ["a whole number from 2"]),
        (H2 + "[train]\nmomentum = 1", "train.momentum = 1", ["at least 0 and below 1"]),
        (H2 + "[measure]\ntarget_error = 0", "measure.target_error = 0", ["a number above 0"]),
        (H2 + "[project]\nwalkers = 63", "project.walkers = 63", ["0 or an integer of at least 64"]),
        (H2 + "[project]\nseconds = -1", "project.seconds = -1", ["a number from 0 to 1e+09"]),
        (H2 + "[project]\ntime = 0", "project.time = 0", ["a number above 0"]),
        (H2 + "[project]\nweights = 1", "project.weights = 1", ['"local_energy", "girsanov"']),
        (H2 + "[project]\ntime_step = [0.1]", "project.time_step", ["did you mean time_steps?"]),
        # keys that exclude each other
        (
            H2 + '[train]\nestimator = "pathwise"\noptimiser = "spring"',
            'train.optimiser = "spring"',
            ['"adam"', "amplifies"],
        ),
        (H2 + SYMMETRIC, 'network.kind = "symmetric"', ['"auto", "molecular"', "cusps"]),
        (system("chain") + SYMMETRIC, 'network.kind = "symmetric"', ["distinguishable"]),
        (system("bosons") + MOLECULAR, 'network.kind = "molecular"', ["no nuclei"]),
        (
            system("bosons") + PAIR_DRIFT + '\n[train]\nestimator = "covariance"',
            'train.estimator = "covariance"',
            ['"pathwise"'],
        ),
        (
            system("bosons") + PAIR_DRIFT + '\n[project]\nweights = "local_energy"',
            'project.weights = "local_energy"',
            ['"girsanov"', "without a log ψ"],
        ),
        (H2 + GIRSANOV, 'project.weights = "girsanov"', ['"local_energy"', "h2", "variance"]),
        (system("molecule") + GIRSANOV, 'project.weights = "girsanov"', ['"local_energy"', "molecule", "nuclei"]),
        # several at once
        (H2 + "[train]\ndt = 0\nwalkers = 1\nx = 3", "train.x", ["and 2 more problems"]),
        (system("h2", "R = 0") + "[train]\ndt = 0", "system.R = 0", ["and 1 more problem)"]),
    ],
)
def test_wrong_recipe(text: str, key: str, words: list[str]) -> None:
    message = refused(text)
    assert message.startswith(f"my.toml: {key}") or message.startswith(f"my.toml: the key {key}")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[system]\nname = "h2', ["my.toml is not valid TOML", "end of the file, line 2"]),
        ('[system]\nname = "h2"\nname = "he"', ["Cannot overwrite a value", "line 3"]),
        ("[system]\nname = h2\nR = 1", ["line 2, column 8"]),
        (H2 + f"R = 1{'0' * 5000}", ["not valid TOML", "too many digits"]),
        (H2 + f"R = {'[' * 100_000}", ["not valid TOML", "nested too deeply"]),
    ],
)
def test_broken_toml(text: str, words: list[str]) -> None:
    message = refused(text)
    assert all(word in message for word in words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("system.R", ["section.key=value"]),
        ("R=2", ["section.key=value"]),
        ("a.b.c=2", ["section.key=value"]),
        ("=2", ["section.key=value"]),
        ("train.dt=", ["nothing is not a TOML value"]),
        ("train.dt=1,5", ["1,5 is not a TOML value"]),
        ("train.dt=1e-3x", ["1e-3x is not a TOML value"]),
        ("train.dt=1\nwalkers=3", ["on one line"]),
        ("system.R=0", ["system.R = 0 is not allowed", "a number from"]),
        ("train.dt=True", ['train.dt = "True"', "a number"]),
        ("system.name=hh2", ['system.name = "hh2"', "did you mean h2?"]),
        ("trian.dt=1", ["[trian]", "did you mean train?"]),
        ("train.foo=1", ["train.foo is not a key"]),
        ("network.kind=symmetric", ["network.kind", "nuclei"]),
    ],
)
def test_wrong_override(override: str, words: list[str]) -> None:
    message = refused(H2, override)
    assert message.startswith(f"--set {override.split()[0]}")
    assert all(word in message for word in words)


def test_a_wrong_file_is_blamed_on_the_file() -> None:
    assert refused(system("h2", "R = 0"), "train.dt=0.01").startswith("my.toml: system.R")
    assert refused(system("h2", "R = 1"), "system.name=he").startswith("my.toml: system.R is not a key")


def test_an_estimator_brings_its_own_defaults() -> None:
    plain = parse(H2, "my.toml").recipe.train
    pathwise = parse(H2, "my.toml", ["train.estimator=pathwise"]).recipe.train
    assert (plain.optimiser, pathwise.optimiser) == ("spring", "adam")
    assert pathwise.steps > 1 and pathwise.dt > 1e-4 and pathwise.rate < plain.rate
    assert parse(H2, "my.toml", ["train.estimator=pathwise", "train.steps=5"]).recipe.train.steps == 5
    free = parse(system("bosons") + PAIR_DRIFT, "my.toml").recipe.train
    assert (free.estimator, free.optimiser) == ("pathwise", "adam")


@pytest.mark.parametrize(
    "steps",
    [
        *("0.1", "true", '"0.1"', "{x = 0.1}", "[true]", '["0.1"]', "[[0.1]]", "[1979-05-27]"),
        *("[0]", "[-1]", "[-0.01, 0.02]", "[10.1]", "[nan]", "[inf]", "[1e999]", "[0.1, 0.1]", "[1, 1.0]"),
        "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]",
    ],
)
def test_wrong_time_steps(steps: str) -> None:
    message = refused(f"{H2}[project]\ntime_steps = {steps}")
    assert message.startswith("my.toml: project.time_steps = ")
    assert "a list of up to 8 different numbers above 0 and at most 10, such as [0.04, 0.01]" in message


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


@pytest.mark.parametrize("name", ["nope.toml", "nope", "a/b.toml", "", "nul\0byte", "x" * 300, "new\nline"])
def test_missing_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        load(name)
    message = str(caught.value)
    some = sorted(Path(file).stem for file in shipped_recipes())[:4]
    assert f"one of those that fkflow list shows, such as {', '.join(some)}" in message and "\n" not in message
    if "nope" in name:
        assert str(tmp_path) in message and name in message


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="is a folder"):
        load(str(tmp_path))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"# \xff\xfe\n")
    with pytest.raises(RecipeError, match=r"binary\.toml is not UTF-8 text \(at byte 2\)"):
        load(str(binary))
    with pytest.raises(RecipeError, match="did you mean bosons"):
        load("bosns")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(RecipeError, match=r"binary\.toml cannot be read \(Permission denied\)"):
        load(str(binary))


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
