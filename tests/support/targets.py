"""Target errors of programs that the documentation shows, for tests that take less time than readers have."""

from __future__ import annotations

import re

#: a target error on a command line or in a program
TARGET = re.compile(r"(target.error *[= ] *)([\d.]+(?:e-?\d+)?)")


def looser(text: str) -> str:
    """A program or a command with target errors four times as large: what it finds agrees within its errors all the same."""
    return TARGET.sub(lambda found: f"{found[1]}{4 * float(found[2]):g}", text)
