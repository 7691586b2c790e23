"""Single walkers that sit where a network is wrong: they are respawned."""

from __future__ import annotations

import math

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import build
from fkflow.recipe.config import TrainConfig
from fkflow.sampling.clipping import Deviations
from fkflow.training.loop import initial_state, train
from fkflow.training.safeguards import FAR, OUTLIER, reason_to_reject, respawn
from fkflow.training.state import TrainState

WALKERS = 128
CONFIG = TrainConfig(walkers=WALKERS, iterations=6)


def fresh() -> tuple[TrainState, float]:
    """Four bosons at the start of their training, and their unit of time."""
    system = find_system("bosons")(particles=4)
    land = explore(system)
    return initial_state(build(system, land, "auto", 8, 2, 0), land, CONFIG, 0, "cpu", system), land.length**2


def energies(*away: float) -> Deviations:
    """Of WALKERS walkers that spread by 0.1 about 7, the first ones farther away."""
    found = 7 + 0.1 * torch.randn(WALKERS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found[: len(away)] = 7 + torch.tensor(away, dtype=torch.float64)
    return Deviations(found)


def test_the_lost_go_where_others_are() -> None:
    state, unit = fresh()
    before = state.walkers.x
    respawn(energies(-80.0, math.nan, 300.0, math.inf), state, unit)
    after = state.walkers.x
    assert torch.equal(after[4:], before[4:])
    for x in after[:4]:
        assert (x == before[4:]).all((1, 2)).any()
    assert not torch.equal(after[:4], before[:4])


@pytest.mark.parametrize("away", [0.0, 9.0, -9.0], ids=["none", "above", "below"])
def test_who_is_no_farther_away_than_tails_are_stays(away: float) -> None:
    """Many deviations, but few natural energies: a network that is good elsewhere must still be learned there."""
    state, unit = fresh()
    seen = energies(away / unit)
    assert abs(away) < FAR and (not away or abs(away / unit) > OUTLIER * float(seen.median_deviation))
    x, random = state.walkers.x, state.generator.get_state()
    respawn(seen, state, unit)
    assert state.walkers.x is x and torch.equal(state.generator.get_state(), random)


def test_a_network_that_is_wrong_everywhere_is_no_matter_of_single_walkers() -> None:
    state, unit = fresh()
    x = state.walkers.x
    # few deviations, many natural energies
    respawn(Deviations(1e3 * torch.randn(WALKERS, generator=torch.Generator().manual_seed(2)).double()), state, unit)
    # nobody is left to go to
    respawn(Deviations(torch.full((WALKERS,), math.nan, dtype=torch.float64)), state, unit)
    assert state.walkers.x is x


def crowd(state: TrainState) -> Tensor:
    """Put three walkers where all particles are in one place, and let nobody move."""
    state.walkers.x = state.walkers.x.clone()
    state.walkers.x[:3] *= 0.01
    state.walkers.step = 1e-12
    return state.walkers.x[:3]


@pytest.mark.parametrize("wrong", [False, True], ids=["", "twin"])
def test_training_brings_them_back(wrong: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four bosons in one place have some five natural energies too much for a good network; the twin leaves them there."""
    monkeypatch.setattr("fkflow.training.safeguards.FAR", 3.0)
    monkeypatch.setattr("fkflow.training.safeguards.OUTLIER", 10.0)
    looked = []

    def looking(seen: Deviations, state: TrainState, unit: float) -> None:
        looked.append(seen)
        if not wrong:
            respawn(seen, state, unit)

    monkeypatch.setattr("fkflow.training.safeguards.respawn", looking)
    state, _ = fresh()
    system = find_system("bosons")(particles=4)
    # a network that stays what it is at the start
    steps = train(system, explore(system), CONFIG.model_copy(update={"rate": 1e-9}), state)
    for _ in range(3):
        next(steps)
    crowded = crowd(state)
    assert not next(steps).undone and float(looked[-1].distance[:3].min()) > 4
    stayed = (state.walkers.x[:3] - crowded).abs().amax((1, 2)) < 1e-3
    assert stayed.all() if wrong else not stayed.any()


def judged(state: TrainState, unit: float, seen: Deviations) -> str:
    state.best, state.snapshot = (7.3, 0.15), {"the best": "so far"}
    return reason_to_reject(seen, state, unit)


def test_energies_of_the_lost_make_no_network_the_best() -> None:
    """Six of 128 walkers at −500: the mean without them decides; the twin, a network whose energy is lower, is the best."""
    state, unit = fresh()
    assert not judged(state, unit, energies(*[-500.0] * 6))
    clean = state.best
    assert not judged(state, unit, energies())
    assert state.best[0] == pytest.approx(clean[0], abs=0.02)
    lower = Deviations(energies().energies - 0.5)
    assert not judged(state, unit, lower) and state.best[0] < clean[0] - 0.4


def test_a_step_that_loses_much_of_the_weight_is_taken_back() -> None:
    state, unit = fresh()
    assert not judged(state, unit, energies(*[-500.0] * 6))
    assert "9 % of the walkers, by weight, are lost" in judged(state, unit, energies(*[-500.0] * 11))
    # few may have much of it
    seen = energies(-500.0)
    weights = torch.ones(WALKERS, dtype=torch.float64)
    weights[0] = 20.0
    assert "14 % of the walkers, by weight, are lost" in judged(state, unit, Deviations(seen.energies, weights))
    # a wide spread alone loses nobody
    assert not judged(state, unit, Deviations(7 + 3 * (energies().energies - 7)))


@pytest.mark.parametrize(("spread", "bad"), [(0.1, False), (0.4, False), (20.0, True)])
def test_energies_that_fall_as_far_as_they_spread_are_no_gain(spread: float, bad: bool) -> None:
    """Walkers that ψ² does not hold any more have energies far below and spread as far: the sum hides it."""
    state, unit = fresh()
    assert reason_to_reject(energies(), state, unit) == ""
    before = state.best
    noise = (energies().energies - 7) / 0.1
    # with the same sum of mean and spread
    seen = Deviations(before[0] + spread * (noise - (before[0] - 7) / 0.1))
    assert reason_to_reject(seen, state, unit).startswith("the spread went") == bad
    assert not bad or state.best == before
