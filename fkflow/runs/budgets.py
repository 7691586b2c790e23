"""What a run may spend: two recipes of the same run may differ in it, and a run that is given more goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Tables = Mapping[str, Mapping[str, Any]]

#: the keys that say how much work is done; `walkers` is one where --target-error sets it
BUDGETS = {
    "train": ("iterations", "seconds", "target_error"),
    "measure": ("seconds", "target_error", "observable_error", "walkers"),
    "project": ("seconds", "target_error", "walkers"),
    "spectrum": ("states", "functions", "statistics"),
    "thermal": ("temperature", "beta", "statistics", "iterations", "target_error", "seconds", "time_step"),
}
#: keys that are newer than some stored recipes, with the value that leaves a run as it was before there was the key
NEW_KEYS = {"train": {"ramp": 0}}


def first_change(before: Tables, now: Tables) -> str | None:
    """The first key, as `before` has it, in which two resolved recipes are not of the same run; None if there is none."""
    for section, table in before.items():
        for key, value in table.items():
            if key not in BUDGETS.get(section, ()) and now.get(section, {}).get(key) != value:
                return f"{section}.{key} = {value}"
    # a budget may be newer than the recipe of an earlier version
    known = {section: {*BUDGETS.get(section, ()), *before.get(section, ())} for section in now}
    new = next(
        (f"{s}.{k}" for s, table in now.items() for k in table if k not in known[s] and not _is_off(s, k, table[k])),
        None,
    )
    return new and f"no {new}"


def _is_off(section: str, key: str, value: Any) -> bool:
    """Whether a key that an older recipe lacks has the value that changes nothing."""
    return key in (new := NEW_KEYS.get(section, {})) and new[key] == value


def grew(before: Tables, now: Tables) -> tuple[str, ...]:
    """The sections whose budget is larger `now`: more iterations or seconds, or a smaller error."""
    return tuple(section for section in BUDGETS if _grew(before.get(section, {}), now.get(section, {})))


def _grew(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    larger = any(_limit(now.get(key)) > _limit(before.get(key)) for key in ("iterations", "seconds"))
    # no target error: train for all iterations
    return larger or any(
        (now.get(key) or 0.0) < (before.get(key) or 0.0) for key in ("target_error", "observable_error")
    )


def _limit(value: float | None) -> float:
    """A budget as a number: none is no limit."""
    return math.inf if value is None else value
