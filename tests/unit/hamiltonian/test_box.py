"""Boxes that a class states: what is wrong with them, open directions, and how V changes with their size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.errors import UsageError
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.virial import Virial, in_scaled_box, tail_virial
from fkflow.measurement.views import views
from fkflow.spectrum.sectors import sectors_of


class Disks(fkflow.System):
    """Soft discs, in a trap along the second direction if that is open."""

    particles: int = 3
    dimensions = 2
    box = (5.0, 0)
    stiff: float = 1.0

    def pair(self, r: Tensor) -> Tensor:
        """A Gaussian bump."""
        return 5 * (-4 * r**2).exp()

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, 2) → (B,)."""
        pairs = self.pair(fkflow.pair_squares(x, self.box).sqrt()).sum(0)
        return pairs + 0.5 * self.stiff * (x[..., 1] - 1).square().sum(-1)


class Closed(Disks):
    """Discs in a rectangle whose sides follow from a parameter."""

    dense: float = 0.2

    @property
    def box(self) -> tuple[float, float]:
        """Both sides."""
        return (self.particles / (3.0 * self.dense), 3.0)

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, 2) → (B,)."""
        return self.pair(fkflow.pair_squares(x, self.box).sqrt()).sum(0)


class Walled(Disks):
    """Hard walls beside a periodic direction."""

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, 2) → (B,)."""
        return super().potential(x).masked_fill((x[..., 1].abs() > 3).any(-1), math.inf)


@pytest.mark.parametrize(
    "box", [0, (0, 0), (1.0,), (1.0, -1.0), "x", (math.nan, 1.0), (None, None), [1.0, 2.0, 3.0], True]
)
def test_wrong_boxes_are_told(box: object) -> None:
    wrong = type("Wrong", (Disks,), {"box": box, "__module__": __name__})
    with pytest.raises(UsageError, match=r"box = .* is not allowed: it must be the side .* 0 for one that is open"):
        check(wrong())


def test_open_directions_must_hold_the_particles() -> None:
    found = check(Disks())
    assert found.landscape.box == (5.0, math.inf)
    assert float(found.landscape.centre[0, 1]) == pytest.approx(1.0, abs=0.1)
    with pytest.raises(
        UsageError, match="nothing holds the particles along direction 2, which is open: V must confine"
    ):
        check(Disks(stiff=0.0))
    with pytest.raises(UsageError, match="V is infinite along direction 2, which is open: hard walls"):
        check(Walled())


def test_levels_of_open_boxes_are_refused() -> None:
    system = Disks()
    land = explore(system)
    with pytest.raises(UsageError, match="in a box with open directions"):
        sectors_of(system, land, land.start(9, torch.Generator().manual_seed(0)), 4, 0.0, False)


def test_densities_of_heavy_particles_fill_their_box() -> None:
    """Boxes of views are in the user's coordinates, in which walkers are counted; the solver's are √m times as wide."""
    heavy = type("Heavy", (Closed,), {"mass": 4.0, "__module__": __name__})
    system = to_unit_masses(heavy())
    assert system.box == pytest.approx((10.0, 6.0))
    assert all(view.box == pytest.approx((5.0, 3.0)) for view in views(system))


def test_the_virial_is_that_of_pairs() -> None:
    """dV/d ln L = Σ r v'(r), for a box that is a property too; of rods that do not grow it is that of what they leave."""
    for system in (Closed(), find_system("sutherland")(particles=3)):
        x = explore(system).places[:5]
        found, r = Virial(system, None)(x), fkflow.pair_squares(x, system.box).sqrt().requires_grad_()
        if isinstance(system, Closed):
            (slope,) = torch.autograd.grad(system.pair(r).sum(), r)
            exact = (r * slope).sum(0).detach()
        else:
            exact = -2 * system.potential(x)
        assert torch.allclose(found, exact, rtol=1e-6, atol=1e-6)
        assert not torch.allclose(found, 1.01 * exact, rtol=1e-3)
    twice = in_scaled_box(Closed(), 2.0)
    assert twice.box == pytest.approx((10.0, 6.0)) and twice.dense == 0.2
    rods = find_system("hard_rods")(particles=3, box=6.0)
    assert Virial(rods, 1.0).free == 0.5 and bool((Virial(rods, 1.0)(explore(rods).places) == 0).all())


@pytest.mark.parametrize("cutoff", [None, 3.0])
def test_the_tail_of_the_pressure_is_an_integral(cutoff: float | None) -> None:
    """½ N ρ ∫ r v'(r) d³r beyond the cut-off, which grows with the box; the twin: from a tenth farther out."""
    helium = find_system("liquid_helium")(particles=8, cutoff=cutoff)
    found = tail_virial(helium)

    def beyond(start: float) -> float:
        r = torch.linspace(start, 100.0, 200001, dtype=torch.float64).requires_grad_()
        (slope,) = torch.autograd.grad(helium.pair(r).sum(), r)
        integral = torch.trapezoid((4 * math.pi * r**3 * slope).detach(), r.detach())
        return 0.5 * 64 / math.prod(helium.box) * float(integral)

    assert found == pytest.approx(beyond(helium.end), rel=1e-3)
    assert found != pytest.approx(beyond(1.1 * helium.end), rel=1e-2)
    assert tail_virial(Closed()) is None
