"""fkflow from Python: solve and load give the results of the commands, and a solution what is asked of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from python_calls import EXACT, OPTIONS, QUICK, SHORT, Pair, same

import fkflow
from fkflow.cli.entry import main
from fkflow.errors import StoreError
from fkflow.results.store import read_result

pytestmark = pytest.mark.usefixtures("few_moves")


def test_a_class_of_the_program_is_solved(pair: fkflow.Solution) -> None:
    assert abs(pair.energy.value - EXACT) < 5 * pair.energy.error + 1e-6
    assert pair.energy == pair.variational and pair.projected is None and pair.reference is None
    assert pair.samples.shape[1:] == (2, 1) and pair.path is None
    assert pair.density.name == "x" and pair.pair.name == "r" and list(pair.densities) == ["x"]
    widths = np.diff(pair.density.axes[0].edges)
    assert pair.density.values @ widths == pytest.approx(1.0, abs=0.02)
    assert len(pair.training["energy"]) == len(pair.training["iteration"]) <= 4
    assert pair.recipe["train"]["iterations"] == 4 and pair.recipe["system"] == {"file": "Pair", "k": 1.5}
    assert pair.system == Pair()
    # it has no folder to show
    assert pair.summary()["run"] is None and "result" not in str(pair)


def test_drift_and_log_psi_are_those_of_the_users_coordinates(pair: fkflow.Solution) -> None:
    x = np.array([[[0.3], [-0.2]], [[1.0], [0.5]], [[-0.7], [0.1]]])
    v, step = pair.drift(x), 1e-5
    assert v.shape == x.shape and v.dtype == np.float64
    for particle, mass in enumerate(Pair.mass):
        moved = np.zeros_like(x)
        moved[:, particle] = step
        slope = (pair.log_psi(x + moved) - pair.log_psi(x - moved)) / (2 * step)
        np.testing.assert_allclose(v[:, particle, 0], slope / mass, atol=1e-8)
    # ψ = exp(−½ (M ω_com R² + μ ω_rel r²)): the drift of the first is that of both parts
    centre, apart = (x[:, 0] + 3 * x[:, 1]) / 4, x[:, 0] - x[:, 1]
    expected = -centre - 0.75 * math.sqrt(3) * apart
    np.testing.assert_allclose(v[:, 0], expected, atol=0.01)
    single = pair.drift(x[0])
    assert single.shape == (2, 1) and np.allclose(single, v[0])
    assert pair.log_psi(x).shape == (3,) and pair.log_psi(x[0]).shape == ()
    tensor = pair.drift(torch.tensor(x, dtype=torch.float32))
    assert tensor.dtype == torch.float32 and np.allclose(tensor.numpy(), v, atol=1e-5)


def test_any_number_of_configurations_in_any_mode(pair: fkflow.Solution) -> None:
    assert pair.drift(np.zeros((0, 2, 1))).shape == (0, 2, 1) and pair.log_psi(np.zeros((0, 2, 1))).shape == (0,)
    assert pair.drift(np.ones((3, 5, 2, 1))).shape == (3, 5, 2, 1) and pair.log_psi(np.ones((3, 5, 2, 1))).shape == (
        3,
        5,
    )
    expected = pair.drift(np.ones((2, 1)))
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert np.array_equal(pair.drift(torch.ones(2, 1, dtype=torch.float64)).numpy(), expected)
    assert np.array_equal(pair.drift(np.ones((2, 1), dtype=int)), expected)
    x = torch.ones(2, 1, requires_grad=True)
    assert not pair.drift(x).requires_grad and not pair.log_psi(x).requires_grad


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((4, 1, 2)), [[0.0], [0.0]], torch.zeros(2)])
def test_positions_of_another_shape(pair: fkflow.Solution, x: Any) -> None:
    with pytest.raises(fkflow.UsageError, match=r"must be an array or tensor \(B, 2, 1\) or \(2, 1\)"):
        pair.drift(x)
    with pytest.raises(fkflow.UsageError, match=r"must be an array or tensor"):
        pair.log_psi(x)


def test_the_same_bits_as_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "double_well", *OPTIONS, "--seed=1", "--threads=1", "--out=run"]) == 0
    written = fkflow.load("run")
    # the recipe has one key of its own
    system = fkflow.make_system("double_well", height=2.0, a=2.0)
    assert same(written, fkflow.solve(system, **SHORT, progress=False))
    # a finished run is repeated with its seed and threads
    assert same(written, fkflow.solve("run", progress=False))
    # by hand, one iteration after the other
    training = fkflow.train("double_well", **SHORT)
    steps = list(training)
    assert [step.iteration for step in steps] == list(range(1, len(steps) + 1))
    assert same(written, training.solution(progress=False))


def test_the_same_seed_is_recorded(short: fkflow.Solution) -> None:
    drawn = fkflow.solve(Pair(), **{**SHORT, "seed": None}, progress=False)
    again = fkflow.solve(Pair(), **{**SHORT, "seed": drawn.result.provenance["seed"]}, progress=False)
    assert same(drawn, again) and not same(drawn, short)


def test_a_run_is_saved_and_loaded(pair: fkflow.Solution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    solution = fkflow.Solution(pair.result)
    with pytest.warns(UserWarning, match=r"Pair is a class of this program.*fkflow.load\('kept', system=Pair\)"):
        assert solution.save("kept") == Path("kept/result.h5")
    assert solution.path == Path("kept/result.h5") and pair.path is None
    loaded = fkflow.load("kept")
    assert same(loaded, pair) and str(loaded) == str(solution) and "kept/result.h5" in str(loaded)
    with pytest.raises(StoreError, match=r"Pair, a class that is in no file: give it with system=Pair"):
        loaded.drift(np.zeros((2, 1)))
    x = pair.samples[:5].astype(float)
    for given in (Pair, Pair()):
        assert np.array_equal(fkflow.load("kept", system=given).drift(x), pair.drift(x))
    with pytest.raises(fkflow.UsageError, match=r"a run of Pair  k = 1.5, not of Pair  k = 2"):
        fkflow.load("kept/result.h5", system=Pair(k=2.0))
    with pytest.raises(fkflow.UsageError, match="choose another out"):
        solution.save("kept")
    with pytest.warns(UserWarning, match="no file"):
        solution.save("new/other.h5")
    with pytest.raises(fkflow.UsageError, match="exists already"):
        solution.save("new/other.h5")
    assert not list(Path("kept").glob(".*")), "nothing but the result is left"


def test_the_command_names_the_missing_class(
    pair: fkflow.Solution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning):
        fkflow.Solution(pair.result).save("kept")
    assert main(["show", "kept"]) == 0
    assert main(["measure", "kept"]) == 2
    told = capsys.readouterr().err
    assert "Pair, a class that is in no file: give it with --set system.file=FILE.py:Pair" in told


def test_measuring_again(pair: fkflow.Solution) -> None:
    again = pair.measure(target_error=5e-4, seed=3, progress=False, project={"seconds": 0})
    assert abs(again.energy.value - EXACT) < 5 * again.energy.error + 1e-6
    assert again.energy != pair.energy and again.recipe["measure"]["target_error"] == 5e-4
    assert all(again.recipe[section] == pair.recipe[section] for section in ("system", "network", "train"))
    assert all(np.array_equal(again.result.model[name], weights) for name, weights in pair.result.model.items())
    assert again.result.provenance["seed"] == 1 and again.result.provenance["measure_seed"] == 3


def test_a_system_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class is found again from the run's folder."""
    monkeypatch.chdir(tmp_path)
    Path("trap.py").write_text(
        "import fkflow\n\n\nclass Trap(fkflow.System):\n    particles = 1\n    dimensions = 2\n    w: float = 1.0\n\n"
        "    def potential(self, x):\n        return 0.5 * self.w**2 * x.square().sum((1, 2))\n"
    )
    solution = fkflow.solve(fkflow.make_system("trap.py:Trap", w=2.0), **QUICK, progress=False, out="runs/trap")
    assert solution.recipe["system"]["file"] == "../../trap.py:Trap"
    x = np.ones((3, 1, 2))
    np.testing.assert_allclose(fkflow.load("runs/trap").drift(x), -2.0 * x, atol=0.01)
    monkeypatch.chdir(tmp_path / "runs")
    np.testing.assert_allclose(fkflow.load("trap").drift(x), -2.0 * x, atol=0.01)
    assert read_result("trap").definition == fkflow.load("trap").result.definition
