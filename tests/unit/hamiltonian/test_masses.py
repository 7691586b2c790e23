"""Particles of other masses: energies, densities, drifts and paths against coupled oscillators in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import UnitMassSystem, to_solver_coordinates, to_unit_masses, to_user_coordinates
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import particle_masses
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.recipe.config import MeasureConfig
from fkflow.sampling.local_energy import local_energy

K = 1.5


class Pair(System):
    """Two particles of masses m in a trap of frequency 1, and a spring between them."""

    particles = 2
    dimensions = 1
    identical = False
    mass: list[float] = [1.0, 3.0]
    k: float = K

    def potential(self, x):
        trap = sum(0.5 * m * x[:, i, 0].square() for i, m in enumerate(self.mass))
        return trap + 0.5 * self.k * (x[:, 0, 0] - x[:, 1, 0]).square()


class Cloud(System):
    """Identical particles of mass m in a round trap of frequency omega."""

    particles = 3
    dimensions = 2
    isotropic = True
    mass: float = 4.0
    omega: float = 0.5

    def potential(self, x):
        return 0.5 * self.mass * self.omega**2 * x.square().sum((1, 2))


@dataclass
class Exact:
    """The ground state of a pair: energy, covariance (2, 2) of the positions, and the matrix A of the drift −A x."""

    energy: float
    covariance: np.ndarray
    drift: np.ndarray


def exact(system: Pair) -> Exact:
    root = np.sqrt(np.diag(system.mass))
    inverse = np.linalg.inv(root)
    stiffness = np.diag(system.mass) + system.k * np.array([[1, -1], [-1, 1]])
    squares, modes = np.linalg.eigh(inverse @ stiffness @ inverse)
    omega = modes @ np.diag(np.sqrt(squares)) @ modes.T
    covariance = inverse @ np.linalg.inv(2 * omega) @ inverse
    return Exact(0.5 * np.trace(omega), covariance, inverse @ omega @ root)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_closed_form_is_that_of_the_reduced_mass() -> None:
    """The centre of mass has the frequency of the trap; the distance that of μ and the spring on top."""
    reduced = 3 / 4
    assert exact(Pair()).energy == pytest.approx(0.5 + 0.5 * math.sqrt(1 + K / reduced), abs=1e-14)


@pytest.mark.parametrize("pair", [Pair(), Pair(mass=[1.0, 3.0], k=20.0), Pair(mass=[1e-3, 1e3]), Pair(mass=[2.0, 2.0])])
def test_energy_of_two_masses(pair: Pair) -> None:
    """The network of a coupled oscillator is exact from the start: its local energy is E0 everywhere."""
    system = to_unit_masses(pair)
    land = explore(system)
    energies = local_energy(build(system, land, "auto", 4, 1, 0), system, land.start(50, generator()))
    torch.testing.assert_close(energies, torch.full_like(energies, exact(pair).energy), rtol=1e-8, atol=0)


def test_energy_of_a_heavy_cloud() -> None:
    """½ω a coordinate, whatever the mass."""
    system = to_unit_masses(Cloud())
    land = explore(system)
    energies = local_energy(build(system, land, "auto", 4, 1, 0), system, land.start(50, generator()))
    torch.testing.assert_close(energies, torch.full_like(energies, 0.5 * 0.5 * 6), rtol=1e-8, atol=0)


def measured(own: System) -> VariationalEstimator:
    system = to_unit_masses(own)
    land = explore(system)
    config = MeasureConfig(walkers=2048, bins=30)
    net = build(system, land, "auto", 4, 1, 0)
    measuring = VariationalEstimator(net, system, land, config, land.start(512, generator()), 3, dt=1e-8)
    measuring.run(1e9, 0.0, lambda *_: None)
    return measuring


def test_positions_and_drift_come_in_the_coordinates_of_the_user() -> None:
    pair = Pair()
    known = exact(pair)
    found = measured(pair).result()
    x = found.samples[:, :, 0]
    # covariances of n independent Gaussians: errors √((c_ii c_jj + c_ij²)/n)
    variances = np.diag(known.covariance)
    errors = np.sqrt((np.outer(variances, variances) + known.covariance**2) / len(x))
    z = (np.cov(x.T) - known.covariance) / errors
    assert np.abs(z).max() < 4
    # positions that were not turned back would be 30 σ off
    wrong = (np.cov((x * np.sqrt(pair.mass)).T) - known.covariance) / errors
    assert np.abs(wrong).max() > 20
    (field,) = found.drift
    line = field.axes[0].centres
    wanted = -known.drift[0, 0] * line - known.drift[0, 1] * field.positions[1, 0]
    np.testing.assert_allclose(field.vectors[:, 0], wanted, rtol=1e-6, atol=1e-6)
    assert abs(known.drift[0, 1] - known.drift[1, 0]) > 0.1, "a drift of other masses is no symmetric matrix"


def test_densities_of_a_heavy_cloud() -> None:
    """ψ² is a Gaussian of variance 1/(2mω) a coordinate: the density of r in two dimensions, and that of distances."""
    found = {(h.group, h.name): h for h in measured(Cloud()).result().histograms}
    for (group, name), variance in {("density", "r"): 1 / 4, ("pair", "r"): 1 / 2}.items():
        histogram = found[group, name]
        low, high = histogram.axes[0].edges[:-1], histogram.axes[0].edges[1:]
        share = np.exp(-(low**2) / (2 * variance)) - np.exp(-(high**2) / (2 * variance))
        wanted = share / (math.pi * (high**2 - low**2))
        seen = (histogram.errors > 0) & (wanted > 0.05 * wanted.max())
        z = (histogram.values - wanted)[seen] / histogram.errors[seen]
        assert np.sqrt((z**2).mean()) < 1.6, (group, name)
        off = (histogram.values - 4 * wanted)[seen] / histogram.errors[seen]
        assert np.sqrt((off**2).mean()) > 5


def test_paths_diffuse_by_their_masses() -> None:
    """⟨Δx²⟩ of the first step is dt/m: a heavy particle moves less."""
    found = measured(Pair(mass=[1.0, 9.0])).result().trajectories
    assert found is not None
    steps = np.diff(found.positions, axis=1)[:, :, :, 0]
    dt = found.times[1]
    for i, mass in enumerate((1.0, 9.0)):
        count = steps[:, :, i].size
        seen = (steps[:, :, i] ** 2).mean() * mass / dt
        # the drift adds a part of order dt
        assert abs(seen - 1) < 4 * math.sqrt(2 / count) + 0.02
        assert abs(seen / mass - 1) > 0.5 or mass == 1


def test_coordinates_there_and_back() -> None:
    x = torch.randn(5, 2, 1, generator=generator(), dtype=torch.float64)
    system = to_unit_masses(Pair())
    assert isinstance(system, UnitMassSystem)
    z = to_solver_coordinates(system, x)
    torch.testing.assert_close(z[:, 1], math.sqrt(3) * x[:, 1])
    torch.testing.assert_close(to_user_coordinates(system, z), x)
    torch.testing.assert_close(system.potential(z), Pair().potential(x))


def test_the_mass_1_is_left_alone() -> None:
    class Light(Cloud):
        mass: float = 1.0

    light = Light()
    assert to_unit_masses(light) is light
    x = torch.ones(2, 3, 2)
    assert to_solver_coordinates(light, x) is x and to_user_coordinates(light, x) is x


@pytest.mark.parametrize("mass", [[1.0], [1.0, 2.0, 3.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.inf], "heavy", True])
def test_what_cannot_be_masses(mass: object) -> None:
    pair = Pair.model_construct(mass=mass, k=1.0)
    with pytest.raises(ValueError, match="one for each of the 2 particles"):
        particle_masses(pair)


def test_identical_particles_have_one_mass() -> None:
    class Bosons(Pair):
        identical = True

    assert particle_masses(Bosons(mass=[2.0, 2.0])) == (2.0, 2.0)
    with pytest.raises(ValueError, match="identical particles have one mass"):
        particle_masses(Bosons())
