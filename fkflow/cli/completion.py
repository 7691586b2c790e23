"""What the shell completes: names of recipes, systems and runs, found without importing PyTorch or any system."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

#: files of which a run or scan has one
MARKERS = ("result.h5", "checkpoint.pt", "scan.h5", "propagation.h5")
#: how a class in the folder of systems states its name
KEY = re.compile(r'^    key: ClassVar\[str\] = "(\w+)"$', re.M)


def recipes(incomplete: str) -> list[str]:
    """Recipes of the working directory and shipped ones, and systems."""
    here = [path.name for path in _entries(Path()) if path.suffix == ".toml"]
    return _matching([*here, *_shipped(), *_systems()], incomplete)


def systems(incomplete: str) -> list[str]:
    """Built-in systems, those of plug-ins, and shipped recipes."""
    return _matching([*_systems(), *_shipped()], incomplete)


def runs(incomplete: str) -> list[str]:
    """Runs and scans in the folder runs and in the working directory; other files are the shell's affair."""
    return _matching(list(_runs()), incomplete)


def _matching(names: list[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _shipped() -> Iterator[str]:
    yield from sorted(entry.name.removesuffix(".toml") for entry in _packaged("recipes", ".toml"))


def _systems() -> Iterator[str]:
    for entry in _packaged("systems", ".py"):
        yield from KEY.findall(entry.read_text(encoding="utf-8"))
    yield from (entry.name for entry in entry_points(group="fkflow.systems"))


def _packaged(folder: str, ending: str) -> list[Path]:
    return [Path(str(entry)) for entry in files("fkflow").joinpath(folder).iterdir() if entry.name.endswith(ending)]


def _runs() -> Iterator[str]:
    for folder in (Path("runs"), Path()):
        for path in _entries(folder):
            if any((path / marker).is_file() for marker in MARKERS):
                yield path.name


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
