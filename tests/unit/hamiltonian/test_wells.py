"""Which minima of V are wells of a landscape: narrow, high and hidden ones, plains and edges."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch

from fkflow.errors import NumericalError
from fkflow.hamiltonian import smooth_landscape
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import GenericNet, build


class Dimples(System):
    """Three wells in a plane, of which the narrowest is the deepest."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 2

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        u, v = x[:, 0].unbind(1)
        wide = 3.4 * torch.exp(-0.6 * ((u + 0.9) ** 2 + (v + 2.1) ** 2))
        middle = 4.0 * torch.exp(-((u - 2) ** 2) - v**2)
        narrow = 5.5 * torch.exp(-1.7 * ((u + 1.8) ** 2 + (v - 1.4) ** 2))
        return 0.15 * (u**2 + v**2) - wide - middle - narrow


@pytest.mark.parametrize("seed", range(4))
def test_narrow_wells_are_found(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descents from anywhere step over the narrow well; those from low places end in it."""
    narrow = torch.tensor([-1.7714, 1.3775], dtype=torch.float64)

    def wells() -> tuple[int, float]:
        minima = explore(Dimples(), seed).minima[:, 0]
        return len(minima), float((minima - narrow).norm(dim=1).min())

    count, distance = wells()
    assert count == 3 and distance < 1e-3
    if seed == 0:
        monkeypatch.setattr(smooth_landscape, "low_places", lambda system, centre, length, generator: centre[None])
        assert wells()[1] > 1.0


class Leaning(System):
    """Two wells on a line; the right one is higher by about twice the tilt times their half distance of 1.7."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1
    tilt: float = 0.4

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        q = x[:, 0, 0]
        return 0.25 * q**4 - 1.5 * q**2 + self.tilt * q


def test_higher_wells_count_for_less() -> None:
    """They start with log ψ lower by their height in zero-point energies of a mode; walkers and centre follow ψ²."""
    land = explore(Leaning())
    assert land.heights is not None and land.heights.argmax() == 0 and land.heights[0] == 0
    with torch.no_grad():
        depths = Leaning().potential(land.minima)
    frequencies_ = (3 * land.minima.flatten().square() - 3).sqrt()
    above = float((depths + 0.5 * frequencies_).diff()) * 2 * land.length**2
    assert 1 < above < 3 and float(land.heights[1]) == pytest.approx(-above, rel=1e-6)
    share = math.exp(-2 * above) / (1 + math.exp(-2 * above))
    right = (land.start(20_000, torch.Generator().manual_seed(0)) > 0.3).double()
    error = math.sqrt(share * (1 - share) / 20_000)
    assert abs(float(right.mean()) - share) < 4 * error < abs(0.5 - share)
    assert float(land.centre) == pytest.approx(float((1 - share) * land.minima[0] + share * land.minima[1]), rel=1e-6)
    net = build(Leaning(), land, "auto", 8, 1, 0)
    assert isinstance(net, GenericNet) and torch.equal(net.well_heights, land.heights)
    # more than three zero-point energies above, it holds next to nothing
    assert len(explore(Leaning(tilt=1.1)).minima) == 1 and explore(Leaning(tilt=1.1)).heights is None


class Plain(System):
    """A well on a step between two plains; with `second`, a shallower well beside it."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1
    second: float = 0.0

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        q = x[:, 0, 0]
        return 0.5 * q.tanh() - 3 / q.cosh() ** 2 - self.second / (q + 6).cosh() ** 2


def test_no_well_is_on_a_plain() -> None:
    """Descents end on the plain on the left, where V is all but flat."""
    one, two = explore(Plain()), explore(Plain(second=2.4))
    assert len(one.minima) == 1 and one.threshold == pytest.approx(-0.5, abs=1e-9)
    assert len(two.minima) == 2 and float(two.minima.min()) == pytest.approx(-6, abs=0.1)


class Adatom(System):
    """A particle about a centre that repels it near and attracts it far away, 0 at infinity."""

    particles: ClassVar[int] = 1
    dimensions: int = 1

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        r2 = x.square().sum((1, 2))
        return 400 * (r2**-6 - r2**-3)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_a_core_at_the_origin_hides_no_well(dimensions: int) -> None:
    """V has its minimum at r = 2^(1/6), whose frequency is 72^½ 2^(−1/6) 20; no length of a V that falls off is very large."""
    found = explore(Adatom(dimensions=dimensions))
    torch.testing.assert_close(found.minima.norm(dim=(1, 2)), found.minima.new_full((len(found.minima),), 2 ** (1 / 6)))
    assert 0.05 < found.length < 0.5


class WoodsSaxon(System):
    """The mean field of a nucleus, with an edge of no importance at the origin."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 3

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return -50 / (1 + ((x[:, 0].norm(dim=1) - 0.71) / 0.1).exp())


def test_a_descent_ends_at_an_edge() -> None:
    """Nothing but the plain was a minimum."""
    found = explore(WoodsSaxon())
    assert len(found.minima) == 1 and float(found.minima.norm()) < 1e-3 and 0.1 < found.length < 1


@pytest.mark.parametrize(("depth", "found"), [(7.4, True), (0.05, False)])
def test_a_well_beside_a_core_has_a_length_if_it_is_deep(depth: float, found: bool) -> None:
    """Neon: no Gaussian has a finite mean of the core."""

    def potential(self: System, x: torch.Tensor) -> torch.Tensor:
        s = (1.25 / x[:, 0].norm(dim=1)) ** 6
        return 4 * depth * 4.8 * (s * s - s)

    names = {"particles": ClassVar[int], "dimensions": ClassVar[int]}
    neon = type("Neon", (System,), {"__annotations__": names, "__module__": __name__, "potential": potential,
                                    "particles": 1, "dimensions": 3})()  # fmt: skip
    if found:
        assert explore(neon).length == pytest.approx(0.18, rel=0.4)
        return
    with pytest.raises(NumericalError, match="confines nothing"):
        explore(neon)
