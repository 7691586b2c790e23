"""Hard cores and bound pairs in the two-body factor: closed forms, the energy of a dimer, what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build
from fkflow.networks.two_body_equation import TwoBodyEquation
from fkflow.networks.two_body_factor import TwoBodyFactor, two_body_factor
from fkflow.projection.past import MOST_PAST, PLACES, weighings
from fkflow.sampling.local_energy import local_energy


class OfPair(System):
    """Two particles with some energy of a pair; V is not asked for."""

    particles: int = 2
    dimensions: int = 3
    energy: Any

    def pair(self, r: Tensor) -> Tensor:
        return self.energy(r)  # type: ignore[no-any-return]


def step(height: float) -> Any:
    return lambda r: torch.where(r < 1.0, height, 0.0).to(r.dtype)


def factor_of(energy: Any, dimensions: int, **more: Any) -> TwoBodyFactor:
    found = two_body_factor(OfPair(energy=energy, dimensions=dimensions), 1.0, **more)
    assert found is not None
    return found


R = np.array([1.0001, 1.01, 1.1, 1.5, 2.0, 3.0])


def outside(dimensions: int, slip: float, r: np.ndarray) -> np.ndarray:
    """log u of two free particles outside r = 1, where u'/u = 1/slip."""
    if dimensions == 1:
        return np.asarray(np.log(r - 1 + slip))
    if dimensions == 2:
        return np.asarray(np.log(np.log(r) + slip))
    return np.asarray(np.log(1 + slip - 1 / r))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("height", [math.inf, 1e12, 1e6, 1e3])
def test_cores_of_free_particles(dimensions: int, height: float) -> None:
    """ψ vanishes at a hard core with the right slope; a high finite one is entered by the decay length 1/κ = height^(−½)."""
    f = factor_of(step(height), dimensions, healing=1e6)
    kappa = math.sqrt(height)
    # within a core u'/u is κ on a line, κ coth κ − 1 in space, κ I1(κ)/I0(κ) ≈ κ − ½ in a plane
    slip = 0.0 if kappa == math.inf else 1 / (kappa - (0.0, 0.5, 1.0)[dimensions - 1])
    found = f(torch.from_numpy(R**2)[None], 1.0).numpy()
    expected = outside(dimensions, slip, R)
    np.testing.assert_allclose(found - found[-1], expected - expected[-1], atol=2e-5 + 0.3 / kappa**2)
    # the counterexample: a core that is 1 % larger
    assert abs((found - found[-1] - expected + expected[-1])[2]) < 0.1 * abs(np.log(0.09 / 0.1))
    inside = f(torch.tensor([[0.5**2, 0.9**2]], dtype=torch.float64), 1.0)
    assert (inside == -math.inf).all() if height > 1e5 else inside.isfinite().all()


def test_a_bound_pair_has_the_state_of_its_well() -> None:
    """v = −λ(λ + 1)/cosh² r on a line binds at −λ² with u = (cosh r)^(−λ)."""
    power = 1.7

    def well(r: Tensor) -> Tensor:
        return -power * (power + 1) / r.clamp(max=300).cosh().square()

    r = torch.linspace(0.01, 6, 30, dtype=torch.float64)
    f = factor_of(well, 1, healing=1e3)(r.square()[None], 1.0)
    expected = r.cosh().log() - r[0].cosh().log()
    assert torch.allclose(f - f[0], -power * expected, atol=2e-4)
    assert not torch.allclose(f - f[0], -1.001 * power * expected, atol=2e-4)


def lennard_jones(r: Tensor) -> Tensor:
    """Neon in natural units of a pair: ħ²/m = 1, lengths in σ, the depth that binds by 0.567 of it."""
    q = r**-6
    return 4 * DEPTH * (q * q - q)


DEPTH = 35.6 * 2.749**2 * 20.1797 / 48.50868


def test_atoms_that_bind_each_other_keep_their_core() -> None:
    """The energy of the neon dimer against a grid, and local energies of atoms that start near the minimum of V."""
    _, energy = TwoBodyEquation(lennard_jones, 0.1, 3).solve()
    h = 0.01
    r = 0.6 + h * np.arange(1, 500)
    apart = np.arange(499)[:, None] - np.arange(499)
    kinetic = np.where(apart == 0, np.pi**2 / 3, 2 * (-1.0) ** apart / np.where(apart == 0, 1, apart) ** 2) / h**2
    expected = np.linalg.eigvalsh(kinetic + np.diag(lennard_jones(torch.from_numpy(r)).numpy()))[0]
    assert energy / 0.1**2 == pytest.approx(expected, rel=1e-5)

    class Neon(System):
        particles: int = 3
        dimensions = 3
        isotropic = True
        separable = True

        def pair(self, r: Tensor) -> Tensor:
            return lennard_jones(r)

        def potential(self, x: Tensor) -> Tensor:
            return lennard_jones(pair_squares(x).sqrt()).sum(0) + 1.5 * x.mean(1).square().sum(1)

    system = Neon()
    found = explore(system)
    net = build(system, found, "auto", 4, 1, 0)
    # one pair closer and closer, the third atom far away
    r = torch.linspace(0.75, 1.5, 40, dtype=torch.float64)
    x = torch.zeros(40, 3, 3, dtype=torch.float64)
    x[:, 1, 0], x[:, 2, 1] = r, 1.2
    energies = local_energy(net, system, x)
    assert float(lennard_jones(r).max()) > 100 * DEPTH and float((energies / DEPTH).abs().max()) < 20


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (lambda r: torch.full_like(r, math.inf), "a hard core at every distance"),
        (lambda r: torch.where(r > 2, math.inf, 0.0).to(r.dtype), "a hard core at every distance"),
        (lambda r: torch.where(r < 1, -math.inf, 0.0).to(r.dtype), r"pair\(r\) is not finite at r = "),
    ],
)
def test_what_is_no_core_is_refused(energy: Any, message: str) -> None:
    with pytest.raises(NumericalError, match=message):
        factor_of(energy, 3)


def test_a_stored_core_is_read_into_any_table() -> None:
    """States of a factor with a core, and of one without, go into each other."""
    hard, soft = factor_of(step(math.inf), 3), factor_of(lambda r: 3 / r, 3)
    square = torch.tensor([[0.5, 2.0, 5.0]], dtype=torch.float64)
    for source, wanted in ((hard, hard(square, 1.0)), (soft, soft(square, 1.0))):
        other = factor_of(lambda r: 1 / r**3, 2)
        other.load_state_dict(source.state_dict())
        assert torch.equal(other(square, 1.0), wanted)
    assert "core" in hard.state_dict() and "core" not in soft.state_dict()


def test_too_many_weighings_are_told() -> None:
    assert weighings(100.5, 256) == 7 * PLACES
    for wanted in (2.0 * MOST_PAST / 256, 1e30, math.inf, math.nan):
        with pytest.raises(NumericalError, match="the drift is far from the exact one"):
            weighings(wanted, 256)
