"""Hard walls found from the values of V, the mean field of potentials without a gradient, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from walled_systems import system, walls

import fkflow
from fkflow.hamiltonian import wall_probe
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.wall_search import find_walls
from fkflow.hamiltonian.walls import Ball, HalfLine, WallError, Walls, describe_region


def found(one: fkflow.System) -> Walls | None:
    return find_walls(one, torch.Generator().manual_seed(0))


def close(region: tuple[Ball | HalfLine, ...], expected: tuple[Ball | HalfLine, ...]) -> bool:
    """Whether two regions are the same, powers to five digits."""

    def numbers(piece: Ball | HalfLine) -> list[float]:
        found = [*piece.centre, piece.radius] if isinstance(piece, Ball) else [piece.edge, piece.sign]
        return [*found, piece.power]

    return [(type(p), p.axes) for p in region] == [(type(p), p.axes) for p in expected] and all(
        math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-9)
        for p, q in zip(region, expected, strict=True)
        for a, b in zip(numbers(p), numbers(q), strict=True)
    )


def apart(x: Tensor, distance: float) -> Tensor:
    """Whether no two particles are closer."""
    return (fkflow.pair_squares(x) > distance**2).all(0)


REGIONS: dict[str, tuple[fkflow.System, tuple[Ball | HalfLine, ...]]] = {
    "box": (system(lambda x: walls((x[:, 0, 0] > 0) & (x[:, 0, 0] < 1))), (Ball((0,), (0.5,), 0.5),)),
    "far box": (system(lambda x: walls((x[:, 0, 0] > 100) & (x[:, 0, 0] < 101))), (Ball((0,), (100.5,), 0.5),)),
    "half-line": (system(lambda x: walls(x[:, 0, 0] > -2, x[:, 0, 0] ** 2)), (HalfLine((0,), -2.0, 1.0),)),
    "mirrored": (system(lambda x: walls(x[:, 0, 0] < -2, x[:, 0, 0] ** 2)), (HalfLine((0,), -2.0, -1.0),)),
    "rectangle": (
        system(lambda x: walls((x[:, 0, 0].abs() < 1) & ((x[:, 0, 1] - 2).abs() < 3)), dimensions=2),
        (Ball((0,), (0.0,), 1.0), Ball((1,), (2.0,), 3.0)),
    ),
    "disc": (system(lambda x: walls(x.square().sum((1, 2)) < 4), dimensions=2), (Ball((0, 1), (0.0, 0.0), 2.0),)),
    "sphere": (
        system(lambda x: walls((x - 1).square().sum((1, 2)) < 4), dimensions=3),
        (Ball((0, 1, 2), (1.0, 1.0, 1.0), 2.0),),
    ),
    "tube": (
        system(lambda x: walls(x[:, 0, [0, 2]].square().sum(1) < 4, x[:, 0, 1] ** 2), dimensions=3),
        (Ball((0, 2), (0.0, 0.0), 2.0),),
    ),
    "rods": (system(lambda x: walls((x.abs() < 1).all(2).all(1) & apart(x, 0.1)), 4), (Ball((0,), (0.0,), 1.0),)),
    "crowded rods": (
        system(lambda x: walls(((x > 0) & (x < 8)).all(2).all(1) & apart(x, 1.2)), 4),
        (Ball((0,), (4.0,), 4.0),),
    ),
    "infinite towards its walls": (
        system(lambda x: walls(x[:, 0, 0].abs() < math.pi / 2, 3 / x[:, 0, 0].cos() ** 2)),
        (Ball((0,), (0.0,), math.pi / 2, 3.0),),
    ),
    "p wave": (
        system(lambda x: walls(x[:, 0, 0] > 0, x[:, 0, 0] ** -2 - 1 / x[:, 0, 0])),
        (HalfLine((0,), 0.0, 1.0, 2.0),),
    ),
    "infinite towards one wall": (
        system(lambda x: walls((x[:, 0, 0] > 0) & (x[:, 0, 0] < 2), x[:, 0, 0] ** -2)),
        (Ball((0,), (1.0,), 1.0), HalfLine((0,), 0.0, 1.0, 1.0)),
    ),
    # faster than any power of ψ balances
    "spiked": (
        system(lambda x: walls(x[:, 0, 0] > 0, x[:, 0, 0] ** -4 + x[:, 0, 0] ** 2)),
        (HalfLine((0,), 0.0, 1.0, 6.0),),
    ),
    "hard spheres in a sphere": (
        system(lambda x: walls((x.square().sum(2) < 1).all(1) & apart(x, 0.3)), 3, 3),
        (Ball((0, 1, 2), (0.0, 0.0, 0.0), 1.0),),
    ),
}


@pytest.mark.parametrize("name", REGIONS)
def test_walls_are_found(name: str) -> None:
    one, expected = REGIONS[name]
    region = found(one)
    assert region is not None and all(close(each, expected) for each in region.regions)
    assert len(region.regions) == one.particles


@pytest.mark.parametrize(
    ("name", "unit", "words"),
    [
        ("mirrored", 2.0, "x < -4"),
        ("rectangle", 1.0, "-1 < x < 1, -1 < y < 5"),
        ("sphere", 0.5, "(x, y, z) within 1 of (0.5, 0.5, 0.5)"),
        ("tube", 1.0, "(x, z) within 2 of (0, 0)"),
        ("infinite towards one wall", 1.0, "0 < x < 2"),
    ],
)
def test_regions_in_words(name: str, unit: float, words: str) -> None:
    assert describe_region(REGIONS[name][1], unit) == words


@pytest.mark.parametrize(
    ("centre", "radius", "one"),
    [
        (1.0, 0.5, system(lambda x: walls((x[:, 0] - 1).square().sum(1) > 0.25, 0.5 * x[:, 0].square().sum(1)), 1, 2)),
        (0.0, 1.0, system(lambda x: walls(x[:, 0].square().sum(1) > 1, -6.0 * (x[:, 0].norm(dim=1) < 2)), 1, 3)),
        (0.0, 0.5, system(lambda x: walls(x[:, 0].norm(dim=1) > 0.5, (x[:, 0].norm(dim=1) - 6) ** 2), 1, 3)),
    ],
    ids=["a disc beside the origin", "a core in a square well", "a small core"],
)
def test_walls_around_which_the_particle_may_be(centre: float, radius: float, one: fkflow.System) -> None:
    region = found(one)
    assert region is not None
    x = centre + radius * torch.randn(400, one.dimensions, generator=torch.Generator().manual_seed(1)).double()
    assert torch.equal(region.inside(0, x), (x - centre).norm(dim=1) > radius)


def test_a_core_that_overflows_is_no_wall() -> None:
    """r^(−12) in single precision is infinite below 6e-4; it is so far larger than all energies before."""
    assert found(system(lambda x: x[:, 0].square().sum(1) + x[:, 0].float().square().sum(1) ** -6, 1, 3)) is None


def test_a_wall_elsewhere_is_another_wall() -> None:
    region = found(system(lambda x: walls((x[:, 0, 0] > 0) & (x[:, 0, 0] < 1.0001))))
    assert region is not None and not close(region.regions[0], (Ball((0,), (0.5,), 0.5),))


def test_particles_that_differ_have_their_own_walls() -> None:
    one = system(
        lambda x: walls((x[:, 0, 0].abs() < 1) & (x[:, 1, 0] > -2), x.square().sum((1, 2))), 2, identical=False
    )
    region = found(one)
    assert region is not None
    assert close(region.regions[0], (Ball((0,), (0.0,), 1.0),)) and close(
        region.regions[1], (HalfLine((0,), -2.0, 1.0),)
    )


@pytest.mark.parametrize(
    "one",
    [
        system(lambda x: x[:, 0, 0].cosh()),
        system(lambda x: (1 - (-x[:, 0, 0]).exp()) ** 2),
        system(lambda x: walls(apart(x, 0.1), x.square().sum((1, 2))), 4, 3),
        system(lambda x: x.square().sum((1, 2)) + fkflow.pair_squares(x).rsqrt().sum(0), 3, 2),
    ],
    ids=["overflow", "overflow on one side", "hard spheres in a trap", "charges in a trap"],
)
def test_what_is_no_wall(one: fkflow.System) -> None:
    assert found(one) is None


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (
            system(
                lambda x: walls((x[:, 0].amin(1) < 1) & (x[:, 0].amin(1) > 0) & (x[:, 0].amax(1) < 2)), dimensions=2
            ),
            "def b",
        ),
        (system(lambda x: walls(x[:, 0, 0].abs() > 1, x[:, 0, 0] ** 2)), "def boundary"),
        (system(lambda x: walls((x[:, 0, 0].abs() > 1) & (x[:, 0, 0].abs() < 2))), "def boundary"),
        (system(lambda x: walls(x[:, 0, 0] > 1e20)), "def start"),
        (
            system(
                lambda x: walls(x.square().sum((1, 2)) < 4),
                dimensions=2,
                boundary=lambda self, x: 1 - x.square().sum(-1),
            ),
            "boundary",
        ),
    ],
    ids=["L", "hole", "two boxes", "nowhere", "wrong boundary"],
)
def test_what_is_refused(one: fkflow.System, says: str) -> None:
    with pytest.raises(WallError, match=says):
        explore(one)


def test_others_that_are_in_the_way_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without moves of the others, what the particle cannot reach would not be inside the walls."""
    monkeypatch.setattr(wall_probe, "_shuffled", lambda system, x, generator: x)
    with pytest.raises(WallError, match="def boundary"):
        found(REGIONS["crowded rods"][0])


def test_a_stated_boundary() -> None:
    def boundary(self: Any, x: Tensor) -> Tensor:
        return 4 - x[..., 0] ** 2 - 2 * x[..., 1] ** 2

    region = found(system(lambda x: walls(boundary(None, x[:, 0]) > 0), dimensions=2, boundary=boundary))
    assert region is not None and region.stated


def stadium(x: Tensor) -> Tensor:
    """The squared distance from the axis of a stadium (…), whose second derivative jumps, of places (…, 2)."""
    return (x[..., 0].abs() - 1).clamp(min=0) ** 2 + x[..., 1] ** 2


@pytest.mark.parametrize(
    ("boundary", "smooth"),
    [
        (lambda self, x: 1 - stadium(x), True),
        (lambda self, x: 1 - stadium(x).sqrt(), False),
        (lambda self, x: torch.minimum(1 - x[..., 1].square(), 4 - x[..., 0].square()), False),
        (lambda self, x: (1 - x[..., 1].square()) * (4 - x[..., 0].square()).clamp(min=0), True),
    ],
    ids=["square", "distance", "minimum", "product"],
)
def test_a_boundary_with_an_edge_is_refused(boundary: Callable[[Any, Tensor], Tensor], smooth: bool) -> None:
    """The energy of a stadium was a third of the right one: ψ has an edge where the distance from the wall has one."""
    one = system(lambda x: walls(boundary(None, x[:, 0]) > 0), dimensions=2, boundary=boundary)
    if smooth:
        region = found(one)
        assert region is not None and region.stated
        return
    with pytest.raises(WallError, match="slope of boundary"):
        found(one)
