"""Differences of log Z between β ± h: what they give for a log Z that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fkflow.thermal.derivatives import STEP, Carried, slopes


@pytest.mark.parametrize("beta", [0.05, 3.0])
def test_differences_are_exact_in_both_limits(beta: float) -> None:
    """log Z = a + b log β + c β is that of classical oscillators and of a ground state; a bare difference is off."""
    b, c = -6.0, -0.7

    def log_z(x: float) -> float:
        return 2.0 + b * math.log(x) + c * x

    sides = np.array([[log_z(beta * (1 + sign * STEP)) - log_z(beta)] for sign in (1, -1)])
    ratios = np.broadcast_to(sides, (3, 2, 8))
    zero = np.zeros(8)
    pools = [Carried(zero, zero, zero, ratios, ratios, np.zeros((3, 2, 8)), 0.0) for _ in range(4)]
    energy, capacity, step = slopes(pools, beta, 15.0)
    exact = -(b / beta + c)
    assert energy.value == pytest.approx(exact, rel=1e-7) and step == pytest.approx(0, abs=1e-9)
    assert capacity.value == pytest.approx(-b, rel=1e-4)
    bare = float(sides[1, 0] - sides[0, 0]) / (2 * STEP * beta)
    assert abs(bare - exact) > 100 * abs(energy.value - exact)
