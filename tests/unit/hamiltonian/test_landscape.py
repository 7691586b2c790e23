"""Minima, frequencies and scale of potentials whose landscape is known in closed form."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from fkflow.errors import NumericalError
from fkflow.hamiltonian import smooth_landscape
from fkflow.hamiltonian.derivatives import hessians
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.minima import balance_length, descend, distinct_minima
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import GenericNet, build


def frequencies(widths: torch.Tensor) -> np.ndarray:
    """ω = 1/(2 width²) of the modes of one minimum, ascending."""
    return np.sort(1 / (2 * torch.linalg.eigvalsh(widths @ widths.T).numpy()))


#: each pair is one physical system in two units: lengths times 2, energies divided by 4
RESCALED = [
    (
        find_system("harmonic")(particles=2, dimensions=3, omega=1.0),
        find_system("harmonic")(particles=2, dimensions=3, omega=0.25),
    ),
    (
        find_system("harmonic")(particles=2, dimensions=2, omega=[1.0, 3.0]),
        find_system("harmonic")(particles=2, dimensions=2, omega=[0.25, 0.75]),
    ),
    (find_system("chain")(particles=5, omega0=1.0, k=2.0), find_system("chain")(particles=5, omega0=0.25, k=2 / 16)),
    (find_system("quartic")(a=1.0, b=1.0), find_system("quartic")(a=1 / 16, b=1 / 64)),
    (find_system("double_well")(height=2.0, a=2.0), find_system("double_well")(height=0.5, a=4.0)),
    (find_system("mexican_hat")(height=2.0, a=2.0), find_system("mexican_hat")(height=0.5, a=4.0)),
    (find_system("morse")(depth=10.0, a=1.0), find_system("morse")(depth=2.5, a=0.5)),
    (
        find_system("bosons")(particles=3, g=15.0, s=0.5, omega=1.0),
        find_system("bosons")(particles=3, g=15.0, s=1.0, omega=0.25),
    ),
]


@pytest.mark.parametrize(("system", "larger"), RESCALED, ids=lambda s: s.key)
def test_units_do_not_matter(system: System, larger: System) -> None:
    here, there = explore(system), explore(larger)
    assert there.length == 2 * here.length
    assert torch.allclose(there.covariance, 4 * here.covariance, rtol=1e-5, atol=1e-7)
    assert torch.allclose(there.minima, 2 * here.minima, atol=1e-5)
    assert torch.allclose(there.centre, 2 * here.centre, atol=1e-5)
    assert torch.allclose(there.centre_of_mass, here.centre_of_mass / 4, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("factor", [1e-3, 0.3, 1.7, 40.0])
def test_the_length_scales_up_to_its_grid(factor: float) -> None:
    """ℓ lies on a grid of ratio √2: the same multiple of √(1/ω) within that."""
    ratio = (
        explore(find_system("harmonic")(omega=1 / factor**2)).length
        / explore(find_system("harmonic")(omega=1.0)).length
    )
    assert factor / 1.42 < ratio < factor * 1.42


@pytest.mark.parametrize("omega", [0.2, 1.0, 5.0])
def test_the_length_is_the_zero_point_width(omega: float) -> None:
    length = explore(find_system("harmonic")(particles=3, dimensions=2, omega=omega)).length
    assert 1 / math.sqrt(2) < length * math.sqrt(omega) < math.sqrt(2) * 1.2


@pytest.mark.parametrize("omega", [1.0, 0.2, 7.0])
def test_a_harmonic_trap_is_itself(omega: float) -> None:
    land = explore(find_system("harmonic")(particles=3, dimensions=2, omega=omega))
    assert len(land.minima) == 1 and land.minima.abs().max() < 1e-6 * land.length
    assert torch.allclose(land.covariance, torch.eye(6, dtype=torch.float64) / (2 * omega), rtol=1e-9)
    assert torch.allclose(land.one_body_covariance(), torch.eye(2, dtype=torch.float64) / (2 * omega))
    # a particle relative to the centre of mass of three: 2/3 of that
    assert torch.allclose(land.relative_covariance(), torch.eye(2, dtype=torch.float64) / (3 * omega))
    assert torch.allclose(land.centre_of_mass, omega * torch.eye(2, dtype=torch.float64))


def test_what_holds_itself_together_may_part() -> None:
    """Nothing holds the atoms of a helium cluster but each other, and free atoms have the energy 0; bosons are in a trap."""
    free = explore(to_unit_masses(find_system("helium")()))
    assert free.free == pytest.approx(0.0, abs=1e-6) and not free.harmonic and not free.centre_of_mass.any()
    land = explore(to_unit_masses(find_system("helium")(trap=True)))
    assert land.free == pytest.approx(0.0, abs=1e-6) and not land.harmonic
    # the trap of the centre of mass: frequency 0.2 K in coordinates of mass 1
    assert torch.allclose(land.centre_of_mass, 0.2 * torch.eye(3, dtype=torch.float64), rtol=1e-6)
    for name in ("bosons", "harmonic", "ions", "chain", "poschl_teller"):
        assert explore(find_system(name)()).free is None


def test_an_anisotropic_trap() -> None:
    land = explore(find_system("harmonic")(particles=2, dimensions=3, omega=[1.0, 2.0, 0.5]))
    assert torch.allclose(land.one_body_covariance(), torch.diag(1 / (2 * torch.tensor([1.0, 2.0, 0.5]).double())))
    assert torch.allclose(land.centre_of_mass, torch.diag(torch.tensor([1.0, 2.0, 0.5]).double()))


@pytest.mark.parametrize(("height", "a"), [(2.0, 2.0), (5.0, 0.3), (1.0, 10.0)])
def test_the_minima_of_a_double_well(height: float, a: float) -> None:
    land = explore(find_system("double_well")(height=height, a=a))
    assert sorted(land.minima.flatten().tolist()) == pytest.approx([-a, a], rel=1e-5)
    assert land.centre.abs().max() == 0.0
    # the density is spread over both: at least a² about the centre
    assert float(land.covariance) > a**2
    hessian = hessians(find_system("double_well")(height=height, a=a), land.minima, land.length)[0]
    assert float(hessian) == pytest.approx(8 * height / a**2, rel=1e-4)


def test_the_ring_of_a_mexican_hat() -> None:
    land = explore(find_system("mexican_hat")(height=4.0, a=3.0))
    assert len(land.minima) > 8
    assert land.minima.norm(dim=-1).flatten().tolist() == pytest.approx([3.0] * len(land.minima), rel=1e-5)
    for minimum, widths in zip(land.minima, land.widths, strict=True):
        radial = minimum[0] / minimum.norm()
        # a stiff mode across the ring, √(8 h)/a; along it none, whose width is not 1/√0
        assert float((widths @ radial).square().sum()) == pytest.approx(3 / (2 * math.sqrt(32)), rel=0.02)
        assert 0.1 < float(torch.linalg.norm(widths, ord=2)) < 5


def test_the_frequencies_of_a_chain() -> None:
    n, omega0, k = 6, 0.7, 2.5
    land = explore(find_system("chain")(particles=n, omega0=omega0, k=k))
    assert len(land.minima) == 1
    exact = np.sqrt(omega0**2 + 4 * k * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2)
    assert frequencies(land.widths[0]) == pytest.approx(exact, rel=1e-6)
    white = land.whitening()
    assert torch.allclose(white @ land.covariance @ white.T, torch.eye(n, dtype=torch.float64), atol=1e-10)


def test_the_frequency_of_a_bond() -> None:
    depth, a = 40.0, 0.5
    land = explore(find_system("morse")(depth=depth, a=a))
    assert land.minima.abs().max() < 1e-4
    assert frequencies(land.widths[0]) == pytest.approx([a * math.sqrt(2 * depth)], rel=1e-3)


def test_a_flat_well_gets_a_width_from_its_walls() -> None:
    """x⁴ alone has no curvature at its minimum; the exact ⟨x²⟩ is 0.2878 (spectral grid)."""
    land = explore(find_system("quartic")(a=0.0, b=1.0))
    assert 0.1 < float(land.covariance) < 0.8


def test_point_charges() -> None:
    land = explore(find_system("h2")(R=6.0))
    assert 1.0 <= land.length <= 2.0  # about the size of 1s, in bohr
    # one electron on each proton, either way
    assert sorted(land.minima[:, 0, 2].tolist()) == [-3.0, 3.0]
    assert torch.equal(land.minima[:, 0], -land.minima[:, 1])
    assert explore(find_system("he")()).length == 0.5 * land.length
    assert explore(find_system("he")()).minima.tolist() == [[[0.0] * 3] * 2]
    one = explore(find_system("h2plus")())
    assert one.minima.shape == (2, 1, 3)


def test_the_start_has_the_covariance_it_claims(sigmas) -> None:
    land = explore(find_system("double_well")())
    x = land.start(20_000, torch.Generator().manual_seed(3))
    assert x.shape == (20_000, 1, 1) and x.dtype == torch.float64
    assert abs(sigmas(x, 0.0)) < 4
    assert abs(sigmas(x.square(), float(land.covariance))) < 4
    # the twin: the width of one minimum alone is not that of both
    assert abs(sigmas(x.square(), float(land.widths[0].square()))) > 50


def test_exploring_is_deterministic_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = (explore(find_system("mexican_hat")()) for _ in range(2))
    assert torch.equal(first.minima, second.minima) and torch.equal(first.covariance, second.covariance)
    assert torch.equal(before, torch.get_rng_state())


class Free(System):
    """No potential at all."""

    key: ClassVar[str] = "free"
    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 2

    def potential(self, x):
        return 0.0 * x.sum((1, 2))


class Nowhere(Free):
    """Not a number anywhere but at the origin."""

    def potential(self, x):
        r2 = x.square().sum((1, 2))
        return torch.where(r2 < 1e-20, r2, r2 * math.nan)


def test_potentials_that_hold_nothing_are_refused() -> None:
    with pytest.raises(NumericalError, match="confines nothing"):
        explore(Free())
    with pytest.raises(NumericalError):
        explore(Nowhere())


def test_balance_length_of_a_harmonic_mode() -> None:
    """⟨½ω²ℓ²⟩ per degree of freedom = 1/(2ℓ²) at ℓ = ω^−½, on a grid of √2."""
    system = find_system("harmonic")(particles=1, dimensions=1, omega=4.0)
    length = balance_length(system, torch.zeros(1, 1, dtype=torch.float64), torch.Generator().manual_seed(0))
    assert 0.5 / 1.1 < length < 0.5 * 1.6


def test_descend_and_distinct() -> None:
    system = find_system("double_well")(height=2.0, a=2.0)
    x = descend(system, torch.tensor([-3.0, -0.5, 0.4, 2.5], dtype=torch.float64).view(4, 1, 1), 0.7)
    assert x.flatten().tolist() == pytest.approx([-2.0, -2.0, 2.0, 2.0], abs=1e-5)
    kept = distinct_minima(x, torch.tensor([0.3, 0.1, 0.2, 0.4]), 1e-3)
    assert torch.equal(kept, x[[1, 2]])
    assert len(distinct_minima(x, torch.tensor([0.3, 0.1, 0.2, 0.4]), 1e-3, most=1)) == 1


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
