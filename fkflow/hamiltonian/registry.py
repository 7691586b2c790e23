"""From a name in a recipe to a System, built in or a plug-in's, and from a name on the command line to a shipped recipe."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable

from fkflow.hamiltonian import plugins
from fkflow.hamiltonian.system import System


@cache
def _built_in() -> dict[str, type[System]]:
    # by name: the systems build on this package, which therefore does not import them
    package = import_module("fkflow.systems")
    found = {}
    for place in package.SYSTEMS:
        module, name = place.split(":")
        system = getattr(import_module(f"fkflow.systems.{module}"), name)
        found[system.key] = system
    return found


def built_in_systems() -> dict[str, type[System]]:
    """All built-in systems by the name recipes use."""
    return dict(_built_in())


def is_built_in(system: type[System]) -> bool:
    """Whether a class is one of fkflow's own."""
    return system in _built_in().values()


def find_system(key: str) -> type[System]:
    """The system of that name, built in or a plug-in's; KeyError, whose argument says what is allowed, where there is none."""
    known = built_in_systems()
    if key in known:
        return known[key]
    others = plugins.find_plugins(known)
    if key not in others:
        allowed = [*known, *(name for name in others if name not in known)]
        raise KeyError(f"it must be one of {', '.join(allowed)}{did_you_mean(key, allowed)}")
    try:
        return others[key].load()
    except plugins.PluginError as error:
        raise KeyError(str(error)) from error


def has_name(system: type[System]) -> bool:
    """Whether a recipe finds this class by its name: one of fkflow's own, or a plug-in's."""
    plugin = None if is_built_in(system) else plugins.find_plugins(built_in_systems()).get(system.key)
    try:
        return is_built_in(system) or (plugin is not None and plugin.load() is system)
    except plugins.PluginError:
        return False


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean x?)`` for the known word x nearest to a mistyped one, else nothing."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


@cache
def shipped_recipes() -> dict[str, Traversable]:
    """The shipped recipes by file name."""
    found = (entry for entry in files("fkflow.recipes").iterdir() if entry.name.endswith(".toml"))
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}
