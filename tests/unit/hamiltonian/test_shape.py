"""The shape of a free molecule: what has one, its coordinates and exchanges, and the network that starts from it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.errors import UsageError
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.shape import SMOOTH, find_shape, without_shape
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import VibrationalNet, build
from fkflow.sampling.local_energy import analytic_local_energy, laplacian


def distances(x: Tensor) -> Tensor:
    return fkflow.pair_squares(x).sqrt()


class Bent(System):
    """Springs of two bonds and their angle at the third atom, of other units than atomic ones."""

    species = [("light", 2, {"mass": 3.0}), ("heavy", 1, {"mass": 40.0})]
    dimensions = 3
    free = True
    stiffness: float = 5000.0

    def potential(self, x: Tensor) -> Tensor:
        a, b = x[:, 0] - x[:, 2], x[:, 1] - x[:, 2]
        r, s = a.norm(dim=1), b.norm(dim=1)
        cosine = (a * b).sum(1) / (r * s)
        return 0.5 * self.stiffness * ((r - 1).square() + (s - 1).square() + 0.1 * (cosine + 0.3).square())

    def start(self, walkers: int, generator: torch.Generator) -> Tensor:
        place = torch.tensor([[0.8, 0.6, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
        return place + 0.02 * torch.randn(walkers, 3, 3, generator=generator, dtype=torch.float64)


class Straight(Bent):
    """The same with its minimum on a line."""

    def potential(self, x: Tensor) -> Tensor:
        a, b = x[:, 0] - x[:, 2], x[:, 1] - x[:, 2]
        r, s = a.norm(dim=1), b.norm(dim=1)
        cosine = (a * b).sum(1) / (r * s)
        return 0.5 * self.stiffness * ((r - 1).square() + (s - 1).square() + 0.2 * (cosine + 1))


def made(own: System):
    system = to_unit_masses(own)
    land = explore(system)
    return system, land, find_shape(system, land)


@pytest.fixture(scope="module")
def bent():
    return made(Bent())


def test_bonds_angles_and_exchanges_of_a_bent_molecule(bent) -> None:
    """Two bonds to the heavy atom and their angle; the exchange of the light atoms exchanges the bonds."""
    _, _, shape = bent
    assert shape.coordinates.bonds.tolist() == [[0, 2], [1, 2]] and shape.coordinates.angles.tolist() == [[2, 0, 1]]
    assert shape.exchanges.tolist() == [[0, 1, 2], [1, 0, 2]]
    angle = math.acos(SMOOTH * -0.3) * float(shape.coordinates.scales[0])
    root = 3.0**0.5  # of the lightest mass
    places = torch.tensor([root, root, angle], dtype=torch.float64)
    torch.testing.assert_close(shape.places, places, rtol=1e-5, atol=0)


def test_the_start_has_the_harmonic_zero_point_energy(bent) -> None:
    """Half the sum of the frequencies at the minimum, where ψ is narrow; the twin: with other masses it is another."""
    system, land, shape = bent
    net = build(system, land, "auto", 6, 2, 0)
    assert isinstance(net, VibrationalNet)
    hessian = torch.func.hessian(lambda z: system.potential(z.view(1, 3, 3))[0])(land.minima[0].flatten())
    harmonic = 0.5 * float(torch.linalg.eigvalsh(hessian)[-3:].sqrt().sum())
    energy = float(analytic_local_energy(net, system, land.minima[:1])[0])
    assert energy == pytest.approx(harmonic, rel=0.01)
    # light atoms of the mass 4
    change = torch.tensor([0.75, 0.75, 1.0], dtype=torch.float64).sqrt().repeat_interleave(3)
    other = change[:, None] * hessian * change
    assert abs(0.5 * float(torch.linalg.eigvalsh(other)[-3:].sqrt().sum()) - harmonic) > 0.05 * harmonic


def test_psi_neither_turns_nor_moves_and_is_symmetric_within_a_species(bent, perturbed) -> None:
    system, land, _ = bent
    net = perturbed(build(system, land, "vibrational", 6, 2, 0))
    x = land.start(20, torch.Generator().manual_seed(1))
    value = net.value(x)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    for moved in (x @ turn, x[:, [1, 0, 2]], x + 3.0 * net.together[:, None]):
        torch.testing.assert_close(net.value(moved), value, rtol=1e-9, atol=1e-9)
    assert float((net.value(x[:, [2, 1, 0]]) - value).abs().max()) > 1e-2
    found, wanted = net.value_drift_and_laplacian(x)[2], laplacian(net, x)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * float(wanted.abs().max()))


def test_other_systems_have_none() -> None:
    """Softer, of one line, and not the same after a rotation."""

    def variant(**values: object) -> System:
        return type("Variant", (Bent,), {"__module__": __name__, **values})()

    def pulled(self: Bent, x: Tensor) -> Tensor:
        return Bent.potential(self, x) + (x[:, 0, 0] - x[:, 1, 0])

    def straight(self: Bent, x: Tensor) -> Tensor:
        a, b = x[:, 0] - x[:, 2], x[:, 1] - x[:, 2]
        cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
        return Bent.potential(self, x) + 1000 * ((cosine + 1.0).square() + cosine)

    assert made(Bent(stiffness=30.0))[2] is None
    for potential in (pulled, straight):
        system, land, shape = made(variant(potential=potential))
        assert shape is None
        with pytest.raises(UsageError, match="vibrates about one shape"):
            build(system, land, "vibrational", 6, 2, 0)


def test_a_molecule_is_found_without_a_start() -> None:
    """Where the atoms are at one place V is not a number; far out it falls without end."""

    class Lost(Bent):
        def start(self, walkers: int, generator: torch.Generator) -> None:
            return None

        def potential(self, x: Tensor) -> Tensor:
            r = distances(x)
            return Bent.potential(self, x) - 0.1 * (r[1] - 1) * (r[2] - 1)

    system, land, shape = made(Lost())
    assert shape is not None and float(system.potential(land.minima[:1])[0]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("stiffness", [5000.0, 5.0])
def test_a_stiff_molecule_on_a_line_is_refused(stiffness: float) -> None:
    """The twins: a loose one is no molecule and has another network, a bent one has a shape."""
    system, land, shape = made(Straight(stiffness=stiffness))
    assert shape is None
    if stiffness > 100:
        with pytest.raises(UsageError, match="Straight has its atoms on a line where V is lowest"):
            build(system, land, "auto", 6, 2, 0)
    else:
        assert without_shape(system, land) is None
    build(system, land, "species", 6, 2, 0)
