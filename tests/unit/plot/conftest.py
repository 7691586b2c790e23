"""Runs whose pictures are drawn."""

from functools import cache

import pytest


@pytest.fixture(scope="session")
def result(tmp_path_factory, write_run):
    return write_run(tmp_path_factory.mktemp("run") / "result.h5")


@pytest.fixture(scope="session")
def projected(tmp_path_factory, write_run, made_up):
    """A function: the result of a run with that projection."""

    def write(**changes):
        return write_run(tmp_path_factory.mktemp("run") / "result.h5", measurement=made_up.projected(**changes))

    plain = cache(write)
    return lambda **changes: write(**changes) if changes else plain()


@pytest.fixture(scope="session")
def run(tmp_path_factory, untrained_run):
    """A function: a recipe → the result of an untrained run of it, in a folder that no test changes."""
    return cache(lambda *lines, **changes: untrained_run(tmp_path_factory.mktemp("run"), *lines, **changes))
