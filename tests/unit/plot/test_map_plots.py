"""Pictures of places: maps, trajectories, bins that are joined or smoothed."""

import dataclasses
import re

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.contour import QuadContourSet
from pictures import bars, drawn, legend

from fkflow.plot.densities import EXACT, POINTS, VARIATIONAL
from fkflow.results.records import Axis, Histogram


def test_a_map_of_distances_from_an_axis_is_mirrored_and_zoomed(tmp_path, write_run, made_up):
    z, rho = Axis("z", "bohr", "z", np.linspace(-9, 9, 61)), Axis("rho", "bohr", "rho", np.linspace(0, 9, 61))
    values = np.exp(-(z.centres[:, None] ** 2) - rho.centres**2)
    both = Histogram("density", "zrho", (z, rho), "2 pi rho dz drho", values, 0 * values, "1/bohr^3", "density")
    measurement = dataclasses.replace(made_up.measurement(), histograms=[both])
    ax = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "density_zrho")
    (low, high), (left, right) = ax.get_ylim(), ax.get_xlim()
    assert low == -high and 1.5 < high < 4 and left == pytest.approx(-right) and 1.5 < right < 4
    shades, contours = ax.collections
    values = shades.get_array()
    assert values.shape == (120, 60) and np.array_equal(values, values[::-1])
    # lines of equal density go round the axis, on both sides of it
    heights = np.concatenate([path.vertices[:, 1] for path in contours.get_paths() if len(path.vertices)])
    assert heights.min() == pytest.approx(-heights.max()) and heights.max() > 1


def test_the_conditional_density_is_that_of_the_moved_particle(result):
    (field, line) = result.measurement.drift
    ax = drawn(result, "conditional_z")
    shown = next(one.get_ydata() for one in ax.lines if len(one.get_xdata()) == len(line.log_psi))
    assert shown == pytest.approx(np.exp(2 * (line.log_psi - line.log_psi.max()))) and shown.max() == 1
    ax = drawn(result, "conditional_xz")
    assert ax.collections[0].get_clim() == pytest.approx((np.exp(2 * np.ptp(field.log_psi) * -1), 1))
    assert set(legend(ax)) == {"nuclei", "other particle"}
    held = next(one for one in ax.lines if one.get_label() == "other particle")
    assert [*held.get_xdata(), *held.get_ydata()] == [0.4, -1.0]


def test_trajectories_show_eight_particles(result):
    paths = result.measurement.trajectories.positions
    ax = drawn(result, "trajectories")
    drawn_paths = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) == paths.shape[1]]
    # of four walkers with two particles, in the plane of the nuclei
    assert len(drawn_paths) == 8
    assert np.array_equal(drawn_paths[3], paths[1, :, 1][:, [2, 0]])
    assert "4 walkers of 2 particles" in ax.get_title() and ax.get_xlabel() == "coordinate z (bohr)"
    assert {"start", "end"} <= set(legend(ax))
    on_a_line = dataclasses.replace(result.measurement.trajectories, positions=paths[..., :1])
    measurement = dataclasses.replace(result.measurement, trajectories=on_a_line)
    ax = drawn(dataclasses.replace(result, measurement=measurement, nuclei=None), "trajectories")
    low, high = ax.get_ylim()
    assert ax.get_ylabel() == "imaginary time (1/hartree)" and -0.1 < low < 0 and 2.9 < high < 3.0


@pytest.mark.parametrize(
    "walkers, particles, words, drawn_paths",
    [(3, 3, "2 walkers of 3 particles", 6), (2, 5, "5 particles of a walker", 5), (1, 9, "8 of 9 particles", 8),
     (8, 1, "8 walkers", 8)],
)  # fmt: skip
def test_the_title_counts_the_walkers_that_are_drawn(result, walkers, particles, words, drawn_paths):
    """Walkers are drawn whole, if there are colours for all of their particles."""
    positions = np.random.default_rng(0).normal(size=(walkers, 30, particles, 3)).cumsum(1)
    found = dataclasses.replace(result.measurement.trajectories, positions=positions)
    measurement = dataclasses.replace(result.measurement, trajectories=found)
    ax = drawn(dataclasses.replace(result, measurement=measurement), "trajectories")
    assert words in ax.get_title()
    assert sum(len(line.get_xdata()) == 30 for line in ax.lines) == drawn_paths


def test_noisy_bins_are_joined(tmp_path, write_run, made_up):
    """Few samples: neighbouring bins become one, its error the smaller; the twin has many samples and keeps its bins."""
    x = Axis("x", "bohr", "x", np.linspace(-4, 4, 101))
    values = np.exp(-(x.centres**2)) / np.pi**0.5
    for error, bins in ((0.12, 25), (0.04, 50), (0.01, 100)):
        noise = error * np.random.default_rng(1).normal(size=100)
        made = Histogram(
            "density", "x", (x,), "dx", values + noise, error * values.max() + 0 * values, "1/bohr", "density"
        )
        measurement = dataclasses.replace(made_up.measurement(), histograms=[made])
        ax = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "density_x")
        line = ax.lines[0]
        assert abs(len(line.get_xdata()) - bins) <= bins // 3, error
        # what is joined keeps the norm
        assert line.get_ydata().mean() == pytest.approx(made.values.mean(), rel=0.02)


def test_many_bins_are_thinned_out(tmp_path, write_run, made_up):
    x = Axis("x", "bohr", "x", np.linspace(-4, 4, 401))
    values = np.exp(-(x.centres**2)) / np.pi**0.5
    many = Histogram("density", "x", (x,), "dx", values, 0 * values, "1/bohr", "density").with_projected(
        values, 0.02 * values
    )
    measurement = dataclasses.replace(made_up.projected(), histograms=[many])
    ((places, found, *_),) = bars(drawn(write_run(tmp_path / "result.h5", measurement=measurement), "density_x"))
    assert 0.8 * POINTS < len(places) < 1.3 * POINTS and np.isin(places, x.centres).all()
    assert np.ptp(np.diff(places)) < 1e-9 and np.array_equal(found, values[np.isin(x.centres, places)])


def test_the_centre_of_a_radial_density_is_drawn_as_far_as_it_is_known(tmp_path, write_run, made_up):
    """Small shells hold few samples: the innermost are joined until they say something, the others are as they are."""
    r = Axis("r", "bohr", "r", np.linspace(0, 4, 41))
    shells = 4 * np.pi / 3 * np.diff(r.edges**3)
    exact = np.exp(-(r.centres**2)) / np.pi**1.5
    errors = np.sqrt(exact / (2e4 * shells))
    noise = np.random.default_rng(1).standard_normal(len(errors))
    made = Histogram(
        "density", "r", (r,), "4 pi r^2 dr", exact + errors * noise, errors, "1/bohr^3", "density", exact=exact
    )
    measurement = dataclasses.replace(made_up.measurement(), histograms=[made])
    run = write_run(tmp_path / "result.h5", measurement=measurement)
    ax = drawn(run, "density_r")
    line, known = (next(one for one in ax.lines if one.get_label() == words) for words in (VARIATIONAL, EXACT))
    count = 1 + len(r.centres) - len(line.get_xdata())
    assert 2 <= count <= 6
    assert np.array_equal(line.get_ydata()[1:], made.values[count:])
    assert line.get_xdata()[0] == pytest.approx(r.edges[count] / 2)
    (band,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    half = 0.5 * np.ptp(band.get_paths()[0].vertices[band.get_paths()[0].vertices[:, 0] == line.get_xdata()[0], 1])
    joined = shells[:count] @ made.values[:count] / shells[:count].sum()
    assert line.get_ydata()[0] == pytest.approx(joined)
    assert half == pytest.approx(np.sqrt(((shells * errors)[:count] ** 2).sum()) / shells[:count].sum())
    assert half < 0.11 * made.values.max() < errors[0]
    assert known.get_ydata()[0] == pytest.approx(shells[:count] @ exact[:count] / shells[:count].sum())
    # the twin: along a line no bin is smaller than the others, and none is joined
    along = dataclasses.replace(made, axes=(dataclasses.replace(r, name="x"),), name="x", measure="dx")
    measurement = dataclasses.replace(measurement, histograms=[along])
    ax = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "density_x")
    assert any(np.array_equal(one.get_ydata(), made.values) for one in ax.lines)


def test_particles_off_the_plane_are_rings(tmp_path, write_run, made_up):
    measurement = made_up.measurement()
    (field, _) = measurement.drift
    held = np.array([[0.1, 0.2, 0.3], [0.5, 0.2, 0.0], [0.5, 1.2, 0.0], [0.5, -0.8, 1.0]])
    measurement = dataclasses.replace(measurement, drift=[dataclasses.replace(field, positions=held)])
    run = write_run(tmp_path / "result.h5", measurement=measurement)
    # no nuclei: the plane is that of the moved particle, y = 0.2
    ax = drawn(dataclasses.replace(run, nuclei=None), "drift_xz")
    marks = {line.get_label(): line for line in ax.lines if line.get_marker() == "o"}
    assert set(marks) == {"other particle", "particles off the plane"}
    assert len(marks["other particle"].get_xdata()) == 1 and len(marks["particles off the plane"].get_xdata()) == 2
    assert (
        marks["particles off the plane"].get_markerfacecolor()
        == "none"
        != marks["other particle"].get_markerfacecolor()
    )


def test_a_map_shows_the_variational_density(projected):
    """There is no room for two: the projected one is in the file."""
    ax = drawn(projected(), "density_xz")
    shades, contours = ax.collections
    assert not ax.containers and isinstance(contours, QuadContourSet)
    (histogram,) = (h for h in projected().measurement.histograms if h.name == "xz")
    assert np.array_equal(shades.get_array(), histogram.values.T)


def test_a_noisy_map_is_smoothed(tmp_path, write_run, made_up):
    """Until its error, which the title states, is small; the twin, not smoothed, is farther from the truth."""
    x, y = (Axis(name, "bohr", name, np.linspace(-3, 3, 61)) for name in "xy")
    true = np.exp(-(x.centres[:, None] ** 2) - y.centres**2) / np.pi
    errors = 0.1 * true.max() * np.sqrt(true / true.max())
    noisy = true + errors * np.random.default_rng(1).normal(size=true.shape)
    made = Histogram("density", "xy", (x, y), "dx dy", noisy, errors, "1/bohr^2", "density")
    measurement = dataclasses.replace(made_up.measurement(), histograms=[made])
    ax = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "density_xy")
    shown = ax.collections[0].get_array()
    high = true > 0.5 * true.max()
    off = np.std((shown.T - true)[high]) / true.max()
    stated = float(re.search(r"smoothed over .* bohr, error ([\d.]+) % of the maximum", ax.get_title())[1]) / 100
    assert 0.5 * stated < off < 2 * stated < 0.3 * np.std((noisy - true)[high]) / true.max() * 3
    assert stated <= 0.03
