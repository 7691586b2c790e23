"""Time budgets and signals within a long piece of work: asked after every step of it, answered some times a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from fkflow.execution import ranks
from fkflow.execution.signals import Signals

#: seconds between two looks at the clock and the signals
EVERY = 0.2
#: most steps between two looks, in those between the two before: steps may become slower
GROWTH = 4.0


class Pulse:
    """`late` says whether a budget has ended, as rank 0 sees it; with `signals` it raises KeyboardInterrupt for them.

    All ranks must ask after the same steps. Few of the questions send a message.
    """

    def __init__(self, signals: Signals | None = None) -> None:
        self.signals = signals
        self._every, self._left, self._last = 1, 1, time.perf_counter()

    def late(self, over: Callable[[], bool] = lambda: False) -> bool:
        """Whether the budget is over; `over` is asked on rank 0's behalf whenever the clock is looked at."""
        self._left -= 1
        if self._left > 0:
            return False
        now = time.perf_counter()
        rate = EVERY / max(now - self._last, 1e-9)
        every = max(1, int(self._every * min(rate, GROWTH)))
        self._every, late = ranks.broadcast((every, over()))
        self._left, self._last = self._every, now
        if ranks.reduce_any(bool(self.signals))[0]:
            raise KeyboardInterrupt
        return late
