"""The time step of a measurement: short enough for F, and as short as even weights are worth."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fkflow.execution.progress import Silent
from fkflow.hamiltonian.registry import find_system
from fkflow.statistics import Estimate
from fkflow.thermal.measure import Measurement
from fkflow.thermal.question import Level, Question
from tests.unit.thermal.conftest import bridges_of, random_fit


@pytest.mark.parametrize(
    ("variance", "change", "steps"),
    [
        # of relative variances below ½ nothing is to be gained
        (lambda dt: 30 * dt**2, 0.0, 8),
        # they fall to a third with twice the steps
        (lambda dt: 35 * dt**1.58, 0.0, 16),
        # resampling lowers them more cheaply
        (lambda dt: 100 * dt**1.58, 0.0, 8),
        # those of a drift that is wrong do not fall enough
        (lambda dt: 3 + 48 * dt**2, 0.0, 8),
        # F changes by too much
        (lambda dt: 0.1, 30.0, 16),
        # a step that is bounded is taken as it is where F allows none
        (lambda dt: 3.0, 1e9, 128),
    ],
)
def test_the_time_step_pays(variance, change: float, steps: int, monkeypatch) -> None:
    """The change of F falls as dt⁴; the relative variance of the weights is given."""
    bridges = bridges_of(find_system("quartic")(), 1.0)
    question = Question((1.0,), "bose", 1, 1e-2, 1.0, None, 0)
    level = Level(1.0 / bridges.problem.length**2, 8, random_fit(bridges, 0.9, 1.0))
    measurement = Measurement(bridges, level, question, torch.Generator(), Silent())

    def look(count: int) -> SimpleNamespace:
        step = Estimate(change * measurement.target * (1 / count) ** 4 * 100, 0.0)
        return SimpleNamespace(ess=lambda: 1 / (1 + variance(1 / count)), step_error=lambda: step)

    monkeypatch.setattr(measurement, "_look", look)
    assert measurement._steps()[0] == steps
