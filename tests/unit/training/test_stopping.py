"""When training ends and when it goes on: budgets, targets, networks that are exact."""

from __future__ import annotations

import math

import pytest
import torch
from trainings import prepared

from fkflow.hamiltonian.registry import find_system
from fkflow.training.loop import train
from fkflow.training.schedule import AGAIN, ENOUGH, FEWEST, HURRIED, LATE, MEASURING, RETURNS, extend_training


def test_the_time_budget_ends_training() -> None:
    arguments = prepared(iterations=10**6, seconds=0.05)
    records = list(train(*arguments))
    assert 1 <= len(records) < 10**4 and records[-1].seconds >= 0.05


def test_no_iterations() -> None:
    assert list(train(*prepared(iterations=0))) == []


def test_an_exact_network_stops_training() -> None:
    """Nothing is left to learn where the energy has no spread."""
    arguments = prepared(find_system("harmonic")(particles=2, dimensions=2), iterations=1000, stop_spread=1e-3)
    records = list(train(*arguments))
    assert len(records) < 50
    assert records[-1].energy == pytest.approx(2.0, abs=1e-4)


def test_a_target_error_ends_training_once_measuring_is_cheap() -> None:
    """The looser the target, the sooner; and never before the energy spreads little enough for it."""
    lengths = []
    for target in (1e-2, 1e-4, None):
        arguments = prepared(walkers=512, iterations=60, target_error=target)
        records = list(train(*arguments))
        lengths.append(len(records))
        if target is not None:
            walkers = len(arguments[3].walkers.x)
            measuring = MEASURING * records[-1].spread ** 2 / (target**2 * walkers)
            assert measuring <= ENOUGH * len(records)
            # the twin: shortly before it was not worth it, or the fewest iterations had not been done
            before = records[-HURRIED - 1]
            cost = MEASURING * before.spread**2 / (target**2 * walkers)
            assert cost > ENOUGH * before.iteration or before.iteration < FEWEST
    assert FEWEST <= lengths[0] < lengths[1] < lengths[2] == 60


def test_training_goes_on_after_a_poor_measurement() -> None:
    """Where the measured spread makes reaching the target cost more than twice the training, from the measured walkers."""
    system, land, config, state = prepared(target_error=1e-2, iterations=200)
    first = list(train(system, land, config, state))
    done = state.iteration
    assert done < 200
    walkers = len(state.walkers.x)
    limit = config.target_error * math.sqrt(LATE * done * walkers / MEASURING)
    x = torch.full((7, *state.walkers.x.shape[1:]), 0.25, dtype=torch.float64)
    assert not extend_training(config, state, 0.99 * limit, x)
    # not without a target, and not beyond what the recipe allows
    for change in ({"target_error": None}, {"iterations": done}, {"seconds": 0.0}):
        other = config.model_copy(update=change)
        assert not extend_training(other, state, 1.01 * limit, x)
    assert state.extensions == 0 and not (state.walkers.x == 0.25).all()
    for time in range(RETURNS):
        before = state.iteration
        assert extend_training(config, state, 100 * limit, x)
        assert (state.walkers.x == 0.25).all() and state.walkers.x.shape == (walkers, *x.shape[1:])
        again = list(train(system, land, config, state))
        assert [record.iteration for record in again] == list(range(before + 1, state.iteration + 1))
        assert state.extensions == time + 1 and state.iteration >= math.ceil((1 + AGAIN) * before) + HURRIED - 1
    assert not extend_training(config, state, 100 * limit, x)
    assert len(first) == done
