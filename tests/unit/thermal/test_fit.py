"""Training: steps that spoil a drift are taken back, paths of large weight count more, a well that is lost is seen in log Z."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.registry import find_system
from fkflow.statistics import Estimate
from fkflow.thermal import fit
from fkflow.thermal.convexity import Convexity, falls_short
from tests.unit.thermal.conftest import bridges_of, random_fit


@pytest.mark.parametrize("takes_back", [True, False])
def test_a_step_that_is_too_long_is_taken_back(takes_back: bool, monkeypatch, generator: torch.Generator) -> None:
    """With far too high a rate bridges of a well are lost, and learned none the less if such steps are taken back."""
    bridges = bridges_of(find_system("quartic")(), 2.0)
    fitted = random_fit(bridges, 0.9, 2.0, size=0.0)
    fitted.theta = bridges.drift.start(generator)
    fitted.start_theta = fitted.starts.start(generator)
    for name, value in (("PATHS", 96), ("POOL", 1024), ("RATE", 12.0), ("LAST", 12.0), ("CHANGE", 1e3)):
        monkeypatch.setattr(fit, name, value)
    if not takes_back:
        monkeypatch.setattr(fit, "WORSE", math.inf)
    found = [one.effective for one in fit.fit(bridges, fitted, 2.0, 8, 24, generator)]
    assert 0.5 < found[0] < 0.8
    assert np.mean(found[-4:]) > found[0] if takes_back else np.mean(found[-4:]) < 0.1


def test_starts_of_wells_that_hardly_count_are_drawn(generator: torch.Generator) -> None:
    """U leaves out the right half of a well; the others of a training are there, and have the density of q none the less."""
    bridges = bridges_of(find_system("quartic")(), 2.0)
    fitted = random_fit(bridges, 0.9, 2.0, size=0.0)
    starts = fitted.starts
    starts._exponent = lambda theta, y: (-20.0 * (y[:, 0, 0] > 0).double(), [])
    found = starts.draw(fitted.start_theta, 400, 4096, 5, others=100)
    right = found.y[:, 0, 0] > 0
    assert int(right[:300].sum()) < 10 and int(right[300:].sum()) == pytest.approx(50, abs=3)
    torch.testing.assert_close(found.log_density, starts.log_density(fitted.start_theta, found.y, found.sent, 2.0))


def test_paths_of_large_weight_count_more() -> None:
    """A parameter that moves ten paths of large weight must follow them, and not four that have run away."""
    rows, before = torch.zeros(100, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    off = torch.linspace(-1, 1, 100, dtype=torch.float64)
    off[:10], rows[:10], rows[10:14] = 4.0, -1.0, 6.0
    off[10:14] = -5.0
    plain, weighed = (float(fit.gauss_newton(off, rows, before, 1e-9, power)) for power in (0.0, 0.5))
    assert weighed > 1.5 * plain and weighed > 0


def log_z(levels: list[float], beta: float) -> Estimate:
    return Estimate(math.log(sum(math.exp(-beta * level) for level in levels)), 0.003)


def test_log_z_is_convex_and_a_lost_well_is_not() -> None:
    """Two wells with levels 1.430 and 1.506, of which the right one has a fifth of Z at β = 20."""
    both, left, right = [1.430, 1.506, 3.9, 4.2], [1.430, 3.9], [1.506, 4.2]
    chain = Convexity()
    for beta in (1.25, 2.5, 5.0, 10.0):
        assert not falls_short(log_z(both, beta), chain.bounds(beta))
        chain.points.append((beta, log_z(both, beta)))
    again = Convexity.unpack(chain.pack())
    assert again.points == chain.points and len(again.bounds(20.0)) == 1 and not chain.bounds(2.5)
    assert not falls_short(log_z(both, 20.0), again.bounds(20.0))
    assert all(falls_short(log_z(lost, 20.0), again.bounds(20.0)) for lost in (left, right))
    # noise is no loss
    assert not falls_short(Estimate(-29.0, 0.2), again.bounds(20.0))


def test_log_z_of_iterations() -> None:
    """Weights of variance v have the effective share 1/(1 + v), and the mean of 3·384 of them the relative error √(v/3·384)."""
    found = fit.log_z_of([fit.Iteration(0.0, 1 / 1.2, 0.0, math.log(x), 384) for x in (1.9, 2.0, 2.1)])
    assert found.value == pytest.approx(math.log(2.0)) and found.error == pytest.approx(
        math.sqrt(0.2 / 3 / 384), rel=0.01
    )
