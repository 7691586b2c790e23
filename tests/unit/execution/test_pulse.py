"""A pulse answers with the clock and the signals, and looks at them some times a second only."""

from __future__ import annotations

import functools
import time

import pytest

from fkflow.execution import pulse
from fkflow.execution.pulse import Pulse
from fkflow.execution.signals import Signals


def test_a_budget_is_kept_whatever_a_step_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 1 µs and of 3 s on a clock that only they move."""
    for step, budget in ((1e-6, 1.0), (3e-3, 10.0), (3.0, 10.0)):
        now, asked = [0.0], 0

        clock = functools.partial(now.__getitem__, 0)
        monkeypatch.setattr(time, "perf_counter", clock)
        beat = Pulse()
        while not beat.late(lambda clock=clock, budget=budget: clock() >= budget):
            now[0] += step
            asked += 1
        assert budget <= now[0] <= budget + 2 * pulse.EVERY + step
        assert asked == pytest.approx(now[0] / step)


def test_few_questions_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(time, "perf_counter", lambda: looks.append(0) or 1e-6 * len(looks))
    beat = Pulse()
    for _ in range(10**4):
        beat.late()
    assert len(looks) < 12


def test_a_signal_interrupts() -> None:
    signals = Signals()
    beat = Pulse(signals)
    assert not beat.late()
    signals._received.append(2)
    with pytest.raises(KeyboardInterrupt):
        for _ in range(10**3):
            beat.late()
            time.sleep(1e-3)
