"""Runs that were made from Python, each once for all tests."""

from __future__ import annotations

import pytest
from moves import few_moves
from python_calls import QUICK, SHORT, Pair

import fkflow


@pytest.fixture(scope="session")
def pair() -> fkflow.Solution:
    """A finished run of a class that is in no file."""
    with few_moves():
        return fkflow.solve(Pair(), **QUICK, progress=False)


@pytest.fixture(scope="session")
def short() -> fkflow.Solution:
    """The same, measured shortly."""
    with few_moves():
        return fkflow.solve(Pair(), **SHORT, progress=False)
