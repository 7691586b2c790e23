"""Error bars of densities: weights, groups, bins where hardly anybody came."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from counting import OMEGA, counted, shell_deviations

from fkflow.execution.ranks import GROUPS
from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.histograms import Histograms


def test_errors_of_bins_are_calibrated(walkers) -> None:
    """Over 40 repetitions: the scatter of the bins is their stated error."""
    system = find_system("harmonic")(particles=1, dimensions=1, omega=1.0)
    edges = [walkers(system, 4000, seed=999)]
    repeated = []
    for seed in range(40):
        histograms = Histograms(system, edges[0], 12)
        histograms.add(walkers(system, 1600, seed))
        repeated.append(next(h for h in histograms.results() if h.group == "density"))
    values, errors = np.stack([h.values for h in repeated]), np.stack([h.errors for h in repeated])
    filled = values.mean(0) > 0.05
    ratio = values.std(0, ddof=1)[filled] / np.sqrt((errors**2).mean(0))[filled]
    assert filled.sum() >= 5 and np.mean(ratio) == pytest.approx(1.0, abs=0.12)


def test_walkers_that_move_together_make_larger_errors(systems, walkers) -> None:
    """The same walkers counted ten times are no ten times better: groups, not counts, make the error."""
    system = systems["line"]
    x = walkers(system, 3200)
    once = counted(system, x)[0]
    histograms = Histograms(system, x, 40)
    for _ in range(10):
        histograms.add(x)
    often = histograms.results()[0]
    assert np.allclose(often.values, once.values) and np.allclose(often.errors, once.errors)


def test_whole_weights_are_repeated_walkers(name: str, systems, walkers) -> None:
    """A walker of weight k counts like k walkers at its place, in every view; one of weight 0 not at all."""
    system = systems[name]
    x = walkers(system, 40 * GROUPS)
    times = torch.randint(0, 4, (len(x),), generator=torch.Generator().manual_seed(5))
    weighted = Histograms(system, x, 20)
    weighted.add(x, times.double())
    repeated = Histograms(system, x, 20)
    # whoever has been counted often enough stands where no bin is, his particles far apart
    n, dimensions = x.shape[1:]
    beyond = 1e6 * torch.arange(1, n + 1, dtype=x.dtype)[:, None].expand(n, dimensions)
    for done in range(3):
        repeated.add(torch.where((times > done)[:, None, None], x, beyond))
    repeated.weights = np.array([float(times[g::GROUPS].sum()) for g in range(GROUPS)])
    assert np.array_equal(weighted.weights, repeated.weights)
    for (values, errors), (same, same_errors) in zip(weighted.densities(), repeated.densities(), strict=True):
        assert np.allclose(values, same, rtol=1e-12, atol=0) and np.allclose(errors, same_errors, rtol=1e-9, atol=1e-15)
        assert values.max() > 0


def test_even_weights_change_nothing(systems, walkers) -> None:
    """However large: densities are ratios."""
    system = systems["axis"]
    x = walkers(system, 1000)
    plain = counted(system, x)
    for factor in (1.0, 1e-20, 1e20):
        histograms = Histograms(system, x, 40)
        histograms.add(x, torch.full((len(x),), factor, dtype=torch.float64))
        for before, after in zip(plain, histograms.results(), strict=True):
            assert np.allclose(after.values, before.values, rtol=1e-10, atol=0)
            assert np.allclose(after.errors, before.errors, rtol=1e-8, atol=1e-12 * before.values.max())


def test_weights_turn_one_density_into_another(systems) -> None:
    """Walkers of a wider Gaussian with weights ψ²/wider² show the narrow one; without weights (the twin) they do not."""
    system = systems["round 3D"]
    generator = torch.Generator().manual_seed(7)
    variance, wider = 1 / (2 * OMEGA), 1.5 / (2 * OMEGA)
    x = math.sqrt(wider) * torch.randn(48_000, 2, 3, generator=generator, dtype=torch.float64)
    weights = (-0.5 * (1 / variance - 1 / wider) * x.square().sum((1, 2))).exp()
    found = {}
    for name, given in (("weighted", weights), ("twin", None)):
        histograms = Histograms(system, x, 40)
        for part in range(4):
            chosen = slice(part * 12_000, (part + 1) * 12_000)
            histograms.add(x[chosen], None if given is None else given[chosen])
        found[name] = {h.group: h for h in histograms.results()}
    for group, spread in (("density", (2 * OMEGA) ** -0.5), ("pair", OMEGA**-0.5)):
        z = shell_deviations(found["weighted"][group], spread)
        assert 0.4 < np.mean(z**2) < 2.2 and np.abs(z).max() < 5.5
        assert np.mean(shell_deviations(found["twin"][group], spread) ** 2) > 50


def test_errors_of_weighted_bins_are_those_of_a_ratio(walkers) -> None:
    """Over 60 repetitions with weights that differ from group to group: the scatter of the bins is their stated error.

    The twin takes the sum of the weights for exact, which makes the errors of well-filled bins too large: counts and sum
    rise and fall together.
    """
    system = find_system("harmonic")(particles=1, dimensions=1, omega=1.0)
    first = walkers(system, 4000, seed=999)
    values, errors, naive = [], [], []
    for seed in range(60):
        x = walkers(system, 100 * GROUPS, seed)
        noise = torch.randn(GROUPS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        weights = (0.5 * noise).exp().repeat(100)
        histograms = Histograms(system, first, 6)
        histograms.add(x, weights)
        index = next(i for i, view in enumerate(histograms.views) if view.group == "density")
        density, error = histograms.densities()[index]
        scaled = histograms.counts[index] / np.diff(histograms.edges[index][0])
        values.append(density)
        errors.append(error)
        naive.append(scaled.std(0, ddof=1) * math.sqrt(GROUPS) / histograms.weights.sum())
    filled = np.mean(values, 0) > 0.05
    scatter = np.std(values, 0, ddof=1)[filled]
    stated, twin = (np.sqrt(np.mean(np.square(e), 0))[filled] for e in (errors, naive))
    assert filled.sum() >= 3
    assert np.mean(scatter / stated) == pytest.approx(1.0, abs=0.15)
    assert np.max(twin / scatter) > 2


def test_a_group_with_much_of_the_weight_counts_as_one(walkers) -> None:
    """Over 400 repetitions with most of the weight in a few groups: each group left out once tells how far off they are.

    The twin, the plain scatter about the common mean, is too small: the heavy groups are the mean.
    """
    system = find_system("harmonic")(particles=1, dimensions=1, omega=1.0)
    first = walkers(system, 4000, seed=999)
    exact = math.erf(1.0) / 2  # of ψ² between 0 and 1
    z, twin = [], []
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        x = walkers(system, 8 * GROUPS, seed)
        weights = (1.2 * torch.randn(GROUPS, generator=generator, dtype=torch.float64)).exp().repeat(8)
        histograms = Histograms(system, first, 6)
        index = next(i for i, view in enumerate(histograms.views) if view.group == "density")
        histograms.edges[index][0] = np.array([-1.0, 0.0, 1.0])
        histograms.counts[index] = np.zeros((GROUPS, 2))
        histograms.add(x, weights)
        density, error = histograms.densities()[index]
        z.append((density[1] - exact) / error[1])
        seen = histograms.weights
        plain = np.linalg.norm(histograms.counts[index][:, 1] - density[1] * seen) * math.sqrt(GROUPS / (GROUPS - 1))
        twin.append((density[1] - exact) / (plain / seen.sum()))
    # rms of 400 ratios of sums with heavy tails, in units of their errors: the uncertainty is 0.05
    assert 0.9 < np.sqrt(np.mean(np.square(z))) < 1.24 < np.sqrt(np.mean(np.square(twin)))


def test_errors_of_nearly_empty_bins(walkers) -> None:
    """Bins that expect one visit or less, over 200 repetitions: their errors hold also where nobody came.

    The twin, the scatter of the groups alone, gives such bins no error at all.
    """
    system = find_system("harmonic")(particles=1, dimensions=1, omega=1.0)
    first = walkers(system, 4000, seed=999)
    edges = np.linspace(-4.0, 4.0, 41)
    exact = np.diff([math.erf(e) / 2 for e in edges]) / np.diff(edges)
    rare = (exact * np.diff(edges) * 20 * GROUPS < 1) & (exact * np.diff(edges) * 20 * GROUPS > 0.05)
    z, empty = [], 0
    for seed in range(200):
        histograms = Histograms(system, first, 40)
        index = next(i for i, view in enumerate(histograms.views) if view.group == "density")
        histograms.edges[index][0] = edges
        histograms.add(walkers(system, 20 * GROUPS, seed))
        density, error = histograms.densities()[index]
        one_visit = 1 / (20 * GROUPS * np.diff(edges))
        assert error.min() == pytest.approx(one_visit[0], rel=0.35) and (error[rare] < 4 * one_visit[rare]).all()
        z.append((density - exact)[rare] / error[rare])
        empty += int((density[rare] == 0).sum())
    assert rare.sum() >= 4 and empty > 400
    # a Poisson count of mean m has deviations of √m where the error is that of one visit
    expected = exact[rare] * np.diff(edges)[rare] * 20 * GROUPS
    assert np.sqrt(np.mean(np.square(z))) == pytest.approx(math.sqrt(expected.mean()), rel=0.25)
