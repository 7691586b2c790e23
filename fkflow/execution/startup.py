"""Start-up: what is imported is no garbage, and nothing need look for any in it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import PyTorch and what stands on it in here: a quarter of a second less, of a good one.

    The garbage collector rests meanwhile, and leaves alone from then on what was imported.
    """
    if not gc.isenabled() or "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
