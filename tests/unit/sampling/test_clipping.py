"""Energies clipped about their median: good walkers keep theirs, lost ones neither count nor stretch the bounds."""

from __future__ import annotations

import math

import pytest
import torch

from fkflow.sampling.clipping import Deviations, clip, weighted_median

CALM = torch.linspace(-1, 1, 101, dtype=torch.float64)
WILD = torch.tensor([math.nan, math.inf, -math.inf, 30.0, -1e12], dtype=torch.float64)


def test_clipped_energies() -> None:
    assert torch.equal(clip(CALM, 10.0), CALM)
    seen = clip(torch.cat([CALM, WILD]), 5.0)
    assert torch.equal(seen[:101], CALM)
    assert seen[101:104].abs().max() < 0.05  # what is not finite becomes the median
    # about 5 mean deviations of 1/2, to which the two far out may add but little
    assert 2 < float(seen[104]) <= 30 and -100 < float(seen[105]) < -2
    narrow = clip(CALM, 0.5)
    assert [float(narrow.min()), float(narrow.max())] == pytest.approx([-0.25, 0.25], abs=0.01)


def test_bounds_that_are_never_closer() -> None:
    drawn = Deviations(CALM).clip(0.1, least=0.75)
    assert float(drawn.max()) == 0.75 and float(drawn.min()) == -0.75
    # the twin
    assert float(Deviations(CALM).clip(0.1).max()) < 0.1


def test_none_finite() -> None:
    """They stay what they are: whoever asks sees that nothing is known."""
    assert clip(torch.full((3,), math.nan), 5.0).isnan().all()
    assert not clip(torch.full((3,), math.inf), 5.0).isfinite().any()
    about = Deviations(torch.full((3,), math.nan))
    assert about.centre.isinf() and about.median_deviation.isinf() and not about.finite.any()


def test_weights_stand_for_walkers() -> None:
    """Whole weights do what so many copies of each walker would do; the twin without them differs."""
    generator = torch.Generator().manual_seed(0)
    energies = torch.randn(300, generator=generator, dtype=torch.float64).exp()
    counts = torch.randint(1, 5, (300,), generator=generator)
    counts[energies > 2] = 6
    copies = energies.repeat_interleave(counts)
    weighted, alone = Deviations(energies, counts.double()), Deviations(energies)
    expected = Deviations(copies)
    for found in ("centre", "median_deviation"):
        assert float(getattr(weighted, found)) == pytest.approx(float(getattr(expected, found)), rel=1e-12)
        assert abs(float(getattr(alone, found)) / float(getattr(expected, found)) - 1) > 0.02
    drawn = weighted.clip(1.5, outlier=3.0).repeat_interleave(counts)
    assert torch.allclose(drawn, expected.clip(1.5, outlier=3.0), rtol=1e-12)
    assert not torch.allclose(alone.clip(1.5, outlier=3.0).repeat_interleave(counts), drawn, rtol=1e-3)


def test_lost_walkers_have_no_weight() -> None:
    """Centre and typical deviation are those of the others alone, whatever weights the lost ones have."""
    everyone = torch.cat([CALM, WILD[:3]])
    weights = torch.ones_like(everyone)
    weights[101:] = 1e6
    about, without = Deviations(everyone, weights), Deviations(CALM)
    assert about.centre == without.centre and about.median_deviation == without.median_deviation
    assert torch.equal(about.clip(1.0)[:101], without.clip(1.0))


@pytest.mark.parametrize(("weights", "median"), [([1, 1, 1], 2.0), ([1, 5, 1], 1.0), ([5, 1, 1], 7.0)])
def test_weighted_median(weights: list[int], median: float) -> None:
    assert weighted_median(torch.tensor([7.0, 1.0, 2.0]), torch.tensor(weights).double()) == median
