"""How many paths of a frame each walker takes."""

from __future__ import annotations

import math

import pytest
import torch
from trainings import prepared

from fkflow.hamiltonian.registry import find_system
from fkflow.training.loop import train
from fkflow.training.observation import OTHER, best_path_count


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
