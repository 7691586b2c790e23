"""The schedule of step sizes: decay, and a rate that is reached step by step."""

from __future__ import annotations

import pytest
import torch

from fkflow.hamiltonian.stiffness import Stiffness
from fkflow.recipe.config import TrainConfig
from fkflow.training.schedule import MOST_RATE, RAMP_START, paced, step_size


class Here:
    """Where a training stands."""

    caution = 1.0

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration


def rates(**keys: float) -> list[float]:
    return [step_size(TrainConfig(**keys), Here(i)).rate for i in (0, 10, 20, 40, 100)]


def test_a_rate_falls_from_the_start_without_a_ramp() -> None:
    assert rates(rate=2.0, decay=20.0) == pytest.approx([2.0, 2 / 1.5, 1.0, 2 / 3, 2 / 6])


def test_a_high_rate_is_reached_by_equal_factors_and_falls_afterwards() -> None:
    half = (RAMP_START * 2.0) ** 0.5
    assert rates(rate=2.0, decay=20.0, ramp=20) == pytest.approx([RAMP_START, half, 2.0, 1.0, 0.4])
    # a low one is there from the start
    assert rates(rate=0.1, decay=20.0, ramp=20) == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.02])


def test_a_stiff_trap_has_a_pace_of_its_own_unless_the_recipe_says_one() -> None:
    config, stiff = TrainConfig(), Stiffness(100.0, torch.eye(2))
    assert paced(config, None) is config
    faster = paced(config, stiff)
    assert faster.rate == pytest.approx(5.0) and faster.ramp > 0 and faster.grow == 0
    assert faster.walkers > config.walkers and faster.stop_spread == pytest.approx(config.stop_spread / 100)
    assert paced(config, Stiffness(1e6, torch.eye(2))).rate == MOST_RATE
    for own in ({"rate": 0.2}, {"ramp": 10}, {"grow": 20}, {"optimiser": "adam"}, {"estimator": "pathwise"}):
        given = TrainConfig(**own)
        assert paced(given, stiff) is given, own
