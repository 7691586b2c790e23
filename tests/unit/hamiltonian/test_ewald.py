"""Ewald's sum against Madelung constants and explicit images."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from fkflow import Ewald
from fkflow.systems import crystals

DOUBLE = torch.float64


def salt(side: float) -> tuple[torch.Tensor, list[float]]:
    """Eight ions of rock salt, a unit apart where side = 2."""
    places = list(itertools.product((0, 1), repeat=3))
    return 0.5 * side * torch.tensor(places, dtype=DOUBLE), [(-1.0) ** sum(place) for place in places]


def test_madelung_constants() -> None:
    """Rock salt, caesium chloride, and one charge in its background; the twin: an ion that is displaced."""
    x, charges = salt(2.0)
    found = float(Ewald(2.0, charges)(x))
    assert found == pytest.approx(-4 * 1.747564594633, abs=1e-6)
    x[0, 0] += 0.2
    assert abs(float(Ewald(2.0, charges)(x)) + 4 * 1.747564594633) > 1e-3
    two = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], dtype=DOUBLE)
    assert float(Ewald(1.0, [1.0, -1.0])(two)) == pytest.approx(-1.762674773070 / 0.75**0.5, abs=1e-6)
    assert float(Ewald(3.0, [2.0])(two[:1])) == pytest.approx(-0.5 * 4 * 2.837297479481 / 3.0, abs=1e-6)


def test_triangular_lattice() -> None:
    """−1.1061025/r_s, half of −2.212205 Ry (Bonsall and Maradudin), for cells of several shapes; the twin: a square lattice."""
    for particles in (4, 12):
        counts = crystals.cells("triangular", particles, None)
        box = crystals.sides_of("triangular", counts, particles * math.pi)
        x = torch.tensor(crystals.places("triangular", counts, box), dtype=DOUBLE)
        assert float(Ewald(box, [1.0] * particles)(x)) / particles == pytest.approx(-1.1061025, abs=2e-7)
    side = math.sqrt(math.pi)
    square = float(Ewald((side, side), [1.0])(torch.zeros(1, 2, dtype=DOUBLE)))
    assert square == pytest.approx(-1.1002444, abs=2e-7)


def test_long_boxes_and_images() -> None:
    """Two cells are twice one cell; places may be moved by a side, in batches too; the twin: half a side is another place."""
    x, charges = salt(2.0)
    once, twice = Ewald((2.0, 2.0, 2.0), charges), Ewald((2.0, 2.0, 4.0), charges * 2)
    moved = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    both = torch.cat([moved, moved + torch.tensor([0.0, 0.0, 2.0], dtype=DOUBLE)])
    assert float(twice(both)) == pytest.approx(2 * float(once(moved)), abs=1e-6)
    image = moved.clone()
    image[3, 1] -= 2.0
    values = once(torch.stack([moved, image]))
    assert values.shape == (2,) and values[0] == pytest.approx(float(values[1]), abs=1e-9)
    image[3, 1] += 1.0
    assert abs(float(once(image)) - float(values[0])) > 1e-3


@pytest.mark.parametrize(
    ("box", "charges", "words"),
    [((1.0,), [1.0], "three sides"), (0.0, [1.0], "three sides"), (1.0, [], "a list of numbers")],
)
def test_wrong_boxes_are_told(box, charges, words) -> None:
    with pytest.raises(ValueError, match=words):
        Ewald(box, charges)


def test_another_number_of_charges_is_told() -> None:
    with pytest.raises(ValueError, match=r"it must be \(…, 2, 3\)"):
        Ewald(1.0, [1.0, -1.0])(torch.zeros(4, 3, 3))
    with pytest.raises(ValueError, match=r"it must be \(…, 2, 2\)"):
        Ewald((1.0, 1.0), [1.0, -1.0])(torch.zeros(4, 2, 3))
