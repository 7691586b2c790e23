"""The natural-gradient update against the same problem solved densely in parameter space by numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fkflow.training.natural_gradient import EXPLORING, Spring, gram, solve

RATE, DAMPING, MOMENTUM = 0.3, 1e-2, 0.8


def problem(walkers: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """∂θU (B, P), slopes (B, P) and energies (B,)."""
    generator = torch.Generator().manual_seed(seed)
    o, slope = torch.randn(2, walkers, size, generator=generator, dtype=torch.float64) + 0.5
    return o, slope, 3 + torch.randn(walkers, generator=generator, dtype=torch.float64)


def rows(o: Tensor, slope: Tensor | None = None) -> Tensor:
    """Gradients and the slopes below them, as an update takes them and uses them up."""
    return torch.cat([o] if slope is None else [o, slope])


def dense(
    o: Tensor, slope: Tensor | None, energies: Tensor, carried: np.ndarray, weights: Tensor | None = None
) -> np.ndarray:
    """φ of (S + ηK + λ) φ = ⟨Or⟩ + λ φ_carried with all matrices (P, P) written out; averages by `weights`."""
    w = np.ones(len(o)) if weights is None else weights.numpy()
    centred, r = (a.numpy() - np.average(a.numpy(), axis=0, weights=w) for a in (o, energies))
    overlap = np.einsum("b,bi,bj->ij", w / w.sum(), centred, centred)
    stiffness = np.zeros_like(overlap)
    if slope is not None:
        part = w[: len(slope)] / w[: len(slope)].sum()
        stiffness = 0.5 * np.einsum("b,bi,bj->ij", part, slope.numpy(), slope.numpy())
    shift = DAMPING * np.average(np.sum(centred**2, axis=1), weights=w) / len(r)
    matrix = overlap + RATE * stiffness + shift * np.eye(len(overlap))
    return np.linalg.solve(matrix, centred.T @ (w / w.sum() * r) + shift * carried)


@pytest.mark.parametrize("sloped", [False, True])
@pytest.mark.parametrize(("walkers", "size"), [(12, 40), (90, 7)], ids=["sample space", "parameter space"])
def test_updates_against_a_dense_solution(walkers: int, size: int, sloped: bool) -> None:
    spring = Spring(size, momentum=MOMENTUM, max_change=1e9)
    last = np.zeros(size)
    for step in range(4):  # momentum enters from the second on
        o, slope, energies = problem(walkers, size, step)
        slope = slope if sloped else None
        expected = dense(o, slope, energies, MOMENTUM * last)
        change = spring.update(rows(o, slope), energies, RATE, DAMPING)
        assert np.allclose(change.numpy(), -RATE * expected, rtol=1e-8, atol=1e-11)
        assert np.allclose(spring.last.numpy(), expected, rtol=1e-8, atol=1e-11)
        last = expected
    # the twin: without the momentum the last step would have been another
    assert not np.allclose(expected, dense(o, slope, energies, 0 * last), rtol=1e-3)


@pytest.mark.parametrize("damping", [1e-3, 1e-1])
@pytest.mark.parametrize(("walkers", "size"), [(140, 400), (600, 200)], ids=["sample space", "parameter space"])
def test_single_precision_is_refined(monkeypatch, walkers: int, size: int, damping: float) -> None:
    """Products in single precision, where they are used, end in the solution of double precision."""
    generator = torch.Generator().manual_seed(0)
    # columns of very different size, as the parameters of a network give them, far from 1
    o, slope = (1e-12 * t * torch.logspace(-2, 2, size) for t in problem(walkers, size)[:2])
    energies = 3 + torch.randn(walkers, generator=generator, dtype=torch.float64)

    def change() -> Tensor:
        return Spring(size, momentum=MOMENTUM, max_change=1e9).update(rows(o, slope), energies, RATE, damping)

    found = change()
    monkeypatch.setattr("fkflow.training.natural_gradient.REFINEMENTS", 0)
    rough = change()
    monkeypatch.setattr("fkflow.training.natural_gradient.SINGLE", math.inf)
    exact = change()
    away = [float((other - exact).norm() / exact.norm()) for other in (found, rough)]
    assert away[0] < 1e-8 and 1e-7 < away[1] < 1e-2, away


def test_slopes_of_some_walkers_are_enough() -> None:
    o, slope, energies = problem(30, 6)
    spring = Spring(6, momentum=0.0, max_change=1e9)
    change = spring.update(rows(o, slope[:10]), energies, RATE, DAMPING)
    assert np.allclose(change.numpy(), -RATE * dense(o, slope[:10], energies, np.zeros(6)), rtol=1e-8)


@pytest.mark.parametrize("sloped", [0, 10, None], ids=["none", "some", "all"])
@pytest.mark.parametrize(("walkers", "size"), [(12, 40), (90, 7)], ids=["sample space", "parameter space"])
def test_weighted_walkers(walkers: int, size: int, sloped: int | None) -> None:
    """Averages over walkers with weights, slopes of some of them included."""
    o, slope, energies = problem(walkers, size)
    slope = None if sloped == 0 else slope[:sloped]
    weights = torch.randn(walkers, generator=torch.Generator().manual_seed(5), dtype=torch.float64).exp()
    last = 0.1 * np.arange(size) / size
    for factor in (1.0, 1e3):  # their size does not matter
        spring = Spring(size, momentum=MOMENTUM, max_change=1e9)
        spring.last = torch.from_numpy(last.copy())
        change = spring.update(rows(o, slope), energies, RATE, DAMPING, factor * weights)
        expected = dense(o, slope, energies, MOMENTUM * last, weights)
        assert np.allclose(change.numpy(), -RATE * expected, rtol=1e-8, atol=1e-11)
    # equal weights are none; the twin: those above are not
    plain = dense(o, slope, energies, MOMENTUM * last)
    spring.last = torch.from_numpy(last.copy())
    even = spring.update(rows(o, slope), energies, RATE, DAMPING, torch.full_like(weights, 0.3))
    assert np.allclose(even.numpy(), -RATE * plain, rtol=1e-8, atol=1e-11)
    assert not np.allclose(expected, plain, rtol=0.1)


def influences(
    o: Tensor, energies: Tensor, weights: Tensor, kept: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """√h |t| (B,) of each walker and t (B,), in units of the mean |t|, with all matrices written out; `kept` replaces t."""
    share = weights.numpy() / weights.numpy().sum()
    a = (o.numpy() - share @ o.numpy()) * np.sqrt(share)[:, None]
    t = np.sqrt(share) * (energies.numpy() - share @ energies.numpy())
    shift = DAMPING * np.sum(a**2) / len(a)
    h = np.einsum("bi,ij,bj->b", a, np.linalg.inv(a.T @ a + shift * np.eye(a.shape[1])), a)
    return np.sqrt(h) * np.abs(t) / np.abs(t).mean(), t


@pytest.mark.parametrize(("walkers", "size"), [(12, 40), (90, 7)], ids=["sample space", "parameter space"])
def test_the_influence_of_each_walker_is_bounded(walkers: int, size: int) -> None:
    """Energies are clamped so that √h |t| is at most the bound: the update is that of the clamped energies."""
    most = 1.5
    o, _, energies = problem(walkers, size)
    o[3] *= 4.0
    energies[3] += 20.0
    weights = torch.linspace(0.5, 2.0, walkers, dtype=torch.float64)
    found, t = influences(o, energies, weights)
    assert found[3] > most > np.sort(found)[-3]
    share = (weights / weights.sum()).numpy()
    clamped = torch.from_numpy(t * np.minimum(1.0, most / found) / np.sqrt(share))
    bounded, same, free = (
        Spring(size, momentum=0.0, max_change=1e9, influence=influence)
        for influence in (most, found.max() * 1.01, math.inf)
    )
    change = bounded.update(rows(o), energies, RATE, DAMPING, weights)
    # what is clamped has no mean of 0, which the plain update would take out: the rows have one
    share_of = torch.from_numpy(share)
    centred = o - share_of @ o
    shift = DAMPING * float((share_of[:, None] * centred.square()).sum()) / walkers
    matrix = centred.T @ (share_of[:, None] * centred) + shift * torch.eye(size, dtype=torch.float64)
    expected = -RATE * torch.linalg.solve(matrix, centred.T @ (share_of * clamped))
    assert torch.allclose(change, expected, rtol=1e-7, atol=1e-10)
    # the twin: without the bound, and with one that nothing reaches, the update is another
    whole = free.update(rows(o), energies, RATE, DAMPING, weights)
    assert torch.allclose(same.update(rows(o), energies, RATE, DAMPING, weights), whole, rtol=1e-12)
    assert float((whole - change).norm() / whole.norm()) > 0.1


@pytest.mark.parametrize(("walkers", "size"), [(20, 60), (90, 7)], ids=["sample space", "parameter space"])
def test_exploring_walkers_have_a_higher_bound(walkers: int, size: int) -> None:
    """That of others times a number; the twins have the bound of the others, and none."""
    o, _, energies = problem(walkers, size)
    energies[-1] += 50.0
    exploring, higher, bounded, free = (
        Spring(size, momentum=0.0, max_change=1e9, influence=influence).update(
            rows(o), energies, RATE, DAMPING, None, count
        )
        for influence, count in ((0.2, walkers), (0.2 * EXPLORING, 0), (0.2, 0), (math.inf, 0))
    )
    assert torch.equal(exploring, higher)
    assert not torch.allclose(exploring, bounded, rtol=0.1) and not torch.allclose(exploring, free, rtol=0.1)


def test_outliers_that_many_walkers_share_are_learned() -> None:
    """A tenth of the walkers are in a place of their own, with energies far off: their leverages are small, nothing is cut."""
    o, _, energies = problem(200, 5)
    o, energies = 0.1 * o, 0.1 * energies
    o[:20, 0] += 3.0
    energies[:20] += 5.0
    alone_o, alone_e = torch.cat([o[:1], o[20:]]), torch.cat([energies[:1], energies[20:]])

    def ratio(rows_: Tensor, values: Tensor) -> float:
        bounded, free = (
            Spring(5, momentum=0.0, max_change=1e9, influence=influence).update(rows(rows_), values, RATE, 1e-3)
            for influence in (2.0, math.inf)
        )
        return float((bounded - free).norm() / free.norm())

    assert ratio(o, energies) < 1e-12
    assert ratio(alone_o, alone_e) > 0.3


def test_the_bound_shrinks_step_and_momentum() -> None:
    o, slope, energies = problem(50, 6)
    free, bound = (Spring(6, momentum=MOMENTUM, max_change=c) for c in (1e9, 1e-3))
    whole, short = (s.update(rows(o, slope), energies, RATE, DAMPING) for s in (free, bound))
    assert bound.change == pytest.approx(free.change) and free.change > 1e-3
    factor = 1e-3 / free.change
    assert torch.allclose(short, factor * whole, rtol=1e-12)
    assert torch.allclose(bound.last, factor * free.last, rtol=1e-12)
    # the bound is on the root mean square change of log ψ, its mean over walkers taken out
    moved = (o - o.mean(0)) @ short
    assert float(moved.square().mean().sqrt()) == pytest.approx(1e-3)


def test_a_small_step_is_left_alone() -> None:
    o, slope, energies = problem(50, 6)
    free, bound = Spring(6, momentum=0, max_change=1e9), Spring(6, momentum=0, max_change=10.0)
    whole, same = (s.update(rows(o, slope), energies, 1e-3, DAMPING) for s in (free, bound))
    assert torch.equal(whole, same)


def test_updates_do_not_see_constants() -> None:
    """Neither the zero of energy nor a change of norm, which adds the same to every row of ∂θU."""
    o, slope, energies = problem(20, 30)
    first, second = (Spring(30, momentum=0, max_change=1e9) for _ in range(2))
    a = first.update(rows(o, slope), energies, RATE, DAMPING)
    b = second.update(rows(o + torch.arange(30), slope), energies - 1e3, RATE, DAMPING)
    assert torch.allclose(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("walkers", "size"), [(12, 40), (90, 7)])
def test_nothing_to_learn_changes_nothing(walkers: int, size: int) -> None:
    """A network that is already exact: ∂θU the same for all walkers, or no scatter of the energies."""
    o, slope, energies = problem(walkers, size)
    for jacobian, values in (
        (0 * o, energies),
        (o[:1].expand(walkers, size) * 0 + 2.0, energies),
        (o, 0 * energies + 1),
    ):
        spring = Spring(size, momentum=MOMENTUM, max_change=0.1)
        change = spring.update(rows(jacobian), values, RATE, DAMPING)
        assert torch.equal(change, torch.zeros(size, dtype=torch.float64))
        assert spring.change == 0.0


def test_more_walkers_than_directions_that_they_show() -> None:
    """Parameters that nothing depends on, and walkers that coincide: singular in both spaces, finite step."""
    o, slope, energies = problem(60, 10)
    o[:, 3:] = 0
    o[30:], energies[30:], slope[:, 3:] = o[:30], energies[:30], 0
    spring = Spring(10, momentum=0.0, max_change=1e9)
    change = spring.update(rows(o, slope), energies, RATE, 1e-9)
    assert change.isfinite().all() and torch.equal(change[3:], torch.zeros(7, dtype=torch.float64))
    alone = Spring(3, momentum=0.0, max_change=1e9).update(rows(o[:, :3], slope[:, :3]), energies, RATE, 1e-9)
    assert torch.allclose(change[:3], alone, rtol=1e-6)


def test_solve() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    gram, rhs = a @ a.T, torch.randn(8, generator=generator, dtype=torch.float64)
    shift = torch.tensor(0.1, dtype=torch.float64)
    expected = np.linalg.solve(gram.numpy() + 0.1 * np.eye(8), rhs.numpy())
    assert np.allclose(solve(gram, shift, rhs).numpy(), expected, rtol=1e-9)


def test_solve_with_singular_matrices() -> None:
    u = torch.arange(1.0, 6.0, dtype=torch.float64)
    rank_one, none = torch.outer(u, u), torch.tensor(0.0, dtype=torch.float64)
    # any solution has G x = b; the damped one is the shortest, u/|u|²
    assert torch.allclose(rank_one @ solve(rank_one, none, u), u, rtol=1e-2)
    damped = solve(rank_one, torch.tensor(1e-6, dtype=torch.float64), u)
    assert torch.allclose(damped, u / u.square().sum(), rtol=1e-6)
    # slightly indefinite through rounding: the shift grows until the factorisation succeeds
    indefinite = rank_one - 1e-10 * torch.eye(5, dtype=torch.float64)
    assert torch.allclose(rank_one @ solve(indefinite, none, u), u, rtol=1e-3)


@pytest.mark.parametrize(("given", "found"), [(0.0, 0.0), (math.nan, math.nan), (math.inf, math.nan)])
def test_solve_where_nothing_can_be_done(given: float, found: float) -> None:
    """Nothing to learn gives no change; what has no solution gives NaN, which cannot be taken for one."""
    gram = torch.full((3, 3), given, dtype=torch.float64)
    rhs = torch.ones(3, dtype=torch.float64)
    solved = solve(gram, torch.tensor(0.0, dtype=torch.float64), rhs)
    assert torch.allclose(solved, torch.full_like(rhs, found), equal_nan=True)


@pytest.mark.parametrize(("count", "size", "block"), [(40, 7, 3), (40, 9, 3), (5, 30, 8), (20, 4, 256)])
def test_the_gram_matrix_by_blocks(count: int, size: int, block: int) -> None:
    a = torch.randn(count, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gram(a, block)
    assert torch.allclose(found, a.T @ a, rtol=1e-12, atol=1e-12)
