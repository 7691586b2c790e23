"""Doubts about a free energy: each is raised by the weights that deserve it, and by no others."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fkflow.statistics import Estimate, z_score
from fkflow.thermal.doubts import doubts
from fkflow.thermal.estimate import Sums


def weighted(z: float, spread: float, seed: int, pools: int = 16, drop: float = 0.0) -> Sums:
    """Pools of paths with log-normal weights of the mean z; of those of the second half a part is lost."""
    sums, generator = Sums(1.0, 15.0), torch.Generator().manual_seed(seed)
    for number in range(pools):
        part = 1 - drop * (number >= pools // 2)
        normal = torch.randn(512, generator=generator, dtype=torch.float64)
        log_w = math.log(z * part) + spread * normal - 0.5 * spread**2
        sums.add(SimpleNamespace(log_w=log_w, log_coarse=log_w, log_coarser=log_w, carried=None, resampled=False))
    return sums


@pytest.mark.parametrize("seed", range(4))
def test_paths_without_a_drift_raise_a_doubt_where_they_have_more_of_z(seed: int) -> None:
    """A drift that lost a well with a fifth of Z is told by paths that have it. Half of Z with an error of 1 %, as hydrogen at
    β = 5 had, comes from paths whose few large weights were not met, and tells nothing."""
    good, lost, plain, unmet = (
        weighted(z, spread, seed + k) for k, (z, spread) in enumerate(((1, 0.2), (0.8, 0.2), (1, 0.8), (0.5, 0.8)))
    )
    (doubt,) = doubts(lost, plain, [])
    assert "a well may be missed" in doubt and not doubts(good, plain, [])
    below, known = unmet.log_z(), good.log_z()
    assert z_score(below.value, below.error, known.value, known.error) < -10 and not doubts(good, unmet, [])


def test_weights_bounds_and_halves() -> None:
    plain = weighted(1, 0.8, 9)
    assert ["uneven" in text for text in doubts(weighted(1, 1.6, 1, pools=64), plain, [])] == [True]
    known = weighted(1, 0.2, 2)
    assert ["bound" in text for text in doubts(known, plain, [Estimate(0.2, 0.01)])] == [True]
    assert not doubts(known, plain, [Estimate(-0.2, 0.01)])
    assert "halves" in doubts(weighted(1, 0.2, 3, drop=0.2), plain, [])[0]
    assert np.isclose(known.ess(), math.exp(-0.04), atol=0.01)
