"""Where progress is shown: a bar on a terminal, one line written over in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from fkflow.api.arguments import open_progress
from fkflow.execution.displays import Bar, Lines, NotebookLine
from fkflow.execution.progress import Silent, choose_progress


@pytest.mark.parametrize(
    ("shell", "terminal", "kind"),
    [
        (None, False, Lines),
        (None, True, Bar),
        (SimpleNamespace(), True, Bar),
        (SimpleNamespace(kernel="a notebook's"), False, NotebookLine),
        (SimpleNamespace(kernel="a notebook's"), True, NotebookLine),
    ],
)
def test_what_suits_the_place(monkeypatch: pytest.MonkeyPatch, shell: object, terminal: bool, kind: type) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert type(choose_progress()) is kind


def test_without_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert type(choose_progress()) is Lines and "IPython" not in sys.modules


def test_a_line_that_is_written_over(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    progress = NotebookLine()
    monkeypatch.setattr(progress, "every", 0.0)
    progress.stage("train", 8.0)
    progress.update(2.0, -1.5, 0.01, "spread 0.2")
    progress.update(4.0, -1.5, 0.01)
    progress.log("a step is taken back")
    progress.update(8.0, -1.5, 0.01)
    progress.stage("measure", None)
    progress.close()
    told = capsys.readouterr()
    assert told.err == ""
    lines = told.out.split("\n")
    # what a notebook shows of each is what stands behind the last return
    first, log, second, third, rest = lines
    assert log == "a step is taken back" and rest == "" and third == "\rmeasure"
    begun, early, late = first.split("\r")[1:]
    assert begun == "train" and early.startswith("train  ━━━━━━┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄  25%  energy -1.500(10)")
    assert late.startswith("train  ━━━━━━━━━━━━┄┄┄┄┄┄┄┄┄┄┄┄  50%") and "spread" not in late
    # a shorter line covers the longer one before
    assert len(late) == len(early)
    assert second.startswith("\rtrain  ━━━━━━━━━━━━━━━━━━━━━━━━ 100%")


def test_what_a_caller_asks_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress(False) as silent:
        silent.stage("train", 3.0)
        silent.log("resumed at iteration 3")
        with pytest.warns(UserWarning, match="^the potential has steps$"):
            silent.log("warning: the potential has steps")
    assert capsys.readouterr() == ("", "")
    closed = []

    class Own(Silent):
        def close(self) -> None:
            closed.append(self)

    own = Own()
    with pytest.raises(ZeroDivisionError), open_progress(own) as given:
        assert given is own
        raise ZeroDivisionError
    assert closed == [own]
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    with open_progress(True) as notebook:
        notebook.stage("train", None)
    assert capsys.readouterr().out == "\rtrain\n"
