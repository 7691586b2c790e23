"""Cores at the origin, and lengths that a system states itself."""

from __future__ import annotations

import math

import pytest
import torch
from made_systems import made, r2
from torch import Tensor

from fkflow.errors import PotentialError
from fkflow.hamiltonian.checks import check


def test_own_length_and_start_replace_the_search() -> None:
    """A well a thousand widths from the origin in a flat plain: the search about the origin sees nothing of it."""

    def well(x: Tensor) -> Tensor:
        return -8 * torch.exp(-(x - 1000).square().sum((1, 2)))

    with pytest.raises(PotentialError):
        check(made(well))
    found = check(made(well, length=0.7, start=lambda n, g: 1000 + 0.3 * torch.randn(n, 1, 1, generator=g)))
    assert found.landscape.length == 0.7
    assert found.landscape.minima.flatten().tolist() == pytest.approx([1000.0], abs=1e-3)


def isotonic(x: Tensor, soft: float = 0.0, flat: float = 1.0) -> Tensor:
    """A trap with a centrifugal energy, which may be softened, or flattened along the first axis."""
    return r2(x) + 3 / (r2(x) + (flat - 1) * x[:, 0, 0] ** 2 + soft)


@pytest.mark.parametrize(("dimensions", "flat", "mend"), [(1, 1.0, "V = inf on one side"), (2, 2.0, "free = True and")])
def test_a_core_at_the_origin_is_warned_of(dimensions: int, flat: float, mend: str) -> None:
    """The network has no factor for it; the twins are a bounded one, and one behind a wall."""
    (warning,) = check(made(lambda x: isotonic(x, 0.0, flat), dimensions=dimensions)).warnings
    assert "V grows without bound at the origin" in warning and mend in warning
    assert not check(made(lambda x: isotonic(x, 0.1, flat), dimensions=dimensions)).warnings
    if dimensions == 1:
        assert not check(made(lambda x: torch.where(x[:, 0, 0] > 0, isotonic(x), math.inf))).warnings


def test_a_round_core_at_the_origin_has_its_power() -> None:
    """λ(λ + D − 2) = 2 g m; nothing is warned of. The twins are softened, less singular, or steeper than any power."""
    for dimensions, mass in ((2, 1.0), (3, 4.0)):
        found = check(made(isotonic, dimensions=dimensions, mass=mass))
        power = found.landscape.repulsion
        assert power is not None and not found.warnings
        assert power * (power + dimensions - 2) == pytest.approx(6 * mass, rel=1e-4)
    others = (lambda x: isotonic(x, 0.1), lambda x: r2(x) + r2(x).rsqrt(), lambda x: r2(x) + r2(x) ** -3)
    powers = [check(made(other, dimensions=3)).landscape.repulsion for other in others]
    assert powers == [None, None, 6.0]
