"""The Metropolis-adjusted Langevin step: limits, bookkeeping, acceptance, bad numbers."""

from __future__ import annotations

import math

import pytest
import torch

from fkflow.networks.choice import LogPsi
from fkflow.sampling.broad import TAIL_COST, sampling_power
from fkflow.sampling.metropolis import (
    TARGET_ACCEPTANCE,
    Walkers,
    langevin_move,
    limited_drift,
    metropolis,
)
from fkflow.statistics import chains_estimate


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


def test_one_move_tells_who_moved_and_how_far_the_noise_threw(gaussian) -> None:
    psi, step = gaussian(1.0), 0.7
    walkers = walkers_at(psi.sample(20_000, (2, 3), 0), step)
    walkers.refresh(psi)
    before = walkers.x
    accepted, far = langevin_move(psi, walkers, torch.Generator().manual_seed(1))
    moved = (walkers.x != before).flatten(1).any(1)
    assert torch.equal(accepted, moved) and 0.05 < float(moved.double().mean()) < 0.95
    # |ξ|² of 6 coordinates: mean 6, variance 12, whether the move was accepted or not
    assert float(far.mean()) / step == pytest.approx(6, abs=4 * math.sqrt(12 / 20_000))
    # it is the noise of the move: what the drift adds comes on top
    noise = (walkers.x - before - step * limited_drift(-before, step))[moved]
    assert torch.allclose(noise.square().sum((1, 2)), far[moved], rtol=1e-9)


POWERS = [0.3, 0.6, 1.0, 1.5]


@pytest.mark.parametrize("power", POWERS)
def test_walkers_of_a_power_of_psi(power: float, gaussian) -> None:
    """ψ² has the variance 1/(2α), ψ^(2a) that over a; started from ψ², with steps that are often rejected."""
    alpha, count = torch.tensor([0.5, 2.0], dtype=torch.float64), 20_000
    psi = gaussian(alpha)
    walkers = Walkers(psi.sample(count, (1, 2), 3), 0.4 / power, power)
    metropolis(psi, walkers, torch.Generator().manual_seed(4), 60, adapt=False)
    assert 0.2 < walkers.acceptance < 0.9
    squares = walkers.x[:, 0].square().mean(0)

    def sigmas(variance: torch.Tensor) -> torch.Tensor:
        return (squares / variance - 1) / math.sqrt(2 / count)

    assert sigmas(1 / (2 * alpha * power)).abs().max() < 4
    # the twin: the density of a power a tenth larger
    assert sigmas(1 / (2 * alpha * 1.1 * power)).abs().min() > 6


@pytest.mark.parametrize("power", POWERS)
def test_weights_bring_back_psi_squared(power: float, gaussian) -> None:
    alpha, count = torch.tensor([0.5, 2.0], dtype=torch.float64), 20_000
    psi = gaussian(alpha)
    x = psi.sample(count, (1, 2), 3) / power**0.5
    walkers = Walkers(x, 0.4, power)
    walkers.refresh(psi)
    weights = walkers.weights()
    assert float(weights.mean()) == pytest.approx(1.0, rel=1e-12) and (weights > 0).all()
    # by closed form: ψ^(2 − 2a) but for a factor
    ratio = weights / (-(1 - power) * (alpha * x.square()).sum((1, 2))).exp()
    assert torch.allclose(ratio, ratio[0].expand_as(ratio), rtol=1e-10)
    if power == 1:
        assert torch.equal(weights, torch.ones_like(weights))
        return
    for column, a in enumerate(alpha.tolist()):
        squares = x[:, 0, column].square()
        found = chains_estimate((weights * squares)[None].numpy(), weights[None].numpy())
        assert abs(found.value - 1 / (2 * a)) < 4 * found.error
        # the twin: without weights
        plain = chains_estimate(squares[None].numpy())
        assert abs(plain.value - 1 / (2 * a)) > 20 * plain.error


@pytest.mark.parametrize("coordinates", [1, 2, 6, 24, 90])
def test_the_price_of_a_broad_power(coordinates: int, gaussian) -> None:
    """⟨w²⟩/⟨w⟩² is what it was asked to be: in closed form, and for walkers of a Gaussian."""
    power = sampling_power(coordinates)
    assert 0.4 < power < 1 and (power * (2 - power)) ** (-coordinates / 2) == pytest.approx(TAIL_COST, rel=1e-12)
    assert sampling_power(coordinates, 1.02) > power > sampling_power(coordinates, 3.0) > 0
    psi, count = gaussian(1.0), 60_000
    walkers = Walkers(psi.sample(count, (1, coordinates), 5) / power**0.5, 0.1, power)
    walkers.refresh(psi)
    squares = walkers.weights().square()
    error = float(squares.std()) / count**0.5
    assert abs(float(squares.mean()) - TAIL_COST) < 4 * error
    # the twin: the power of twice as many coordinates costs the root of it only
    other = sampling_power(2 * coordinates)
    assert abs((other * (2 - other)) ** (-coordinates / 2) - TAIL_COST) > 6 * error


def test_many_coordinates_leave_little_to_broaden() -> None:
    powers = [sampling_power(n) for n in (1, 3, 10, 100, 3000)]
    assert powers == sorted(powers) and powers[-1] > 0.99
    assert sampling_power(5, 1.0) == 1.0


def test_weights_of_walkers_far_from_one_another(gaussian) -> None:
    """log ψ of any size: nothing overflows, the largest counts."""
    walkers = walkers_at(torch.tensor([[[0.0]], [[1e3]], [[1e5]]], dtype=torch.float64))
    walkers.power = 0.5
    walkers.refresh(gaussian(1.0))
    assert walkers.weights().tolist() == [3.0, 0.0, 0.0]


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


@pytest.mark.parametrize("fair", [True, False])
def test_particles_with_steps_of_their_own_keep_the_density(gaussian, monkeypatch, fair: bool) -> None:
    """Twin: moves that are judged by 0.9 of the gain leave another density."""
    psi = gaussian(1.0)
    psi.step_shape = torch.tensor([1.0, 1.0, 3.0, 3.0], dtype=torch.float64).diag()
    walkers = walkers_at(psi.sample(4000, (2, 2), 0), step=0.25)
    if not fair:
        right = Walkers.log_gain
        monkeypatch.setattr(Walkers, "log_gain", lambda self, *given: 0.9 * right(self, *given))
    metropolis(psi, walkers, torch.Generator().manual_seed(1), 30, adapt=False)
    assert 0.2 < walkers.acceptance < 0.9
    squares = walkers.x.square().sum(2)
    mean, error = squares.mean(0) - 1.0, squares.std(0) / len(squares) ** 0.5
    assert (float((mean / error).abs().max()) < 4) == fair
    # the heavier one goes farther
    before = walkers.x.clone()
    langevin_move(psi, walkers, torch.Generator().manual_seed(2), psi.step_shape)
    apart = (walkers.x - before).square().sum(2).mean(0)
    assert float(apart[1]) > 3 * float(apart[0])
