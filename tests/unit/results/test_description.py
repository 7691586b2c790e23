"""result.h5 describes itself: datasets, axes, scales; and holds nothing personal."""

import json
import re
from pathlib import Path

import h5py
import torch

from fkflow.results.store import read_result


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
