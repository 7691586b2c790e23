"""What has no free energy is refused in one sentence; the rest gets a harmonic reference that fits it."""

from __future__ import annotations

import pytest
import torch

from fkflow.errors import UsageError
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.thermal.cloud import Mixture, anneal
from fkflow.thermal.pose import pose


class Valley(System):
    """A trap along one axis of two."""

    particles: int = 1
    dimensions: int = 2

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0, 0] - x[:, 0, 1]).square()


class HalfTrapped(System):
    """Two particles, one of which is free: the sum over both hides it."""

    identical = False
    particles: int = 2
    dimensions: int = 1
    length: float = 1.0

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0].square() + x[:, 1, 0].tanh().square()


class Heavy(System):
    """A particle of mass 4 in a trap that is not round."""

    particles: int = 1
    dimensions: int = 2
    mass: float = 4.0

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * (9 * x[:, 0, 0].square() + x[:, 0, 1].square())


class Contacts(System):
    """Two bosons with contact energies in a trap."""

    particles: int = 2
    dimensions: int = 1
    contact: float = 3.0

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x.square().sum((1, 2))


class Isotonic(System):
    """A centrifugal energy on a line, which paths of finite steps would jump across."""

    particles: int = 1
    dimensions: int = 1

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        r2 = x.square().sum((1, 2))
        return 0.5 * r2 + 3 / r2


REFUSED = {
    "h2": (find_system("h2")(), "charges"),
    "helium": (find_system("helium")(), "nothing confines"),
    "helium in a trap": (find_system("helium")(trap=True), "diverges where particles meet"),
    "morse": (find_system("morse")(), "nothing confines"),
    "poschl_teller": (find_system("poschl_teller")(), "nothing confines|does not rise"),
    "eleven bosons": (find_system("bosons")(particles=11), "at most 10"),
    "twelve in space": (find_system("moshinsky")(particles=12), "coordinates|at most 10"),
    "rotor": (find_system("rotor")(), "a periodic box"),
    "dipoles": (find_system("dipoles")(), "diverges where particles meet"),
    "charges in a plane": (find_system("coulomb")(dimensions=2, omega=1.0), "in a plane"),
    "screened charges": (find_system("coulomb")(interaction="yukawa", omega=1.0), "screened"),
    "charges": (find_system("coulomb")(), "nothing confines"),
    "calogero": (find_system("calogero")(), "diverges where particles meet"),
    "mixture": (find_system("mixture")(count_a=8, count_b=3), "at most 10"),
    "isotonic": (Isotonic(), "diverges at the origin"),
    "contacts": (Contacts(), "contact energies"),
    "valley": (Valley(), "nothing confines"),
    "half": (HalfTrapped(), "nothing confines"),
}


#: arguments of `pose` after the landscape: warm, cold and both
BETAS = [(0.3, "bose", 0), (5.0, "bose", 0), (5.0, "bose", 0, 0.3)]


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_free_energy_is_refused(case: str) -> None:
    system, words = REFUSED[case]
    unit = to_unit_masses(system)
    with pytest.raises(UsageError, match=words) as caught:
        pose(unit, explore(unit), 1.0, "bose", 0)
    assert "\n" not in str(caught.value) and (system.key in str(caught.value))


def test_the_reference_of_oscillators_is_exact() -> None:
    unit = to_unit_masses(Heavy())
    problem = pose(unit, explore(unit), 2.0, "bose", 0)
    frequencies = (problem.reference.frequencies / problem.length**2).sort().values
    torch.testing.assert_close(frequencies, torch.tensor([0.5, 1.5], dtype=torch.float64), rtol=1e-6, atol=0)
    y = torch.randn(8, 1, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rest, slope = problem.rest(y)
    torch.testing.assert_close(rest, torch.zeros_like(rest), atol=1e-6, rtol=0)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-6, rtol=0)
    torch.testing.assert_close(problem.from_solver(problem.to_solver(y)), y)


class Flat(System):
    """A well in a wide and flat trap."""

    particles: int = 1
    dimensions: int = 1

    def potential(self, x):
        return 12 * (1 - (-0.5 * x[:, 0, 0] ** 2).exp()) + 0.002 * x[:, 0, 0] ** 2


class Logarithm(System):
    """Z is finite for β > 1/6."""

    particles: int = 1
    dimensions: int = 1

    def potential(self, x):
        return 3 * (1 + x[:, 0, 0] ** 2).log()


def test_the_reference_is_no_stiffer_than_the_warmest_state() -> None:
    """Else V − V0 falls without end where warm particles are, and paths there are lost."""
    unit = to_unit_masses(Flat())
    landscape = explore(unit)
    warm, cold, both = (pose(unit, landscape, *given).reference.frequencies for given in BETAS)
    assert 5 * warm < cold and both < 1.1 * warm


def test_a_partition_function_must_exist_at_every_temperature() -> None:
    unit = to_unit_masses(Logarithm())
    landscape = explore(unit)
    assert pose(unit, landscape, 1.0, "bose", 0, 0.5).reference.bodies == 1
    with pytest.raises(UsageError, match="no free energy at this temperature"):
        pose(unit, landscape, 1.0, "bose", 0, 0.1)


def test_boltzmann_particles_have_no_permutations() -> None:
    system = find_system("bosons")(particles=9)
    problem = pose(system, explore(system), 1.0, "boltzmann", 0)
    assert not problem.reference.bosons and problem.reference.bodies == 9


def test_annealing_fills_all_wells_by_their_weights() -> None:
    """Two wells of one height, the second twice as wide and far from the first: two thirds of the walkers are there."""

    def energy(y: torch.Tensor) -> torch.Tensor:
        x = y[:, 0, 0]
        return -torch.logaddexp(-2 * (x + 4).square(), -0.5 * (x - 4).square())

    walkers = anneal(energy, (1, 1), 1.0, torch.Generator().manual_seed(2))
    share = float((walkers > 0).double().mean())
    assert abs(share - 2 / 3) < 0.08
    mixture = Mixture.fitted(walkers[:, 0], torch.Generator().manual_seed(2))
    grid = torch.linspace(-40, 40, 4001, dtype=torch.float64)[:, None]
    assert float(mixture.log_density(grid).exp().sum() * 0.02) == pytest.approx(1.0, abs=1e-6)
    # the middle of both wells has density
    assert bool((mixture.log_density(torch.tensor([[-4.0], [4.0]], dtype=torch.float64)) > -4).all())
