"""Networks of every kind with random parameters, and systems whose gradients are compared."""

from __future__ import annotations

import pytest
import torch
from gradients import SYSTEMS
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import GenericNet, LogPsi, MolecularNet, SymmetricNet, build, default_float64


def molecule(electrons: int, *charges: float) -> MolecularNet:
    """A network of electrons about nuclei on a bent line."""
    places = torch.tensor([[0.0, 0.3 * a * a, 1.4 * a] for a in range(len(charges))], dtype=torch.float64)
    with default_float64():
        return MolecularNet(places, torch.tensor(charges), electrons, 5, 2)


def symmetric(particles: int, omega: float | list[float], separable: bool, name: str = "harmonic", layers: int = 2):
    system = find_system(name)(particles=particles, **({"dimensions": 2, "omega": omega} if name == "harmonic" else {}))
    with default_float64():
        return SymmetricNet(explore(system), 5, layers, isotropic=not isinstance(omega, list), separable=separable)


def generic(system) -> GenericNet:
    with default_float64():
        return GenericNet(explore(system), 5, 2)


NETWORKS = {
    "one electron, one nucleus": lambda: molecule(1, 2.0),
    "one electron, equal nuclei": lambda: molecule(1, 1.0, 1.0),
    "one electron, three nuclei": lambda: molecule(1, 1.0, 2.0, 1.0),
    "two electrons, one nucleus": lambda: molecule(2, 2.0),
    "two electrons, equal nuclei": lambda: molecule(2, 1.0, 1.0),
    "two electrons, three nuclei": lambda: molecule(2, 1.0, 2.0, 3.0),
    "one in a round trap": lambda: symmetric(1, 1.0, False),
    "one in an oval trap": lambda: symmetric(1, [1.0, 2.0], False),
    "one on a ring": lambda: build(
        find_system("mexican_hat")(), explore(find_system("mexican_hat")()), "symmetric", 5, 2, 0
    ),
    "two, round, separable": lambda: symmetric(2, 1.0, True),
    "four, round, separable": lambda: symmetric(4, 1.0, True, layers=1),
    "four, round, not separable": lambda: symmetric(4, 1.0, False),
    "four, oval, separable": lambda: symmetric(4, [1.0, 2.0], True),
    "three, oval, not separable": lambda: symmetric(3, [1.0, 2.0], False, layers=3),
    "three, soft": lambda: symmetric(3, 1.0, False, name="bosons"),
    "generic, soft": lambda: generic(find_system("quartic")()),
    "generic, hard": lambda: generic(find_system("chain")(particles=4)),
}


@pytest.fixture(params=NETWORKS)
def random_case(request, perturbed) -> tuple[LogPsi, Tensor]:
    """A network of some kind with random parameters, and walkers it can be asked about."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = perturbed(NETWORKS[request.param]())
    if isinstance(net, MolecularNet):
        shape = (net.electrons, 3)
    else:
        shape = (net.particles, net.dimensions) if isinstance(net, SymmetricNet) else (net.centre.numel(), 1)
    return net, torch.randn(9, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(params=SYSTEMS)
def case(request, perturbed):
    """A system, a small network with random parameters, walkers, the natural time."""
    system = SYSTEMS[request.param]
    land = explore(system)
    net = perturbed(build(system, land, "auto", 5, 1, 0), 0.15)
    return system, net, land.start(12, torch.Generator().manual_seed(0)), land.length**2
