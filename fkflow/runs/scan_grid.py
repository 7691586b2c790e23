"""The grid of a scan: the scanned values (``--over``), the order of the points and their names.

The place of a point is one index a scanned key. The first key runs to and fro like a snake, so that every point is a
neighbour of the point before it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from fkflow.errors import RecipeError
from fkflow.recipe import config
from fkflow.recipe.config import Loaded
from fkflow.recipe.sections import SECTIONS
from fkflow.recipe.sources import is_key
from fkflow.results.scan_tables import format_value

Place = tuple[int, ...]

#: most points of a scan
MOST_POINTS = 10_000
#: distance, in steps, of the end of a range from its last value that still counts as none: rounding of 1/3, say
ROUNDING = 1e-6
#: allowed forms, for messages
FORM = "section.key=start:stop:step or section.key=[a, list], for example system.R=0.8:4:0.2"
#: characters of a value in the name of its folder
LONGEST = 40


@dataclass(frozen=True)
class Over:
    """One scanned key, ``section.key``, with its values; `text` is what was given, `option` where."""

    key: str
    values: tuple[Any, ...]
    text: str
    option: str

    @property
    def short(self) -> str:
        """The key without its section, and without the list that it is in."""
        return ".".join(self.key.split(".")[1:][-2:])

    def error(self, what: str) -> RecipeError:
        """The error that names this key as it was given."""
        return RecipeError(f"{self.option} {config.shorten(self.text)}: {what}")


@dataclass(frozen=True)
class Planned:
    """One point before it is computed: its place, the values of the scanned keys, the name of its folder, its recipe."""

    place: Place
    values: dict[str, Any]
    name: str
    loaded: Loaded


def parse_over(text: str, option: str = "--over") -> Over:
    """Read ``section.key=start:stop:step`` (stop included if the steps reach it) or ``section.key=[a, list]``.

    Raises RecipeError.
    """
    left, equals, right = (part.strip() for part in text.partition("="))
    path = [part.strip() for part in left.split(".")]
    over = Over(".".join(path), (), text, option)
    if not equals or not is_key(path) or not right:
        raise over.error(f"it must have the form {FORM}")
    if path[0] not in ("system", *SECTIONS):
        raise over.error(f"{path[0]} is no section of a run: {', '.join(('system', *SECTIONS))} are allowed")
    if over.key == "train.from":
        raise over.error("a scan chooses itself which point starts from which; any other key is allowed")
    if right.startswith("["):
        values = config.read_value(right, f"{option} {config.shorten(text)}")
        if not values:
            raise over.error("the list is empty: at least one value is needed")
    elif ":" in right:
        values = _range(over, right)
    else:
        raise over.error(f"{config.shorten(right)} is neither a range nor a list: give {FORM}")
    return replace(over, values=tuple(values))


def parse_overs(texts: Sequence[str], option: str = "--over") -> list[Over]:
    """All scanned keys, each given once and not too many points together. Raises RecipeError."""
    found: dict[str, Over] = {}
    for text in texts:
        over = parse_over(text, option)
        if over.key in found:
            raise over.error(f"{over.key} is scanned already, by {found[over.key].text}: give each key once")
        found[over.key] = over
        points = math.prod(len(each.values) for each in found.values())
        if points > MOST_POINTS:
            raise over.error(f"{points} points are too many: at most {MOST_POINTS} are allowed")
    return list(found.values())


def plan(base: Loaded, overs: Sequence[Over]) -> list[Planned]:
    """Every point of the grid in the order of the snake, its recipe checked.

    Raises RecipeError for a key that is also --set, a value that is not allowed, or values that turn out the same.
    """
    given = {text.partition("=")[0].replace(" ", "") for text in base.overrides}
    for over in overs:
        if over.key in given:
            raise over.error(f"{over.key} is also given by --set: leave out one of the two")
    points = []
    for place in snake([len(over.values) for over in overs]):
        chosen = {over.key: (over.values[i], over.error) for over, i in zip(overs, place, strict=True)}
        loaded = config.with_values(base, chosen)
        resolved = loaded.recipe.resolved()
        values = {
            key: config.look_up(resolved[section], name) for key in chosen for section, name in [key.split(".", 1)]
        }
        points.append((place, values, loaded))
    for number, over in enumerate(overs):
        places: dict[str, int] = {}
        for place, values, _ in points:
            shown = json.dumps(values[over.key])
            if places.setdefault(shown, place[number]) != place[number]:
                raise over.error(f"the value {shown} is there twice: give each value once")
    units = {loaded.recipe.system.energy_unit for _, _, loaded in points}
    if len(units) > 1:
        raise overs[0].error(f"the energies of its points have different units ({', '.join(sorted(units))})")
    names = folder_names(overs, [values for _, values, _ in points])
    return [Planned(place, values, name, loaded) for (place, values, loaded), name in zip(points, names, strict=True)]


def snake(sizes: Sequence[int]) -> list[Place]:
    """All places of a grid with so many values a key; the first key runs to and fro, so that neighbours are one step apart."""
    if not sizes:
        return [()]
    places: list[Place] = []
    for number, rest in enumerate(snake(sizes[1:])):
        line = range(sizes[0])
        places += [(i, *rest) for i in (line if number % 2 == 0 else reversed(line))]
    return places


def nearest(place: Place, others: Iterable[Place]) -> list[Place]:
    """`others` by their distance from `place` in steps of the grid, the nearest first; of equals the last first."""
    ordered = list(others)[::-1]
    return sorted(ordered, key=lambda other: sum(abs(a - b) for a, b in zip(place, other, strict=True)))


def folder_names(overs: Sequence[Over], values: Sequence[Mapping[str, Any]]) -> list[str]:
    """A folder name for each point, such as ``R=0.8`` or ``g=4,particles=3``, all different and safe on any disk."""
    shorts = [over.short for over in overs]
    labels = [over.key if shorts.count(over.short) > 1 else over.short for over in overs]
    names: list[str] = []
    used: dict[str, int] = {}
    for point in values:
        parts = [f"{label}={_safe(point[over.key])}" for label, over in zip(labels, overs, strict=True)]
        name = ",".join(parts)
        # some disks ignore the case of letters
        count = used[name.lower()] = used.get(name.lower(), 0) + 1
        names.append(name if count == 1 else f"{name}~{count}")
    return names


def _safe(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", format_value(value))[:LONGEST]


def _range(over: Over, right: str) -> list[int] | list[float]:
    """The values start, start + step, … up to stop, computed in decimal numbers."""
    tokens = [token.strip() for token in right.split(":")]
    try:
        start, stop, step = (_decimal(token) for token in tokens)
    except ValueError:
        raise over.error(f"a range has three numbers, start:stop:step, not {config.shorten(right)}") from None
    if step <= 0:
        raise over.error(f"the step {tokens[2]} is not allowed: it must be above 0")
    if stop < start:
        raise over.error(f"the range is empty, it ends at {tokens[1]} before it starts at {tokens[0]}: turn it round")
    steps = (stop - start) / step
    if steps >= MOST_POINTS:
        raise over.error(f"{steps + 1:.6g} points are too many: at most {MOST_POINTS} are allowed")
    values = [start + i * step for i in range(int(steps + Decimal(ROUNDING)) + 1)]
    whole = all(re.fullmatch(r"[+-]?\d+", token) for token in tokens)
    return [int(value) for value in values] if whole else [float(value) for value in values]


def _decimal(token: str) -> Decimal:
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", token) or not math.isfinite(float(token)):
        raise ValueError(token)
    return Decimal(token)
