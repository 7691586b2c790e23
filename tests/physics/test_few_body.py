"""Charged particles: exact pairs, cusps, and the energy of positronium minus after a short training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.networks.few_body import FewBodyNet
from fkflow.recipe.config import MeasureConfig, TrainConfig
from fkflow.sampling.local_energy import analytic_local_energy
from fkflow.systems.coulomb import Coulomb
from fkflow.training.loop import initial_state, train


def pair(mass: float, **parameters: Any) -> Coulomb:
    """A light negative charge, and a positive one of this mass."""
    species = [
        {"name": "a", "count": 1, "mass": 1.0, "charge": -1.0},
        {"name": "b", "count": 1, "mass": mass, "charge": 1.0},
    ]
    return Coulomb(species=species, **parameters)


def local_energies(own: Coulomb, net: FewBodyNet | None = None) -> torch.Tensor:
    system = to_unit_masses(own)
    land = explore(system)
    net = build(system, land, "auto", 4, 1, 0) if net is None else net
    return analytic_local_energy(net, system, land.places[:200])


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("mass", [1.0, 3.0, 1836.15])
def test_two_charges_start_exact(mass: float, dimensions: int) -> None:
    """Twin: with the network of another mass, and with it another cusp, the local energy is not constant."""
    own = pair(mass, dimensions=dimensions)
    energies = local_energies(own)
    assert torch.allclose(energies, torch.full_like(energies, own.reference().energy), rtol=1e-9)
    other = pair(1.02 * mass if mass < 100 else 0.02 * mass, dimensions=dimensions).point_charges()
    assert float(local_energies(own, FewBodyNet(other, 4, 1)).std()) > 1e-4


@pytest.mark.parametrize("name", ["Ps2", "about a proton", "in a plane"])
def test_the_local_energy_is_finite_where_any_two_charges_meet(name: str) -> None:
    """Random parameters leave the cusps alone. Twin: a slope that is 2 % off diverges as 1/r."""
    species: list[dict[str, Any]] = [
        {"name": "e", "count": 2, "mass": 1.0, "charge": -1.0},
        {"name": "p", "count": 2 if name == "Ps2" else 1, "mass": 0.8, "charge": 1.0},
    ]
    if name == "about a proton":
        species.append({"name": "P", "charge": 1.5, "at": [[0.1, 0.0, 0.0]]})
    own = Coulomb(species=species, dimensions=2 if name == "in a plane" else 3)
    system, charges = to_unit_masses(own), own.point_charges()
    net = build(system, explore(system), "auto", 6, 2, 0)
    assert isinstance(net, FewBodyNet)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in net.parameters():
            one.add_(0.2 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    apart = torch.randn(own.particles, own.dimensions, generator=generator, dtype=torch.float64)
    along = torch.nn.functional.normalize(torch.randn(own.dimensions, generator=generator, dtype=torch.float64), dim=0)

    def rise(number: int) -> float:
        """The local energy at a distance of 1e-5 of a pair above that at 1e-3."""
        first, second = charges.pairs[number][:2]
        place = charges.bodies[second].place
        x = []
        for r in (1e-3, 1e-5):
            here = apart.clone()
            here[first] = (here[second] if place is None else here.new_tensor(place)) + r * along
            x.append(here)
        energies = analytic_local_energy(net, system, torch.stack(x) * system.root(apart))
        return abs(float(energies[1] - energies[0]))

    assert max(rise(number) for number in range(len(charges.pairs))) < 3
    net.cusps.slopes *= 1.02
    assert max(rise(number) for number in range(len(charges.pairs))) > 300


def test_positronium_minus_after_a_short_training() -> None:
    """Below positronium, and not below the exact energy by more than the error. Twin: a positron 10 % heavier is far off."""
    exact = -0.2620050702
    found = {}
    for mass in (1.0, 1.1):
        own = Coulomb(
            species=[
                {"name": "e", "count": 2, "mass": 1.0, "charge": -1.0},
                {"name": "p", "count": 1, "mass": mass, "charge": 1.0},
            ]
        )
        system = to_unit_masses(own)
        land = explore(system)
        config = TrainConfig(**{**Coulomb.recipe_defaults["train"], "walkers": 256, "iterations": 30})
        state = initial_state(build(system, land, "auto", 12, 2, 0), land, config, 0, "cpu", system)
        list(train(system, land, config, state))
        wanted = MeasureConfig(walkers=1024, target_error=2e-4, seconds=600.0)
        measuring = VariationalEstimator(state.net, system, land, wanted, state.walkers.x, 0, dt=0.01)
        found[mass] = measuring.run(2e-4, 600.0, lambda estimate, spent: None)
    energy, error = found[1.0].value, found[1.0].error
    # what so short a training leaves
    assert exact - 4 * error < energy < exact + 4 * error + 5e-4
    assert found[1.1].value < exact - 20 * found[1.1].error
