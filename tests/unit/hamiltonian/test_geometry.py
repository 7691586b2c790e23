"""Squared distances and lengths against PyTorch's own; the short cut must not change a potential."""

import math

import pytest
import torch

from fkflow import make_system
from fkflow.hamiltonian.geometry import (
    FEW,
    add_pair_gradients,
    add_to_pairs,
    add_to_particles,
    pair_squares,
    pairs,
    squared_lengths,
)


@pytest.mark.parametrize("shape", [(5, 4, 2), (3, 1, 3), (2, 3, 6, 1), (2, 2)])
def test_pair_squares_are_those_of_all_pairs(shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    n = shape[-2]
    found = pair_squares(x)
    expected = [(x[..., i, :] - x[..., j, :]).square().sum(-1) for i in range(n) for j in range(i + 1, n)]
    assert found.shape == (n * (n - 1) // 2, *shape[:-2])
    assert all(torch.allclose(a, b, rtol=1e-14) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("shape", [(5, 4, 2), (3, 1, 3), (4, 2, 1), (7, 40)])
def test_squared_lengths_are_those_of_vectors(shape: tuple[int, ...]) -> None:
    v = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(squared_lengths(v), v.square().sum(-1, keepdim=True), rtol=1e-13)


@pytest.mark.parametrize("name", ["bosons", "bosons3d", "ions", "hooke", "calogero", "dipoles"])
def test_potentials_are_the_sum_over_pairs(name: str) -> None:
    system = make_system(name)
    n, d = system.particles, system.dimensions
    x = torch.randn(6, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = 0.5 * system.omega**2 * x.square().sum((1, 2))
    for i in range(n):
        for j in range(i + 1, n):
            expected = expected + system.pair((x[:, i] - x[:, j]).norm(dim=-1))
    assert torch.allclose(system.potential(x), expected, rtol=1e-12)
    # each configuration by itself, and of any shape in front
    assert torch.allclose(system.potential(x.view(2, 3, n, d)), expected.view(2, 3), rtol=1e-12)


def test_potential_of_a_molecule_by_hand() -> None:
    system = make_system("h2")
    x = torch.tensor([[[0.3, -0.2, 0.5], [-0.1, 0.4, -0.9]]], dtype=torch.float64)
    protons = torch.tensor([[0.0, 0.0, -0.7005], [0.0, 0.0, 0.7005]], dtype=torch.float64)
    expected = 1 / 1.401 + 1 / (x[0, 0] - x[0, 1]).norm()
    expected = expected - sum(1 / (x[0, i] - protons[a]).norm() for i in range(2) for a in range(2))
    assert float(system.potential(x)) == pytest.approx(float(expected), rel=1e-13)


@pytest.mark.parametrize("particles", [2, 5, FEW, FEW + 1, 12])
def test_what_pairs_and_particles_send_one_another(particles: int) -> None:
    """Products with a matrix, for few particles, and picking pair by pair give what plain loops give."""
    generator = torch.Generator().manual_seed(particles)
    first, second = pairs(particles, torch.device("cpu"))
    y = torch.randn(3, particles, 7, generator=generator, dtype=torch.float64)
    z = torch.randn(3, len(first), 7, generator=generator, dtype=torch.float64)
    to_pairs, to_particles, pulls = z.clone(), {True: y.clone(), False: torch.zeros_like(y)}, y.clone()
    for pair, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        to_pairs[:, pair] += 0.3 * (y[:, i] + y[:, j])
        for sums in to_particles.values():
            sums[:, i] += 0.7 * z[:, pair]
            sums[:, j] += 0.7 * z[:, pair]
        pulls[:, i] += z[:, pair]
        pulls[:, j] -= z[:, pair]
    assert torch.allclose(add_to_pairs(z.clone(), y, 0.3), to_pairs, rtol=0, atol=1e-13)
    for keep, sums in to_particles.items():
        # what is not kept may be anything
        start = y.clone() if keep else torch.full_like(y, math.nan)
        assert torch.allclose(add_to_particles(start, z, 0.7, keep=keep), sums, rtol=0, atol=1e-13)
    assert torch.allclose(add_pair_gradients(y.clone(), z), pulls, rtol=0, atol=1e-13)
    assert not torch.allclose(add_to_particles(y.clone(), z), pulls, rtol=0, atol=1e-3)
