"""Observables of rings against closed forms: structure factor, momenta, pressure, sound; each with a twin that fails."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

import fkflow
from fkflow.hamiltonian.landscape import explore
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks import two_body_factor
from fkflow.networks.choice import build
from fkflow.projection.project import Projector
from fkflow.recipe.config import MeasureConfig, ProjectConfig
from fkflow.results.liquid import Liquid


def liquid(system: fkflow.System, project: float = 0.0, walkers: int = 1024) -> Liquid:
    """What is measured with the network as it starts, whose two-body factors are exact, and projected for some seconds."""
    land = explore(system)
    net, x = build(system, land, "auto", 4, 2, 0), land.start(1024, torch.Generator().manual_seed(0))
    config = MeasureConfig(walkers=walkers, target_error=1e9, seconds=60.0)
    measuring = VariationalEstimator(net, system, land, config, x, 1, dt=0.01 * land.length**2)
    measuring.run(1e9, 60.0, lambda *_: None)
    if not project:
        return measuring.result().liquid
    projector = Projector(measuring, ProjectConfig(seconds=project, walkers=128, target_error=0.1), 1)
    projected = projector.run(lambda *_: None)
    return measuring.result(*projected, projector.observables(), projector.coherence()).liquid


def built_in(name: str, **parameters) -> fkflow.System:
    """A built-in system with parameters."""
    return fkflow.make_system(name, **parameters)


POINTS = built_in("hard_rods", particles=5, box=5.0, a=1e-6)
GAS = built_in("sutherland", particles=5, box=5.0, **{"lambda": 2.0})


@pytest.fixture(scope="module")
def fermions():
    """Impenetrable points, free fermions but for their sign: ψ = Π |sin(π x_ij/L)| is exact from the start."""
    return liquid(POINTS)


@pytest.fixture(scope="module")
def gas():
    """Sutherland's gas at λ = 2, also exact."""
    return liquid(GAS)


def worst(values: np.ndarray, errors: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance in errors, of the points that have one."""
    return float(np.max(np.abs(values - exact) / np.maximum(errors, 1e-9)))


def test_structure_factor_of_free_fermions(fermions, gas) -> None:
    """S(k) = |k|/2k_F up to 2k_F, then 1; a gas of stronger repulsion has another one."""
    curve = fermions.curves["structure_factor"]
    exact = np.minimum(curve.points / (2 * math.pi), 1.0)
    assert worst(*curve.best, exact) < 4.5
    other = gas.curves["structure_factor"]
    assert worst(*other.best, exact) > 10


def test_pressure_and_sound(fermions, gas) -> None:
    """P = −dE/dL = 2E/L, and m c² = (π λ n)² for Sutherland's gas; the twin: another strength."""
    for found, system, strength in ((fermions, POINTS, 1.0), (gas, GAS, 2.0)):
        numbers, energy = found.numbers, system.reference().energy
        pressure, sound = numbers["pressure"], numbers["sound_velocity"]
        assert abs(pressure.value - 2 * energy / 5) < 4 * pressure.error + 1e-6
        # finite size: S(k) of the shortest waves of λ = 2 is not yet that of k → 0
        assert abs(sound.value - math.pi * strength) < 4 * sound.error
        assert sound.error < 0.2 * sound.value
        assert abs(pressure.value - 2.2 * energy / 5) > 4 * pressure.error
        softness = numbers["compressibility"]
        assert softness.value == pytest.approx(1 / sound.value**2)


def test_momenta_of_free_fermions(fermions) -> None:
    """The density matrix of impenetrable bosons is a determinant (Lenard); the twin: that of bosons without energy."""
    curve = fermions.curves["momentum_distribution"]
    matrix = fermions.curves["density_matrix"]
    exact = np.array([impenetrable(r) for r in matrix.points])
    assert matrix.values[0] == 1.0 and matrix.errors[0] == 0.0
    assert worst(matrix.values[1:], matrix.errors[1:], exact[1:]) < 4.5
    assert worst(matrix.values[1:], matrix.errors[1:], 1.05 * exact[1:]) > 4.5
    # the shares add up to 1 but for a tail ~ 1/k⁴
    total = float((curve.counts * curve.values).sum())
    assert 0.97 < total < 1.0 + 4 * float(np.hypot.reduce(curve.counts * curve.errors))


def impenetrable(r: float, particles: int = 5, side: float = 5.0) -> float:
    """n(r) of impenetrable bosons on a ring: ∫ of Π 2|sin(π(x_j − r)/L)| 2|sin(π x_j/L)|, a Toeplitz determinant."""
    points = (np.arange(4000) + 0.5) / 4000 * 2 * math.pi
    weight = np.abs(np.sin((points - 2 * math.pi * r / side) / 2) * np.sin(points / 2)) * 4
    orders = np.arange(particles - 1)
    moments = np.array(
        [
            (weight * np.cos(m * points)).mean() + 1j * (weight * np.sin(m * points)).mean()
            for m in range(-particles, particles + 1)
        ]
    )
    toeplitz = moments[orders[:, None] - orders + particles]
    return float(np.linalg.det(toeplitz).real) / particles


def test_bosons_without_energy_have_no_momentum() -> None:
    """All of n(k) is at k = 0, S(k) = 1 and g(r) = 1 of an ideal gas; a contact takes particles out of it."""
    free, apart = (liquid(built_in("lieb_liniger", particles=4, c=c)) for c in (0.0, 8.0))
    momenta = free.curves["momentum_distribution"]
    assert momenta.values[0] == pytest.approx(1.0, abs=1e-12)
    assert np.abs(momenta.values[1:]).max() < 0.02
    for name in ("structure_factor", "pair_correlation"):
        assert worst(*free.curves[name].best, 1.0) < 4.5
        assert worst(*apart.curves[name].best, 1.0) > 10
    assert apart.numbers["zero_momentum"].value < 0.9


def test_pressure_of_rods_and_contacts() -> None:
    """−dE/dL by differences of energies; the twin: what an ideal gas of that energy has, 2E/L."""
    for name, parameters in (("hard_rods", {"particles": 2, "box": 6.0}), ("lieb_liniger", {"particles": 2, "c": 2.0})):
        own = built_in(name, **parameters)
        low, high = (own.model_copy(update={"box": own.box + step}).reference().energy for step in (-1e-4, 1e-4))
        found = liquid(own).numbers["pressure"]
        exact = -(high - low) / 2e-4
        assert abs(found.value - exact) < 4 * found.error + 0.01 * exact
        assert abs(2 * own.reference().energy / own.box - exact) > 8 * found.error + 0.01 * exact


class Soft(fkflow.System):
    """Two soft particles on a ring, whose ψ is exact from the start."""

    particles = 2
    dimensions = 1
    box = 3.0

    def pair(self, r: torch.Tensor) -> torch.Tensor:
        """A Gaussian bump."""
        return 40 * torch.exp(-4 * r**2)

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        """V of x (B, 2, 1) → (B,)."""
        return self.pair(fkflow.pair_squares(x, self.box).sqrt()).sum(0)


def test_a_projection_finds_what_psi_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """ψ of a repulsion that is too weak: S(k) by forward walking is the exact one, and so is the extrapolated n(r) but for a
    second order; over ψ² both are wrong."""
    exact = liquid(Soft(), walkers=2048)
    right = two_body_factor.box_factor
    monkeypatch.setattr(two_body_factor, "box_factor", lambda pair, *more: right(lambda r: 0.5 * pair(r), *more))
    found = liquid(Soft(), project=60.0, walkers=2048)
    for name, method, left in (("structure_factor", "forward walking", 0.0), ("density_matrix", "extrapolated", 0.1)):
        one, other = found.curves[name], exact.curves[name]
        assert one.method == method
        best, errors = (numbers[1:] for numbers in one.best)
        right, noise = other.values[1:], np.hypot(errors, other.errors[1:])
        away = np.abs(one.values[1:] - right)
        assert (np.abs(best - right) < 4.5 * noise + left * away).all()
        assert (away > 4.5 * noise + left * away).any()


def test_what_is_saved_goes_on_to_the_same_bits() -> None:
    """Ratios of ψ and functions of places in a checkpoint of the measurement and of the projection; the twin: another seed."""
    system = Soft()
    land = explore(system)
    net, x = build(system, land, "auto", 4, 2, 0), land.start(256, torch.Generator().manual_seed(0))

    def measurement(seed: int = 1, saved=None) -> VariationalEstimator:
        config = MeasureConfig(walkers=256, target_error=1e9, seconds=60.0)
        return VariationalEstimator(net, system, land, config, x, seed, dt=0.01 * land.length**2, saved=saved)

    def after(measuring: VariationalEstimator, saved=None) -> tuple[Projector, list[np.ndarray]]:
        projector = Projector(measuring, ProjectConfig(seconds=60.0, walkers=64, target_error=0.5), 1, saved)
        for _ in range(4):
            projector.advance()
        found = [measuring.liquid.coherence.top, measuring.observables.sums, projector.populations[-1].coherence.top]
        return projector, [np.array(numbers) for numbers in found]

    first = measurement()
    first.sweep()
    begun, _ = after(first)
    measured, projected = (copy.deepcopy(one.state_dict()) for one in (first, begun))
    _, right = after(first, copy.deepcopy(projected))
    _, again = after(measurement(saved=measured), copy.deepcopy(projected))
    assert all(np.array_equal(a, b) for a, b in zip(right, again, strict=True)) and right[2].any()
    other = measurement(seed=2)
    other.sweep()
    assert not np.array_equal(after(other)[1][0], right[0])
