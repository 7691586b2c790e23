"""Centres at which V falls as −c/r, found from its values; the scale of short-ranged wells."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from fkflow import System
from fkflow.errors import NumericalError
from fkflow.hamiltonian.centres import Softened, find_centres
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.trial_width import variational_length
from fkflow.networks.choice import LogPsi, build
from fkflow.networks.single_precision import value_and_drift

DOUBLE = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Charges(System):
    """−c r^power about each place, and a trap."""

    particles = 1
    dimensions: int = 2
    places: list[list[float]] = [[0.7, -0.3], [-1.1, 0.4]]
    strengths: list[float] = [0.6, 1.3]
    power: float = -1.0
    soft: float = 0.0

    def potential(self, x: Tensor) -> Tensor:
        value = 0.1 * x.square().sum((1, 2)) + 40.0
        for place, strength in zip(self.places, self.strengths, strict=True):
            r = ((x - x.new_tensor(place)).square().sum((1, 2)) + self.soft**2).sqrt()
            value = value - strength * r**self.power
        return value


class Well(System):
    """−depth e^{−r²}."""

    particles = 1
    dimensions = 3
    depth: float = 2.5

    def potential(self, x: Tensor) -> Tensor:
        return -self.depth * (-x.square().sum((1, 2))).exp()


class Yukawa(System):
    """A screened charge."""

    particles = 1
    dimensions = 3

    def potential(self, x: Tensor) -> Tensor:
        r = x[:, 0].norm(dim=1)
        return -(-0.5 * r).exp() / r


@pytest.mark.parametrize("places", [[[0.7, -0.3], [-1.1, 0.4]], [[0.3, 0.5, 1.0], [0.3, 0.5, -1.0]]])
def test_centres_are_found_where_they_are(places: list[list[float]]) -> None:
    centres = find_centres(Charges(places=places, dimensions=len(places[0])), generator())
    assert centres is not None and len(centres.places) == 2
    order = centres.places[:, 0 if len(places[0]) == 2 else 2].argsort(descending=True)
    torch.testing.assert_close(centres.places[order], torch.tensor(places, dtype=DOUBLE), rtol=0, atol=1e-8)
    torch.testing.assert_close(centres.strengths[order], torch.tensor([0.6, 1.3], dtype=DOUBLE), rtol=1e-3, atol=0)


@pytest.mark.parametrize("options", [{"soft": 1e-3}, {"power": -0.7}, {"power": -1.3}, {"strengths": [-0.6, -1.3]}])
def test_no_centre_where_v_is_not_as_one_over_r(options: dict[str, Any]) -> None:
    assert find_centres(Charges(**options), generator()) is None


def test_the_softened_potential_is_v_without_its_singularities() -> None:
    system = Charges()
    centres = find_centres(system, generator())
    assert centres is not None
    soft, place = Softened(own=system, centres=centres), centres.places[0]
    near = place + torch.tensor([[[0.0, 0.0]], [[1e-9, 0.0]], [[0.0, 1e-6]], [[1e-4, 0.0]]], dtype=DOUBLE)
    assert float(soft.potential(near).std()) < 1e-3
    far = torch.tensor([[[300.0, 400.0]]], dtype=DOUBLE)
    assert float(system.potential(far) - soft.potential(far)) == pytest.approx(0, abs=1e-6)
    x = near.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(soft.potential(x).sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("isotropic", [False, True])
def test_the_local_energy_is_finite_at_a_centre(dimensions: int, isotropic: bool) -> None:
    """With the cusp it has a limit there; without it, it falls as −c/r."""

    class Charge(Charges):
        places: list[list[float]] = [[0.0] * dimensions]
        strengths: list[float] = [1.3]

    Charge.isotropic = isotropic
    system = Charge(dimensions=dimensions)
    net = build(system, explore(system), "auto", 8, 1, seed=0)
    assert isinstance(net, LogPsi) and net.analytic and net.has_singular_points
    direction = torch.randn(1, 1, dimensions, generator=generator(1), dtype=DOUBLE)
    x = direction / direction.norm() * torch.tensor([1e-2, 1e-4, 1e-6], dtype=DOUBLE)[:, None, None]

    def energies(net: LogPsi) -> Tensor:
        _, drift, laplacian = net.value_drift_and_laplacian(x)
        return system.potential(x) - 0.5 * (laplacian + drift.square().sum((1, 2)))

    found = energies(net)
    assert float((found[1:] - found[2]).abs().max()) < 1e-2
    assert abs(float(found[0] - found[2])) < 0.3
    torch.testing.assert_close(net.differentiated(x)[1], net.drift(x), rtol=1e-9, atol=1e-9)
    # in single precision too
    torch.testing.assert_close(value_and_drift(net, x)[1], net.drift(x), rtol=1e-3, atol=1e-3)
    del net.centre_factor
    net._analytic = None
    assert float(energies(net)[2]) < -1e5


def test_the_variational_length_of_an_oscillator_and_of_a_charge() -> None:
    """ω = 1: σ² = 1/2, ℓ = 1. −1/r: the best Gaussian e^{−αr²} has α = 8/(9π), σ² = 1/(4α)."""

    class Oscillator(Well):
        def potential(self, x: Tensor) -> Tensor:
            return 0.5 * x.square().sum((1, 2)).clamp(max=50.0)

    class Charge(Well):
        def potential(self, x: Tensor) -> Tensor:
            return -1 / x[:, 0].norm(dim=1)

    origin = torch.zeros(1, 3, dtype=DOUBLE)
    step = 2**0.26
    assert 1 / step < variational_length(Oscillator(), origin, generator()) < step
    exact = math.sqrt(2 / (4 * 8 / (9 * math.pi)))
    assert exact / step < variational_length(Charge(), origin, generator()) < exact * step


def test_a_short_ranged_well_that_binds_has_a_scale_and_one_that_does_not_has_none() -> None:
    origin = torch.zeros(1, 3, dtype=DOUBLE)
    assert 0.5 < variational_length(Well(), origin, generator()) < 3
    # 3D Gaussian wells bind from a depth of 1.342 on
    with pytest.raises(NumericalError, match="confines nothing"):
        variational_length(Well(depth=1.2), origin, generator())


def test_a_screened_charge_passes_the_checks() -> None:
    checked = check(Yukawa())
    assert checked.landscape.centres is not None
    assert 0.5 < checked.landscape.length < 4


def test_a_centre_of_several_particles_is_refused() -> None:
    """Only nuclei() gives several particles a cusp; charges that attract each other alone are no centre."""

    class Atom(System):
        particles: ClassVar[int] = 2
        dimensions: ClassVar[int] = 3
        charge: float = 2.0

        def potential(self, x: Tensor) -> Tensor:
            far = (x[:, 0] - x[:, 1]).norm(dim=1)
            return -self.charge * (x - 1).norm(dim=2).reciprocal().sum(1) + far.reciprocal()

    class Pair(Atom):
        def potential(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2)) - (x[:, 0] - x[:, 1]).norm(dim=1).reciprocal()

    with pytest.raises(NumericalError, match=r"-2/r where a particle meets the place \(1, 1, 1\).*def nuclei"):
        find_centres(Atom(), torch.Generator().manual_seed(0))
    assert find_centres(Pair(), torch.Generator().manual_seed(0)) is None
