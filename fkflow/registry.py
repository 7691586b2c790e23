"""From a name in a recipe to a System, built in or a plug-in's, and from a name on the command line to a shipped recipe."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from fkflow import plugins
from fkflow.system import System


def _from_checkout(package: str, folder: str) -> None:
    """Load `package` from a folder beside `fkflow/`, where a checkout that is not installed has it."""
    if package in sys.modules or importlib.util.find_spec(package) is not None:
        return
    root = Path(__file__).resolve().parent.parent / folder
    spec = importlib.util.spec_from_file_location(package, root / "__init__.py", submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None or not (root / "__init__.py").is_file():
        return  # the import below then fails with Python's own message
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)


_from_checkout("fkflow.systems", "systems")
_from_checkout("fkflow.recipes", "runs")

from fkflow.systems import bosons, harmonic, helium, molecules, pairs, wells  # noqa: E402

_BUILT_IN: tuple[type[System], ...] = (
    harmonic.Harmonic,
    harmonic.Chain,
    harmonic.Moshinsky,
    wells.Quartic,
    wells.DoubleWell,
    wells.Morse,
    wells.PoschlTeller,
    wells.MexicanHat,
    molecules.H2,
    molecules.Molecule,
    molecules.H,
    molecules.H2Plus,
    molecules.He,
    molecules.HeHPlus,
    molecules.HMinus,
    bosons.Bosons,
    bosons.Bosons3D,
    helium.Helium,
    pairs.Hooke,
    pairs.Ions,
    pairs.Calogero,
    pairs.Dipoles,
)


def systems() -> dict[str, type[System]]:
    """All built-in systems by the name recipes use."""
    return {system.key: system for system in _BUILT_IN}


def built_in(system: type[System]) -> bool:
    """Whether a class is one of fkflow's own."""
    return system in _BUILT_IN


def find(key: str) -> type[System]:
    """The system of that name, built in or a plug-in's; KeyError, whose argument says what is allowed, where there is none."""
    known = systems()
    if key in known:
        return known[key]
    others = plugins.found(known)
    if key not in others:
        allowed = [*known, *(name for name in others if name not in known)]
        raise KeyError(f"it must be one of {', '.join(allowed)}{did_you_mean(key, allowed)}")
    try:
        return others[key].load()
    except plugins.PluginError as error:
        raise KeyError(str(error)) from error


def by_name(system: type[System]) -> bool:
    """Whether a recipe finds this class by its name: one of fkflow's own, or a plug-in's."""
    plugin = None if built_in(system) else plugins.found(systems()).get(system.key)
    try:
        return built_in(system) or (plugin is not None and plugin.load() is system)
    except plugins.PluginError:
        return False


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean x?)`` for the known word x nearest to a mistyped one, else nothing."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


@cache
def recipes() -> dict[str, Traversable]:
    """The shipped recipes by file name."""
    found = (entry for entry in files("fkflow.recipes").iterdir() if entry.name.endswith(".toml"))
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}
