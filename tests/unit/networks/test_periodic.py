"""Networks in periodic boxes: the same at every image, smooth where the nearest image changes."""

from __future__ import annotations

import math

import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks import tangents
from fkflow.networks.choice import build, default_float64
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.two_body_factor import TwoBodyFactor, box_factor, factor_of
from fkflow.networks.vector_messages import VectorMessages
from fkflow.sampling.local_energy import analytic_local_energy

RINGS = {
    "sutherland": find_system("sutherland")(particles=4),
    "lieb_liniger": find_system("lieb_liniger")(particles=3),
    "lattice": find_system("lattice")(particles=2, c=0.0),
    "rotor": find_system("rotor")(),
}


class Disks(System):
    """Soft discs in a periodic rectangle."""

    particles = 5
    dimensions = 2
    box = (4.0, 3.0)

    def pair(self, r: torch.Tensor) -> torch.Tensor:
        return 20 * (-(r**2)).exp()

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        from fkflow import pair_squares

        return self.pair(pair_squares(x, self.box).sqrt()).sum(0)


def network(system: System, perturbed):
    return perturbed(build(system, explore(system), "auto", 6, 2, 0))


@pytest.mark.parametrize("system", [*RINGS.values(), Disks()], ids=[*RINGS, "disks"])
def test_every_image_is_the_same(system: System, perturbed) -> None:
    net = network(system, perturbed)
    x = explore(system).start(9, torch.Generator().manual_seed(0))
    sides = (system.box,) * system.dimensions if isinstance(system.box, float) else system.box
    for axis, side in enumerate(sides):
        moved = x.clone()
        moved[:, 0, axis] += side
        assert torch.allclose(net(moved), net(x), rtol=1e-9, atol=1e-9)
        assert torch.allclose(net.drift(moved), net.drift(x), rtol=1e-7, atol=1e-7)
        # the twin: half a side is another place
        moved[:, 0, axis] -= 0.5 * side
        assert not torch.allclose(net(moved), net(x), rtol=1e-3)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_factor_is_flat_at_half_a_side(dimensions: int) -> None:
    """No slope is left at the edge, whose δ in the local energy no walker would see; the twin: the factor of open space."""

    def slope(factor: TwoBodyFactor, r: float) -> float:
        square = torch.tensor([[r**2]], dtype=torch.float64, requires_grad=True)
        (by_square,) = torch.autograd.grad(factor(square, 1.0).sum(), square)
        return 2 * r * float(by_square)

    def pair(r: torch.Tensor) -> torch.Tensor:
        return 30 * (-(r**2)).exp()

    end = 2.0
    closed, open_ = box_factor(pair, 0.7, dimensions, end), factor_of(pair, 0.7, dimensions)
    largest = max(abs(slope(closed, r)) for r in (0.3, 0.6, 1.0))
    assert abs(slope(closed, end * (1 - 1e-9))) < 1e-8 * largest
    assert abs(slope(open_, end * (1 - 1e-9))) > 1e-3 * largest
    if dimensions > 1:
        # nor does the curvature jump
        assert abs(slope(closed, end * (1 - 1e-3))) < 1e-3 * largest


def test_pair_functions_are_flat_at_half_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift and Laplacian of pair functions and vector messages pass smoothly through r = L/2; the twin: they end abruptly."""
    monkeypatch.setattr(tangents, "PRECISION", torch.float64)
    side = 3.0

    def steps(net: LogPsi) -> list[float]:
        """By how much value, drift and Laplacian change where two particles pass each other's edge, relative to r = 0.3 L."""
        x = torch.zeros(3, 3, 2, dtype=torch.float64)
        x[:, 1, 0] = side * torch.tensor([0.5 - 1e-6, 0.5 + 1e-6, 0.3], dtype=torch.float64)
        x[:, 2] = torch.tensor([0.7, 0.5])
        return [
            float((found[0] - found[1]).abs().max() / found[2].abs().max())
            for found in net.value_drift_and_laplacian(x)
        ]

    class Liquid(LogPsi):
        def __init__(self) -> None:
            super().__init__()
            with torch.random.fork_rng(devices=[]), default_float64():
                torch.manual_seed(1)
                self.part = VectorMessages((side, side), 1.0)
                torch.nn.init.normal_(self.part.jastrow)
                torch.nn.init.normal_(self.part.weights)

        def compose(self, y: torch.Tensor) -> torch.Tensor:
            return self.part(y, torch.float64)

    net = Liquid()
    assert max(steps(net)) < 1e-3
    # twice as far: the functions are cut where they have not vanished
    net.part.end *= 2
    assert min(steps(net)[1:]) > 1e-2


def test_two_on_a_ring_are_exact() -> None:
    """log ψ = λ log sin(πr/L) of Sutherland's gas, and contacts that k tan(kL/2) = c/2 solves; the twin: another strength."""
    gas = find_system("sutherland")(particles=2, lambda_=1.5)
    contacts = find_system("lieb_liniger")(particles=2, c=3.0)
    for system in (gas, contacts):
        net, land = build(system, explore(system), "auto", 6, 2, 0), explore(system)
        x = land.start(64, torch.Generator().manual_seed(0))
        energies = analytic_local_energy(net, system, x)
        assert torch.allclose(energies, torch.full_like(energies, system.reference().energy), rtol=1e-6)
    other = find_system("lieb_liniger")(particles=2, c=3.1)
    assert abs(other.reference().energy / contacts.reference().energy - 1) > 1e-3
    k = math.sqrt(contacts.reference().energy)
    assert k * math.tan(0.5 * k * contacts.box) == pytest.approx(1.5, rel=1e-9)
