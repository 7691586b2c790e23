"""A checksum at the end of a file, over all the bytes before it: no flipped bit goes unseen, in whatever it stands.

HDF5 and zip leave parts of a file without checksums (text, for one), and their readers may break on damage there. The seal
stands behind the end that the format itself gives the file: other programs do not see it, and drop it when they edit the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fkflow.errors import DamagedError

MARK = b"\nfkflow sha256 "
#: bytes of a seal: the mark, the digest in hexadecimal, an end of line
LENGTH = len(MARK) + 64 + 1


def add_checksum(content: bytes | memoryview) -> bytes:
    """`content` with its seal."""
    return b"".join((content, MARK, _digest(content), b"\n"))


def strip_checksum(content: bytes, path: Path) -> bytes:
    """The content without its seal, if it has one: files that were edited or that older versions wrote have none.

    Raises DamagedError, naming `path`, if it is not what was sealed.
    """
    if content[-LENGTH : len(MARK) - LENGTH] != MARK:
        return content
    inner = memoryview(content)[:-LENGTH]
    if content[len(MARK) - LENGTH :] != _digest(inner) + b"\n":
        raise DamagedError(f"{path} is damaged: its content does not match its checksum")
    return bytes(inner)


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
