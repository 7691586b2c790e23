"""Runs with few moves before a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def few_moves() -> Iterator[None]:
    """Every move and every step of a trajectory is as the first: a third of the time of a short run is spared."""
    from fkflow.measurement import drift_field
    from fkflow.sampling import samplers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samplers, "BURN_IN", 3)
        patch.setattr(samplers, "JUMPS", 3)
        patch.setattr(drift_field, "LASTING", 0.1)
        yield
