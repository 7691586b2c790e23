"""The landscapes of systems, each explored once in a process for all tests that start walkers or build networks there."""

from __future__ import annotations

import functools

from fkflow.hamiltonian import landscape

explore = functools.cache(landscape.explore)
