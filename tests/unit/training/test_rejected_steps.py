"""Steps that are rejected: spoiled parameters, energies that are not finite, walkers that are lost."""

from __future__ import annotations

import math

import pytest
import torch
from trainings import each_way, prepared

from fkflow.errors import NumericalError
from fkflow.hamiltonian.registry import find_system
from fkflow.training import observation, update
from fkflow.training.loop import train
from fkflow.training.safeguards import MOST_REJECTED


def poison_once(monkeypatch, at: int, spoil) -> None:
    """Spoil the parameters after the step of iteration `at`."""
    calls, real = [], update.add_to_parameters

    def step(net, change):
        calls.append(1)
        real(net, change)
        if len(calls) == at:
            with torch.no_grad():
                for p in net.parameters():
                    spoil(p)

    monkeypatch.setattr(update, "add_to_parameters", step)


@pytest.mark.parametrize(
    "spoil",
    [lambda p: p.fill_(math.nan), lambda p: p.mul_(math.inf), lambda p: p.add_(4.0), lambda p: p.mul_(-30.0)],
    ids=["nan", "inf", "shifted", "magnified"],
)
@pytest.mark.parametrize("name", ["quartic", "he"])
def test_a_poisoned_step_is_rejected(name: str, spoil, monkeypatch) -> None:
    poison_once(monkeypatch, 8, spoil)
    system = find_system(name)()
    system, land, config, state = prepared(system, walkers=256, iterations=30)
    records = list(train(system, land, config, state))
    rejected = [r.iteration for r in records if r.undone]
    # numbers that are not finite are seen at once, others by the energies they give
    broken = not spoil(torch.ones(1)).isfinite().all()
    assert rejected and rejected[0] == (8 if broken else 9) and len(rejected) <= 3
    assert all(p.isfinite().all() for p in state.net.parameters()) and state.walkers.x.isfinite().all()
    last = records[-5:]
    energy = sum(r.energy for r in last) / 5
    assert energy == pytest.approx(system.reference().energy, rel=0.03)
    # caution: half the rate after each rejected step
    after = next(r for r in records if r.iteration > rejected[-1])
    plain = config.rate / (1 + (after.iteration - 1) / config.decay)
    assert after.rate == pytest.approx(plain * 0.5 ** len(rejected), rel=0.2)


def test_a_run_that_is_not_poisoned_rejects_nothing() -> None:
    for name in ("quartic", "he"):
        assert not any(r.undone for r in train(*prepared(find_system(name)(), walkers=256, iterations=30)))


@each_way
def test_the_snapshot_is_the_network_that_was_measured(way: dict) -> None:
    """A rejected step returns to parameters whose energies were seen, never to a step not judged yet."""
    system, land, config, state = prepared(**way)
    before = {k: v.clone() for k, v in state.net.state_dict().items()}
    next(train(system, land, config, state))
    assert any(not torch.equal(v, before[k]) for k, v in state.net.state_dict().items())
    for name, value in state.snapshot["net"].items():
        assert torch.equal(value, before[name]), name


def test_momentum_is_forgotten_when_a_step_is_rejected(monkeypatch) -> None:
    poison_once(monkeypatch, 3, lambda p: p.add_(4.0))
    system, land, config, state = prepared()
    for record in train(system, land, config, state):
        if record.iteration == 3:
            assert state.spring.last.abs().max() > 0
        if record.undone:
            assert torch.equal(state.spring.last, torch.zeros_like(state.spring.last)) and state.rejections == 1
            break
    else:
        pytest.fail("the poisoned step was kept")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_training_gives_up_after_so_many_steps(bad: float, monkeypatch) -> None:
    real, calls = observation.path_samples, []

    def energies(net, system, x, *rest, **options):
        calls.append(1)
        found = real(net, system, x, *rest, **options)
        return found if len(calls) <= 4 else torch.full_like(found, bad)

    monkeypatch.setattr(observation, "path_samples", energies)
    records = []
    with pytest.raises(NumericalError, match=f"{MOST_REJECTED} steps in a row.*smaller train.rate"):
        for record in train(*prepared(iterations=100)):
            records.append(record)
    assert all(r.undone for r in records[-MOST_REJECTED:]) and MOST_REJECTED < len(records) <= MOST_REJECTED + 4


@pytest.mark.parametrize("at", ["once", "always"])
@pytest.mark.parametrize("wild", [(math.nan, math.inf, -math.inf), (1e4,), (-1e4,), (-1e12,)], ids=str)
def test_a_few_lost_walkers_do_not_stop_training(wild: tuple[float, ...], at: str, monkeypatch) -> None:
    """Energies of single walkers that are not finite, or wild, neither count nor spoil the training."""
    real, calls = observation.path_samples, []

    def energies(net, system, x, *rest, **options):
        calls.append(1)
        found = real(net, system, x, *rest, **options)
        if at == "always" or len(calls) == 8:
            found[:, : len(wild)] = torch.tensor(wild, dtype=found.dtype)
        return found

    monkeypatch.setattr(observation, "path_samples", energies)
    system, land, config, state = prepared(walkers=256, iterations=30)
    records = list(train(system, land, config, state))
    # a walker wild at every single iteration pulls at each gradient: that costs some steps, but bounded ones
    assert sum(r.undone for r in records) <= (1 if at == "once" else 8)
    monkeypatch.undo()
    config = config.model_copy(update={"iterations": 31})
    (record,) = train(system, land, config, state)
    assert record.energy == pytest.approx(system.reference().energy, rel=0.03)
