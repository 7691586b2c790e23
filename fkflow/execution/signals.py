"""Ctrl-C, SIGTERM and SIGHUP: they interrupt a computation at once, but wait while something is written.

An iteration of a large network takes long, so a signal does not wait for its end: the run goes on later from the state after
the last complete iteration.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self

from fkflow.execution import ranks

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Signals:
    """The signals that came within this context; true if there were any. A second Ctrl-C raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._immediate = False
        #: whether Ctrl-C followed an earlier signal: the user does not wait for anything to be saved
        self.twice = False
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._received)

    def __enter__(self) -> Self:
        self._before = _set_handlers(self._record)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._before)

    def _record(self, number: int, frame: FrameType | None) -> None:
        # the end of a session sends several kinds of signals: only Ctrl-C means impatience
        self.twice = bool(self._received) and number == signal.SIGINT
        interrupt = self.twice or (self._immediate and not self._received)
        self._received.append(number)
        if interrupt:
            raise KeyboardInterrupt

    @contextmanager
    def raise_at_once(self) -> Iterator[None]:
        """Raise KeyboardInterrupt as soon as there is a signal. Not with several ranks, which must stop together."""
        self._immediate = ranks.count() == 1
        try:
            if self._received and self._immediate:
                raise KeyboardInterrupt
            yield
        finally:
            self._immediate = False

    @contextmanager
    def defer(self) -> Iterator[None]:
        """Within `raise_at_once`: signals wait until the end of this context."""
        before, self._immediate = self._immediate, False
        try:
            yield
        finally:
            self._immediate = before
        if self._received and before:
            raise KeyboardInterrupt


@contextmanager
def interrupt_on_termination() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP too: the same code then cleans up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = _set_handlers(interrupt)
    try:
        yield
    finally:
        _restore(before)


def postpone_termination(seconds: float = 1.0) -> None:
    """Let SIGTERM end this process only so many seconds later, from now on.

    A launcher ends all ranks as soon as one is gone, also those that are about to print what went wrong.
    """

    def postpone(number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM then ends the process

    with suppress(ValueError):  # outside the main thread
        signal.signal(signal.SIGTERM, postpone)


def _set_handlers(handler: Any) -> dict[int, Any]:
    """Handle the signals by a function; returns the handlers before. Outside the main thread it changes nothing."""
    before = {}
    for number in STOPPING:
        # SIGHUP is ignored under nohup
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
            try:
                before[number] = signal.signal(number, handler)
            except ValueError:
                break
    return before


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
