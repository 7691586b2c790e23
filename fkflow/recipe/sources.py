"""Where a recipe comes from: a file, a shipped recipe, ``--set`` texts; their TOML as Python values."""

from __future__ import annotations

import errno
import os
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import built_in_systems, did_you_mean, find_system, shipped_recipes
from fkflow.recipe.toml import format_value, shorten

#: most bytes of a recipe
LONGEST = 2**20


def read_recipe(name: str) -> tuple[str, str, Path]:
    """Find the recipe of that name: a file, else a shipped recipe, else a system (a name or FILE.py:CLASS) with defaults.

    Returns what messages call it, its text, and its folder. Raises RecipeError.
    """
    source, content, folder = _find(name)
    try:
        return source, content.decode("utf-8-sig"), folder
    except UnicodeDecodeError as exc:
        raise RecipeError(f"{source} is not UTF-8 text (at byte {exc.start}); TOML is needed") from None


def _find(name: str) -> tuple[str, bytes, Path]:
    path, shipped, is_folder = Path(name), shipped_recipes(), False
    if path.suffix == ".py":
        raise RecipeError(f"{name} is Python, not a recipe: name the class of the system too, as in {name}:CLASS")
    candidates = [name] if path.suffix == ".toml" else [name, f"{name}.toml"]
    for candidate in candidates:
        try:
            return candidate, _read(candidate), Path(candidate).parent
        except IsADirectoryError:
            is_folder = True
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise RecipeError(
                    f"{candidate} cannot be read ({exc.strerror}); a readable TOML file is needed"
                ) from None
        except ValueError:  # a null character, which no file name has
            pass
    for candidate in candidates:
        if candidate in shipped:
            return candidate, shipped[candidate].read_bytes(), Path()
    if not is_folder and (key := _system_key(name)):
        # a system alone, with the defaults of all keys
        return name, f"[system]\n{key} = {format_value(name)}\n".encode(), Path()
    stems, systems = [Path(file).stem for file in shipped], built_in_systems()
    what = "is a folder, not a file" if is_folder else f"is no file (looked for in {path.absolute().parent})"
    raise RecipeError(
        f"{format_value(name)} {what}, nor a shipped recipe or a system{did_you_mean(path.stem, [*stems, *systems])}; "
        f"give a TOML file, FILE.py:CLASS or one of those that fkflow list shows, such as {', '.join(stems[:SHOWN])}"
    )


#: shipped recipes that a message names
SHOWN = 4
#: the end of FILE.py:CLASS
CLASS = re.compile(r"\.py:\w+$")


def _system_key(name: str) -> str:
    """The key of [system] that a name belongs to: "file" for FILE.py:CLASS, "name" for a known system, else ""."""
    if CLASS.search(name):
        return "file"
    with suppress(KeyError):
        find_system(name)
        return "name"
    return ""


def recipe_name(source: str) -> str:
    """The name of a recipe, and of its run folder: the stem of its file, or the class of FILE.py:CLASS."""
    return source.rpartition(":")[2] if CLASS.search(source) else Path(source).stem


def _read(name: str) -> bytes:
    # a pipe without a writer must not block
    with open(name, "rb", opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        os.set_blocking(file.fileno(), True)
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise RecipeError(f"{name} has more than {LONGEST} bytes: a recipe is a short TOML text")
    return content


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text; ValueError with one clear phrase if it is not valid."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        last = f"at the end of the file, line {text.rstrip().count(chr(10)) + 1}"
        raise ValueError(str(exc).replace("at end of document", last)) from None
    except ValueError:  # Python's limit on the digits of an integer, with advice for programmers
        raise ValueError("a number has too many digits") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_key(path: list[str]) -> bool:
    """Whether these parts are those of ``section.key``, or of ``system.list.name.key``."""
    return all(path) and (len(path) == 2 or (len(path) == 4 and path[0] == "system"))


def parse_override(override: str) -> tuple[str, str, Any]:
    """Split ``section.key=value`` into its parts; the value is TOML or a bare word. Raises RecipeError.

    The key may name an entry of a list of tables: ``system.species.electron.mass=0.5``.
    """
    left, equals, right = override.partition("=")
    path = [part.strip() for part in left.split(".")]
    if not equals or not is_key(path):
        raise RecipeError(
            f"--set {shorten(override)}: it must have the form section.key=value, for example train.iterations=100"
        )
    return path[0], ".".join(path[1:]), read_value(right.strip(), f"--set {shorten(override)}", bare=True)


def read_value(text: str, given: str, bare: bool = False) -> Any:
    """The TOML value of `text`; with `bare` a bare word, such as a path, is a string.

    Raises RecipeError, which calls it `given`.
    """
    try:
        table = parse_toml(f"value = {text}")
    except ValueError as exc:
        # folders of points of a scan have = and , in their names
        if not bare or not re.fullmatch(r"""[A-Za-z_/~.][^\s"'\[\]{}=#,]*(/[^\s"'\[\]{}#]+)?""", text):
            raise RecipeError(
                f"{given}: {shorten(text) or 'nothing'} is not a TOML "
                'value; a number, true, "text" or [a, list] is allowed'
            ) from exc
        table = {"value": text}
    if set(table) != {"value"}:
        raise RecipeError(f"{given}: it must set one key to one value on one line")
    return table["value"]
