"""Systems whose centre of mass nothing holds: recentring, natural scale, networks that do not see the centre of mass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fkflow.hamiltonian.conversion import convert
from fkflow.hamiltonian.free import break_up_energy, direction_together, internal_basis, recentred
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_solver_coordinates, to_unit_masses, to_user_coordinates
from fkflow.hamiltonian.system import System
from fkflow.measurement.slow_functions import Basis
from fkflow.measurement.views import views
from fkflow.networks.choice import LogPsi, build
from fkflow.sampling.local_energy import analytic_local_energy
from fkflow.sampling.metropolis import Walkers, metropolis

STRENGTH = 0.7


class Springs(System):
    """Particles on springs, with nothing else about them."""

    dimensions = 2
    isotropic = True
    free = True
    particles: int = 4

    def potential(self, x: Tensor) -> Tensor:
        return 0.5 * STRENGTH * pair_squares(x).sum(0)


class Unequal(Springs):
    """Three of different masses."""

    identical = False
    particles: int = 3
    mass = [1.0, 2.0, 5.0]


SYSTEMS = [Springs(), Unequal()]


def walkers(system: System, count: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, system.particles, system.dimensions, generator=generator, dtype=torch.float64)


def internal_energy(system: System) -> float:
    """Zero-point energy of the vibrations: ½ D Σ √(eigenvalues of M^(−½) K M^(−½)), one of which is 0."""
    n = system.particles
    masses = np.broadcast_to(getattr(system, "mass", 1.0), n)
    stiffness = STRENGTH * (n * np.eye(n) - np.ones((n, n))) / np.sqrt(np.outer(masses, masses))
    return float(0.5 * system.dimensions * np.sqrt(np.linalg.eigvalsh(stiffness)[1:]).sum())


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_centre_of_mass_comes_to_the_origin(system: System) -> None:
    """That of the user's coordinates, with masses; distances stay, and without a direction all stays."""
    solved = to_unit_masses(system)
    x = walkers(system)
    moved = to_user_coordinates(solved, recentred(to_solver_coordinates(solved, x), direction_together(solved)))
    masses = torch.tensor(np.broadcast_to(getattr(system, "mass", 1.0), system.particles).copy())
    assert float(torch.einsum("i,bid->bd", masses, moved).abs().max()) < 1e-14
    assert torch.allclose(pair_squares(moved), pair_squares(x))
    assert torch.equal(recentred(x, None), x)


def test_wrapped_systems_move_together_along_the_same_direction() -> None:
    """A converted one, in either coordinates: e_i = √(m_i/M)."""
    wanted = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).div(8).sqrt()
    for system in (Unequal(), convert(Unequal()), to_unit_masses(Unequal()), to_unit_masses(convert(Unequal()))):
        found = direction_together(system)
        assert found is not None and torch.allclose(found, wanted)
    held = type("Held", (Unequal,), {"__module__": __name__, "free": False})()
    assert direction_together(held) is None


def test_internal_coordinates_are_all_but_those_of_the_centre_of_mass() -> None:
    """An orthonormal basis without the direction e."""
    together = direction_together(Unequal())
    assert together is not None
    basis = internal_basis(together, 2)
    assert basis.shape == (6, 4)
    assert torch.allclose(basis.T @ basis, torch.eye(4, dtype=torch.float64))
    assert float((together @ basis.view(3, -1)).abs().max()) < 1e-15


@pytest.mark.parametrize("kind", ["symmetric", "generic"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_springs_are_exact_from_the_start(system: System, kind: str) -> None:
    """The local energy is the internal zero-point energy (closed form) everywhere; ψ does not see the centre of mass."""
    if kind == "symmetric" and not system.identical:
        pytest.skip("for identical particles")
    solved = to_unit_masses(system)
    net = build(solved, explore(solved), kind, 8, 2, 0)
    assert isinstance(net, LogPsi)
    x = walkers(system)
    energy = analytic_local_energy(net, solved, x)
    wanted = internal_energy(system)
    assert torch.allclose(energy, torch.full_like(energy, wanted), atol=1e-9)
    assert abs(wanted + 0.5 * system.dimensions * math.sqrt(STRENGTH) - float(energy.mean())) > 0.1
    together = direction_together(solved)
    assert together is not None
    assert torch.allclose(net.value(x + 3.7 * together[:, None]), net.value(x), atol=1e-9)
    assert float((together @ net.drift(x)).abs().max()) < 1e-12


def test_recentring_changes_no_statistics() -> None:
    """The same seed with and without: equal distances and energies to rounding, but the centre of mass stays only with."""
    solved = to_unit_masses(Springs())
    found: dict[bool, Walkers] = {}
    for recentre in (True, False):
        net = build(solved, explore(solved), "symmetric", 8, 2, 0)
        assert isinstance(net, LogPsi)
        net.together = net.together if recentre else None
        found[recentre] = Walkers(walkers(solved), 0.3)
        for _ in range(3):
            metropolis(net, found[recentre], torch.Generator().manual_seed(5), 20, adapt=False)
    held, loose = found[True], found[False]
    assert torch.allclose(pair_squares(held.x), pair_squares(loose.x), atol=1e-6)
    assert held.acceptance == loose.acceptance
    assert float(held.x.mean(1).abs().max()) < 1e-12
    assert float(loose.x.mean(1).square().mean()) > 1


@pytest.mark.parametrize("system", SYSTEMS)
def test_functions_of_slow_modes_do_not_move_the_centre_of_mass(system: System) -> None:
    """Their gradients are those of functions of x about the centre of mass, by differences; none moves with it."""
    solved = to_unit_masses(system)
    together = direction_together(solved)
    x = recentred(walkers(system), together)
    basis = Basis(solved, x, torch.Generator().manual_seed(1))
    values, gradients = basis.evaluate(x)
    along = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    step = 1e-6
    ahead, behind = (basis.evaluate(recentred(x + sign * step * along, together))[0] for sign in (1, -1))
    slope = torch.einsum("bd,bdn->bn", along.flatten(1), gradients)
    assert torch.allclose((ahead - behind) / (2 * step), slope, atol=1e-5, rtol=1e-5)
    assert together is not None and values.isfinite().all()
    assert float(torch.einsum("i,bidn->bdn", together, gradients.view(*x.shape, -1)).abs().max()) < 1e-10


def test_names_of_axes_speak_of_the_centre_of_mass() -> None:
    """The radial density counts from there; distances of pairs do not."""
    names = {view.name: (view.axis_name("r"), view.long_name) for view in views(Springs()) if view.axes == ("r",)}
    density = next(view for view in views(Springs()) if view.group == "density" and view.axes == ("r",))
    assert density.axis_name("r") == "distance from the centre of mass"
    assert "centre of mass" in density.long_name
    assert names["r"][0] == "distance between two particles"


@pytest.mark.parametrize(
    ("more", "separated", "expected"),
    [({}, 0.0, 0.0), ({"threshold": -0.5}, 0.0, -0.5), ({}, None, None), ({"free": False}, 0.0, None)],
)
def test_the_energy_of_parts(more: dict[str, Any], separated: float | None, expected: float | None) -> None:
    """As the system states it, else that of separated particles; a system in a trap does not break up."""
    system = type("Made", (Springs,), {"__module__": __name__, **more})()
    assert break_up_energy(system, separated) == expected
