"""Numerical trouble: the step is rejected, the damping raised and that noted; after so many tries a clean end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fkflow.cli.entry import main
from fkflow.errors import NumericalError
from fkflow.execution.displays import Lines
from fkflow.hamiltonian.landscape import explore
from fkflow.networks.choice import build
from fkflow.recipe.config import TrainConfig
from fkflow.results import checkpoints
from fkflow.results.checkpoints import load_checkpoint
from fkflow.sampling.broad import BroadDensity
from fkflow.systems.wells import DoubleWell
from fkflow.training import natural_gradient, observation, update
from fkflow.training.loop import initial_state, train
from fkflow.training.safeguards import MOST_REJECTED
from fkflow.training.state import Record, TrainState

RUN = ["run", "double_well", "--threads", "1", "--device", "cpu", "--seed", "7"]
for setting in (
    "train.walkers=64",
    "train.iterations=12",
    "train.stop_spread=0",
    "measure.walkers=256",
    "project.seconds=0",
):
    RUN += ["--set", setting]


@pytest.fixture
def trained(caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[TrainState, list[Record], list[str]]]:
    """Train a double well: the state, the records and what was logged, also if it ended with NumericalError."""

    def call(iterations: int = 20, **changes: Any) -> tuple[TrainState, list[Record], list[str]]:
        config = TrainConfig(
            **{"walkers": 256, "iterations": iterations, "equilibrate": 20, "moves": 3, "stop_spread": 0.0} | changes
        )
        system, records = DoubleWell(), []
        land = explore(system)
        state = initial_state(build(system, land, "auto", 6, 1, 0), land, config, 0, "cpu", system)
        with caplog.at_level(logging.WARNING, "fkflow"):
            try:
                for record in train(system, land, config, state):
                    records.append(record)
                    # whatever happened, a checkpoint could be written now
                    assert all(p.isfinite().all() for p in state.net.parameters())
                    assert state.walkers.x.isfinite().all()
            except NumericalError as error:
                return state, records, [entry.getMessage() for entry in caplog.records] + [str(error)]
        return state, records, [entry.getMessage() for entry in caplog.records]

    return call


def failing(real: Callable[..., Any], at: set[int], spoil: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, whose answers at these calls (from 1) are spoilt."""
    calls = []

    def wrapped(*given: Any, **named: Any) -> Any:
        calls.append(1)
        found = real(*given, **named)
        return spoil(found) if len(calls) in at else found

    return wrapped


def spoilt(rows: torch.Tensor, which: slice, value: float) -> torch.Tensor:
    rows[which] = value
    return rows


NO_SOLUTION = "the natural gradient has no solution"
#: what fails, in which way to train, how it is spoilt, and what is said of it
FAULTS = {
    "energies": (observation, "path_samples", {}, lambda x: x * math.nan, "256 of 256 energies are not finite"),
    "infinite energies": (
        observation,
        "path_samples",
        {},
        lambda x: x + math.inf,
        "256 of 256 energies are not finite",
    ),
    "wild energies": (observation, "path_samples", {}, lambda x: x + 1e6, "the energy went from"),
    "jacobian": (
        update,
        "jacobian_and_derivatives",
        {},
        lambda rows: spoilt(rows, slice(0, 256), math.nan),
        NO_SOLUTION,
    ),
    "its slopes": (
        update,
        "jacobian_and_derivatives",
        {},
        lambda rows: spoilt(rows, slice(256, None), math.inf),
        NO_SOLUTION,
    ),
    "one infinite gradient": (
        update,
        "jacobian_and_derivatives",
        {},
        lambda rows: spoilt(rows, slice(3, 4), math.inf),
        NO_SOLUTION,
    ),
    "jacobian alone": (update, "jacobian", {"curvature": 0.0, "rate": 0.02}, lambda x: x * math.nan, NO_SOLUTION),
    "weights": (BroadDensity, "weights", {}, lambda x: x * math.nan, NO_SOLUTION),
    "gradient": (update, "covariance_gradient", {"optimiser": "adam"}, None, "the gradient is not finite"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_costs_one_step(name: str, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    module, place, way, spoil, words = FAULTS[name]
    real = getattr(module, place)
    if spoil is None:

        def real(net: Any, *given: Any, real: Any = real) -> Any:
            real(net, *given)
            return net

        def spoil(net: Any) -> None:
            next(net.parameters()).grad.fill_(math.nan)

    monkeypatch.setattr(module, place, failing(real, {8}, spoil))
    state, records, said = trained(50, **way)
    assert [r.iteration for r in records if r.undone] == [8] and len(records) == 50
    assert len(said) == 1 and said[0].startswith("the step of iteration 7 is rejected: ") and words in said[0]
    assert "half the rate and twice the damping" in said[0]
    before, after = records[6], records[8]
    plain = TrainConfig(**way)
    assert after.rate == pytest.approx(0.5 * plain.rate / (1 + 8 / plain.decay), rel=1e-9)
    expected = plain.damping + plain.damping_start * math.exp(-8 / plain.damping_decay)
    assert after.damping == pytest.approx(2 * expected, rel=1e-9) and before.rate > after.rate
    # and it recovers
    if not way:
        assert records[-1].energy == pytest.approx(0.9004, rel=0.03)
    assert records[-1].rate == pytest.approx(plain.rate / (1 + 49 / plain.decay))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_stays_ends_the_training(name: str, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    module, place, way, spoil, words = FAULTS[name]
    if spoil is None or name == "wild energies":
        pytest.skip("energies that are wild for ever are a new measure of the network, not a fault")
    monkeypatch.setattr(module, place, failing(getattr(module, place), set(range(8, 200)), spoil))
    state, records, said = trained(100, **way)
    assert len(records) == 7 + MOST_REJECTED and all(r.undone for r in records[7:])
    assert said[-1] == (
        f"training failed at iteration {7 + MOST_REJECTED}: {MOST_REJECTED} steps in a row were rejected, the last one because "
        f"{said[0].split(': ')[1].split(';')[0]}; try a smaller train.rate or a larger train.damping"
    )
    dampings = [r.damping for r in records[8:]]
    assert dampings[-1] > 100 * dampings[0]


def test_a_singular_system_is_solved_with_more_damping(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cholesky fails a few times: λ is raised within the step, and no step is rejected; it fails for ever: the step is."""
    real, calls = torch.linalg.cholesky_ex, []

    def cholesky(matrix: torch.Tensor) -> Any:
        calls.append(1)
        factor, info = real(matrix)
        return factor, info + 1 if len(calls) < 4 or fails else info

    fails = False
    monkeypatch.setattr(natural_gradient.torch.linalg, "cholesky_ex", cholesky)
    _, records, said = trained(3)
    assert said == [] and len(calls) == 3 + 3
    fails = True
    _, records, said = trained(3)
    assert all(r.undone for r in records) and "the natural gradient has no solution" in said[0]


@pytest.mark.parametrize("share", ["a few", "many"])
def test_a_potential_with_a_hole(share: str, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN where few walkers are costs those walkers; NaN where many are is told."""
    real, edge = DoubleWell.potential, 2.9 if share == "a few" else 1.5

    def potential(self: DoubleWell, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, 0, 0] > edge, math.nan, real(self, x))

    land = explore(DoubleWell())
    monkeypatch.setattr(DoubleWell, "potential", potential)
    monkeypatch.setitem(globals(), "explore", lambda system: land)
    _, records, said = trained(30)
    if share == "a few":
        assert not any(r.undone for r in records) and records[-1].energy == pytest.approx(0.9004, rel=0.03)
    else:
        assert "energies are not finite; a potential that is finite where the walkers are is needed" in said[-1]
        assert len(said) == MOST_REJECTED + 1


@pytest.mark.parametrize("kind", ["train", "measure", "explore"])
def test_the_command_ends_with_3(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last good checkpoint stays, and one sentence says what went wrong and what to change."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.0)
    real, log, calls, began = DoubleWell.potential, Lines.log, [], []

    def potential(self: DoubleWell, x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        # some iterations of a training are good
        broken = kind == "explore" or (began and len(calls) > began[0] + (8 if kind == "train" else 0))
        return real(self, x) * (math.nan if broken else 1)

    def logged(self: Lines, line: str) -> None:
        if line.startswith(f"{kind} ..."):
            began.append(len(calls))
        log(self, line)

    monkeypatch.setattr(Lines, "log", logged)
    monkeypatch.setattr(DoubleWell, "potential", potential)
    assert main(RUN) == 3
    lines = capsys.readouterr().err.splitlines()
    assert sum("error" in line for line in lines) == 1 and lines[-1].startswith("fkflow: error: ")
    if kind == "explore":
        assert list(tmp_path.iterdir()) == []
        return
    assert "are not finite" in lines[-1] and "V is not finite at 256 walkers: where the particles" in lines[-1]
    state = load_checkpoint(tmp_path / "runs/double_well/checkpoint.pt")["state"]
    assert state["iteration"] == 12 if kind == "measure" else state["iteration"] > 0
    for saved in (state["net"], state["snapshot"]["net"]):
        assert all(p.isfinite().all() for p in saved.values())
