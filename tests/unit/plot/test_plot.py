"""Pictures: one a data set, readable limits, no global matplotlib state."""

import dataclasses
import re
import sys
from functools import cache

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from fkflow.errors import UsageError
from fkflow.plot import (
    conditional,
    convergence,
    density,
    density_map,
    drift,
    missing_reasons,
    pair,
    plots,
    projection,
    save_all,
    select,
    trajectories,
)
from fkflow.plot.densities import EXACT, POINTS, PROJECTED, VARIATIONAL
from fkflow.results.records import Axis, Histogram

NAMES = {
    "convergence", "density_xz", "density_z", "pair_r", "conditional_xz", "conditional_z", "drift_xz", "drift_z",
    "trajectories",
}  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory, write_run):
    return write_run(tmp_path_factory.mktemp("run") / "result.h5")


@pytest.fixture(scope="module")
def projected(tmp_path_factory, write_run, made_up):
    """A function: the result of a run with that projection."""

    def write(**changes):
        return write_run(tmp_path_factory.mktemp("run") / "result.h5", measurement=made_up.projected(**changes))

    plain = cache(write)
    return lambda **changes: write(**changes) if changes else plain()


def drawn(result, name):
    ax = Figure(layout="constrained").add_subplot()
    plots(result)[name](ax)
    return ax


def test_one_picture_a_data_set(result):
    assert set(plots(result)) == NAMES
    bare = dataclasses.replace(result.measurement, histograms=[], drift=[], trajectories=None)
    assert plots(dataclasses.replace(result, measurement=bare, training={})) == {}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_axes_are_labelled_with_units(result, name):
    ax = drawn(result, name)
    lowest = ax.figure.axes[-1] if name == "density_z" else ax
    assert "(hartree)" in ax.get_ylabel() or "bohr" in ax.get_ylabel() or name == "conditional_z"  # relative: no unit
    assert lowest.get_xlabel() == "training iteration" if name == "convergence" else "(bohr)" in lowest.get_xlabel()
    assert "h2" in ax.get_title()


def test_convergence_shows_the_fall_and_in_an_inset_the_end(result):
    ax = drawn(result, "convergence")
    low, high = ax.get_ylim()
    assert low < -1.1745 and high > 10
    above, inset = sorted(ax.child_axes, key=lambda child: child.get_xlabel() != "seconds")
    low, high = inset.get_ylim()
    assert -1.2 < low < -1.1745 and -1.1744 < high < -1.15
    assert inset.get_xlim() == (60, 119)
    # the iterations of the made-up run took 0.3 s each
    assert above.get_xlabel() == "seconds" and above.xaxis.get_major_formatter()(100, 0) == "30"


def test_no_inset_where_it_would_show_the_same(tmp_path, write_run, made_up):
    records = made_up.records(40)
    for record in records:
        record["energy"], record["error"] = -1.1744 + 1e-3 * (-1) ** record["iteration"], 1e-3
    ax = drawn(write_run(tmp_path / "result.h5", records=records), "convergence")
    assert [child.get_xlabel() for child in ax.child_axes] == ["seconds"]


def test_no_inset_over_the_curve(tmp_path, write_run, made_up):
    """A training that falls slowly stands in the place of the inset until it is nearly over."""
    insets = []
    for decay in (4.0, 40.0):
        records = made_up.records(100)
        for record in records:
            record["energy"], record["error"] = -1.1744 + np.exp(-record["iteration"] / decay), 1e-3
        ax = drawn(write_run(tmp_path / "result.h5", records=records), "convergence")
        insets.append([child.get_xlabel() for child in ax.child_axes].count(""))
    assert insets == [1, 0]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_convergence_of_short_and_broken_training(tmp_path, write_run, made_up, count):
    records = made_up.records(count)
    records[0]["energy"] = float("nan")
    low, high = drawn(write_run(tmp_path / "result.h5", records=records), "convergence").get_ylim()
    assert np.isfinite([low, high]).all() and low < -1.17448 < high


def test_singular_drift_is_drawn(tmp_path, write_run, made_up):
    measurement = made_up.measurement()
    for field in measurement.drift:
        field.vectors[3] = np.nan
        field.log_psi[3] = -np.inf
    result = write_run(tmp_path / "result.h5", measurement=measurement)
    assert len(save_all(result, tmp_path, ["drift"], dpi=40)) == 2


@pytest.mark.parametrize("cores", [True, False], ids=["hard cores", "smooth"])
def test_a_drift_with_poles_is_broken_there(tmp_path, write_run, made_up, cores):
    """2/x where another particle stands, among values of a few; a smooth drift is drawn whole."""
    measurement = made_up.measurement()
    for field in measurement.drift:
        if field.name == "z":
            z = field.axes[0].centres
            field.vectors[:, 0] = -z + (2 / (z - 1e-3) if cores else 0)
    ax = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "drift_z")
    shown = ax.lines[1].get_ydata()
    assert np.isnan(shown).any() == cores
    assert np.nanmax(np.abs(shown)) <= ax.get_ylim()[1] < 100


def test_a_vector_drift_shows_its_magnitude(tmp_path, write_run, made_up):
    measurement = made_up.measurement()
    for field in measurement.drift:
        field.log_psi[:] = np.nan
    ax = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "drift_xz")
    assert ax.child_axes[0].get_ylabel() == "magnitude of the drift (1/bohr)"


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


def test_natural_units_are_left_out(result, projected):
    natural = dataclasses.replace(result, energy_unit="E", length_unit="a")
    assert drawn(natural, "convergence").get_ylabel() == "energy"
    ax = drawn(dataclasses.replace(projected(), energy_unit="E", length_unit="a"), "projection")
    labels = [ax.get_xlabel(), ax.get_ylabel(), ax.child_axes[0].get_xlabel()]
    assert labels == ["imaginary time", "energy", "time step"]


# ------------------------------------------------------------------------------------------------ projection


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def bars(ax):
    """Every set of points with error bars: (x, y, lower ends, upper ends)."""
    found = []
    for container in ax.containers:
        (x, y), (segments,) = container.lines[0].get_data(), container.lines[2]
        ends = np.array(segments.get_segments())[:, :, 1]
        found.append((np.asarray(x), np.asarray(y), ends[:, 0], ends[:, 1]))
    return found


def test_pictures_of_a_spectrum(result, made_up):
    solved = dataclasses.replace(result, spectrum=made_up.spectrum())
    assert set(plots(solved)) - set(plots(result)) == {"levels", "levels_density", "levels_function"}
    diagram = drawn(solved, "levels")
    assert [text.get_text() for text in diagram.get_xticklabels()] == ["ground", "triplet z odd", "singlet z even"]
    heights = {round(float(line.get_ydata()[0]), 3) for line in diagram.lines}
    assert {-1.174, -0.77, -0.37} <= heights and "(hartree)" in diagram.get_ylabel()
    low, high = diagram.get_ylim()
    assert low < -1.18 and high > -0.37
    for name, words in (("levels_density", "densities"), ("levels_function", "functions f")):
        ax = drawn(solved, name)
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert "1: triplet z odd" in labels and words in ax.get_title() and "(bohr)" in ax.get_xlabel()
    with pytest.raises(UsageError, match="has no spectrum: fkflow spectrum"):
        select(result, ["levels"])


def test_a_projected_run_has_one_picture_more(projected):
    names = list(plots(projected()))
    assert set(names) == NAMES | {"projection"} and names[:2] == ["convergence", "projection"]


def test_the_convergence_says_which_energy_it_shows(result, projected):
    both = projected(error=3e-4, time_step_error=4e-4)
    assert legend(drawn(result, "convergence")) == ["training", "variational -1.17447(2)", "reference"]
    assert legend(drawn(both, "convergence")) == ["training", "projected -1.1745(5)", "reference"]


def test_the_projection_against_imaginary_time(projected):
    result = projected()
    ax = drawn(result, "projection")
    start, falling = bars(ax)
    # the variational energy of the measurement at time 0, then the curve with its own errors
    assert start[0].tolist() == [0.0] and start[1].tolist() == [-1.17447]
    curve = result.measurement.projection.curve
    assert np.array_equal(falling[0], curve[:, 0]) and np.array_equal(falling[1], curve[:, 1])
    assert falling[3] - falling[2] == pytest.approx(2 * curve[:, 2])
    assert legend(ax) == [
        "projected -1.17448(2)", "reference", "variational -1.17447(2)", "at the time step 0.02",
    ]  # fmt: skip
    assert ax.get_xlabel() == "imaginary time (1/hartree)" and ax.get_ylabel() == "energy (hartree)"
    # everything is within the limits, the band with both errors too, with room for the legend above
    low, high = ax.get_ylim()
    energies = [
        *falling[2],
        *falling[3],
        *start[2],
        *start[3],
        *(-1.174476 + 2 * np.array([-1, 1]) * np.hypot(1e-5, 2e-5)),
    ]
    assert low < min(energies) and max(energies) < low + 0.75 * (high - low)
    left, right = ax.get_xlim()
    assert left < 0 and right > curve[-1, 0]
    assert drawn(dataclasses.replace(result, reference=None), "projection") is not None


@pytest.mark.parametrize("weights, power", [("local_energy", 1), ("girsanov", 2)])
def test_the_projection_against_the_time_step(projected, weights, power):
    result = projected(steps=3, weights=weights)
    projection = result.measurement.projection
    ax = drawn(result, "projection")
    (beside,) = ax.child_axes
    assert beside.get_ylim() == ax.get_ylim() and beside.get_xlabel() == "time step (1/hartree)"
    steps, end = bars(beside)
    assert np.array_equal(steps[0], projection.time_steps) and np.array_equal(steps[1], projection.energies)
    assert steps[3] - steps[2] == pytest.approx(2 * projection.errors)
    assert end[0].tolist() == [0.0] and end[1].tolist() == [-1.174476]
    assert end[3] - end[2] == pytest.approx(2 * projection.total.error)
    # a straight line, or the parabola of Trotter's error, that ends at the extrapolated energy
    x, y = next(line.get_data() for line in beside.lines if len(line.get_xdata()) > 10)
    assert x[0] == 0 and y[0] == -1.174476 and x[-1] > projection.time_steps.max()
    assert y - y[0] == pytest.approx((y[-1] - y[0]) * (x / x[-1]) ** power, rel=1e-9, abs=1e-15)
    if power == 1:  # these energies were made to lie on one
        assert y == pytest.approx(-1.174476 + 5e-4 * x, rel=1e-12)


def test_one_time_step_has_no_extrapolation(projected):
    ax = drawn(projected(steps=1), "projection")
    assert not ax.child_axes and "projected -1.174476(10)" in legend(ax)


@pytest.mark.parametrize(
    "changes",
    [{"curve": np.zeros((0, 4))}, {"errors": np.array([np.inf, 1e-5])}, {"energies": np.array([np.nan, -1.1744])},
     {"errors": np.zeros(2), "error": 0.0, "time_step_error": 0.0}],
    ids=["no curve", "no error", "no energy", "exact"],
)  # fmt: skip
def test_projections_with_gaps_are_drawn(tmp_path, projected, changes):
    result = projected(**changes)
    low, high = drawn(result, "projection").get_ylim()
    assert np.isfinite([low, high]).all() and low < -1.174476 < high
    assert len(save_all(result, tmp_path, ["projection"], dpi=40)) == 1


@pytest.mark.parametrize("name", ["density_z", "pair_r"])
def test_projected_densities_stand_beside_the_variational_ones(result, projected, name):
    with_both = projected()
    (histogram,) = (h for h in with_both.measurement.histograms if f"{h.group}_{h.name}" == name)
    ax = drawn(with_both, name)
    ((x, y, lower, upper),) = bars(ax)
    assert set(legend(ax)) - {"nuclei", EXACT} == {VARIATIONAL, PROJECTED} == {"variational |ψ|²", "projected |φ₀|²"}
    # every bin of these short axes that is within the frame is shown, and none outside
    left, right = ax.get_xlim()
    shown = (left < histogram.axes[0].centres) & (histogram.axes[0].centres < right)
    assert 40 < shown.sum() < len(shown)
    assert np.array_equal(x, histogram.axes[0].centres[shown]) and np.array_equal(y, histogram.projected[shown])
    assert upper - lower == pytest.approx(2 * histogram.projected_errors[shown])
    assert max(upper.max(), (histogram.values + histogram.errors)[shown].max()) <= ax.get_ylim()[1]
    assert any(np.array_equal(line.get_ydata(), histogram.values) for line in ax.lines)
    # two colours, and two forms for those who print without
    assert ax.containers[0].lines[0].get_linestyle() == "None" != ax.lines[0].get_linestyle()
    assert ax.containers[0].lines[0].get_color() != ax.lines[0].get_color()
    assert ax.get_ylim()[0] == 0
    # a run without a projection has one line, and nothing to explain unless the exact one is there
    alone = drawn(result, name)
    assert not alone.containers
    assert set(legend(alone)) == (set() if name == "pair_r" else {VARIATIONAL, EXACT, "nuclei"})


@pytest.mark.parametrize("name, against", [("density_z", EXACT), ("pair_r", "projected")])
def test_the_differences_are_in_a_panel_below(projected, result, name, against):
    """From the exact density where it is known, else from the projected one, whose errors then count too."""
    with_both = projected()
    (histogram,) = (h for h in with_both.measurement.histograms if f"{h.group}_{h.name}" == name)
    ax = drawn(with_both, name)
    _, below = ax.figure.axes
    words, power = re.fullmatch(r"(.*?)(?:\n\(10\$\^\{(.*)\}\$\))?", below.get_ylabel(), re.S).groups()
    scale = 10.0 ** -int(power or 0)
    assert words == {EXACT: "minus exact", "projected": "variational\n− projected"}[against]
    best = histogram.exact if against == EXACT else histogram.projected
    line = next(line for line in below.lines if len(line.get_xdata()) == len(best))
    assert line.get_ydata() == pytest.approx(scale * (histogram.values - best))
    errors = histogram.errors if against == EXACT else np.hypot(histogram.errors, histogram.projected_errors)
    (band,) = (c for c in below.collections if isinstance(c, PolyCollection))
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx((scale * (histogram.values - best + errors)).max())
    assert len(bars(below)) == (1 if against == EXACT else 0)
    # nothing that is drawn within the frame is cut off
    low, high = below.get_ylim()
    for _, _, lower, upper in bars(below):
        assert low < lower.min() and upper.max() < high
    assert low < heights.min() and heights.max() < high
    # nothing to compare with: no panel
    assert len(drawn(result, "pair_r").figure.axes) == 1


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


def test_seconds_have_round_ticks(tmp_path, write_run, made_up):
    """At the places where they had passed; the first iteration took long."""
    records = [{"iteration": i + 1, "energy": 1.0, "error": 0.1, "seconds": 0.73 + 0.0317 * i} for i in range(100)]
    ax = drawn(write_run(tmp_path / "result.h5", records=records), "convergence")
    (above,) = (child for child in ax.child_axes if child.get_xlabel() == "seconds")
    numbers = [float(text.get_text()) for text in above.get_xticklabels()]
    assert numbers == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5] and above.get_xticks() == pytest.approx(
        [1 + (number - 0.73) / 0.0317 for number in numbers]
    )


def test_what_is_not_there_says_what_makes_it(result):
    measured = result.measurement
    bare = dataclasses.replace(measured, histograms=[], drift=[], trajectories=None)
    for run, kind, words in [
        (dataclasses.replace(result, training={}), "convergence", "train.iterations"),
        (result, "projection", "--set project.seconds=60"),
        (result, "levels", f"fkflow spectrum {result.run}"),
        (dataclasses.replace(result, measurement=bare, particles=1), "pair_r", "single particle"),
        (dataclasses.replace(result, particles=1), "conditional", "single particle"),
        (dataclasses.replace(result, measurement=dataclasses.replace(measured, curl=0.1)), "conditional_z", "log psi"),
        *((dataclasses.replace(result, measurement=bare), kind, f"fkflow measure {result.run}")
          for kind in ("density", "pair", "drift_xz", "trajectories")),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=words):
            select(run, [kind])
        assert any(words in reason for reason in missing_reasons(run))
    assert len(missing_reasons(result)) == 2
    for draw in (density, pair, density_map, drift, conditional, trajectories, projection):
        with pytest.raises(UsageError):
            draw(dataclasses.replace(result, measurement=bare), Figure().add_subplot())
    for draw in (density, density_map, drift):
        with pytest.raises(UsageError, match="'q'.*z"):
            draw(result, Figure().add_subplot(), "q")


def test_each_kind_draws_the_first_there_is(projected):
    for draw in (convergence, density, pair, density_map, drift, conditional, trajectories, projection):
        ax = Figure().add_subplot()
        draw(projected(), ax)
        assert ax.has_data(), draw


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


def test_a_projected_density_wider_than_the_variational_one_is_seen(tmp_path, write_run, made_up):
    x = Axis("x", "bohr", "x", np.linspace(-4, 4, 81))
    narrow, wide = (np.exp(-((x.centres / width) ** 2)) / (np.pi**0.5 * width) for width in (0.5, 1.2))
    both = Histogram("density", "x", (x,), "dx", narrow, 0 * narrow, "1/bohr", "density").with_projected(
        wide, 0.01 * wide
    )
    measurement = dataclasses.replace(made_up.projected(), histograms=[both])
    left, right = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "density_x").get_xlim()
    assert left < -2.5 and right > 2.5


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


@pytest.mark.parametrize(
    "format, magic, asked, names",
    [
        ("png", b"\x89PNG", ["convergence", "drift"], ["convergence", "drift_xz", "drift_z"]),
        ("pdf", b"%PDF", ["pair"], ["pair_r"]),
        ("svg", b"<?xml", ["conditional_z"], ["conditional_z"]),
    ],
    ids=["png", "pdf", "svg"],
)
def test_save(tmp_path, result, format, magic, asked, names):
    written = save_all(result, tmp_path / "plots", asked, format=format, dpi=50)
    assert [path.name for path in written] == [f"{name}.{format}" for name in names]
    assert all(path.read_bytes().startswith(magic) for path in written)
    assert len(list((tmp_path / "plots").iterdir())) == len(names)


def test_refusals(tmp_path, result):
    with pytest.raises(UsageError, match="no plot called 'energy'.*convergence"):
        save_all(result, tmp_path / "plots", ["energy"])
    with pytest.raises(UsageError, match="jpg"):
        save_all(result, tmp_path / "plots", format="jpg")
    with pytest.raises(UsageError, match="cannot be written"):
        save_all(result, result.path / "plots")
    assert not (tmp_path / "plots").exists()


def test_pyplot_stays_out(result, tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    save_all(result, tmp_path / "plots", ["pair"], dpi=40)
    assert ("matplotlib.pyplot" in sys.modules) == before
