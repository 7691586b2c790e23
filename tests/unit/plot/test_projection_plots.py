"""Pictures of projected energies and of projected densities beside measured ones."""

import dataclasses
import re

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from pictures import bars, drawn, legend

from fkflow.plot import save_all
from fkflow.plot.densities import EXACT, PROJECTED, VARIATIONAL
from fkflow.results.records import Axis, Histogram


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


def test_a_projected_density_wider_than_the_variational_one_is_seen(tmp_path, write_run, made_up):
    x = Axis("x", "bohr", "x", np.linspace(-4, 4, 81))
    narrow, wide = (np.exp(-((x.centres / width) ** 2)) / (np.pi**0.5 * width) for width in (0.5, 1.2))
    both = Histogram("density", "x", (x,), "dx", narrow, 0 * narrow, "1/bohr", "density").with_projected(
        wide, 0.01 * wide
    )
    measurement = dataclasses.replace(made_up.projected(), histograms=[both])
    left, right = drawn(write_run(tmp_path / "result.h5", measurement=measurement), "density_x").get_xlim()
    assert left < -2.5 and right > 2.5
