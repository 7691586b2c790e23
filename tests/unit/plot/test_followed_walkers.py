"""The walkers of a film: the network comes back, they follow its drift, they start at stored places."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from films import BOSONS, CALOGERO, CHAIN, H2, VECTOR, WELL

from fkflow.errors import NumericalError, StoreError, UsageError
from fkflow.hamiltonian.landscape import explore
from fkflow.measurement.drift_field import STEPS_IN_TIME
from fkflow.results.records import Trajectories
from fkflow.runs.model import Model, restore_model
from fkflow.runs.trajectories import STEP, draw_starts, follow


@pytest.mark.parametrize("recipe", [BOSONS, H2, WELL, CHAIN, VECTOR])
def test_the_network_comes_back(run, recipe):
    result = run(*recipe)
    model = restore_model(result)
    assert model.system.key == result.system and len(model.landscape.centre) == result.particles
    state = model.net.state_dict()
    assert list(state) == list(result.model)
    assert all(np.array_equal(state[name].numpy(), weights) for name, weights in result.model.items())


@pytest.mark.parametrize("recipe", [BOSONS, CALOGERO, VECTOR])
def test_the_network_is_the_same_where_the_potential_looks_another(monkeypatch, run, recipe):
    """Another machine may find another natural length, even another width: the numbers of the run count."""
    result = run(*recipe)
    model = restore_model(result)
    x = torch.as_tensor(result.measurement.samples, dtype=torch.float64)
    expected = model.net.drift(x)

    def wider(system):
        land = explore(system)
        return dataclasses.replace(land, length=2**0.5 * land.length, covariance=1.1 * land.covariance)

    monkeypatch.setattr("fkflow.runs.exploration.explore", wider)
    there = restore_model(result)
    assert there.landscape.length > model.landscape.length
    assert torch.equal(there.net.drift(x), expected)
    # a run of before these numbers were kept: the same only where the natural length is, as its trajectories tell
    numbers = ("length", "stiffness", "start", "step")
    before = {name: weights for name, weights in result.model.items() if name.split(".")[-1] not in numbers}
    assert 0 < len(before) < len(result.model)
    times = model.landscape.length**2 / STEPS_IN_TIME * np.arange(3)
    shown = dataclasses.replace(result.measurement, trajectories=Trajectories(times, np.zeros((1, 3, *x.shape[1:]))))
    older = dataclasses.replace(result, model=before, measurement=shown)
    with pytest.raises(StoreError, match=r"result.h5 is of an earlier version.*natural length.*run it again"):
        restore_model(older)
    monkeypatch.undo()
    assert torch.equal(restore_model(older).net.drift(x), expected)


def test_weights_of_another_network_are_refused(run):
    result = run(*BOSONS)
    for model in ({}, result.model | {"more": np.zeros(2)}, {n: np.zeros((1, 1)) for n in result.model}):
        with pytest.raises(StoreError, match="result.h5 holds a network this version cannot load"):
            restore_model(dataclasses.replace(result, model=model))


def oscillator(frequency, factor=1.0):
    """Its exact drift, −ω x, times a factor."""
    landscape = SimpleNamespace(length=frequency**-0.5)
    return Model(None, landscape, SimpleNamespace(drift=lambda x: -factor * frequency * x))


@pytest.mark.parametrize("factor, right", [(1.0, True), (1.3, False), (0.7, False)])
def test_walkers_follow_the_drift(sigmas, factor, right):
    """⟨x(0) x(t)⟩ = exp(−ω t)/(2ω) and ⟨x(t)²⟩ = 1/(2ω) for the exact drift of an oscillator, not for another."""
    frequency, interval = 4.0, 0.1
    normal = torch.randn(6000, 1, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    x = normal * (2 * frequency) ** -0.5
    first, *_, last = itertools.islice(follow(oscillator(frequency, factor), x, interval=interval, seed=8), 3)
    assert np.array_equal(first, x.numpy())
    correlation = sigmas((first * last).ravel(), math.exp(-2 * interval * frequency) / (2 * frequency))
    square = sigmas((last**2).ravel(), 1 / (2 * frequency))
    assert (abs(correlation) < 3 and abs(square) < 3) if right else abs(square) > 5


def test_steps_are_short_and_seeded():
    model, calls = oscillator(4.0), []
    drift = model.net.drift
    model.net.drift = lambda x: calls.append(x) or drift(x)
    x = torch.ones(2, 3, 1, dtype=torch.float64)

    def two(interval, seed):
        return list(itertools.islice(follow(model, x, interval=interval, seed=seed), 2))[1]

    natural = 0.25
    one = two(0.1 * natural, 1)
    assert len(calls) == round(0.1 / STEP)
    assert np.array_equal(one, two(0.1 * natural, 1)) and not np.array_equal(one, two(0.1 * natural, 2))
    calls.clear()
    two(1e-3 * STEP * natural, 1)
    assert len(calls) == 1
    assert (x == 1).all()


def test_a_walker_that_leaves_is_told():
    model = Model(None, SimpleNamespace(length=1.0), SimpleNamespace(drift=lambda x: 1e200 * x))
    with pytest.raises(NumericalError, match="infinity"):
        list(itertools.islice(follow(model, torch.ones(1, 1, 1, dtype=torch.float64), interval=0.1, seed=0), 9))


def test_starts_are_stored_walkers(run):
    result = run(*BOSONS, walkers=20)
    samples = result.measurement.samples
    x = draw_starts(result, 20, seed=1).numpy()
    assert np.array_equal(np.sort(x, 0), np.sort(samples, 0)) and not np.array_equal(x, samples)
    with pytest.raises(UsageError, match="20 samples"):
        draw_starts(result, 21, seed=1)
    none = dataclasses.replace(result.measurement, samples=samples[:0])
    with pytest.raises(StoreError, match="no samples"):
        draw_starts(dataclasses.replace(result, measurement=none), 1, seed=1)
    for broken in (samples[..., :1], np.full_like(samples, np.nan)):
        measurement = dataclasses.replace(result.measurement, samples=broken)
        with pytest.raises(StoreError, match="samples"):
            draw_starts(dataclasses.replace(result, measurement=measurement), 1, seed=1)
