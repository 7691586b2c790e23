"""The training loop: records, bits that repeat, checkpoints that go on, steps that are rejected."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from landscapes import explore

from fkflow.errors import NumericalError
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build
from fkflow.recipe.config import TrainConfig
from fkflow.results.checkpoints import load_checkpoint, save_checkpoint
from fkflow.training import observation, update
from fkflow.training.loop import initial_state, train
from fkflow.training.observation import OTHER, best_path_count
from fkflow.training.safeguards import MOST_REJECTED
from fkflow.training.schedule import (
    AGAIN,
    ENOUGH,
    FEWEST,
    HURRIED,
    LATE,
    MEASURING,
    RETURNS,
    extend_training,
    walker_count,
)
from fkflow.training.state import Record, TrainState

QUARTIC = find_system("quartic")()


def prepared(
    system: System = QUARTIC, kind: str = "auto", seed: int = 0, **changes
) -> tuple[System, Landscape, TrainConfig, TrainState]:
    """Arguments of `train` for a small network and few walkers."""
    config = TrainConfig(
        **{"walkers": 96, "iterations": 6, "equilibrate": 20, "moves": 3, "stop_spread": 0.0} | changes
    )
    land = explore(system)
    return system, land, config, initial_state(build(system, land, kind, 6, 1, seed), land, config, seed, "cpu", system)


def flat(tree, path: str = "") -> dict[str, object]:
    """Every leaf of a nested state by its path."""
    if isinstance(tree, dict):
        return {k: v for key, branch in tree.items() for k, v in flat(branch, f"{path}/{key}").items()}
    if isinstance(tree, (list, tuple)):
        return {k: v for i, branch in enumerate(tree) for k, v in flat(branch, f"{path}/{i}").items()}
    return {path: tree}


def assert_same_bits(first: TrainState, second: TrainState) -> None:
    a, b = flat(first.state_dict()), flat(second.state_dict())
    assert a.keys() == b.keys()
    for name in a:
        if name != "/seconds":
            same = torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name]
            assert same, name


WAYS = {
    "covariance spring": {},
    "explicit spring": {"curvature": 0.0, "rate": 0.03},
    "covariance adam": {"optimiser": "adam", "rate": 0.003},
    "local energy": {"estimator": "local_energy"},
    "pathwise adam": {
        "estimator": "pathwise",
        "optimiser": "adam",
        "rate": 0.01,
        "steps": 4,
        "dt": 0.01,
        "walkers": 96,
    },
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@each_way
def test_records(way: dict) -> None:
    system, land, config, state = prepared(**way | {"walkers": 400, "rate": 0.003})
    records = list(train(system, land, config, state))
    assert [r.iteration for r in records] == [1, 2, 3, 4, 5, 6] and state.iteration == 6
    for record in records:
        assert all(math.isfinite(v) for v in vars(record).values())
        assert not record.undone and 0 < record.acceptance <= 1
        assert 0 < record.energy < 3 and record.error > 0
        assert record.spread >= 0.999 * record.error * 400**0.5  # the error is that of clipped energies
    seconds = [r.seconds for r in records]
    assert seconds == sorted(seconds) and state.seconds == seconds[-1]
    rates = [r.rate for r in records]
    assert rates == pytest.approx([config.rate / (1 + i / config.decay) for i in range(6)])
    damping = [r.damping for r in records]
    assert damping[0] == pytest.approx(config.damping + config.damping_start) and damping == sorted(damping)[::-1]


@each_way
def test_the_same_seed_gives_the_same_bits(way: dict) -> None:
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(len(runs))  # the global generator plays no part
        arguments = prepared(seed=seed, **way)
        runs.append(([replace(r, seconds=0.0) for r in train(*arguments)], arguments[-1]))
    assert runs[0][0] == runs[1][0] and runs[0][0] != runs[2][0]
    assert_same_bits(runs[0][1], runs[1][1])


@each_way
def test_a_checkpoint_goes_on_to_the_same_bits(way: dict, tmp_path) -> None:
    whole = prepared(**way)
    records: list[Record] = []
    for record in train(*whole):
        records.append(replace(record, seconds=0.0))
        if record.iteration == 3:
            save_checkpoint(tmp_path / "checkpoint.pt", {"state": whole[-1].state_dict()})
    resumed = prepared(seed=77, **way)  # all it had is overwritten
    resumed[-1].load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt")["state"])
    assert resumed[-1].iteration == 3
    rest = [replace(record, seconds=0.0) for record in train(*resumed)]
    assert rest == records[3:]
    assert_same_bits(whole[-1], resumed[-1])


@each_way
def test_a_state_dict_is_a_copy(way: dict) -> None:
    arguments = prepared(**way)
    steps = train(*arguments)
    next(steps)
    saved = arguments[-1].state_dict()
    before = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in flat(saved).items()}
    list(steps)
    for name, value in flat(saved).items():
        assert torch.equal(value, before[name]) if isinstance(value, torch.Tensor) else value == before[name], name


def test_a_checkpoint_of_another_network_is_refused() -> None:
    state = prepared()[-1].state_dict()
    other = prepared(find_system("chain")(particles=3))[-1]
    with pytest.raises((KeyError, RuntimeError)):
        other.load_state_dict(state)


def test_a_vector_drift_runs_on_from_where_its_paths_ended() -> None:
    system, land, config, state = prepared(
        find_system("bosons")(particles=2),
        "pair_drift",
        estimator="pathwise",
        optimiser="adam",
        steps=4,
        dt=0.01,
        walkers=96,
    )
    x = state.walkers.x.clone()
    records = list(train(system, land, config, state))
    assert len(records) == 6 and (state.walkers.x != x).all()
    # 24 steps of dt = 0.01 in natural time: displacements of about √(24 · 0.01) ℓ in each direction
    moved = float((state.walkers.x - x).square().mean().sqrt()) / land.length
    assert 0.5 * 0.24**0.5 < moved < 1.5 * 0.24**0.5


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


def test_walkers_grow_from_a_quarter() -> None:
    _, _, config, state = arguments = prepared(walkers=1030, iterations=13, grow=10)
    sizes = [len(state.walkers.x)] + [len(state.walkers.x) for _ in train(*arguments)]
    assert sizes == [257] * 6 + [515] * 5 + [1030] * 3
    assert [walker_count(config, i) for i in (0, 4, 5, 9, 10)] == [257, 257, 515, 515, 1030]
    # copies part: after a few moves no two walkers stand in one place
    assert len(state.walkers.x.flatten(1).unique(dim=0)) == 1030
    for changes in ({"grow": 0}, {"walkers": 200}, {"optimiser": "adam"}):
        _, _, config, state = prepared(**{"walkers": 1030} | changes)
        assert len(state.walkers.x) == config.walkers


# ------------------------------------------------------------------------------------- rejected steps


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


# --------------------------------------------------------------------------------- part of a frame of paths


def test_paths_that_are_worth_their_cost() -> None:
    """The number that makes (OTHER + M)(s² + n²/M) least, no faster than by twos; all where the rest has no spread."""
    generator = torch.Generator().manual_seed(0)
    spread, noise, d = 0.5, 2.0, 400
    places = spread * torch.randn(4000, generator=generator, dtype=torch.float64)
    found = 24
    for _ in range(4):
        samples = places + noise * torch.randn(found, 4000, generator=generator, dtype=torch.float64)
        found = best_path_count(samples, d)
    costs = {m: (OTHER + m) * (spread**2 + noise**2 / m) for m in range(2, d)}
    assert costs[found] < 1.02 * min(costs.values()) and found == pytest.approx(20, abs=4)
    # a drift that is nearly exact: twice as many each time, then all; a useless one: half as many, but never fewer than 8
    frame = noise * torch.randn(d, 4000, generator=generator, dtype=torch.float64)
    frame = frame - frame.mean(0)  # the sum over a frame has no noise
    assert best_path_count(frame[:24], d) == 48 and best_path_count(frame[:120], d) == d
    assert best_path_count(100 * places + torch.randn(24, 4000, generator=generator, dtype=torch.float64), d) == 12
    assert best_path_count(samples[:3] * math.nan, d) == 3


def test_many_exact_oscillators_take_whole_frames_and_stop() -> None:
    """40 coupled oscillators start exact; a part of a frame would hide that behind its noise, and drive them off."""
    system = find_system("chain")(particles=40)
    arguments = prepared(system, walkers=64, iterations=40, stop_spread=1e-3, dt=1e-7)
    records = list(train(*arguments))
    assert len(records) == 10 and arguments[3].paths == 40
    assert abs(records[-1].energy - system.reference().energy) < 4 * records[-1].error < 4e-4
    # in the limit of short paths there is none
    limit = list(train(*prepared(system, walkers=64, iterations=40, stop_spread=1e-3)))
    assert len(limit) == 10 and abs(limit[-1].energy - system.reference().energy) < 1e-9 and limit[-1].spread < 1e-9
    # the twin: with 8 of 40 paths the noise is seen as a spread
    noisy = prepared(system, walkers=64, iterations=12, stop_spread=1e-3, paths=8)
    assert len(list(train(*noisy))) == 12 and list(train(*noisy)) == []
