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

from fkflow.errors import StoreError, UsageError
from fkflow.results import folders, locks
from fkflow.results.folders import atomic_write, claim_folder, prepare_folder
from fkflow.results.locks import lock_folder
from fkflow.results.paths import LOCK

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
