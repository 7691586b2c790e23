"""The broad density of some walkers: what it is, that walkers follow it, and that their weights bring ψ² back."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from fkflow.hamiltonian.registry import find_system
from fkflow.sampling.broad import APART, CLOSE, CLOSEST, EVERY, BroadDensity, broad_density
from fkflow.sampling.jumps import jump
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.statistics import chains_estimate

SHAPE = (2, 3)


def test_the_ratio_of_densities() -> None:
    """As the formula says: a power of ψ, pairs and groups that crowd; with masses, in the user's coordinates, 2μ r²."""
    masses = (1.0, 4.0, 4.0, 2.0, 1.0)
    n = len(masses)
    z = torch.randn(5, n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_psi = torch.linspace(-2.0, 1.0, 5, dtype=torch.float64)
    x = z / torch.tensor(masses).sqrt()[:, None]

    def inverse(i: int, j: int, least: float) -> torch.Tensor:
        twice = 2 * masses[i] * masses[j] / (masses[i] + masses[j])
        return 1 / (twice * (x[:, i] - x[:, j]).square().sum(1) / 0.7**2 + least**2)

    def mean(others: int, least: float) -> torch.Tensor:
        """Over all particles i and as many others of the products of what i has with each of them."""
        groups = list(itertools.permutations(range(n), others + 1))
        return sum(math.prod(inverse(i, j, least) for j in group) for i, *group in groups) / len(groups)

    pairs, groups = mean(1, CLOSEST), mean(2, CLOSE) + mean(3, CLOSE)
    expected = -0.8 * log_psi + (APART + pairs + groups).log()
    without = -0.8 * log_psi + (APART + pairs).log()
    found = BroadDensity(0.6, 0.7, masses).log_ratio(z, log_psi)
    assert torch.allclose(found, expected) and not torch.allclose(found, without, rtol=0.01)
    assert not torch.allclose(BroadDensity(0.6, 0.7, (1.0,) * n).log_ratio(z, log_psi), expected, rtol=0.01)
    # pairs of particles on a line meet often enough; a lone particle has no pair
    for few in (z[:, :, :1], z[:, :1]):
        assert torch.equal(BroadDensity(0.6, 0.7, masses).log_ratio(few, log_psi), -0.8 * log_psi)


@pytest.mark.parametrize("jumping", [False, True], ids=["local moves", "jumps"])
def test_weights_bring_back_psi_squared(jumping: bool, gaussian) -> None:
    """Walkers that start from ψ²; the ratio of norms is not told. The twin: without weights, or with those of another share."""
    alpha, count, rounds = 0.5, 4000, 12
    psi, generator = gaussian(alpha), torch.Generator().manual_seed(1)
    density = BroadDensity(0.6, 3.0, (1.0, 1.0))
    walkers = Walkers(psi.sample(count, SHAPE, 3), 0.5, broad=density)
    kept: dict[str, list[torch.Tensor]] = {"squares": [], "close": [], "ratios": []}
    for _ in range(rounds):
        metropolis(psi, walkers, generator, 5, adapt=False)
        if jumping:
            jump(psi, walkers, generator)
        apart = (walkers.x[:, 0] - walkers.x[:, 1]).square().sum(1).sqrt()
        kept["squares"].append(walkers.x.square().sum((1, 2)))
        kept["close"].append((apart < 0.4).double())
        kept["ratios"].append(walkers.log_ratio())
    # the first rounds are on the way from ψ² to the mixture
    squares, close, ratios = (torch.cat(values[4:]).view(rounds - 4, count) for values in kept.values())
    # a distance is that of a Gaussian of variance 1/α in each direction
    radius = torch.linspace(0, 0.4, 4001, dtype=torch.float64)
    shell = 4 * math.pi * radius.square() * (alpha / (2 * math.pi)) ** 1.5 * (-0.5 * alpha * radius.square()).exp()
    exact = {"squares": 6 / (2 * alpha), "close": float(torch.trapezoid(shell, radius))}
    weights = density.weights(ratios.flatten()).view_as(ratios)
    for values, wanted in ((squares, exact["squares"]), (close, exact["close"])):
        found = chains_estimate((weights * values).numpy(), weights.numpy())
        assert abs(found.value - wanted) < 4 * found.error
        plain = chains_estimate(values.numpy())
        assert abs(plain.value - wanted) > 6 * plain.error
    other = BroadDensity(0.6, 3.0, (1.0, 1.0), every=2).weights(ratios.flatten()).view_as(ratios)
    found = chains_estimate((other * squares).numpy(), other.numpy())
    assert abs(found.value - exact["squares"]) > 6 * found.error
    # rare places are visited: pairs meet several times as often among those that look for them
    broad = density.has(count, torch.device("cpu"))
    assert float(close[:, broad].mean()) > 8 * float(close[:, ~broad].mean())


def test_no_walker_stands_for_all_others() -> None:
    log_psi = 0.5 * torch.randn(400, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    density = BroadDensity(0.5)
    far = log_psi.clone()
    far[5], far[6], far[7], far[8] = 300.0, -300.0, math.nan, -math.inf
    weights = density.weights(density.log_ratio(torch.zeros(400, 1, 1), far))
    assert weights.isfinite().all() and float(weights.mean()) == pytest.approx(1.0)
    most = EVERY / (EVERY - 1)
    assert weights.median() < weights.max() == weights[5] <= most + 1e-9
    assert float(weights[6]) == float(weights[7]) == float(weights[8]) == float(weights.min()) < 1e-6
    # nothing is known of walkers that are all lost
    assert density.weights(torch.full((3,), math.nan)).tolist() == [1.0] * 3


def test_what_trainings_take() -> None:
    """One walker in four, also when walkers are repeated; the power of so many coordinates, and the system's masses."""
    few, many = (broad_density(find_system("bosons")(particles=n), 0.5) for n in (2, 50))
    assert 0 < few.power < many.power < 1 and few.contact == 0.5 and set(few.masses) == {1.0}
    cpu = torch.device("cpu")
    assert torch.equal(few.has(256, cpu), few.has(128, cpu).repeat(2)) and int(few.has(128, cpu).sum()) == 128 // EVERY
