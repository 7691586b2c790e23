"""Pictures: one a data set, readable limits, no global matplotlib state."""

import dataclasses
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import drawn

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

NAMES = {
    "convergence", "density_xz", "density_z", "pair_r", "conditional_xz", "conditional_z", "drift_xz", "drift_z",
    "trajectories",
}  # fmt: skip


def test_one_picture_a_data_set(result):
    assert set(plots(result)) == NAMES
    bare = dataclasses.replace(result.measurement, histograms=[], drift=[], trajectories=None)
    assert plots(dataclasses.replace(result, measurement=bare, training={})) == {}


def test_a_projected_run_has_one_picture_more(projected):
    names = list(plots(projected()))
    assert set(names) == NAMES | {"projection"} and names[:2] == ["convergence", "projection"]


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


def test_natural_units_are_left_out(result, projected):
    natural = dataclasses.replace(result, energy_unit="E", length_unit="a")
    assert drawn(natural, "convergence").get_ylabel() == "energy"
    ax = drawn(dataclasses.replace(projected(), energy_unit="E", length_unit="a"), "projection")
    labels = [ax.get_xlabel(), ax.get_ylabel(), ax.child_axes[0].get_xlabel()]
    assert labels == ["imaginary time", "energy", "time step"]


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
