"""What is said of a V that leaves out the energy which `pair` gives for two particles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fkflow.errors import PotentialError
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import System


class Trapped(System):
    """Two particles in a trap that feel each other only where they are close."""

    particles: int = 2
    dimensions: int = 1
    contained: bool = True

    def pair(self, r: Tensor) -> Tensor:
        return 0.01 * torch.exp(-20 * r**2)

    def potential(self, x: Tensor) -> Tensor:
        trap = 0.5 * x.square().sum((1, 2))
        return trap + self.contained * self.pair(pair_squares(x).sqrt()).sum(0)


class Species(System):
    """Two of one kind that feel nothing of each other, and a third that repels both without bound."""

    species = (("one", 2), ("other", 1))  # noqa: RUF012
    dimensions = 2
    contained: bool = True

    def pair(self, a: str, b: str, r: Tensor) -> Tensor | None:  # type: ignore[override]
        return None if a == b else 1 / r

    def potential(self, x: Tensor) -> Tensor:
        trap = 0.5 * x.square().sum((1, 2))
        return trap + self.contained * pair_squares(x)[1:].rsqrt().sum(0)


@pytest.mark.parametrize("kind", [Trapped, Species])
def test_v_must_contain_what_pair_says(kind: Callable[..., System]) -> None:
    """Also where it is weak, bounded and of short range: V alone would give a wrong energy without a word."""
    assert check(kind()).warnings == ()
    with pytest.raises(PotentialError, match=r"potential\(x\) leaves pair\(.*r\) out: it must be the whole V"):
        check(kind(contained=False))
