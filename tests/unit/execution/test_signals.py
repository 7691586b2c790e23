"""Signals: they interrupt a computation at once and wait while something is written; a second Ctrl-C never waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from fkflow.execution import ranks
from fkflow.execution.signals import STOPPING, Signals, interrupt_on_termination

each_signal = pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def a_terminal() -> Iterator[None]:
    """Signals as a shell leaves them, whatever started the tests (nohup ignores one)."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@each_signal
def test_a_signal_waits_or_interrupts(number: int) -> None:
    with Signals() as signals:
        assert not signals and not signals.twice
        send(number)
        assert signals and not signals.twice
        # an earlier signal interrupts where that is allowed
        with pytest.raises(KeyboardInterrupt), signals.raise_at_once():
            pytest.fail("the signal was forgotten")
    with Signals() as signals:
        with pytest.raises(KeyboardInterrupt), signals.raise_at_once():
            send(number)
            pytest.fail("the signal waited")
        assert signals


@each_signal
def test_only_a_second_ctrl_c_breaks_into_what_is_written(number: int) -> None:
    with Signals() as signals:
        send(number)
        for other in STOPPING:
            if other != signal.SIGINT:
                send(other)
        assert not signals.twice
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        assert signals.twice


def test_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with interrupt_on_termination():
        inside = [signal.getsignal(number) for number in STOPPING]
        with pytest.raises(ZeroDivisionError), Signals() as signals, signals.raise_at_once():
            raise ZeroDivisionError
        assert [signal.getsignal(number) for number in STOPPING] == inside != before
    assert [signal.getsignal(number) for number in STOPPING] == before


@each_signal
def test_termination_is_ctrl_c(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), interrupt_on_termination():
        send(number)


def test_an_ignored_hangup_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupt_on_termination(), Signals() as signals, signals.raise_at_once():
            send(signal.SIGHUP)
            assert not signals
    finally:
        signal.signal(signal.SIGHUP, before)


def test_several_ranks_stop_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """None may leave the others waiting: the signal waits until the ranks agree on it."""
    monkeypatch.setattr(ranks, "count", lambda: 2)
    with Signals() as signals, signals.raise_at_once():
        send(signal.SIGTERM)
        assert signals


def test_other_threads_leave_signals_alone() -> None:
    found = []

    def work() -> None:
        with interrupt_on_termination(), Signals() as signals, signals.raise_at_once():
            found.append(bool(signals))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_rank_has_time_to_say_what_went_wrong() -> None:
    """SIGTERM, which a launcher sends when another rank is gone, ends a process a moment later; else it says nothing."""
    code = (
        "import os, signal, time\nfrom fkflow.execution import signals\n"
        "{}\nos.kill(os.getpid(), signal.SIGTERM)\nprint('rank 1 of 2 ended', flush=True)\ntime.sleep(20)\n"
    )
    for first, said in (("signals.postpone_termination(0.3)", "rank 1 of 2 ended\n"), ("pass", "")):
        done = subprocess.run([sys.executable, "-c", code.format(first)], capture_output=True, text=True, timeout=15)
        assert done.stdout == said and done.returncode < 0
