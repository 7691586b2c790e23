"""Systems that other installed packages bring: entry points of the group ``fkflow.systems``, each naming a System class.

They are looked up only where a name is not built in, or all are asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from fkflow.errors import UsageError
from fkflow.hamiltonian.system import System

GROUP = "fkflow.systems"


class PluginError(UsageError):
    """A plug-in that cannot be used; the message is one sentence that names it and the package that brings it."""


@dataclass(frozen=True)
class Plugin:
    """A name of a system and the entry points that claim it: one, unless packages clash; `taken` by a built-in one."""

    name: str
    entries: tuple[EntryPoint, ...]
    taken: bool

    @property
    def origin(self) -> str:
        """The distribution that brings it and its version, such as ``my-traps 0.3``."""
        return " and ".join(f"{e.dist.name} {e.dist.version}" if e.dist else "an unknown package" for e in self.entries)

    def load(self) -> type[System]:
        """The class, imported; its key is the name. Raises PluginError."""
        about = f"the plug-in {self.name} of {self.origin}"
        if self.taken:
            raise PluginError(f"{about} is refused: a built-in system has that name")
        if len(self.entries) > 1:
            raise PluginError(f"{about} is refused: only one package may bring a system of that name")
        (entry,) = self.entries
        try:
            system = entry.load()
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split())
            raise PluginError(f"{about} cannot be imported: {type(error).__name__}: {reason}") from error
        if not (isinstance(system, type) and issubclass(system, System)):
            raise PluginError(f"{about} is no system: {entry.value} is not a class that derives from fkflow.System")
        if system.key not in (system.__name__, self.name):
            raise PluginError(f"{about} is refused: its class has the key {system.key}, another name")
        system.key = self.name
        return system


def find_plugins(built_in: Collection[str]) -> dict[str, Plugin]:
    """All plug-ins by their name; those whose name is `built_in` cannot be loaded."""
    named: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        named.setdefault(entry.name, []).append(entry)
    return {name: Plugin(name, tuple(entries), name in built_in) for name, entries in sorted(named.items())}
