"""The network that a training leaves: the best of the last one, the average and the best so far, on unseen walkers."""

from __future__ import annotations

import math

import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import LogPsi, build
from fkflow.recipe.config import TrainConfig
from fkflow.training import freezing
from fkflow.training.freezing import NEWEST, freeze, update_average
from fkflow.training.loop import initial_state, train
from fkflow.training.observation import Problem
from fkflow.training.state import TrainState

QUARTIC = find_system("quartic")()
ENERGY = 0.803770651


def prepared(kind: str = "auto", **changes) -> tuple[Problem, TrainState, list]:
    """A problem, its state and the arguments of `train`."""
    config = TrainConfig(**{"walkers": 256, "iterations": 25, "stop_spread": 0.0} | changes)
    land = explore(QUARTIC)
    state = initial_state(build(QUARTIC, land, kind, 6, 1, 0), land, config, 0, "cpu", QUARTIC)
    return Problem(QUARTIC, config, land.length**2), state, [QUARTIC, land, config, state]


def parameters(state: TrainState) -> torch.Tensor:
    """All of them in one vector (P,)."""
    return torch.nn.utils.parameters_to_vector(state.net.parameters()).detach().clone()


def put(values: torch.Tensor, state: TrainState) -> None:
    torch.nn.utils.vector_to_parameters(values.clone(), state.net.parameters())


def spoil(state: TrainState) -> None:
    """A step that made the network bad."""
    with torch.no_grad():
        for p in state.net.parameters():
            p.add_(0.5 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype))


def trained(**changes) -> tuple[Problem, TrainState]:
    """A state after the last iteration, before a network is chosen."""
    problem, state, arguments = prepared(**changes)
    steps = train(*arguments)
    for _ in range(problem.config.iterations):
        next(steps)
    assert state.frozen_at == 0 and state.unseen is None
    return problem, state


@pytest.mark.parametrize("left", ["best", "average", "last"])
def test_the_best_network_is_frozen(left: str) -> None:
    """Where all but one of the three candidates are bad, that one is taken."""
    problem, state = trained()
    good, average = parameters(state), state.average
    assert isinstance(average, torch.Tensor) and state.snapshot is not None
    best = torch.cat(
        [p.flatten() for name, p in state.snapshot["net"].items() if name in dict(state.net.named_parameters())]
    )
    expected = {"best": best, "average": average, "last": good}[left]
    spoil(state)
    bad = {name: tensor.clone() for name, tensor in state.net.state_dict().items()}
    if left != "average":
        state.average = parameters(state)
    if left != "best":
        state.snapshot["net"] = bad
    if left == "last":
        put(good, state)
    freeze(problem, state)
    assert torch.equal(parameters(state), expected)
    assert state.frozen_at == state.iteration and state.unseen is not None
    energy, spread = state.unseen
    assert abs(energy - ENERGY) < 0.02 and 0 < spread < 0.5
    # the momentum of another network is none for this one
    assert bool(state.spring.last.abs().max() > 0) == (left == "last")
    # the twin: the spoilt network is told by the same numbers
    state.snapshot = state.average = None
    state.net.load_state_dict(bad)
    state.frozen_at = 0
    freeze(problem, state)
    assert state.unseen[0] + state.unseen[1] > 2 * (energy + spread)


def test_an_energy_that_is_not_finite_is_never_the_best() -> None:
    problem, state = trained()
    with torch.no_grad():
        for p in state.net.parameters():
            p.fill_(math.nan)
    state.average = None
    freeze(problem, state)
    assert parameters(state).isfinite().all()


def test_a_network_that_is_wrong_in_rare_places_is_not_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best so far has half the spread of the last one, but for few walkers in the tails."""
    problem, state = trained(walkers=1024)
    assert state.snapshot is not None
    last, state.average = parameters(state), None
    noise = torch.Generator().manual_seed(3)

    def energies(net: LogPsi, system: object, x: torch.Tensor, *_: object) -> torch.Tensor:
        good = torch.equal(parameters(state), last)
        found = ENERGY + (0.01 if good else 0.005) * torch.randn(len(x), generator=noise, dtype=x.dtype)
        return found if good else found + (x[:, 0, 0].abs() > 1.6)

    monkeypatch.setattr(freezing, "fastest_local_energy", energies)
    freeze(problem, state)
    assert torch.equal(parameters(state), last)
    assert 0.009 < state.unseen[1] < 0.011
    # the twin: firmly clipped, the wrong one looks better
    monkeypatch.setattr(freezing, "FAR", 0.0)
    state.frozen_at = 0
    freeze(problem, state)
    assert not torch.equal(parameters(state), last)


def test_networks_that_are_the_same_are_judged_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """All candidates see the same noise; with other noise the same network has another spread."""
    problem, state = trained()
    assert state.snapshot is not None
    state.average = parameters(state)
    state.snapshot["net"] = {name: tensor.clone() for name, tensor in state.net.state_dict().items()}
    judged, judge = [], freezing._judge
    monkeypatch.setattr(freezing, "_judge", lambda *given: judged.append(judge(*given)) or judged[-1])
    freeze(problem, state)
    assert len(judged) == 3 and judged[1] == judged[2] == judged[0] == state.unseen
    assert judge(problem, state, state.net) != judged[0]


def test_it_is_chosen_once_and_the_end_goes_on_to_the_same_bits() -> None:
    _, state, arguments = prepared()
    for record in train(*arguments):
        if record.iteration == 20:
            saved = state.state_dict()
    found = parameters(state)
    assert state.frozen_at == 25
    list(train(*arguments))
    assert torch.equal(parameters(state), found)
    _, other, again = prepared()
    other.load_state_dict(saved)
    list(train(*again))
    assert torch.equal(parameters(other), found) and other.unseen == state.unseen
    # a checkpoint of the end is of the network that was chosen
    _, third, finished = prepared()
    third.load_state_dict(state.state_dict())
    list(train(*finished))
    assert torch.equal(parameters(third), found) and third.unseen == state.unseen


def test_a_checkpoint_of_an_earlier_version_is_left_as_it_was_trained() -> None:
    _, state = trained()
    saved = state.state_dict()
    for key in ("average", "frozen_at", "unseen"):
        del saved[key]
    _, other, arguments = prepared()
    other.load_state_dict(saved)
    list(train(*arguments))
    assert torch.equal(parameters(other), parameters(state)) and other.unseen is None


def test_the_average_begins_anew_after_a_rejected_step() -> None:
    _, state, _ = prepared()
    first = parameters(state)
    update_average(state, True)
    assert torch.equal(state.average, first)
    spoil(state)
    update_average(state, True)
    assert torch.allclose(state.average, (1 - NEWEST) * first + NEWEST * parameters(state))
    update_average(state, False)
    assert state.average is None


def test_a_drift_without_a_log_psi_is_left_alone() -> None:
    _, state, arguments = prepared("pair_drift", estimator="pathwise", steps=4, iterations=2, walkers=32)
    assert not isinstance(state.net, LogPsi)
    list(train(*arguments))
    assert state.unseen is None and state.iteration == 2
