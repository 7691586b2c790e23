"""A checksum at the end of a file, over all bytes before it, so that every flipped bit is found.

HDF5 and zip have no checksums for some parts (text, for example), and their readers may crash on damage there. The checksum
follows the end of the HDF5 or zip data: other programs ignore it, and drop it when they edit the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fkflow.errors import DamagedError

MARK = b"\nfkflow sha256 "
#: bytes of the mark, the hexadecimal digest and an end of line
LENGTH = len(MARK) + 64 + 1


def add_checksum(content: bytes | memoryview) -> bytes:
    """Append the checksum of `content`."""
    return b"".join((content, MARK, _digest(content), b"\n"))


def strip_checksum(content: bytes, path: Path) -> bytes:
    """Remove the checksum, if there is one; edited files and those of older versions have none.

    Raises DamagedError, naming `path`, if it does not match the content.
    """
    if content[-LENGTH : len(MARK) - LENGTH] != MARK:
        return content
    inner = memoryview(content)[:-LENGTH]
    if content[len(MARK) - LENGTH :] != _digest(inner) + b"\n":
        raise DamagedError(f"{path} is damaged: its content does not match its checksum")
    return bytes(inner)


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
