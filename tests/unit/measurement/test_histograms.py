"""Densities: normalisation, closed forms with error bars, weights, shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi

from fkflow.execution.ranks import GROUPS
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.histograms import MAP_BINS, Histograms
from fkflow.measurement.views import views
from fkflow.results.records import Axis, Histogram

#: frequency of the trap that is called "round 3D"
OMEGA = 2.0


def counted(system: System, x: torch.Tensor, bins: int = 40, sweeps: int = 1) -> list[Histogram]:
    histograms = Histograms(system, x, bins)
    for part in x.view(sweeps, -1, *x.shape[1:]):
        histograms.add(part)
    return histograms.results()


def volumes(axis: Axis, measure: str) -> np.ndarray:
    """Volume of each bin of one axis, by the words of the measure."""
    low, high, r = axis.edges[:-1], axis.edges[1:], axis.name
    if f"4 pi {r}^2 d{r}" in measure:
        return 4 * math.pi / 3 * (high**3 - low**3)
    if f"2 pi {r} d" in measure:
        return math.pi * (high**2 - low**2)
    if measure.startswith("S_5"):
        return 8 * math.pi**2 / 15 * (high**5 - low**5)
    if measure.startswith("S_4"):
        return math.pi**2 / 2 * (high**4 - low**4)
    return high - low


def test_densities_integrate_to_one(name: str, systems, walkers) -> None:
    found = counted(systems[name], walkers(systems[name]))
    for histogram in found:
        total = histogram.values
        for axis in reversed(histogram.axes):
            total = total @ volumes(axis, histogram.measure)
        # all but the few that lie beyond the outermost bin
        assert 0.998 < float(total) <= 1 + 1e-12, histogram.name
        assert histogram.values.shape == histogram.errors.shape == tuple(len(a.centres) for a in histogram.axes)
        assert (histogram.values >= 0).all() and (histogram.errors >= 0).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("line", {"density/x": "dx"}),
        ("chain", {"density/x": "dx", "pair/r": "dr"}),
        ("round 2D", {"density/r": "2 pi r dr", "density/xy": "dx dy", "pair/r": "2 pi r dr"}),
        ("oval 2D", {"density/x": "dx", "density/y": "dy", "density/xy": "dx dy", "pair/r": "2 pi r dr"}),
        ("round 3D", {"density/r": "4 pi r^2 dr", "pair/r": "4 pi r^2 dr"}),
        ("oval 3D", {"density/x": "dx", "density/y": "dy", "density/z": "dz", "pair/r": "4 pi r^2 dr"}),
        ("round 5D", {"density/r": "S_5 r^4 dr", "pair/r": "S_5 r^4 dr"}),
        (
            "mixture",
            {
                **{f"density/r_{a}": "2 pi r dr" for a in "ab"},
                **{f"density/xy_{a}": "dx dy" for a in "ab"},
                **{f"pair/r_a_{a}": "2 pi r dr" for a in "ab"},
            },
        ),
        ("oval 4D", {"density/r": "S_4 r^3 dr"}),
        ("atom", {"density/r": "4 pi r^2 dr", "pair/r": "4 pi r^2 dr"}),
        (
            "axis",
            {
                "density/z": "dz",
                "density/rho": "2 pi rho drho",
                "density/zrho": "2 pi rho dz drho",
                "pair/r": "4 pi r^2 dr",
            },
        ),
        ("triangle", {"density/x": "dx", "density/y": "dy", "density/z": "dz"}),
    ],
)
def test_the_densities_that_suit_a_system(name: str, expected: dict[str, str], systems, walkers) -> None:
    assert {f"{v.group}/{v.name}": v.measure for v in views(systems[name])} == expected
    unit = systems[name].length_unit
    for histogram in counted(systems[name], walkers(systems[name], 200)):
        dimension = {
            "dx": 1,
            "dy": 1,
            "dz": 1,
            "dr": 1,
            "dx dy": 2,
            "2 pi r dr": 2,
            "2 pi rho drho": 2,
            "S_4 r^3 dr": 4,
            "S_5 r^4 dr": 5,
        }.get(histogram.measure, 3)
        assert histogram.unit == (f"1/{unit}" if dimension == 1 else f"1/{unit}^{dimension}")
        assert all(axis.unit == unit for axis in histogram.axes)


def shell_deviations(histogram: Histogram, spread: float) -> np.ndarray:
    """z of each well-filled bin against a normal distribution of that spread per coordinate in 3D."""
    edges = histogram.axes[0].edges
    exact = np.diff(chi(3, scale=spread).cdf(edges)) / volumes(histogram.axes[0], histogram.measure)
    weight = histogram.values * volumes(histogram.axes[0], histogram.measure)
    use = weight > 2e-3
    assert use.sum() > 15
    return (histogram.values - exact)[use] / histogram.errors[use]


def test_a_harmonic_trap_in_closed_form(systems, walkers) -> None:
    """One-body and pair density of free oscillators; z has variance 15/13 (sixteen groups)."""
    system = systems["round 3D"]
    found = {h.group: h for h in counted(system, walkers(system, 64_000), sweeps=4)}
    # one coordinate has variance 1/(2ω), a difference of two 1/ω
    for group, spread in (("density", (2 * OMEGA) ** -0.5), ("pair", OMEGA**-0.5)):
        z = shell_deviations(found[group], spread)
        assert 0.4 < np.mean(z**2) < 2.2 and np.abs(z).max() < 5.5
        # the twin: a frequency wrong by a tenth
        assert np.mean(shell_deviations(found[group], spread / 1.05) ** 2) > 5


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


def test_bounds_of_an_earlier_measurement(systems, walkers) -> None:
    """`like` gives the bins, whatever the walkers at hand and the number of bins asked for."""
    system = systems["axis"]
    histograms = Histograms(system, walkers(system), 25)
    histograms.add(walkers(system))
    before = histograms.results()
    elsewhere = 3 * walkers(system, 500, seed=8) + 1
    after = Histograms(system, elsewhere, 7, like=histograms)
    after.add(walkers(system))
    for old, new in zip(before, after.results(), strict=True):
        assert (old.group, old.name, old.measure, old.unit) == (new.group, new.name, new.measure, new.unit)
        for a, b in zip(old.axes, new.axes, strict=True):
            assert np.array_equal(a.edges, b.edges)
        assert np.array_equal(old.values, new.values)
    # the twin: without it the bins are those of the walkers at hand
    for old, new in zip(before, Histograms(system, elsewhere, 25).edges, strict=True):
        assert not np.array_equal(old.axes[0].edges, new[0])


@pytest.mark.parametrize("count", [2, GROUPS - 1, GROUPS + 1])
def test_few_walkers_still_give_finite_densities(count: int, systems, walkers) -> None:
    """measure.walkers may be as few as two."""
    for histogram in counted(systems["line"], walkers(systems["line"], count)):
        assert np.isfinite(histogram.values).all() and np.isfinite(histogram.errors).all()


def test_maps_and_lines_have_their_bins(systems, walkers) -> None:
    found = {f"{h.group}/{h.name}": h for h in counted(systems["axis"], walkers(systems["axis"]), bins=25)}
    assert found["density/z"].values.shape == (25,) and found["density/zrho"].values.shape == (
        MAP_BINS,
        MAP_BINS,
    )
    assert found["density/rho"].axes[0].edges[0] == 0.0 and found["pair/r"].axes[0].edges[0] == 0.0
    # symmetric walkers, symmetric map: the two protons
    z = found["density/z"]
    assert float(z.values @ z.axes[0].centres * np.diff(z.axes[0].edges)[0]) == pytest.approx(0.0, abs=0.05)


def test_densities_by_species() -> None:
    """Without interaction ψ² of each species is a Gaussian of its own mass; the twin: the other species' mass."""
    system = find_system("mixture")(count_a=2, count_b=2, mass_b=4.0, g_aa=0.0, g_bb=0.0, g_ab=0.0, dimensions=3)
    # of unit mass, a coordinate of ψ² has the variance ½; of mass m, 1/(2m)
    scaled = to_unit_masses(system)
    z = math.sqrt(0.5) * torch.randn(20000, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    histograms = Histograms(scaled, z, 40)
    histograms.add(z)
    found = {f"{h.group}/{h.name}": h for h in histograms.results()}
    assert list(found) == ["density/r_a", "density/r_b", "pair/r_a_a", "pair/r_a_b", "pair/r_b_b"]
    assert found["pair/r_a_b"].long_name == "pair distribution of a and b against the distance"
    assert found["pair/r_a_b"].axes[0].long_name == "distance between a and b"
    variances = {
        "density/r_a": 1 / 2,
        "density/r_b": 1 / 8,
        "pair/r_a_a": 1,
        "pair/r_a_b": 1 / 2 + 1 / 8,
        "pair/r_b_b": 1 / 4,
    }
    for name, variance in variances.items():
        z_scores = shell_deviations(found[name], math.sqrt(variance))
        assert np.sqrt((z_scores**2).mean()) < 1.5, name
        assert np.sqrt((shell_deviations(found[name], 1.1 * math.sqrt(variance)) ** 2).mean()) > 4, name
