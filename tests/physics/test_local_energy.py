"""The local energy: against finite differences, closed forms and short paths."""

from __future__ import annotations

import math

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import build
from fkflow.sampling.local_energy import laplacian, local_energy
from fkflow.sampling.path_energies import path_samples
from fkflow.sampling.paths import brownian_frames, girsanov_action


def differences(psi, system, x: Tensor, h: float) -> Tensor:
    """E_L by central differences of fourth order in every coordinate."""
    total, value = torch.zeros(len(x), dtype=torch.float64), psi(x).detach()
    slope2 = torch.zeros_like(total)
    for i in range(x.shape[1]):
        for a in range(x.shape[2]):
            shift = torch.zeros_like(x)
            shift[:, i, a] = h
            one, two = ([psi(x + k * shift).detach(), psi(x - k * shift).detach()] for k in (1, 2))
            total += (-(two[0] + two[1]) + 16 * (one[0] + one[1]) - 30 * value) / (12 * h**2)
            slope2 += ((two[1] - two[0] + 8 * (one[0] - one[1])) / (12 * h)) ** 2
    return system.potential(x) - 0.5 * (total + slope2)


SYSTEMS = {
    "bosons": find_system("bosons")(particles=3),
    "oval": find_system("harmonic")(particles=2, dimensions=2, omega=[1.0, 2.0]),
    "chain": find_system("chain")(particles=4),
    "morse": find_system("morse")(),
    "mexican_hat": find_system("mexican_hat")(),
    "h": find_system("h")(),
    "he": find_system("he")(),
    "h2": find_system("h2")(),
}


@pytest.fixture(params=SYSTEMS)
def case(request, perturbed):
    """A system, a network with random parameters, places away from singularities."""
    system = SYSTEMS[request.param]
    land = explore(system)
    net = perturbed(build(system, land, "auto", 8, 2, 0), 0.15)
    x = land.start(64, torch.Generator().manual_seed(0))
    if system.nuclei() is not None:
        to_nuclei = (x[:, :, None] - torch.tensor(system.nuclei().positions).double()).norm(dim=-1).amin((1, 2))
        apart = torch.full_like(to_nuclei, 9.0) if system.particles == 1 else (x[:, 0] - x[:, 1]).norm(dim=-1)
        x = x[(to_nuclei > 0.2) & (apart > 0.2)]
    return system, net, x[:24], land.length**2


def test_local_energy_against_finite_differences(case) -> None:
    system, net, x, unit = case
    exact = local_energy(net, system, x)
    assert torch.allclose(differences(net, system, x, 1e-3 * unit**0.5), exact, rtol=1e-6, atol=1e-6 / unit)
    many = local_energy(net, system, x.repeat(100, 1, 1))  # more than one chunk
    assert torch.allclose(many, exact.repeat(100), rtol=1e-9, atol=1e-9 / unit)
    lap, drift = laplacian(net, x)
    assert torch.allclose(drift, net.drift(x), rtol=1e-10, atol=1e-12) and lap.shape == (len(x),)


def test_short_paths_give_the_local_energy(case) -> None:
    """A/T of one frame differs from E_L by O(√dt), antithetic by O(dt): its odd powers cancel."""
    system, net, x, unit = case
    exact, d = local_energy(net, system, x), x[0].numel()

    def error(dt: float, antithetic: bool) -> float:
        found = path_samples(
            net,
            system,
            x,
            torch.Generator().manual_seed(3),
            paths=d * (1 + antithetic),
            steps=1,
            dt=dt * unit,
            antithetic=antithetic,
        ).mean(0)
        return float((found - exact).abs().mean()) * unit

    assert error(1e-6, True) < 1e-4
    assert error(1e-6, False) < 3e-2
    assert error(1e-4, True) / error(4e-4, True) == pytest.approx(0.25, rel=0.2)
    assert error(1e-4, False) / error(4e-4, False) == pytest.approx(0.5, rel=0.25)
    # the twin: part of a frame leaves the noise ‖∇v‖ whatever dt
    part = path_samples(
        net, system, x, torch.Generator().manual_seed(3), paths=2, steps=1, dt=1e-6 * unit, antithetic=True
    ).mean(0)
    if d > 1 and not system.isotropic:
        assert float((part - exact).abs().mean()) * unit > 1e-2


def test_local_energy_of_closed_forms(hydrogenic, gaussian) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 1, 3, generator=generator, dtype=torch.float64)
    assert (local_energy(hydrogenic(), find_system("h")(), x) + 0.5).abs().max() < 1e-12
    # a wrong charge: −ζ²/2 + (ζ − 1)/r
    wrong = local_energy(hydrogenic(1.2), find_system("h")(), x)
    assert torch.allclose(wrong, -0.72 + 0.2 / x.norm(dim=-1)[:, 0], rtol=1e-10)
    # a Gaussian: ½dα + ½(ω² − α²)x²
    system = find_system("harmonic")(particles=1, dimensions=3, omega=2.0)
    assert (local_energy(gaussian(2.0), system, x) - 3.0).abs().max() < 1e-12
    wider = local_energy(gaussian(1.5), system, x)
    assert torch.allclose(wider, 2.25 + 0.5 * (4 - 2.25) * x.square().sum((1, 2)), rtol=1e-12)


def test_noise_of_independent_increments() -> None:
    """The spread of A/T about the local energy is ‖∇v‖_F/√(2K), whatever dt (method.md §1)."""
    system = find_system("harmonic")(particles=2, dimensions=2, omega=3.0)
    x = torch.zeros(20_000, 2, 2, dtype=torch.float64)
    for steps, dt in ((4, 1e-4), (4, 1e-6), (16, 1e-5)):
        generator = torch.Generator().manual_seed(3)
        noise = brownian_frames(20_000, 1, steps, (2, 2), generator, orthogonal=False)[:, 0]
        action = girsanov_action(
            lambda y: -1.5 * y.square().sum((1, 2)), lambda y: -3 * y, system.potential, x, dt, noise
        )
        spread = float((action / (steps * dt)).std())
        assert spread == pytest.approx(3 * 2 / math.sqrt(2 * steps), rel=0.03)
