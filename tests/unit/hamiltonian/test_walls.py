"""Hard walls found from the values of V, the mean field of potentials without a gradient, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.hamiltonian import mean_field, wall_probe
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.line_states import drops
from fkflow.hamiltonian.wall_search import find_walls
from fkflow.hamiltonian.walls import Ball, HalfLine, WallError, Walls, describe_region


def system(
    potential: Callable[[Tensor], Tensor], particles: int = 1, dimensions: int = 1, **more: Any
) -> fkflow.System:
    """A system of this potential."""
    names = {"particles": particles, "dimensions": dimensions, **more}
    notes = {name: ClassVar[Any] for name in names if not callable(names[name])}
    body = {"__annotations__": notes, "__module__": __name__, "potential": lambda self, x: potential(x), **names}
    return type("Test", (fkflow.System,), body)()


def walls(inside: Tensor, v: Tensor | float = 0.0) -> Tensor:
    """`v` where it is inside, else infinity."""
    return torch.where(inside, torch.as_tensor(v, dtype=torch.float64), math.inf)


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


def deviation(one: fkflow.System) -> list[float]:
    return [float(s) for s in explore(one).covariance.diagonal().sqrt()]


def test_the_scale_of_flat_regions() -> None:
    """The spread of ψ² in a box is 0.1808 L whatever the units; a wall of finite height lets it reach a little farther."""
    flat = math.sqrt(1 / 12 - 0.5 / math.pi**2)
    for length in (1e-3, 1.0, 1e4):
        box = system(lambda x, length=length: walls((x[:, 0, 0] - 3 * length).abs() < 0.5 * length))
        landscape = explore(box)
        assert math.isclose(deviation(box)[0], flat * length, rel_tol=1e-2)
        assert math.isclose(float(landscape.centre), 3 * length, rel_tol=1e-2)
        assert math.isclose(landscape.length, length / (math.sqrt(2) * math.pi), rel_tol=2e-2)
    high = system(lambda x: torch.where(x[:, 0, 0].abs() > 0.5, 50.0, 0.0).to(x.dtype))
    # the square well: k tan(k/2) = √(100 − k²), k² = 6.827
    assert math.isclose(deviation(high)[0], 0.2155, rel_tol=0.05)


def test_the_scale_where_a_wall_is_not_alone() -> None:
    """Half an oscillator, x² e^(−x²): mean 2/√π, variance 3/2 − 4/π; an oscillator far from its walls is one without."""
    half = explore(system(lambda x: walls(x[:, 0, 0] > 0, 0.5 * x[:, 0, 0] ** 2)))
    assert math.isclose(float(half.centre), 2 / math.sqrt(math.pi), rel_tol=2e-2)
    assert math.isclose(float(half.covariance), 1.5 - 4 / math.pi, rel_tol=4e-2)
    free = explore(system(lambda x: walls(x[:, 0, 0].abs() < 30, 0.5 * x[:, 0, 0] ** 2)))
    assert (
        math.isclose(float(free.covariance), 0.5, rel_tol=4e-2) and free.loose is not None and float(free.loose) > 0.9
    )


def test_a_second_well_is_in_the_state_along_its_axis() -> None:
    """The narrow well beyond a barrier, and the wall behind it, are in the table: psi falls on both sides."""

    def wells(x: Tensor) -> Tensor:
        q = x[:, 0, 0]
        inside = ((q > -3) & (q < -1)) | ((q > 0) & (q < 2.5))
        return torch.where(inside, 0.0, torch.where((q > -3) & (q < 2.5), 6.0, 40.0)).to(x.dtype)

    (line,) = explore(system(wells)).lines
    assert float(line.nodes[0]) < -3 and float(line.nodes[-1]) > 2.5
    assert all(drop < -18 for drop in drops(line.coefficients))
    # log psi of a table that ends inside the narrow well does not fall towards that end
    inside = int((line.nodes < -2).sum())
    assert drops(line.coefficients[inside:])[0] > -18


def test_particles_in_a_ring_are_all_around_it() -> None:
    ring = explore(system(lambda x: walls((x[:, 0].norm(dim=1) > 0.8) & (x[:, 0].norm(dim=1) < 2)), dimensions=2))
    assert ring.walls is not None and describe_region(ring.walls.regions[0], 1.0) == "(x, y) within 2 curved surfaces"
    # <r²>/2 of the state between the circles
    assert torch.allclose(ring.covariance, 1.03 * torch.eye(2, dtype=torch.float64), atol=0.05)
    assert float(ring.centre.abs().max()) < 0.05
    assert ring.places is not None and 0.3 < float((ring.places[:, 0, 0] > 0).double().mean()) < 0.7


def test_a_well_between_steps_of_two_heights() -> None:
    """ψ falls at two rates: the grid follows the slower one without losing the well, and the state along it is exact."""

    def well(x: Tensor) -> Tensor:
        q = x[:, 0, 0]
        return torch.where(q < 0, 1.5, torch.where(q < 1.4, -1.0, 0.0)).double()

    land = explore(system(well))
    (line,) = land.lines
    # the bound state of a square well: tan(k w) = k (a + b)/(k² − a b)
    energy = -0.3234003793
    k, a, b = (math.sqrt(2 * abs(energy - v)) for v in (-1.0, 1.5, 0.0))
    assert math.tan(1.4 * k) == pytest.approx(k * (a + b) / (k * k - a * b), rel=1e-6)
    slopes = {
        place: float(line.coefficients[i, 1] / line.nodes.diff()[i]) for i, place in enumerate(line.nodes[:-1].tolist())
    }
    inside = {place: slope for place, slope in slopes.items() if abs(place) < 1e-9 or abs(place - 1.4) < 1e-9}
    assert sorted(inside) == pytest.approx([0.0, 1.4], abs=1e-9)
    left, right = (inside[place] for place in sorted(inside))
    assert left == pytest.approx(a, rel=1e-4) and right == pytest.approx(-b, rel=1e-4)
    assert abs(left - b) > 0.1


@pytest.mark.parametrize("dimensions", [1, 2])
def test_all_wells_between_walls_are_seen(dimensions: int) -> None:
    """Walkers start in the narrow well, where φ0 is, even though most places that are tried are in the wide one."""
    wide, narrow = torch.full((dimensions,), 1.5).double(), torch.full((dimensions,), 4.6).double()

    def height(x: Tensor, depth: float) -> Tensor:
        dimple = depth * torch.exp(-(x[:, 0] - narrow).square().sum(1) / 0.3)
        well = -3.0 * torch.exp(-(x[:, 0] - wide).square().sum(1) / 1.5) - dimple
        return walls(((x > 0) & (x < 6)).all(2).all(1), well)

    deep, shallow = (explore(system(lambda x, d=d: height(x, d), 1, dimensions)) for d in (12.0, 1.0))
    for land, well in ((deep, narrow), (shallow, wide)):
        assert land.places is not None
        assert float(((land.places[:, 0] - well).norm(dim=1) < 1.3).double().mean()) > 0.9


def test_pits_elsewhere_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places that are tried lie in the larger of two round pits; φ0 is in the deeper one."""

    def pits(x: Tensor) -> Tensor:
        near = (x[:, 0] - x.new_tensor([1.8, 0.5])).norm(dim=1) < 1.3
        far = (x[:, 0] - x.new_tensor([-2.0, 0.0])).norm(dim=1) < 1.0
        return torch.where(far, -5.0, torch.where(near, -4.0, 0.0)).double()

    def share() -> float:
        places = explore(system(pits, dimensions=2)).places
        assert places is not None
        return float((places[:, 0, 0] < -0.5).double().mean())

    assert share() > 0.9
    monkeypatch.setattr(mean_field, "_wider_window", lambda *given: None)
    assert share() < 0.1


def test_an_attraction_that_is_singular_at_a_wall() -> None:
    """z e^(−z/4) in V = −1/(4z): the grid grows until it has the state, and no farther. Mean 6, variance 12."""
    land = explore(system(lambda x: walls(x[:, 0, 0] > 0, -0.25 / x[:, 0, 0])))
    assert float(land.centre) == pytest.approx(6, rel=0.03) and float(land.covariance) == pytest.approx(12, rel=0.06)
