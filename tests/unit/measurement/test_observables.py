"""Densities and drift fields: normalisation, closed forms with error bars, shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi

from fkflow.execution.ranks import GROUPS
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find
from fkflow.hamiltonian.system import System
from fkflow.measurement.observables import (
    FIELD_POINTS,
    LINE_POINTS,
    MAP_BINS,
    SHOWN_PARTICLES,
    Histograms,
    drift_fields,
    most_likely,
    trajectories,
    turned,
    views,
)
from fkflow.networks.choice import build
from fkflow.results.records import Axis, Histogram

OMEGA = 2.0
SYSTEMS = {
    "line": find("double_well")(),
    "chain": find("chain")(particles=3),
    "round 2D": find("bosons")(particles=3),
    "oval 2D": find("harmonic")(particles=2, dimensions=2, omega=[1.0, 2.0]),
    "round 3D": find("harmonic")(particles=2, dimensions=3, omega=OMEGA),
    "oval 3D": find("harmonic")(particles=2, dimensions=3, omega=[1.0, 2.0, 3.0]),
    "round 5D": find("harmonic")(particles=2, dimensions=5),
    "oval 4D": find("harmonic")(particles=1, dimensions=4, omega=[1.0, 2.0, 3.0, 4.0]),
    "atom": find("he")(),
    "axis": find("h2")(),
    "triangle": find("molecule")(
        electrons=1,
        nuclei=[{"position": p, "charge": 1.0} for p in ((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (1.0, 2.0, 0.0))],
    ),
}
each_system = pytest.mark.parametrize("name", SYSTEMS)


def walkers(system: System, count: int = 8000, seed: int = 0) -> torch.Tensor:
    return explore(system).start(count, torch.Generator().manual_seed(seed))


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


@each_system
def test_densities_integrate_to_one(name: str) -> None:
    found = counted(SYSTEMS[name], walkers(SYSTEMS[name]))
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
def test_the_densities_that_suit_a_system(name: str, expected: dict[str, str]) -> None:
    assert {f"{v.group}/{v.name}": v.measure for v in views(SYSTEMS[name])} == expected
    unit = SYSTEMS[name].length_unit
    for histogram in counted(SYSTEMS[name], walkers(SYSTEMS[name], 200)):
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


def test_a_harmonic_trap_in_closed_form() -> None:
    """One-body and pair density of free oscillators; z has variance 15/13 (sixteen groups)."""
    system = SYSTEMS["round 3D"]
    found = {h.group: h for h in counted(system, walkers(system, 64_000), sweeps=4)}
    # one coordinate has variance 1/(2ω), a difference of two 1/ω
    for group, spread in (("density", (2 * OMEGA) ** -0.5), ("pair", OMEGA**-0.5)):
        z = shell_deviations(found[group], spread)
        assert 0.4 < np.mean(z**2) < 2.2 and np.abs(z).max() < 5.5
        # the twin: a frequency wrong by a tenth
        assert np.mean(shell_deviations(found[group], spread / 1.05) ** 2) > 5


def test_errors_of_bins_are_calibrated() -> None:
    """Over 40 repetitions: the scatter of the bins is their stated error."""
    system = find("harmonic")(particles=1, dimensions=1, omega=1.0)
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


def test_walkers_that_move_together_make_larger_errors() -> None:
    """The same walkers counted ten times are no ten times better: groups, not counts, make the error."""
    system = SYSTEMS["line"]
    x = walkers(system, 3200)
    once = counted(system, x)[0]
    histograms = Histograms(system, x, 40)
    for _ in range(10):
        histograms.add(x)
    often = histograms.results()[0]
    assert np.allclose(often.values, once.values) and np.allclose(often.errors, once.errors)


@each_system
def test_whole_weights_are_repeated_walkers(name: str) -> None:
    """A walker of weight k counts like k walkers at its place, in every view; one of weight 0 not at all."""
    system = SYSTEMS[name]
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
    repeated.seen = np.array([float(times[g::GROUPS].sum()) for g in range(GROUPS)])
    assert np.array_equal(weighted.seen, repeated.seen)
    for (values, errors), (same, same_errors) in zip(weighted.densities(), repeated.densities(), strict=True):
        assert np.allclose(values, same, rtol=1e-12, atol=0) and np.allclose(errors, same_errors, rtol=1e-9, atol=1e-15)
        assert values.max() > 0


def test_even_weights_change_nothing() -> None:
    """However large: densities are ratios."""
    system = SYSTEMS["axis"]
    x = walkers(system, 1000)
    plain = counted(system, x)
    for factor in (1.0, 1e-20, 1e20):
        histograms = Histograms(system, x, 40)
        histograms.add(x, torch.full((len(x),), factor, dtype=torch.float64))
        for before, after in zip(plain, histograms.results(), strict=True):
            assert np.allclose(after.values, before.values, rtol=1e-10, atol=0)
            assert np.allclose(after.errors, before.errors, rtol=1e-8, atol=1e-12 * before.values.max())


def test_weights_turn_one_density_into_another() -> None:
    """Walkers of a wider Gaussian with weights ψ²/wider² show the narrow one; without weights (the twin) they do not."""
    system = SYSTEMS["round 3D"]
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


def test_errors_of_weighted_bins_are_those_of_a_ratio() -> None:
    """Over 60 repetitions with weights that differ from group to group: the scatter of the bins is their stated error.

    The twin takes the sum of the weights for exact, which makes the errors of well-filled bins too large: counts and sum
    rise and fall together.
    """
    system = find("harmonic")(particles=1, dimensions=1, omega=1.0)
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
        naive.append(scaled.std(0, ddof=1) * math.sqrt(GROUPS) / histograms.seen.sum())
    filled = np.mean(values, 0) > 0.05
    scatter = np.std(values, 0, ddof=1)[filled]
    stated, twin = (np.sqrt(np.mean(np.square(e), 0))[filled] for e in (errors, naive))
    assert filled.sum() >= 3
    assert np.mean(scatter / stated) == pytest.approx(1.0, abs=0.15)
    assert np.max(twin / scatter) > 2


def test_a_group_with_much_of_the_weight_counts_as_one() -> None:
    """Over 400 repetitions with most of the weight in a few groups: each group left out once tells how far off they are.

    The twin, the plain scatter about the common mean, is too small: the heavy groups are the mean.
    """
    system = find("harmonic")(particles=1, dimensions=1, omega=1.0)
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
        seen = histograms.seen
        plain = np.linalg.norm(histograms.counts[index][:, 1] - density[1] * seen) * math.sqrt(GROUPS / (GROUPS - 1))
        twin.append((density[1] - exact) / (plain / seen.sum()))
    # rms of 400 ratios of sums with heavy tails, in units of their errors: the uncertainty is 0.05
    assert 0.9 < np.sqrt(np.mean(np.square(z))) < 1.24 < np.sqrt(np.mean(np.square(twin)))


def test_errors_of_nearly_empty_bins() -> None:
    """Bins that expect one visit or less, over 200 repetitions: their errors hold also where nobody came.

    The twin, the scatter of the groups alone, gives such bins no error at all.
    """
    system = find("harmonic")(particles=1, dimensions=1, omega=1.0)
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


def test_bounds_of_an_earlier_measurement() -> None:
    """`like` gives the bins, whatever the walkers at hand and the number of bins asked for."""
    system = SYSTEMS["axis"]
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
def test_few_walkers_still_give_finite_densities(count: int) -> None:
    """measure.walkers may be as few as two."""
    for histogram in counted(SYSTEMS["line"], walkers(SYSTEMS["line"], count)):
        assert np.isfinite(histogram.values).all() and np.isfinite(histogram.errors).all()


def test_maps_and_lines_have_their_bins() -> None:
    found = {f"{h.group}/{h.name}": h for h in counted(SYSTEMS["axis"], walkers(SYSTEMS["axis"]), bins=25)}
    assert found["density/z"].values.shape == (25,) and found["density/zrho"].values.shape == (
        MAP_BINS,
        MAP_BINS,
    )
    assert found["density/rho"].axes[0].edges[0] == 0.0 and found["pair/r"].axes[0].edges[0] == 0.0
    # symmetric walkers, symmetric map: the two protons
    z = found["density/z"]
    assert float(z.values @ z.axes[0].centres * np.diff(z.axes[0].edges)[0]) == pytest.approx(0.0, abs=0.05)


# -------------------------------------------------------------------------------------------- the drift


@each_system
@pytest.mark.parametrize("kind", ["auto", "pair_drift"])
def test_the_drift_field(name: str, kind: str, perturbed) -> None:
    system = SYSTEMS[name]
    net = perturbed(build(system, explore(system), kind, 6, 1, 0), 0.1)
    x = walkers(system, 300)
    (field,) = drift_fields(net, system, x, torch.Generator().manual_seed(0))
    line = system.dimensions == 1
    shape = (LINE_POINTS,) if line else (FIELD_POINTS, FIELD_POINTS)
    assert field.log_psi.shape == shape and field.vectors.shape == (*shape, 1 if line else 2)
    assert field.positions.shape == (system.particles, system.dimensions) and field.moved == 0
    assert len(field.axes) == (1 if line else 2) and field.name == "".join(a.name for a in field.axes)
    assert np.isfinite(field.vectors).all()
    # they stand where no walker is more likely
    place = torch.from_numpy(field.positions)[None]
    if kind == "pair_drift":
        assert system.potential(place) <= system.potential(x).min()
    else:
        assert net(place) >= net(x).max()
    # each vector is the drift of the moved particle at that point
    where = tuple(n // 3 for n in shape)
    place = torch.from_numpy(field.positions)[None].clone()
    plane = (2, 0) if system.nuclei() is not None else (0, 1)[: len(field.axes)]
    if system.nuclei() is not None:
        place[0, 0, 1] = 0.0
    for axis, index, column in zip(field.axes, where, plane, strict=True):
        place[0, 0, column] = axis.centres[index]
    assert net.drift(place)[0, 0, list(plane)].numpy() == pytest.approx(field.vectors[where], rel=1e-9, abs=1e-12)
    if kind == "pair_drift":
        assert np.isnan(field.log_psi).all()
    else:
        assert field.log_psi[where] == pytest.approx(net(place).item(), rel=1e-9)


def test_the_field_is_the_slope_of_log_psi() -> None:
    """On the grid itself: finite differences of the Gaussian's log ψ are exact inside."""
    system = SYSTEMS["oval 2D"]
    net = build(system, explore(system), "auto", 6, 1, 0)
    (field,) = drift_fields(net, system, walkers(system, 500), torch.Generator().manual_seed(0))
    x, y = (axis.centres for axis in field.axes)
    slopes = np.stack(np.gradient(field.log_psi, x, y), -1)
    assert np.allclose(slopes[1:-1, 1:-1], field.vectors[1:-1, 1:-1], rtol=1e-6, atol=1e-8)
    # the most likely place is where the others stand: log ψ is highest near the moved particle's own
    assert field.log_psi.max() == pytest.approx(0.0, abs=2.0)


def test_a_round_trap_in_space_is_cut_through_two_neighbours() -> None:
    """The turned configuration is as likely, its distances are the same, and two of it are in the plane of the picture."""
    system = find("bosons3d")(particles=5)
    place = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = turned(place)
    assert torch.allclose(torch.cdist(found, found), torch.cdist(place, place))
    assert torch.allclose(found.norm(dim=1), place.norm(dim=1))
    nearest = 1 + int(torch.cdist(place, place)[0, 1:].argmin())
    assert torch.allclose(found[[0, 0, nearest], [1, 2, 2]], torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert found[0, 0] > 0 and found[nearest, 1] > 0
    ideal = find("bosons3d")(particles=5, g=0.0)
    net = build(ideal, explore(ideal), "auto", 6, 1, 0)
    # at its start a Gaussian, whose most likely place is the origin for all: nothing to turn
    (field,) = drift_fields(net, system, walkers(system, 300), torch.Generator().manual_seed(0))
    assert (np.abs(field.positions[:, 2]) > 1e-12).all() and np.abs(field.positions).max() < 1e-3
    with torch.no_grad():
        net.jastrow -= 3.0
    (field,) = drift_fields(net, system, walkers(system, 300), torch.Generator().manual_seed(0))
    assert np.sum(np.abs(field.positions[:, 2]) < 1e-12) >= 2 and np.abs(field.positions).max() > 0.3
    # the twin: an oval trap is left as it is
    oval = SYSTEMS["oval 3D"]
    net = build(oval, explore(oval), "auto", 6, 1, 0)
    with torch.no_grad():
        net.jastrow -= 3.0
    (field,) = drift_fields(net, oval, walkers(oval, 300), torch.Generator().manual_seed(0))
    assert (np.abs(field.positions[:, 2]) > 1e-12).all() and np.abs(field.positions).max() > 0.3


def test_the_most_likely_place(hydrogenic, gaussian) -> None:
    """The origin of a Gaussian; the cusp of an atom, where the slope does not vanish: no walker is there before."""
    net, chain = gaussian([1.0]), SYSTEMS["chain"]
    x = net.sample(200, (3, 1), 0)
    assert most_likely(net, chain, x, torch.Generator().manual_seed(0)).abs().max() < 1e-3
    assert x.abs().amax((1, 2)).min() > 1e-2
    atom = find("h")()
    x = hydrogenic().sample(200, 0)
    place = most_likely(hydrogenic(), atom, x, torch.Generator().manual_seed(0))
    assert place.norm() < 1e-3 < x.norm(dim=-1).min()


@each_system
def test_trajectories_follow_the_drift(name: str) -> None:
    system = SYSTEMS[name]
    net = build(system, explore(system), "auto", 6, 1, 0)
    x = walkers(system, 50)
    found = trajectories(net, system, x, 0.8, torch.Generator().manual_seed(0))
    shown, times, n, dim = found.positions.shape
    assert shown * n >= SHOWN_PARTICLES > (shown - 1) * n and (n, dim) == (system.particles, system.dimensions)
    assert len(found.times) == times and found.times[0] == 0 and found.times[-1] == pytest.approx(1.5 * 0.8)
    assert np.array_equal(found.positions[:, 0], x[:shown].numpy())
    # what is left of a step without its drift is white noise of variance dt
    steps, dt = np.diff(found.positions, axis=1), found.times[1]
    drift = net.drift(torch.from_numpy(found.positions[:, :-1]).flatten(0, 1)).numpy().reshape(steps.shape)
    noise = (steps - drift * dt) / math.sqrt(dt)
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert noise.var() == pytest.approx(1, abs=5 * math.sqrt(2 / noise.size))
