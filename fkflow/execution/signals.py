"""Ctrl-C, SIGTERM and a terminal that goes away: noted while something is written, obeyed at once while something is computed.

One evaluation of a large network may take long, an iteration longer: neither is waited for. What a run goes on from is the
state after the last iteration that was finished.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from fkflow.execution import ranks

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Signals:
    """The signals that came while this context was open; true if there were any. A second Ctrl-C is KeyboardInterrupt."""

    def __init__(self) -> None:
        self._seen: list[int] = []
        self._at_once = False
        #: Ctrl-C although a signal had come before: nothing is to be saved any more
        self.twice = False
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._seen)

    def __enter__(self) -> Self:
        self._before = _handled_by(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # what ends a session sends several kinds: only Ctrl-C is impatience
        self.twice = bool(self._seen) and number == signal.SIGINT
        obey = self.twice or (self._at_once and not self._seen)
        self._seen.append(number)
        if obey:
            raise KeyboardInterrupt

    @contextmanager
    def raise_at_once(self) -> Iterator[None]:
        """Raise KeyboardInterrupt here as soon as there is a signal. Not with several ranks: they must stop together."""
        self._at_once = ranks.count() == 1
        try:
            if self._seen and self._at_once:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    @contextmanager
    def defer(self) -> Iterator[None]:
        """Within `raise_at_once`: signals wait until the end of this, then they are obeyed."""
        before, self._at_once = self._at_once, False
        try:
            yield
        finally:
            self._at_once = before
        if self._seen and before:
            raise KeyboardInterrupt


@contextmanager
def interrupt_on_termination() -> Iterator[None]:
    """SIGTERM and SIGHUP are Ctrl-C: whatever cleans up after that does so after these."""

    def obey(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = _handled_by(obey)
    try:
        yield
    finally:
        _restore(before)


def _handled_by(handler: Any) -> dict[int, Any]:
    """Handle the signals by a function; returns their handlers before. Outside the main thread signals are left alone."""
    before = {}
    for number in STOPPING:
        # nohup: whoever ignores it knows why
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
            try:
                before[number] = signal.signal(number, handler)
            except ValueError:
                break
    return before


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
