"""Walkers are distributed as ψ² for every step size; without accept/reject they are not."""

from __future__ import annotations

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import build
from fkflow.sampling.local_energy import local_energy
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.sampling.paths import brownian_frames, integrate


def walked(psi, x: Tensor, step: float, moves: int, seed: int = 3) -> Tensor:
    """Where walkers that start at x are after so many moves."""
    walkers = Walkers(x, step)
    metropolis(psi, walkers, torch.Generator().manual_seed(seed), moves, adapt=False)
    return walkers.x


def unadjusted(psi, x: Tensor, step: float, moves: int) -> Tensor:
    """The same moves, all accepted: plain Euler–Maruyama."""
    noise = brownian_frames(len(x), 1, moves, tuple(x.shape[1:]), torch.Generator().manual_seed(3), orthogonal=False)
    *_, (end, _, _) = integrate(psi.drift, x, step, noise[:, 0])
    return end


def gaussian_moments(x: Tensor) -> dict[str, tuple[Tensor, float]]:
    """Per-walker values with their means under ψ² of α = (1, 3): variances 1/2 and 1/6."""
    a, b = x[:, 0, 0], x[:, 0, 1]
    return {
        "x": (a, 0.0),
        "y": (b, 0.0),
        "x2": (a**2, 0.5),
        "y2": (b**2, 1 / 6),
        "xy": (a * b, 0.0),
        "x4": (a**4, 0.75),
        "y4": (b**4, 1 / 12),
        "tail": ((a.abs() > 1.5).double(), 0.033894853524689),
    }


@pytest.mark.parametrize("step", [0.05, 0.3, 1.0])
def test_moments_of_a_gaussian(step: float, gaussian, sigmas) -> None:
    psi = gaussian([1.0, 3.0])
    start = 0.7 * torch.randn(20_000, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = walked(psi, start, step, round(8 / min(step, 0.3)))
    deviations = {name: sigmas(values, exact) for name, (values, exact) in gaussian_moments(x).items()}
    assert max(map(abs, deviations.values())) < 4.5, deviations


def test_without_rejection_the_density_is_wrong(gaussian, sigmas) -> None:
    """The twin: variance 1/(α(2 − ατ)) instead of 1/(2α)."""
    psi = gaussian([1.0, 3.0])
    x = unadjusted(psi, psi.sample(20_000, (1, 2), 0), 0.3, 60)
    values, exact = gaussian_moments(x)["x2"]
    assert abs(sigmas(values, exact)) > 8 and abs(sigmas(values, 1 / (2 - 0.3))) < 4
    values, exact = gaussian_moments(x)["tail"]
    assert abs(sigmas(values, exact)) > 5


def test_the_equilibrium_stays(gaussian, sigmas) -> None:
    """Exact samples stay exact samples after a few large moves."""
    psi = gaussian([1.0, 3.0])
    x = walked(psi, psi.sample(40_000, (1, 2), 1), 0.8, 2)
    assert max(abs(sigmas(values, exact)) for values, exact in gaussian_moments(x).values()) < 4.5
    twin = unadjusted(psi, psi.sample(40_000, (1, 2), 1), 0.8, 2)
    assert abs(sigmas(*gaussian_moments(twin)["x2"])) > 8


def hydrogen_moments(x: Tensor) -> dict[str, tuple[Tensor, float]]:
    """⟨r⟩ = 3/2, ⟨r²⟩ = 3, ⟨1/r⟩ = 1, P(r < 0.2) and no preferred direction."""
    r = x.norm(dim=-1)[:, 0]
    return {
        "r": (r, 1.5),
        "r2": (r**2, 3.0),
        "1/r": (1 / r, 1.0),
        "core": ((r < 0.2).double(), 0.007926331867253),
        "z": (x[:, 0, 2], 0.0),
        "z2": (x[:, 0, 2] ** 2, 1.0),
    }


@pytest.mark.parametrize("step", [0.05, 0.3, 1.0])
def test_moments_of_hydrogen(step: float, hydrogenic, sigmas) -> None:
    """The limited drift near the nucleus costs nothing but acceptance."""
    psi = hydrogenic()
    start = torch.randn(10_000, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = walked(psi, start, step, round(18 / min(step, 0.3)))
    deviations = {name: sigmas(values, exact) for name, (values, exact) in hydrogen_moments(x).items()}
    assert max(map(abs, deviations.values())) < 4.5, deviations


def test_hydrogen_without_rejection(hydrogenic, sigmas) -> None:
    """The twin: the drift overshoots the nucleus."""
    psi = hydrogenic()
    x = unadjusted(psi, psi.sample(10_000, 0), 0.3, 60)
    deviations = {name: sigmas(values, exact) for name, (values, exact) in hydrogen_moments(x).items()}
    assert max(map(abs, deviations.values())) > 8


@pytest.mark.parametrize("name", ["bosons", "he"])
def test_the_mean_local_energy_does_not_depend_on_the_step(name: str, perturbed) -> None:
    """A network without closed form: steps that differ by a factor of six give one energy."""
    system = find_system(name)(particles=2) if name == "bosons" else find_system(name)()
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 1, 0), 0.1)
    start = land.start(3000, torch.Generator().manual_seed(0))
    found = []
    for seed, factor in enumerate((0.08, 0.5)):
        unit = land.length**2
        x = walked(net, start, factor * unit / (3 if name == "he" else 1), round(12 / factor), seed)
        energies = local_energy(net, system, x)
        found.append((float(energies.mean()), float(energies.std()) / len(energies) ** 0.5))
    (a, error_a), (b, error_b) = found
    assert abs(a - b) < 4 * (error_a**2 + error_b**2) ** 0.5
