"""Systems that other installed packages bring: entry points of the group ``fkflow.systems``, each naming a System class.

They are looked up only where a name is not built in, or all are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from fkflow.system import System

GROUP = "fkflow.systems"


class PluginError(Exception):
    """A plug-in that cannot be used; the message is one sentence that begins with its name."""


def found(built_in: set[str]) -> dict[str, Callable[[], type[System]]]:
    """For every name of a plug-in what loads its class, which raises PluginError; a name that is `built_in` always does."""
    named: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        # one folder may be on the path twice
        if entry not in named.setdefault(entry.name, []):
            named[entry.name].append(entry)
    return {name: _loader(name, entries, name in built_in) for name, entries in sorted(named.items())}


def _loader(name: str, entries: list[EntryPoint], built_in: bool) -> Callable[[], type[System]]:
    def load() -> type[System]:
        owners = " and ".join(origin(entry) for entry in entries)
        if built_in:
            raise PluginError(f"the plug-in {name} of {owners} is refused: a built-in system has that name")
        if len(entries) > 1:
            raise PluginError(f"the plug-in {name} is refused: {owners} both bring a system of that name")
        return _loaded(entries[0])

    return load


def _loaded(entry: EntryPoint) -> type[System]:
    about = f"the plug-in {entry.name} of {origin(entry)}"
    try:
        system = entry.load()
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise PluginError(f"{about} cannot be imported: {type(error).__name__}: {reason}") from error
    if not (isinstance(system, type) and issubclass(system, System)):
        raise PluginError(f"{about} is not a system: {entry.value} is no class that derives from fkflow.System")
    if system.__dict__.get("key") not in (system.__name__, entry.name):
        raise PluginError(f"{about} is refused: its class calls itself {system.key}, which is not that name")
    system.key = entry.name
    return system


def origin(entry: EntryPoint) -> str:
    """The distribution that brings a plug-in, and its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


def origins() -> dict[str, str]:
    """By name of a plug-in, which distribution brings it."""
    return {entry.name: origin(entry) for entry in entry_points(group=GROUP)}
