"""The training loop: records, bits that repeat, checkpoints that go on, walkers that grow."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from trainings import assert_same_bits, each_way, flat, prepared

from fkflow.hamiltonian.registry import find_system
from fkflow.results.checkpoints import load_checkpoint, save_checkpoint
from fkflow.training.loop import train
from fkflow.training.schedule import walker_count
from fkflow.training.state import Record


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
