"""Systems by their names, built in or of plug-ins, and the shipped recipes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable

from fkflow.hamiltonian import plugins
from fkflow.hamiltonian.system import System

#: module:class of systems that are made of other packages; they are checked as those of users are
ADAPTERS = {"ase": "fkflow.hamiltonian.ase_surface:Ase"}


@cache
def _built_in() -> dict[str, type[System]]:
    # imported by name: the systems import this package
    places = (place.split(":") for place in import_module("fkflow.systems").SYSTEMS)
    systems = [getattr(import_module(f"fkflow.systems.{module}"), name) for module, name in places]
    return {system.key: system for system in systems}


def built_in_systems() -> dict[str, type[System]]:
    """All built-in systems by their names in recipes."""
    return dict(_built_in())


def is_built_in(system: type[System]) -> bool:
    """Whether a class is a built-in system."""
    return system in _built_in().values()


def find_system(key: str) -> type[System]:
    """The system of that name, built in or of a plug-in; else KeyError, whose argument says what is allowed."""
    known = _built_in()
    if key in known:
        return known[key]
    if key in ADAPTERS:
        module, _, name = ADAPTERS[key].partition(":")
        adapter: type[System] = getattr(import_module(module), name)
        return adapter
    others = plugins.find_plugins(known)
    if key not in others:
        allowed = [*known, *ADAPTERS, *(name for name in others if name not in known)]
        raise KeyError(f"it must be one of {', '.join(allowed)}{did_you_mean(key, allowed)}")
    try:
        return others[key].load()
    except plugins.PluginError as error:
        raise KeyError(str(error)) from error


def has_name(system: type[System]) -> bool:
    """Whether `find_system` finds this class by its key."""
    try:
        return find_system(system.key) is system
    except KeyError:
        return False


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean x?)`` for the known word x nearest to a mistyped one, else ""."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


@cache
def shipped_recipes() -> dict[str, Traversable]:
    """The shipped recipes by file name."""
    entries = sorted(files("fkflow.recipes").iterdir(), key=lambda entry: entry.name)
    return {entry.name: entry for entry in entries if entry.name.endswith(".toml")}
