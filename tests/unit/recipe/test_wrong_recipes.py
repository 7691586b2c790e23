"""Wrong recipes: one clear sentence for everything, which names the key or the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recipe_texts import ATOMS, GIRSANOV, H2, MOLECULAR, PAIR_DRIFT, SYMMETRIC, nucleus, refused, system

from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import shipped_recipes
from fkflow.recipe.config import load


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
