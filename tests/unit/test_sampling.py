"""The Metropolis-adjusted Langevin step: limits, bookkeeping, acceptance, bad numbers."""

from __future__ import annotations

import math

import pytest
import torch

from fkflow.networks import LogPsi
from fkflow.sampling import TARGET_ACCEPTANCE, Walkers, limited_drift, metropolis


def walkers_at(x: torch.Tensor, step: float = 0.3) -> Walkers:
    return Walkers(x.clone(), step)


def test_the_limited_drift() -> None:
    v = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]], dtype=torch.float64)
    for step in (1e-8, 0.1, 1e8):
        short = limited_drift(v, step)
        v2t = 25 * step
        assert torch.allclose(short[0, 0], v[0, 0] * (math.sqrt(1 + 2 * v2t) - 1) / v2t, rtol=1e-6)
        assert torch.equal(short[0, 1], v[0, 1])
    assert torch.allclose(limited_drift(v, 1e-8), v, rtol=1e-6)
    # a displacement τ v̄ never exceeds √(2τ)
    assert float((limited_drift(1e9 * v, 0.5) * 0.5).norm(dim=-1).max()) == pytest.approx(1.0, rel=1e-6)
    # particle by particle: a fast one does not slow down the others
    both = limited_drift(torch.tensor([[[1e6, 0.0], [1.0, 0.0]]], dtype=torch.float64), 0.01)
    alone = limited_drift(torch.tensor([[[1.0, 0.0]]], dtype=torch.float64), 0.01)
    assert torch.equal(both[:, 1:], alone)


def test_walkers_keep_log_psi_and_drift_of_where_they_stand(gaussian) -> None:
    psi = gaussian(1.0)
    walkers = walkers_at(psi.sample(50, (2, 2), 0))
    metropolis(psi, walkers, torch.Generator().manual_seed(1), 7)
    value, drift = psi.value_and_drift(walkers.x)
    assert torch.equal(walkers.log_psi, value) and torch.equal(walkers.drift, drift)
    # another network: what was remembered is of no use
    other = gaussian(3.0)
    walkers.refresh(other)
    assert torch.equal(walkers.drift, -3 * walkers.x)
    stale, fresh = walkers_at(walkers.x), walkers_at(walkers.x)
    stale.refresh(psi)
    for w in (stale, fresh):
        metropolis(other, w, torch.Generator().manual_seed(2), 3)
    assert torch.equal(stale.x, fresh.x)


def test_the_same_generator_gives_the_same_walk(gaussian) -> None:
    psi = gaussian(1.0)
    first, second = (walkers_at(psi.sample(20, (2, 2), 0)) for _ in range(2))
    before = torch.get_rng_state()
    for walkers in (first, second):
        metropolis(psi, walkers, torch.Generator().manual_seed(1), 5)
    assert torch.equal(first.x, second.x) and first.step == second.step
    assert torch.equal(before, torch.get_rng_state())


def test_acceptance_counts_moves(gaussian) -> None:
    psi = gaussian(1.0)
    x = psi.sample(2000, (1, 1), 0)
    walkers = walkers_at(x, 2.0)
    metropolis(psi, walkers, torch.Generator().manual_seed(1), 1, adapt=False)
    moved = (walkers.x != x).flatten(1).any(1)
    assert walkers.acceptance == pytest.approx(float(moved.double().mean()))
    tiny = walkers_at(x, 1e-9)
    metropolis(psi, tiny, torch.Generator().manual_seed(1), 3, adapt=False)
    assert tiny.acceptance > 0.999
    metropolis(psi, walkers, torch.Generator().manual_seed(1), 0)
    assert walkers.acceptance == 0.0


@pytest.mark.parametrize("start", [1e-4, 50.0])
def test_the_step_finds_the_target_acceptance(start: float, gaussian) -> None:
    psi = gaussian(2.0)
    walkers = walkers_at(psi.sample(1000, (3, 2), 0), start)
    generator = torch.Generator().manual_seed(1)
    for _ in range(60):
        metropolis(psi, walkers, generator, 2)
    assert walkers.acceptance == pytest.approx(TARGET_ACCEPTANCE, abs=0.08)
    step = walkers.step
    metropolis(psi, walkers, generator, 5, adapt=False)
    assert walkers.step == step


def test_the_step_changes_by_a_factor_of_two_at_most(gaussian) -> None:
    psi = gaussian(1.0)
    for start in (1e-6, 1e6):
        walkers = walkers_at(psi.sample(100, (1, 1), 0), start)
        metropolis(psi, walkers, torch.Generator().manual_seed(1), 1)
        assert 0.5 <= walkers.step / start <= 2.0


class Walled(LogPsi):
    """Not a number beyond x = 1."""

    def forward(self, x):
        value = -0.5 * x.square().sum((1, 2))
        return torch.where(x.amax((1, 2)) > 1, torch.full_like(value, math.nan), value)


def test_proposals_that_are_not_numbers_are_rejected() -> None:
    walkers = walkers_at(torch.zeros(500, 2, 1, dtype=torch.float64), 1.0)
    metropolis(Walled(), walkers, torch.Generator().manual_seed(1), 20, adapt=False)
    assert walkers.x.isfinite().all() and float(walkers.x.max()) <= 1
    assert walkers.log_psi.isfinite().all() and walkers.drift.isfinite().all()
    assert 0.1 < walkers.acceptance < 0.9
