"""Systems of other installed packages: entry points of the group ``fkflow.systems``, each naming a System class."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from fkflow.errors import UsageError
from fkflow.hamiltonian.system import System

GROUP = "fkflow.systems"


class PluginError(UsageError):
    """A plug-in that cannot be used; the message is one sentence that names it and its package."""


@dataclass(frozen=True)
class Plugin:
    """The name of a system and its entry points: one, unless packages clash. `reserved`: a built-in system has the name."""

    name: str
    entries: tuple[EntryPoint, ...]
    reserved: bool

    @property
    def origin(self) -> str:
        """Its distribution and version, such as ``my-traps 0.3``."""
        return " and ".join(f"{e.dist.name} {e.dist.version}" if e.dist else "an unknown package" for e in self.entries)

    def load(self) -> type[System]:
        """Import the class and set its key to the name. Raises PluginError."""
        about = f"the plug-in {self.name} of {self.origin}"
        if self.reserved:
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
    """All plug-ins by name; those with the name of a `built_in` system cannot be loaded."""
    named: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        named.setdefault(entry.name, []).append(entry)
    return {name: Plugin(name, tuple(entries), name in built_in) for name, entries in sorted(named.items())}
