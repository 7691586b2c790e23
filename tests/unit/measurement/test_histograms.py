"""Densities: normalisation, closed forms with error bars, weights, shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from counting import OMEGA, counted, shell_deviations, volumes

from fkflow.execution.ranks import GROUPS
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.histograms import MAP_BINS, Histograms
from fkflow.measurement.views import views


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
