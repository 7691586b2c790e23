"""Walls of other shapes found from V, the factor that vanishes on them, and its powers along edges."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fkflow.hamiltonian.surfaces import Surfaces, find_surfaces
from fkflow.networks.surface_factor import SurfaceFactor

DOUBLE = torch.float64
#: a direction of length 1
SLANTED = torch.tensor([0.6, 0.0, 0.8], dtype=DOUBLE)


def found(inside: Callable[[Tensor], Tensor], dim: int) -> Surfaces | None:
    """What is found of a region within 2 of the origin."""
    generator = torch.Generator().manual_seed(0)
    x = 4 * torch.rand(4096, dim, generator=generator, dtype=DOUBLE) - 2
    both = find_surfaces(inside, x[inside(x)][:8], generator)
    return None if both is None else both[0]


SHAPES: dict[str, tuple[Callable[[Tensor], Tensor], int, int, list[float]]] = {
    "ring": (lambda x: (x.norm(dim=1) > 0.8) & (x.norm(dim=1) < 2), 2, 2, []),
    "ellipse": (lambda x: (x[:, 0] - 0.5) ** 2 + (x[:, 0] + 3 * x[:, 1]) ** 2 < 1, 2, 1, []),
    "half a disc": (lambda x: (x.norm(dim=1) < 1.6) & (x[:, 1] > 0), 2, 2, []),
    "triangle": (lambda x: (x > 0).all(1) & (x.sum(1) < 1), 2, 3, [math.pi / 4] * 2),
    "hexagon": (
        lambda x: (x @ torch.tensor([[0.0, 0.75**0.5, 0.75**0.5], [1.0, 0.5, -0.5]], dtype=DOUBLE)).abs().amax(1) < 1,
        2,
        6,
        [2 * math.pi / 3] * 6,
    ),
    "octant": (lambda x: (x > 0).all(1) & (x.norm(dim=1) < 2), 3, 4, []),
    "slanted tube": (lambda x: (x - (x @ SLANTED)[:, None] * SLANTED).norm(dim=1) < 1, 3, 1, []),
}


@pytest.mark.parametrize("name", SHAPES)
def test_regions(name: str) -> None:
    inside, dim, count, angles = SHAPES[name]
    surfaces = found(inside, dim)
    assert surfaces is not None and len(surfaces.constant) == count
    x = 4 * torch.rand(4096, dim, generator=torch.Generator().manual_seed(1), dtype=DOUBLE) - 2
    assert torch.equal(surfaces.inside(x), inside(x)) and bool(inside(x).any())
    # one a ten-thousandth larger is another
    assert not torch.equal(surfaces.inside(x / 1.01), inside(x))
    assert [angle for _, _, angle in surfaces.edges] == pytest.approx(angles, abs=1e-6)


def test_a_corner_that_points_inwards_is_no_region() -> None:
    assert found(lambda x: (x.amin(1) < 1) & (x.amin(1) > 0) & (x.amax(1) < 2), 2) is None


@pytest.mark.parametrize("angle", [0.7, math.pi / 3, 2.3])
def test_a_wedge_has_its_state(angle: float) -> None:
    """−½Δb/b is 0 in a wedge at every distance from its edge; with the angle of another wedge it is not."""
    linear = torch.tensor([[0.0, 1.0], [math.sin(angle), -math.cos(angle)]], dtype=DOUBLE)
    nothing = torch.zeros(2, dtype=DOUBLE)
    generator = torch.Generator().manual_seed(0)
    radius, share = 10 ** (-4 * torch.rand(100, generator=generator, dtype=DOUBLE)), torch.linspace(0.02, 0.98, 100)
    y = torch.stack([radius * (share * angle).cos(), radius * (share * angle).sin()])[:, None]

    def energies(stated: float) -> Tensor:
        """r² times the local energy."""
        parts = nothing, linear, torch.zeros(2, 2, 2, dtype=DOUBLE), ((0, 1, stated),)
        one = Surfaces((0, 1), nothing, 1.0, *parts, nothing, nothing, nothing)
        factor = SurfaceFactor([one], torch.zeros(1, 2, dtype=DOUBLE), 1.0)
        _, (gradient, laplacian) = factor.evaluate(y, derivatives=True)
        return -0.5 * radius**2 * (laplacian + gradient.square().sum((0, 1)))

    assert float(energies(angle).abs().max()) < 1e-8
    assert float(energies(angle + 0.05).abs().median()) > 1e-2
