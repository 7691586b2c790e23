"""What a call from Python is given: errors name its arguments, numbers and names of any kind are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from python_calls import QUICK, SHORT, Pair

import fkflow
from fkflow.errors import RecipeError

pytestmark = pytest.mark.usefixtures("few_moves")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"train": {"iterations": "many"}}, 'train.iterations = "many" is not allowed: it must be a whole number'),
        ({"train": {"iters": 3}}, r"train.iters is not a key of \[train\] \(did you mean iterations\?\)"),
        ({"network": {"kind": "symmetric"}}, "network.kind = .* with the system Pair"),
        ({"train": 3}, "train = 3 is not allowed: it must be a dictionary"),
        ({"measure": {"a.b": 1}}, "measure"),
        ({"device": "tpu"}, "device='tpu' is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed: it must be a whole number from 0 to 4294967295"),
        ({"seed": True}, "seed=True is not allowed"),
        ({"threads": 0}, "threads=0 is not allowed"),
        ({"target_error": -1.0}, "target_error=-1: an energy above 0"),
        ({"target_error": "small"}, "target_error='small' is not allowed"),
        ({"resume": True}, "resume=True goes on from the checkpoint of a folder: give it as out"),
        ({"force": True}, "force=True replaces the run in a folder: give it as out"),
        ({"force": True, "resume": True, "out": "x"}, "force=True replaces what resume=True goes on with"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], told: str) -> None:
    with pytest.raises(fkflow.UsageError, match=told) as caught:
        fkflow.solve(Pair(), progress=False, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("system", "told"),
    [
        (Pair, r"Pair'> is a class: give an instance of fkflow.System, such as MyTrap\(\), or the name of a recipe"),
        (3, "3 is no system: give an instance of fkflow.System"),
        ("h3", '"h3" is no file .* nor a shipped recipe or a system'),
        ("scan_h2", r"scan_h2.toml has a section \[scan\]"),
    ],
)
def test_wrong_systems(system: Any, told: str) -> None:
    for call in (fkflow.solve, fkflow.train):
        with pytest.raises(fkflow.UsageError, match=told):
            call(system)


def test_ranks_are_for_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(fkflow.UsageError, match="start it without torchrun, or use torchrun -m fkflow run"):
        fkflow.solve(Pair(), **QUICK, progress=False)


def test_numbers_of_any_library() -> None:
    given = {"iterations": np.int64(3), "rate": torch.tensor(0.25), "walkers": 64}
    training = fkflow.train(Pair(), train=given, project={"time_steps": np.array([0.1, 0.05])}, seed=np.int64(1))
    assert training.seed == 1
    recipe = training._session.recipe.resolved()
    assert recipe["train"]["iterations"] == 3 and recipe["train"]["rate"] == 0.25
    assert recipe["project"]["time_steps"] == [0.1, 0.05]


def test_systems_by_name() -> None:
    # a system has no recipe of its own, but is one with the defaults
    assert fkflow.train("quartic").system == fkflow.make_system("quartic")
    system = fkflow.make_system("bosons", particles=3, g=np.float64(2.0))
    assert system.parameters()["particles"] == 3 and system.parameters()["g"] == 2.0
    with pytest.raises(RecipeError, match=r"system.gg is not a key of \[system\] for bosons"):
        fkflow.make_system("bosons", gg=1)
    with pytest.raises(RecipeError, match="'bozons' is not allowed: it must be one of .*did you mean bosons"):
        fkflow.make_system("bozons")
    with pytest.raises(RecipeError, match="there is no file nowhere.py"):
        fkflow.make_system("nowhere.py:Trap")


class Touching(fkflow.System):
    """1/r between particles on a plane, of which the checks warn."""

    particles = 2
    dimensions = 2

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x.square().sum((1, 2)) + 1 / (x[:, 0] - x[:, 1]).norm(dim=-1)


def test_warnings_of_the_checks() -> None:
    with pytest.warns(UserWarning, match="V grows without bound where two particles meet"):
        fkflow.train(Touching(), **QUICK)


def test_a_vector_drift_has_no_log_psi() -> None:
    training = fkflow.train(
        fkflow.make_system("harmonic", particles=2, dimensions=1),
        network={"kind": "pair_drift", "hidden": 4},
        train={"walkers": 32, "iterations": 1, "steps": 4},
    )
    x = np.ones((3, 2, 1))
    assert training.drift(x).shape == x.shape
    with pytest.raises(fkflow.UsageError, match="a vector drift has no log ψ"):
        training.log_psi(x)


def test_texts(pair: fkflow.Solution) -> None:
    assert str(pair).startswith("Pair  k = 1.5\n") and repr(pair) == str(pair)
    table = pair._repr_html_()
    assert table.startswith("<table><caption>Pair  k = 1.5</caption>") and str(pair.energy) in table
    text = repr(pair.density)
    assert "density/x" in text and "normalised over dx" in text and "100 bins" in text and len(text) < 250
    assert repr(fkflow.train(Pair(), **QUICK)) == "<Training of Pair: 0 of at most 4 iterations, seed 1>"


def test_a_single_particle_has_no_pairs() -> None:
    solution = fkflow.solve(fkflow.make_system("quartic"), **SHORT, progress=False)
    with pytest.raises(
        fkflow.UsageError, match="this run of quartic has no pair distribution: it is a single particle"
    ):
        solution.pair  # noqa: B018


def test_public_names() -> None:
    assert set(fkflow.__all__) <= set(dir(fkflow))
    assert all(getattr(fkflow, name) for name in fkflow.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'solv'"):
        fkflow.solv  # noqa: B018
