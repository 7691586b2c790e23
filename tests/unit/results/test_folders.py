"""Run folders: one process at a time, nothing left behind, and what happens when a disk or a folder goes away."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
import torch

from fkflow.errors import StoreError, UsageError
from fkflow.results import folders, locks
from fkflow.results.checkpoints import FORMAT, FORMAT_VERSION, CheckpointWriter, load_checkpoint, save_checkpoint
from fkflow.results.folders import atomic_write, claim_folder
from fkflow.results.locks import lock_folder
from fkflow.results.paths import CHECKPOINT, LOCK, PREVIOUS

#: takes the lock of a folder and says so; ends, or dies, on a line of input
HOLDER = """
import sys
from pathlib import Path
from fkflow.results.locks import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock of tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_until_its_process_ends(holder, tmp_path: Path) -> None:
    for manager in (lock_folder(tmp_path), claim_folder(tmp_path, False)):
        with pytest.raises(UsageError, match=rf"{tmp_path} is in use") as caught, manager:
            pytest.fail("two processes hold one lock")
        assert "\n" not in str(caught.value)
    holder.communicate("end\n")
    assert os.listdir(tmp_path) == []
    with lock_folder(tmp_path):
        assert os.listdir(tmp_path) == [LOCK]
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_killed_process_blocks_nobody(holder, tmp_path: Path) -> None:
    (tmp_path / ".result.h5.0123abcd.tmp").write_bytes(b"half of a fi")
    holder.kill()
    holder.wait()
    assert LOCK in os.listdir(tmp_path)
    with claim_folder(tmp_path, False):
        assert os.listdir(tmp_path) == [LOCK]
    assert os.listdir(tmp_path) == []


def test_a_lock_released_and_removed_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it, the one that held it removes it: such a lock would keep nobody out."""
    real, calls = locks.fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            (tmp_path / LOCK).unlink()
        real(descriptor, how)

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with lock_folder(tmp_path):
        assert len(calls) == 2 and os.listdir(tmp_path) == [LOCK]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_where_there_are_no_locks_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def flock(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with caplog.at_level(logging.WARNING, "fkflow"), claim_folder(tmp_path, False):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path} cannot be locked on this file system: start nothing else in it"
    ]
    assert os.listdir(tmp_path) == []


def test_what_failed_before_it_wrote_leaves_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "h2"
    with pytest.raises(ZeroDivisionError), claim_folder(out, False):
        assert out.is_dir()
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with pytest.raises(ZeroDivisionError), claim_folder(out, False):
        (out / "checkpoint.pt").touch()
        raise ZeroDivisionError
    assert os.listdir(out) == ["checkpoint.pt"]


def test_what_is_stopped_while_folders_are_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal between the making of runs/ and that of the folder in it."""

    def stopped(folder: Path) -> Path:
        folder.parent.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "make_folder", stopped)
    with pytest.raises(KeyboardInterrupt), claim_folder(tmp_path / "runs" / "h2", False):
        pass
    assert os.listdir(tmp_path) == []


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "h2"
    with claim_folder(out, False):
        atomic_write(out / "result.h5", b"first")
        shutil.rmtree(tmp_path / "runs")
        atomic_write(out / "result.h5", b"second")
        assert sorted(os.listdir(out)) == [LOCK, "result.h5"] and (out / "result.h5").read_bytes() == b"second"
        # it is locked again
        taken = subprocess.run(
            [sys.executable, "-c", HOLDER, str(out)], input="end\n", capture_output=True, text=True, timeout=60
        )
        assert taken.stdout == "" and "is in use" in taken.stderr
    assert os.listdir(out) == ["result.h5"]


def test_a_folder_that_another_run_made_anew_is_not_touched(tmp_path: Path) -> None:
    """Removed while its run went on, then used by a new run: the old one has nothing to write there any more."""
    out = tmp_path / "h2"
    with claim_folder(out, False):
        shutil.rmtree(out)
        other = subprocess.Popen(
            [sys.executable, "-c", f"import os; os.mkdir({str(out)!r})\n{HOLDER}", str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        (out / "checkpoint.pt").write_bytes(b"of the new run")
        with pytest.raises(StoreError, match=f"{out} was removed, and another fkflow works"):
            atomic_write(out / "checkpoint.pt", b"of the old run")
    # the lock is still the other's
    assert sorted(os.listdir(out)) == [LOCK, "checkpoint.pt"]
    assert (out / "checkpoint.pt").read_bytes() == b"of the new run"
    other.communicate("end\n")


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


def test_an_interrupt_at_any_line_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C after each line in turn that claims a folder and writes a file there: no folder and no partial file stays."""

    out = tmp_path / "runs" / "one"

    def interrupted_at(line: int) -> int:
        """The lines that ran, the last of them interrupted; one interrupt, and none after the file is written."""
        count = 0

        def trace(frame: FrameType, event: str, _: object) -> object:
            nonlocal count
            if frame.f_code.co_filename not in (folders.__file__, locks.__file__):
                return None
            if event == "line" and count < line:
                count += 1
                if count == line:
                    raise KeyboardInterrupt
            return trace

        with suppress(KeyboardInterrupt):
            sys.settrace(trace)
            try:
                with claim_folder(out, resume=False):
                    atomic_write(out / "other", b"1")
                    sys.settrace(None)
                    (out / "other").unlink()
                    raise KeyboardInterrupt
            finally:
                sys.settrace(None)
        return count

    line = 1
    while interrupted_at(line) == line:
        # what was written whole may stay
        (out / "other").unlink(missing_ok=True)
        assert not out.exists() or os.listdir(out) == [], line
        shutil.rmtree(out.parent, ignore_errors=True)
        assert not locks._held, line
        line += 1
    assert line > 40
