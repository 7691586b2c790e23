"""Values and recipes as TOML text, and such text cut to the length of a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def toml_value(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{toml_key(k)} = {toml_value(v)}' for k, v in value.items())} }}"
    return str(value)  # numbers, nan, inf, dates


def toml_key(key: str) -> str:
    """A key as TOML, in quotes where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML text of a resolved recipe; keys that are None (not set) are left out."""
    blocks = []
    for section, table in sections.items():
        written = {key: toml_value(value) for key, value in table.items() if value is not None}
        lines = [f"{toml_key(key)} = {value}" for key, value in written.items()]
        blocks.append("\n".join([f"[{toml_key(section)}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def format_value(value: Any) -> str:
    """A value as in a recipe, cut to a length that suits a sentence."""
    try:
        return shorten(toml_value(value))
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a value too long to print"


def shorten(text: str, most: int = 60) -> str:
    """The text on one line, with control characters escaped, cut to a length that suits a sentence."""
    text = " ".join(text[:1000].split())
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= most else f"{text[: most - 3]}..."
