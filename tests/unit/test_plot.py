"""Pictures: one a data set, readable limits, no global matplotlib state."""

import dataclasses
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from fkflow.errors import UsageError
from fkflow.plot import plots, save_all
from fkflow.results import Axis, Histogram

NAMES = {"convergence", "density_xz", "density_z", "pair_r", "drift_xz", "drift_z"}


@pytest.fixture
def result(tmp_path, write_run):
    return write_run(tmp_path / "result.h5")


def drawn(result, name):
    ax = Figure(layout="constrained").add_subplot()
    plots(result)[name](ax)
    return ax


def test_one_picture_a_data_set(result):
    assert set(plots(result)) == NAMES
    bare = dataclasses.replace(result.measurement, histograms=[], drift=[])
    assert plots(dataclasses.replace(result, measurement=bare, training={})) == {}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_axes_are_labelled_with_units(result, name):
    ax = drawn(result, name)
    assert "hartree" in ax.get_ylabel() or "bohr" in ax.get_ylabel()
    assert ax.get_xlabel() == "training iteration" if name == "convergence" else "(bohr)" in ax.get_xlabel()
    assert "h2" in ax.get_title()


def test_convergence_shows_the_later_part(result):
    low, high = drawn(result, "convergence").get_ylim()
    assert -1.2 < low < -1.1745 and -1.1744 < high < -1.15


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
    assert len(ax.collections) == 2 and ax.collections[0].get_clim() == ax.collections[1].get_clim()


def test_natural_units_are_left_out(result):
    natural = dataclasses.replace(result, energy_unit="E", length_unit="a")
    assert drawn(natural, "convergence").get_ylabel() == "energy"


@pytest.mark.parametrize("format, magic", [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_save(tmp_path, result, format, magic):
    written = save_all(result, tmp_path / "plots", ["convergence", "drift"], format=format, dpi=50)
    names = [path.name for path in written]
    assert names == [f"{name}.{format}" for name in ("convergence", "drift_xz", "drift_z")]
    assert all(path.read_bytes().startswith(magic) for path in written)
    assert len(list((tmp_path / "plots").iterdir())) == 3


def test_refusals(tmp_path, result):
    with pytest.raises(UsageError, match="no plot called 'energy'.*convergence"):
        save_all(result, tmp_path / "plots", ["energy"])
    with pytest.raises(UsageError, match="jpg"):
        save_all(result, tmp_path / "plots", format="jpg")
    with pytest.raises(UsageError, match="cannot be written"):
        save_all(result, tmp_path / "result.h5" / "plots")
    assert not (tmp_path / "plots").exists()


def test_pyplot_stays_out(result, tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    save_all(result, tmp_path / "plots", ["pair"], dpi=40)
    assert ("matplotlib.pyplot" in sys.modules) == before
