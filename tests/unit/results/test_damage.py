"""Damaged files: whatever is cut off or flipped, either the same content comes back or one sentence names the file."""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fkflow.errors import StoreError
from fkflow.results.checkpoints import FORMAT_VERSION, load_checkpoint, save_checkpoint
from fkflow.results.checksum import LENGTH, add_checksum, strip_checksum
from fkflow.results.store import read_result

#: a file without a checksum is read in full, which takes five times as long
SEALED, OLDER = 300, 100


def bits(content: Any) -> bytes:
    """Everything that was read, as bytes; NaN equals itself."""

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
        return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value

    return pickle.dumps(dataclasses.asdict(content) if dataclasses.is_dataclass(content) else plain(content))


def state() -> dict[str, Any]:
    """What a checkpoint holds, of every kind."""
    return {
        "seed": 3,
        "recipe": '[system]\nname = "h2"\n' * 20,
        "records": [{"iteration": i, "energy": -0.1 * i, "undone": False} for i in range(20)],
        "state": {
            "net": {"weight": torch.linspace(0, 1, 30, dtype=torch.float64).view(5, 6), "empty": torch.zeros(0)},
            "generator": torch.Generator().manual_seed(1).get_state(),
            "adam": None,
        },
    }


@pytest.fixture(params=["result.h5", "checkpoint.pt"])
def stored(request: pytest.FixtureRequest, tmp_path: Path, write_run, made_up) -> tuple[Path, Callable[[Path], Any]]:
    """A file of each kind and what reads it."""
    path = tmp_path / request.param
    if request.param == "checkpoint.pt":
        save_checkpoint(path, state())
        return path, load_checkpoint
    write_run(path, measurement=made_up.projected())
    return path, read_result


def spoilt(content: bytes, noise: np.random.Generator) -> bytes:
    """Some of the content: cut at a random place, or with a bit, a few bits or a page of bytes changed."""
    place, kind = int(noise.integers(len(content))), noise.integers(4)
    if kind == 0:
        return content[:place]
    damaged = bytearray(content)
    if kind == 3:
        damaged[place : place + 512] = noise.bytes(min(512, len(content) - place))
    else:
        for where in (place, *noise.integers(len(content), size=4 * (kind - 1))):
            damaged[where] ^= 1 << noise.integers(8)
    return bytes(damaged)


@pytest.mark.parametrize("checksums", [True, False], ids=["with checksum", "of an older version"])
def test_damage_is_noticed_or_harmless(stored, checksums: bool) -> None:
    """Without a checksum the formats' own checksums are all there is: text may change unseen, nothing breaks."""
    path, read = stored
    expected, content = bits(read(path)), path.read_bytes()
    content = content if checksums else content[:-LENGTH]
    path.write_bytes(content)
    assert bits(read(path)) == expected
    noise, noticed, cases = np.random.default_rng(0), 0, SEALED if checksums else OLDER
    for _ in range(cases):
        path.write_bytes(spoilt(content, noise))
        try:
            found = bits(read(path))
        except StoreError as error:
            noticed += 1
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert found == expected or not checksums
    assert noticed > (0.99 if checksums else 0.7) * cases


def test_text_that_was_changed_is_noticed(tmp_path: Path, write_run) -> None:
    """One bit of the parameters, which HDF5 keeps without a checksum; the twin without a checksum reads another molecule."""
    path = tmp_path / "result.h5"
    write_run(path)
    content = path.read_bytes()
    assert content.count(b'{"R": 1.401}') == 1
    path.write_bytes(content.replace(b'{"R": 1.401}', b'{"R": 5.401}'))
    with pytest.raises(StoreError, match="result.h5 is damaged: its content does not match its checksum"):
        read_result(path)
    path.write_bytes(path.read_bytes()[:-LENGTH])
    assert read_result(path).parameters == {"R": 5.401}


def test_every_bit_of_a_seal_counts(tmp_path: Path) -> None:
    """Flipped in the mark it is no checksum, flipped in the digest it does not fit: the content is never another one."""
    content = b"some content"
    whole = add_checksum(content)
    assert (
        strip_checksum(whole, tmp_path) == content
        and strip_checksum(content, tmp_path) == content
        and strip_checksum(b"", tmp_path) == b""
    )
    refused = 0
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            try:
                assert strip_checksum(bytes(flipped), tmp_path)[: len(content)] == content
            except StoreError:
                refused += 1
    assert refused == 8 * (len(content) + 65)


def test_an_edited_file_stays_readable(tmp_path: Path, write_run) -> None:
    """What HDF5 tools write loses the checksum with the bytes it was for."""
    path = tmp_path / "result.h5"
    written = write_run(path)
    with h5py.File(path, "a") as file:
        file["energy/variational"].attrs["note"] = "mine"
    assert read_result(path).energy == written.energy


def test_a_file_that_is_open_elsewhere(tmp_path: Path, write_run) -> None:
    path = tmp_path / "result.h5"
    written = write_run(path)
    with h5py.File(path, "r"):
        assert read_result(path).energy == written.energy
    with h5py.File(path, "r+"):
        with pytest.raises(StoreError, match="result.h5 is open for writing in another program"):
            read_result(path)
        # replacing it does not touch what the other program has open
        write_run(path)
        assert read_result(path).energy == written.energy
    assert read_result(path).energy == written.energy


def test_newer_and_foreign_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    newer = {"format": "fkflow-checkpoint", "format_version": FORMAT_VERSION + 1, "state": {}}
    for content, words in (
        (newer, f"written by a newer fkflow: its format version is {FORMAT_VERSION + 1}"),
        ({**newer, "format": "other"}, "not a checkpoint of fkflow"),
        ({**newer, "format_version": 1, "state": [1]}, "not a checkpoint of fkflow"),
        ({"format": "fkflow-checkpoint"}, "not a checkpoint of fkflow"),
        ([1, 2], "not a checkpoint of fkflow"),
    ):
        torch.save(content, path)
        with pytest.raises(StoreError, match=f"checkpoint.pt .*{words}"):
            load_checkpoint(path)


def test_sealing_costs_little() -> None:
    content = bytes(10**7)
    begun = time.perf_counter()
    assert strip_checksum(add_checksum(content), Path("x")) == content
    assert time.perf_counter() - begun < 2
