"""Files that are none of fkflow, newer, incomplete or of parts that do not fit: one sentence names the file."""

import os

import h5py
import numpy as np
import pytest

from fkflow.errors import StoreError
from fkflow.results.checksum import LENGTH
from fkflow.results.store import read_result


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
