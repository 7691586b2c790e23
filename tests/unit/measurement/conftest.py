"""Systems of every kind of geometry, and walkers in them."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system

SYSTEMS = {
    "line": find_system("double_well")(),
    "chain": find_system("chain")(particles=3),
    "round 2D": find_system("bosons")(particles=3),
    "oval 2D": find_system("harmonic")(particles=2, dimensions=2, omega=[1.0, 2.0]),
    "round 3D": find_system("harmonic")(particles=2, dimensions=3, omega=2.0),
    "oval 3D": find_system("harmonic")(particles=2, dimensions=3, omega=[1.0, 2.0, 3.0]),
    "round 5D": find_system("harmonic")(particles=2, dimensions=5),
    "mixture": find_system("mixture")(count_a=2, count_b=1, mass_b=1.0, g_ab=3.0),
    "oval 4D": find_system("harmonic")(particles=1, dimensions=4, omega=[1.0, 2.0, 3.0, 4.0]),
    "atom": find_system("he")(),
    "axis": find_system("h2")(),
    "triangle": find_system("molecule")(
        electrons=1,
        nuclei=[{"position": p, "charge": 1.0} for p in ((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (1.0, 2.0, 0.0))],
    ),
}


@pytest.fixture
def systems():
    return SYSTEMS


@pytest.fixture(params=SYSTEMS)
def name(request):
    """The name of each of the systems."""
    return request.param


@pytest.fixture(scope="session")
def landscape():
    """A function: system → its landscape, explored once."""
    return cache(explore)


@pytest.fixture
def walkers(landscape):
    """A function: system → walkers (B, N, D) that start there."""

    def start(system, count=8000, seed=0):
        return landscape(system).start(count, torch.Generator().manual_seed(seed))

    return start
