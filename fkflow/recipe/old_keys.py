"""Recipe keys of earlier versions: what they are called now, or why they are ignored."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

from fkflow.recipe.toml import to_toml

log = logging.getLogger("fkflow")

#: ``section.key`` of an earlier version -> its name today, in the same section
RENAMED: dict[str, str] = {}
#: ``section.key`` of an earlier version -> why it has no effect any more
REMOVED: dict[str, str] = {}
#: name of a system -> its parameters that earlier versions did not write, and what they mean there
UNWRITTEN: dict[str, dict[str, Any]] = {"helium": {"trap": True}}


@cache
def _warn(notice: str) -> None:
    """Log a notice, once in a process."""
    log.warning("warning: %s", notice)


def current_key(section: str, key: str, quiet: bool = False) -> str | None:
    """The name of a key today, None for one that has no effect any more; logs a notice where that differs."""
    old = f"{section}.{key}"
    new = RENAMED.get(old, key)
    if not quiet and new != key:
        _warn(f"{old} is now called {section}.{new}: the old name still works")
    elif not quiet and old in REMOVED:
        _warn(f"{old} is ignored: {REMOVED[old]}")
    return None if old in REMOVED else new


def current_keys(sections: Mapping[str, Any], quiet: bool = False) -> dict[str, Any]:
    """The sections of a recipe with the keys of today; where one stands beside its old name, it wins."""

    def renamed(section: str, table: Any) -> Any:
        if not isinstance(table, Mapping):
            return table
        named = [(current_key(section, key, quiet), key, value) for key, value in table.items()]
        return {new: value for new, key, value in named if new == key or (new is not None and new not in table)}

    return {section: renamed(section, table) for section, table in sections.items()}


def current_resolved(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a resolved recipe, such as a result holds: what an earlier version did not write is added; logs nothing."""
    found = current_keys(sections, quiet=True)
    if isinstance(system := found.get("system"), dict):
        found["system"] = {
            **system,
            **{k: v for k, v in UNWRITTEN.get(system.get("name", ""), {}).items() if k not in system},
        }
    return found


def current_text(text: str) -> str:
    """The same as TOML, such as a checkpoint holds."""
    return to_toml(current_resolved(tomllib.loads(text)))
