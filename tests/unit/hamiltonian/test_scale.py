"""The natural scale that walkers show: from exact drifts, and in a run whose potential misleads."""

from __future__ import annotations

import math

import pytest
import torch

from fkflow.hamiltonian import scale
from fkflow.hamiltonian.landscape import explore
from fkflow.systems.harmonic import Harmonic


def oscillator(omega: float, walkers: int = 20000) -> tuple[torch.Tensor, torch.Tensor]:
    """Walkers of ψ² of an oscillator (B, 1, 3), and their drift."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(walkers, 1, 3, generator=generator, dtype=torch.float64) / math.sqrt(2 * omega)
    return x, -omega * x


@pytest.mark.parametrize("omega", [0.01, 1.0, 300.0])
def test_length_of_an_oscillator(omega: float) -> None:
    """ℓ = ω^(−1/2), within 4σ of the average over 60000 squares; that of another frequency is not."""
    x, drift = oscillator(omega)
    length = scale.kinetic_length(drift, torch.ones(len(x)))
    assert abs(length * math.sqrt(omega) - 1) < 4 * math.sqrt(2 / x.numel()) / 2
    assert abs(scale.kinetic_length(1.1 * drift, torch.ones(len(x))) * math.sqrt(omega) - 1) > 0.05


def test_weights_count() -> None:
    """Walkers of ψ weighted to ψ² have the length of ψ²."""
    x, _ = oscillator(0.5)
    length = scale.kinetic_length(-x, (-0.5 * x.square().sum((1, 2))).exp())
    assert abs(length - 1) < 0.02


def test_corrected_landscape_has_the_covariance_of_the_walkers() -> None:
    """Length, centre and covariance are replaced, and stored beside the weights; restored, they are the same."""
    system = Harmonic(particles=1, dimensions=3, omega=1.0)
    landscape = explore(system)
    x, drift = oscillator(0.01)
    ones = torch.ones(len(x), dtype=torch.float64)
    length = scale.kinetic_length(drift, ones)
    assert scale.is_wrong(landscape, length) and not scale.is_wrong(landscape, 1.4 * landscape.length)
    found = scale.corrected(landscape, system, x, ones, length)
    variances = torch.linalg.eigvalsh(found.covariance)
    assert torch.allclose(variances, torch.full((3,), 50.0, dtype=torch.float64), rtol=0.05)
    state = scale.scale_state(found)
    again = scale.restored(landscape, state)
    assert again.length == found.length and torch.equal(again.covariance, found.covariance)
    assert scale.scale_state(landscape) == {} and scale.restored(landscape, {}) is landscape
    assert scale.without_scale({**state, "root": x}) == {"root": x}
