"""result.h5: what goes in comes out."""

import dataclasses
import math

import h5py
import numpy as np
import pytest
import torch

from fkflow.errors import StoreError
from fkflow.hamiltonian.species import Species
from fkflow.results.store import read_result, save_result
from fkflow.results.summary import summary_text
from fkflow.statistics import Estimate


def same(a, b):
    """Deep equality of dataclasses, containers and arrays (also their types of numbers)."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def by_name(measurement):
    """Order of plots is not part of the format."""
    key = lambda item: (getattr(item, "group", ""), item.name)  # noqa: E731
    return dataclasses.replace(
        measurement,
        histograms=sorted(measurement.histograms, key=key),
        drift=sorted(measurement.drift, key=key),
    )


def test_a_liquid_comes_back(tmp_path, write_run, made_up):
    """What is extrapolated is not called projected."""
    measurement = dataclasses.replace(made_up.projected(), liquid=made_up.liquid())
    written = write_run(tmp_path / "result.h5", measurement=measurement)
    read = read_result(tmp_path / "result.h5")
    assert same(written.measurement.liquid, read.measurement.liquid)
    entry = read.summary()["liquid"]
    assert entry["pressure"]["method"] == "forward walking" and entry["pressure"]["projected"]["value"] == 0.31
    assert entry["momentum_distribution"]["method"] is None and len(entry["structure_factor"]["k"]) == 8
    assert "pressure             0.31(2) hartree/bohr  (forward walking, variational 0.300(10))" in summary_text(read)
    with h5py.File(tmp_path / "result.h5") as file:
        group = file["liquid"]
        assert set(group["density_matrix"]) == {
            "r",
            "variational",
            "variational_error",
            "extrapolated",
            "extrapolated_error",
        }
        assert group["structure_factor/projected"].dims[0][0].name == "/liquid/structure_factor/k"
        assert "count" in group["momentum_distribution"] and "projected" not in group["momentum_distribution"]


def test_a_spectrum_comes_back(tmp_path, write_run, made_up):
    written = dataclasses.replace(write_run(tmp_path / "result.h5"), spectrum=made_up.spectrum())
    save_result(written, tmp_path / "result.h5")
    read = read_result(tmp_path / "result.h5")
    assert same(written.spectrum, read.spectrum)
    assert read.summary()["spectrum"]["levels"][1]["sector"] == "singlet z even"
    with h5py.File(tmp_path / "result.h5") as file:
        group = file["spectrum"]
        for name in ("energy", "gap", "variance", "density", "function"):
            assert group[name].dims[0][0].name == "/spectrum/level", name
            assert group[name].attrs["long_name"] and "units" in group[name].attrs
        assert group["energy"].attrs["units"] == "hartree" and group["density"].dims[1][0].name == "/spectrum/z"
    with h5py.File(tmp_path / "result.h5", "a") as file:
        del file["spectrum/gap"]
    with pytest.raises(StoreError):
        read_result(tmp_path / "result.h5")


@pytest.mark.parametrize("projected", [False, True], ids=["variational", "projected"])
def test_round_trip(tmp_path, write_run, made_up, projected):
    measurement = made_up.projected() if projected else made_up.measurement()
    written = write_run(tmp_path / "result.h5", measurement=measurement)
    read = read_result(tmp_path / "result.h5")
    for field in dataclasses.fields(written):
        if field.name != "measurement":
            assert same(getattr(written, field.name), getattr(read, field.name)), field.name
    assert same(by_name(written.measurement), by_name(read.measurement))
    assert list(read.training) == list(written.training)
    assert read.records[7]["undone"] is True and read.records[7]["iteration"] == 7
    assert read.model_state()["layers.0.weight"].dtype == torch.float64
    assert read_result(tmp_path).summary() == read.summary()
    assert (read.measurement.projection is not None) is projected
    assert all(
        (h.projected is not None) is (h.projected_errors is not None) is projected for h in read.measurement.histograms
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 1},
        {"steps": 3, "weights": "girsanov", "resampled": np.array([True, False, True]), "warnings": []},
        {"effective_walkers": np.full(2, np.nan), "rhat": math.nan, "curve": np.zeros((0, 4)), "blocks": np.zeros(0)},
        {"estimate": Estimate(-1.17, 0.0, math.inf), "time_step_error": 0.0},
    ],
    ids=["one time step", "girsanov", "hardly begun", "exact"],
)
def test_round_trip_of_projections(tmp_path, write_run, made_up, changes):
    written = write_run(tmp_path / "result.h5", measurement=made_up.projected(**changes))
    read = read_result(tmp_path).measurement.projection
    assert same(read, written.measurement.projection)
    # the twin: the comparison sees one digit, one NaN and one text
    first = read.time_steps.copy()
    first[0] = np.nextafter(first[0], 1)
    for change in ({"time_steps": first}, {"window": math.nan}, {"warnings": ["other"]}):
        assert not same(dataclasses.replace(read, **change), written.measurement.projection)


def test_densities_of_some_views_only(tmp_path, write_run, made_up):
    """Projected where there is one, none elsewhere: a histogram does not need its neighbour's."""
    first, *others = made_up.projected().histograms
    bare = [dataclasses.replace(h, projected=None, projected_errors=None) for h in others]
    written = dataclasses.replace(made_up.measurement(), histograms=[first, *bare])
    write_run(tmp_path / "result.h5", measurement=written)
    assert same(by_name(read_result(tmp_path).measurement), by_name(written))


def test_round_trip_of_the_least_a_run_can_have(tmp_path, write_run, made_up):
    bare = dataclasses.replace(
        made_up.measurement(), histograms=[], drift=[], warnings=[], curl=0.25, trajectories=None
    )
    written = write_run(tmp_path / "result.h5", R=2.0, records=[], measurement=bare, model_state={})
    read = read_result(tmp_path)
    assert same(written.measurement, read.measurement)
    assert read.reference is None and read.summary()["reference"] is None
    assert read.training == {} and read.records == [] and read.model == {}


def test_a_file_without_its_projection_is_that_of_a_variational_run(tmp_path, write_run, made_up):
    """Both are the same format: the group is there or not."""
    path = tmp_path / "result.h5"
    write_run(path, measurement=made_up.projected())
    with h5py.File(path, "a") as file:
        del file["energy/projected"]
    assert read_result(path).summary()["projected"] is None


def test_species_are_stored(tmp_path, write_run):
    written = write_run(tmp_path / "r" / "result.h5")
    assert written.species == () and "species" not in written.summary()
    species = (Species("electron", 2, 1.0, -1.0), Species("core", 1, 1836.0))
    save_result(dataclasses.replace(written, species=species), tmp_path / "r" / "result.h5")
    again = read_result(tmp_path / "r")
    assert again.species == species
    assert again.summary()["species"] == [
        {"name": "electron", "count": 2, "mass": 1.0, "charge": -1.0},
        {"name": "core", "count": 1, "mass": 1836.0, "charge": None},
    ]
    assert "2 electron (mass 1, charge -1), 1 core (mass 1836)" in summary_text(again)
