"""Checkpoints: what goes in comes out, no code runs, and the last two that could be written stay."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fkflow.errors import StoreError
from fkflow.results.checkpoints import FORMAT, FORMAT_VERSION, CheckpointWriter, load_checkpoint, save_checkpoint
from fkflow.results.folders import atomic_write
from fkflow.results.paths import CHECKPOINT, PREVIOUS


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


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_last_checkpoint_stays_where_a_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = CheckpointWriter(tmp_path / "checkpoint.pt")

    def save(iteration: int, full: bool = False) -> str:
        writer.update({"iteration": iteration}, iteration)
        with monkeypatch.context() as disk:
            if full:
                disk.setattr(os, "fsync", full_disk)
            return writer.save()

    def left() -> tuple[str, bool]:
        error = writer.with_hint(StoreError("stopped"))
        return str(error), error.resumable

    nothing = ("stopped; there is no checkpoint to go on from", False)
    assert writer.save() == "" and left() == nothing and os.listdir(tmp_path) == []
    assert "checkpoint.pt cannot be written: no space left" in save(1, full=True)
    assert left() == nothing and os.listdir(tmp_path) == []
    assert save(2) == "" and left() == (f"stopped; {writer.path} holds iteration 2", True)
    assert "no space left" in save(3, full=True)
    assert load_checkpoint(writer.path) == {"iteration": 2} and left() == (
        f"stopped; {writer.path} holds iteration 2",
        True,
    )
    # what was noted last is written as soon as that is possible
    assert writer.save() == "" and load_checkpoint(writer.path) == {"iteration": 3}
    writer.path.unlink()
    assert left() == nothing


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_the_last_two_checkpoints_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """The one before serves where the newest is damaged, and no damaged one takes its place."""
    if not links:
        monkeypatch.setattr(os, "link", full_disk)
    newest, before = tmp_path / CHECKPOINT, tmp_path / PREVIOUS
    # of a run whose checkpoint was removed: nothing to fall back on
    save_checkpoint(before, {"iteration": -1})

    def save(writer: CheckpointWriter, iteration: int) -> None:
        writer.update({"iteration": iteration}, iteration)
        assert writer.save() == ""

    def there() -> list[int]:
        return [load_checkpoint(path)["iteration"] for path in (newest, before)]

    writer = CheckpointWriter(newest)
    save(writer, 1)
    assert os.listdir(tmp_path) == [CHECKPOINT]
    save(writer, 2)
    assert there() == [2, 1]
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full_disk)
        writer.update({"iteration": 3}, 3)
        assert "no space left" in writer.save()
    assert there() == [2, 1]
    save(writer, 4)
    assert there() == [4, 2] and CheckpointWriter(newest).load() == {"iteration": 4}

    newest.write_bytes(newest.read_bytes()[:-500])
    resumed = CheckpointWriter(newest)
    assert resumed.load() == {"iteration": 2}
    assert f"{newest} is " in resumed.damaged and "going on from the one before it" in resumed.damaged
    save(resumed, 5)
    assert there() == [5, 2] and not resumed.damaged
    save(resumed, 6)
    assert there() == [6, 5]

    for path in (newest, before):
        path.write_bytes(b"\0" * 100)
    with pytest.raises(StoreError, match=f"{CHECKPOINT} is truncated"):
        CheckpointWriter(newest).load()
    resumed.remove()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_a_write_after_one_that_was_killed_leaves_two_files(where: str, tmp_path: Path) -> None:
    """Between its two renames both names are those of one file, and to rename one to the other does nothing."""
    path, kept = tmp_path / CHECKPOINT, tmp_path / PREVIOUS
    atomic_write(path, b"1", kept)
    if where == "between":
        os.link(path, kept)
    elif where == "after":
        atomic_write(path, b"2", kept)
    newest = path.read_bytes()
    atomic_write(path, b"3", kept)
    assert path.read_bytes() == b"3" and kept.read_bytes() == newest
    assert set(os.listdir(tmp_path)) == {CHECKPOINT, PREVIOUS}


def test_no_earlier_checkpoint_replaces_one_of_a_newer_version(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / PREVIOUS, {"iteration": 1})
    torch.save({"format": FORMAT, "format_version": FORMAT_VERSION + 1, "state": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(StoreError, match="newer fkflow"):
        CheckpointWriter(tmp_path / CHECKPOINT).load()
