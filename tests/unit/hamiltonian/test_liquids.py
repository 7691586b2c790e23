"""Liquids in periodic boxes: boxes, lattices that fill them, tails, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from fkflow.errors import RecipeError
from fkflow.hamiltonian.geometry import nearest_images
from fkflow.hamiltonian.registry import find_system
from fkflow.recipe.config import compose, make_system
from fkflow.systems import crystals

HELIUM = find_system("liquid_helium")


def system(name: str, **parameters: Any):
    return make_system(find_system(name), parameters)


def test_the_box_is_that_of_the_density() -> None:
    cube = system("liquid_helium", particles=16, density=0.02)
    assert math.prod(cube.box) == pytest.approx(16 / 0.02) and len(set(cube.box)) == 1
    assert system("liquid_helium", box=[12, 13.0, 14.0]).box == (12.0, 13.0, 14.0)
    assert system("dipoles2d", box=5.0).box == (5.0, 5.0)
    # a recipe keeps what was given
    again = compose(cube, {}).recipe.resolved()["system"]
    assert again["density"] == 0.02 and again["box"] is None


@pytest.mark.parametrize(
    ("start", "name", "particles", "neighbours"),
    [("fcc", "liquid_helium", 108, 12), ("hcp", "liquid_helium", 180, 12), ("triangular", "dipoles2d", 56, 6)],
)
def test_crystals_have_their_neighbours(start: str, name: str, particles: int, neighbours: int) -> None:
    """Every site has 12, or 6, nearest ones at one distance across the edges too; the twin: a box that is 2 % longer."""
    made = system(name, particles=particles, start=start, density=0.03)
    assert math.prod(made.box) == pytest.approx(particles / 0.03)
    counts = crystals.cells(start, particles, made.box)

    def nearest(box: tuple[float, ...]) -> set[int]:
        sites = torch.tensor(crystals.places(start, counts, box), dtype=torch.float64)
        apart = nearest_images((sites[:, None] - sites).movedim(-1, 0), box).norm(dim=0)
        apart.fill_diagonal_(math.inf)
        return set((apart < 1.0001 * apart.amin(1, keepdim=True)).sum(1).tolist())

    assert nearest(made.box) == {neighbours}
    assert nearest((1.02 * made.box[0], *made.box[1:])) != {neighbours}
    x = made.start(3, torch.Generator().manual_seed(0))
    assert x.shape == (3, particles, made.dimensions) and bool(made.potential(x).isfinite().all())


@pytest.mark.parametrize(
    "made",
    [
        HELIUM(particles=8),
        HELIUM(particles=20, dimensions=2, model_="HFD-B"),
        HELIUM(cutoff=4.0),
        find_system("para_hydrogen")(),
    ],
)
def test_tails(made: Any) -> None:
    """½ N ρ ∫ v over all beyond the cut-off, by another quadrature; the twin: a cut-off 2 % farther out."""
    dim, density = made.dimensions, made.particles / math.prod(made.box)

    def beyond(r: float) -> float:
        return (4 * math.pi * r**2 if dim == 3 else 2 * math.pi * r) * float(made.pair(torch.tensor(r)))

    def tail(end: float) -> float:
        return 0.5 * made.particles * density * (quad(beyond, end, 40.0)[0] + quad(beyond, 40.0, math.inf)[0])

    assert made.tail() == pytest.approx(tail(made.end), rel=1e-5)
    assert made.tail() != pytest.approx(tail(1.02 * made.end), rel=1e-3)


def test_tails_in_closed_form() -> None:
    dipoles = system("dipoles2d", particles=16, density=2.0, g=3.0)
    assert dipoles.tail() == pytest.approx(16 * math.pi * 2.0 * 3.0 / dipoles.end)
    assert system("hard_spheres").tail() == 0


def test_few_hard_spheres_in_a_large_box() -> None:
    """The expansion of many in a/L is that of Lee, Huang, Yang and Wu within its size correction; none where it is no good."""
    made = system("hard_spheres", particles=32, density=1e-4)
    root = math.sqrt(1e-4)
    bulk = 1 + 128 / (15 * math.sqrt(math.pi)) * root + 8 * (4 * math.pi / 3 - math.sqrt(3)) * 1e-4 * math.log(1e-4)
    assert made.reference().energy / 32 == pytest.approx(2 * math.pi * 1e-4 * bulk, rel=2e-3)
    # two in a box: the scattering length alone, E = 4π a/L³ (1 + 2.8373 a/L + …)
    two = system("hard_spheres", particles=2, box=1000.0).reference().energy
    assert two == pytest.approx(4 * math.pi / 1e9 * (1 + 2.837297e-3 + 6.375183e-6), rel=1e-8)
    assert system("hard_spheres", density=1e-2).reference() is None
    assert system("hard_spheres", box=[70.0, 70.0, 71.0]).reference() is None


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("liquid_helium", {"box": 9.0, "density": 0.02}, "density is given too"),
        ("liquid_helium", {"box": [9.0, 9.0]}, "a list of 3 sides"),
        ("liquid_helium", {"box": -1.0}, "the side of a box"),
        ("liquid_helium", {"cutoff": 6.0}, "half the shortest side of the box, which is 11.3545"),
        ("liquid_helium", {"start": "fcc", "particles": 30}, "30 particles do not fill a box that is nearly a cube"),
        ("liquid_helium", {"start": "fcc", "box": [9.0, 9.0, 10.0]}, "do not fill a box of 9 × 9 × 10"),
        ("liquid_helium", {"start": "triangular"}, "it is a lattice in 2 dimensions"),
        ("dipoles2d", {"start": "hcp"}, "it is a lattice in 3 dimensions"),
        ("hard_spheres", {"density": 1.42}, "32 spheres of that diameter do not fit"),
        ("hard_spheres", {"particles": 2, "box": 1.9}, "2 spheres of that diameter do not fit in a box of 1.9"),
        ("soft_disks", {"a": 3.0}, "half the shortest side of the box, which is 5.65685"),
    ],
)
def test_what_cannot_be_is_refused(name: str, parameters: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        system(name, **parameters)
    assert "\n" not in str(caught.value)


def test_the_densest_lattice_fits() -> None:
    """The twin of what does not: spheres at 99.9 % of the density of close packing."""
    made = system("hard_spheres", density=0.999 * math.sqrt(2), start="fcc")
    sites = torch.tensor([crystals.places("fcc", (2, 2, 2), made.box)], dtype=torch.float64)
    assert np.isfinite(float(made.potential(sites)))
