"""result.h5 and checkpoints: what goes in comes out, files describe themselves, damage is told plainly."""

import dataclasses
import json
import math
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from fkflow.errors import StoreError, UsageError
from fkflow.hamiltonian.species import Species
from fkflow.results.checkpoints import load_checkpoint, save_checkpoint
from fkflow.results.checksum import LENGTH
from fkflow.results.folders import prepare_folder
from fkflow.results.result import Comparison
from fkflow.results.spectrum_table import spectrum_text
from fkflow.results.store import read_result, save_result
from fkflow.results.summary import summary_text
from fkflow.statistics import Estimate
from fkflow.text import display_unit, strict_json, with_unit


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


def test_the_table_of_a_spectrum(tmp_path, write_run, made_up):
    result = dataclasses.replace(write_run(tmp_path / "result.h5"), spectrum=made_up.spectrum())
    text = spectrum_text(result, result.spectrum)
    lines = text.splitlines()
    assert lines[0] == result.title() and lines[1].split() == [
        "level",
        "sector",
        "energy",
        "gap",
        "variance",
        "strongest",
    ]
    assert "-1.17447(2)" in lines[2] and "triplet z odd" in lines[3] and "dipole 0.3" in lines[3]
    assert "upper bounds within their errors" in text and "warning: a warning" in text
    projected = [dataclasses.replace(level, bound="projected") for level in result.spectrum.levels]
    text = spectrum_text(result, dataclasses.replace(result.spectrum, levels=projected))
    assert "lowered by imaginary time" in text


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


def test_every_dataset_describes_itself(tmp_path, write_run, made_up):
    write_run(tmp_path / "result.h5", measurement=made_up.projected())
    seen = []

    def check(name, item):
        if isinstance(item, h5py.Dataset):
            seen.append(name)
            assert isinstance(item.attrs["units"], str), name
            assert item.attrs["long_name"], name

    with h5py.File(tmp_path / "result.h5") as file:
        file.visititems(check)
        assert file.attrs["format"] == "fkflow" and file.attrs["format_version"] == 1
        assert set(file) == {
            "config", "provenance", "training", "energy", "density", "pair", "observables", "drift", "trajectories", "samples",
            "model", "sample", "particle", "component", "size_2", "size_3", "size_4",
        }  # fmt: skip
        assert file["training/energy"].attrs["units"] == "hartree"
        assert file["config/recipe"].asstr()[()].startswith("# hydrogen")
        assert json.loads(file["config/resolved"].asstr()[()])["train"]["iterations"] == 120
        projected = file["energy/projected"]
        assert projected.attrs["units"] == "hartree" and "ground state" in projected.attrs["long_name"]
        units = {name: projected[name].attrs["units"] for name in projected}
    energies = "blocks energy energy_error population_bias energy_by_time energy_by_time_error fall_error".split()
    assert {name for name, unit in units.items() if unit == "hartree"} == set(energies)
    assert {name for name, unit in units.items() if unit == "1/hartree"} == {"time_step", "imaginary_time"}
    assert {name for name, unit in units.items() if unit == ""} == {
        "acceptance", "effective_walkers", "resampled", "block",
    }  # fmt: skip
    assert len(seen) > 45


def test_axes_are_dimension_scales(tmp_path, write_run, made_up):
    write_run(tmp_path / "result.h5", measurement=made_up.projected())
    with h5py.File(tmp_path / "result.h5") as file:
        maps = [f"density/xz/{name}{part}" for name in ("variational", "projected") for part in ("", "_error")]
        for name in (*maps, "drift/xz/vectors"):
            scales = [file[name].dims[i][0] for i in (0, 1)]
            assert [scale.name.rsplit("/", 1)[-1] for scale in scales] == ["x", "z"]
            assert [len(scale) for scale in scales] == list(file[name].shape[:2])
            assert all(scale.is_scale for scale in scales)
        assert file["training/energy"].dims[0][0] == file["training/iteration"]
        assert file["trajectories/positions"].dims[1][0] == file["trajectories/imaginary_time"]
        assert file["density/z/exact"].dims[0][0] == file["density/z/z"]
        assert file["pair/r/variational"].dims[0].label == file["pair/r/projected"].dims[0].label == "r"
        projected = file["energy/projected"]
        for scale, names in (
            (
                "time_step",
                ["energy", "energy_error", "acceptance", "effective_walkers", "population_bias", "resampled"],
            ),
            ("imaginary_time", ["energy_by_time", "energy_by_time_error", "fall_error"]),
        ):
            assert projected[scale].is_scale
            for name in names:
                assert projected[name].dims[0][0] == projected[scale] and projected[name].dims[0].label == scale
        assert projected["blocks"].dims[0].label == "block"


def test_every_dimension_has_a_scale(tmp_path, write_run, made_up):
    """As netCDF wants it: in the group of the dataset or above, of its length, and no two of a dataset alike."""
    weights = {"square": torch.ones(4, 4, 2, dtype=torch.float64), "layer.bias": torch.ones(4, dtype=torch.float64)}
    write_run(tmp_path / "result.h5", measurement=made_up.projected(), model_state=weights)
    seen = 0

    def check(name, item):
        nonlocal seen
        if isinstance(item, h5py.Dataset) and not item.is_scale:
            names = []
            for size, dimension in zip(item.shape, item.dims, strict=True):
                (scale,) = dimension.values()
                folder, _, own = scale.name.rpartition("/")
                assert scale.shape == (size,) and f"/{name}".startswith(f"{folder}/") and dimension.label == own, name
                names.append(own)
                seen += 1
            assert len(set(names)) == len(names), name

    with h5py.File(tmp_path / "result.h5") as file:
        file.visititems(check)
        assert [d.label for d in file["samples"].dims] == ["sample", "particle", "component"]
        assert [d.label for d in file["model/square"].dims] == ["size_4", "size_4_4", "size_2"]
        assert file["samples"].dims[1][0][()].tolist() == [0, 1] and set(file["model"]) == set(weights)
        for group in ("trajectories", "drift/xz"):
            for label in ("particle", "component"):
                # a tree of groups takes those of the root for the same
                assert file[group][label][()].tolist() == file[label][()].tolist()
    assert seen > 40 and set(read_result(tmp_path).model) == set(weights)


def test_the_document_names_what_a_projection_stores(tmp_path, write_run, made_up):
    """docs/file-format.md: no attribute or dataset of /energy/projected is left out, none is made up."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "file-format.md").read_text(encoding="utf-8")
    section = text.split("`/energy/projected`")[1].split("### /density")[0]
    named = {
        name
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall("`(.*?)`", line.split("|")[1])
    }
    write_run(tmp_path / "result.h5", measurement=made_up.projected())
    with h5py.File(tmp_path / "result.h5") as file:
        assert named == set(file["energy/projected"].attrs) | set(file["energy/projected"])


def test_nothing_personal_is_stored(tmp_path, write_run, made_up, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    loaded = made_up.loaded(text='# from /home/somebody/notes\n[system]\nname = "h2"\n')
    loaded.source = "/home/somebody/recipes/h2.toml"
    given = {
        "argv": ["run", "/home/somebody/h2.toml"],
        "nested": {"out": "/home/somebody"},
        "other": "/home/somebodyelse",
    }
    write_run(tmp_path / "result.h5", loaded=loaded, provenance=given)
    read = read_result(tmp_path)
    assert read.recipe_source == "h2.toml" and "# from ~/notes" in read.recipe_text
    assert read.provenance["argv"] == ["run", "~/h2.toml"] and read.provenance["nested"] == {"out": "~"}
    assert read.provenance["other"] == "/home/somebodyelse"
    assert b"/home/somebody/" not in (tmp_path / "result.h5").read_bytes()


def test_summary_is_the_agreed_json(tmp_path, write_run, made_up, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = write_run(Path("runs/h2/result.h5")).summary()
    observables = summary.pop("observables")
    assert {name: entry["unit"] for name, entry in observables.items()} == {"distance": "bohr", "places": ""}
    assert json.loads(json.dumps(summary, allow_nan=False)) == {
        "system": "h2",
        "parameters": {"R": 1.401},
        "run": "runs/h2",
        "seed": 0,
        "device": "cpu",
        "version": "0.1.0",
        "status": "converged",
        "doubts": [],
        "warnings": ["R-hat is 1.2: measure longer"],
        "energy_unit": "hartree",
        "length_unit": "bohr",
        "gap": None,
        "variational": {"energy": -1.17447, "error": 2e-5, "local_energy_std": 0.021},
        "projected": None,
        "reference": {"energy": -1.174475931, "error": 1e-9, "source": "made up for this test"},
        "seconds": {"train": 40.1, "measure": 30.2},
    }
    bad = write_run(Path("runs/h2/result.h5"), measurement=made_up.measurement(error=float("nan"))).summary()
    assert bad["variational"]["error"] is None
    projected = write_run(Path("runs/h2/result.h5"), measurement=made_up.projected()).summary()
    energies = {"energy": -1.174476, "error": 1e-5, "time_step_error": 2e-5, "slow_mode_error": 0.0}
    assert projected.pop("projected") == energies
    assert projected.pop("observables") != observables
    assert projected.pop("warnings") == [*summary["warnings"], "the weights rest on few walkers"]
    assert projected == {key: value for key, value in summary.items() if key not in ("projected", "warnings")}
    # what one time step leaves unknown is null
    alone = write_run(Path("runs/h2/result.h5"), measurement=made_up.projected(steps=1)).summary()
    assert json.loads(json.dumps(alone, allow_nan=False))["projected"]["time_step_error"] is None


def test_the_best_energy_has_both_errors(tmp_path, write_run, made_up):
    """Projected where there is a projection; the time-step error counts, unless it is not known."""
    plain = write_run(tmp_path / "result.h5")
    assert plain.energy == Estimate(-1.17447, 2e-5, 5e4)
    two = write_run(tmp_path / "result.h5", measurement=made_up.projected(error=3e-5, time_step_error=4e-5))
    assert two.energy.value == -1.174476 and two.energy.error == pytest.approx(5e-5)
    # against the reference: 6.9e-8 below, of 5e-5
    assert Comparison.of(two).z == pytest.approx(-0.0014, abs=1e-4)
    alone = write_run(tmp_path / "result.h5", measurement=made_up.projected(error=3e-5, steps=1))
    assert alone.energy.error == 3e-5


def test_strict_json():
    given = {"a": np.float32(0.5), "b": [np.inf, 1], "c": np.arange(2), "d": Path("x"), 1: (True, None)}
    assert strict_json(given) == {"a": 0.5, "b": [None, 1], "c": [0, 1], "d": "x", "1": [True, None]}


def test_units_of_traps_are_not_shown():
    assert [display_unit(unit) for unit in ("E", "a", "1/a", "1/a^3", "1", "")] == [""] * 6
    assert [display_unit(unit) for unit in ("hartree", "1/bohr^2")] == ["hartree", "1/bohr^2"]
    assert (with_unit("0.5", "E"), with_unit("0.5", "hartree")) == ("0.5", "0.5 hartree")


def test_comparison():
    assert Comparison.between(1.0, 3e-3, 0.995, 4e-3).z == pytest.approx(1.0)
    assert not Comparison.between(1.0, 1e-3, 0.995, 0.0).within(3, 0.0)
    assert Comparison.between(1.0, 1e-3, 0.995, 0.0).within(3, 0.0025)
    assert Comparison.between(4.0 + 1e-15, 0.0, 4.0, 0.0).within(3, 0.0)
    assert not Comparison.between(float("nan"), 0.1, 1.0, 0.0).within(3, 1.0)


# ---------------------------------------------------------------------------------------------------- damage


def refused(path):
    """Reading `path` must fail with one sentence that names it."""
    with pytest.raises(StoreError) as caught:
        read_result(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and caught.value.exit_code == 2
    return message


def test_missing(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.h5")
    assert "does not exist" in refused(tmp_path)
    (tmp_path / "checkpoint.pt").touch()
    assert "--resume" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"energy = -1.17\n", os.urandom(5000)])
def test_not_hdf5(tmp_path, content):
    (tmp_path / "result.h5").write_bytes(content)
    assert "not an HDF5 file" in refused(tmp_path / "result.h5")


def test_flipped_bits_of_a_projection_are_noticed(tmp_path, write_run, made_up):
    """One bit in each of its arrays: all of them carry checksums of their own, which other programs verify too."""
    path = tmp_path / "result.h5"
    write_run(path, measurement=made_up.projected())
    places = {}

    def find(name, item):
        # a single number, as of an observable, can have none
        # nor does anything here read the numbers of blocks
        if isinstance(item, h5py.Dataset) and "projected" in name and item.shape and not name.endswith("/block"):
            places[name] = item.id.get_chunk_info(0).byte_offset

    with h5py.File(path) as file:
        file.visititems(find)
    assert len(places) == 12 + 6 + 3
    content = path.read_bytes()[:-LENGTH]
    for place in places.values():
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert "damaged" in refused(path)


def test_foreign_and_newer(tmp_path, write_run):
    path = tmp_path / "result.h5"
    with h5py.File(path, "w") as file:
        file["energy"] = 1.0
    assert "not one that fkflow wrote" in refused(path)
    write_run(path)
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 2
    assert "newer" in refused(path)


PARTS = """config config/resolved energy/variational energy/variational/blocks samples model training
density/xz/variational density/xz/x_edges drift/z/vectors density/z/projected_error pair/r/projected_error
trajectories/imaginary_time trajectories/positions""".split()
PARTS += [
    f"energy/projected/{name}"
    for name in "blocks time_step energy energy_error acceptance effective_walkers population_bias resampled "
    "imaginary_time energy_by_time energy_by_time_error fall_error".split()
]


@pytest.mark.parametrize("part", PARTS)
def test_missing_part(tmp_path, write_run, made_up, part):
    path = tmp_path / "result.h5"
    write_run(path, measurement=made_up.projected())
    with h5py.File(path, "a") as file:
        del file[part]
    assert f"/{part}" in refused(path)


PROJECTED = """value error n_effective time_step_error weights window autocorrelation rhat independent_blocks seconds
warnings""".split()


@pytest.mark.parametrize(
    ("part", "name"), [("energy/variational", "error"), *(("energy/projected", name) for name in PROJECTED)]
)
def test_missing_attribute(tmp_path, write_run, made_up, part, name):
    path = tmp_path / "result.h5"
    write_run(path, measurement=made_up.projected())
    with h5py.File(path, "a") as file:
        del file[part].attrs[name]
    assert f"attribute {name} of /{part} is missing" in refused(path)


def test_a_projection_that_does_not_fit_together(tmp_path, write_run, made_up):
    """Parts of another length or of another kind than they must have."""
    path = tmp_path / "result.h5"
    for name, spoilt in (("fall_error", np.zeros(3)), ("energy_by_time", 0.0)):
        write_run(path, measurement=made_up.projected())
        with h5py.File(path, "a") as file:
            del file["energy/projected"][name]
            file["energy/projected"][name] = spoilt
        assert "damaged" in refused(path)
    write_run(path, measurement=made_up.projected())
    with h5py.File(path, "a") as file:
        file["energy/projected"].attrs["window"] = "long"
    assert "damaged" in refused(path)


def test_a_file_without_its_projection_is_that_of_a_variational_run(tmp_path, write_run, made_up):
    """Both are the same format: the group is there or not."""
    path = tmp_path / "result.h5"
    write_run(path, measurement=made_up.projected())
    with h5py.File(path, "a") as file:
        del file["energy/projected"]
    assert read_result(path).summary()["projected"] is None


def test_a_failed_write_leaves_the_old_file(tmp_path, write_run, monkeypatch):
    path = tmp_path / "result.h5"
    write_run(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no space left"):
        write_run(path, seconds={"train": 1.0})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["result.h5"]


# ----------------------------------------------------------------------------------------------- checkpoints


def test_checkpoint_round_trip_and_damage(tmp_path):
    path = tmp_path / "checkpoint.pt"
    state = {
        "iteration": 3,
        "walkers": torch.randn(4, 2, 3),
        "records": [{"energy": -1.0}],
        "generator": torch.get_rng_state(),
    }
    save_checkpoint(path, state)
    read = load_checkpoint(path)
    assert torch.equal(read["walkers"], state["walkers"]) and read["records"] == state["records"]
    assert torch.equal(read["generator"], state["generator"])
    content = path.read_bytes()
    middle = content.find(state["walkers"].numpy().tobytes())
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for damaged in (b"", content[: len(content) // 2], b"x" * 500, flipped):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="checkpoint.pt is"):
            load_checkpoint(path)
    with pytest.raises(StoreError, match="does not exist"):
        load_checkpoint(tmp_path / "none.pt")


def test_checkpoint_never_runs_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"format": "fkflow-checkpoint", "format_version": 1, "state": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(StoreError):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "ran").exists()


def test_checkpoint_refuses_what_it_could_not_read_back(tmp_path):
    with pytest.raises(TypeError, match=r"checkpoint.a\[0\].b"):
        save_checkpoint(tmp_path / "checkpoint.pt", {"a": [{"b": np.float64(1.0)}]})
    assert not (tmp_path / "checkpoint.pt").exists()


def test_foreign_checkpoint(tmp_path):
    torch.save({"weights": torch.zeros(2)}, tmp_path / "checkpoint.pt")
    with pytest.raises(StoreError, match="not a checkpoint of fkflow"):
        load_checkpoint(tmp_path / "checkpoint.pt")


# ----------------------------------------------------------------------------------------------- run folders


def test_prepare_folder(tmp_path):
    out = tmp_path / "runs" / "h2"
    assert prepare_folder(out, False) == out and out.is_dir() and not os.listdir(out)
    prepare_folder(out, False)
    prepare_folder(out, True)
    (out / "checkpoint.pt").touch()
    with pytest.raises(UsageError, match="--resume"):
        prepare_folder(out, False)
    prepare_folder(out, True)
    (out / "result.h5").touch()
    with pytest.raises(UsageError, match="--resume"):
        prepare_folder(out, False)
    prepare_folder(out, True)
    (out / "checkpoint.pt").unlink()
    with pytest.raises(UsageError, match="finished run"):
        prepare_folder(out, False)
    prepare_folder(out, True)
    with pytest.raises(UsageError, match="is a file"):
        prepare_folder(out / "result.h5", False)
    for impossible in (out / "result.h5" / "below", Path("/proc/none"), tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="cannot be"):
            prepare_folder(impossible, False)


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


def test_the_tail_of_a_cut_interaction_is_stored(tmp_path, write_run):
    """The energy of a particle, with and without the tail; the twin: a run without one says nothing of it."""
    written = write_run(tmp_path / "r" / "result.h5")
    assert written.tail is None and "per_particle" not in written.summary() and "particle" not in summary_text(written)
    save_result(dataclasses.replace(written, tail=-0.5), tmp_path / "r" / "result.h5")
    again = read_result(tmp_path / "r")
    assert again.tail == -0.5
    found = again.summary()["per_particle"]
    assert found == {"energy": -1.17447 / 2, "error": 1e-5, "tail": -0.25}
    assert "-0.587235(10) hartree; -0.837235(10) hartree with -0.25 hartree from beyond" in " ".join(
        summary_text(again).split()
    )
