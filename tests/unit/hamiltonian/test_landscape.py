"""Minima, frequencies and scale of potentials whose landscape is known in closed form."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from fkflow.errors import NumericalError
from fkflow.hamiltonian.derivatives import hessians
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.minima import balance_length, descend, distinct_minima
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System


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
