"""The scale of potentials with walls or steps, and what psi is along their axes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from walled_systems import deviation, system, walls

from fkflow.hamiltonian import mean_field
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.line_states import drops
from fkflow.hamiltonian.walls import describe_region


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
