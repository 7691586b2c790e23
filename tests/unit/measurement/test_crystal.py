"""Displacements from the sites of a crystal: closed forms, crystals that drift or melt, checkpoints without them."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from fkflow.errors import PotentialError
from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.crystal import AT_SITES, DISPLACEMENT, Crystal, melted
from fkflow.measurement.liquid import LiquidMeasurement
from fkflow.measurement.observables import ObservableAverages
from fkflow.recipe.config import make_system
from fkflow.results.liquid import Liquid
from fkflow.statistics import Estimate, z_score

WALKERS, WIDTH = 1200, 0.1


def crystal(start: str, particles: int) -> tuple[System, Crystal]:
    name = "charges2d" if start == "triangular" else "liquid_helium"
    system = make_system(find_system(name), {"start": start, "particles": particles})
    return system, Crystal(system.crystal_sites(), sides(system), torch.device("cpu"))


def noise(system: System, seed: int = 0) -> torch.Tensor:
    shape = WALKERS, system.particles, system.dimensions
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("start", "particles"), [("fcc", 32), ("hcp", 48), ("triangular", 12)])
def test_crystals_that_move_as_a_whole(start: str, particles: int) -> None:
    """Gaussian displacements have D w² (1 − 1/N), wherever the crystal and each particle have gone; the twin: D w²."""
    system, found = crystal(start, particles)
    walkers = WALKERS if particles < 40 else 400
    dim, box = system.dimensions, torch.tensor(sides(system), dtype=torch.float64)
    along = torch.randn(walkers, 1, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = system.crystal_sites() + WIDTH * found.nearest * noise(system)[:walkers] + 3 * box * along
    order = torch.randperm(particles, generator=torch.Generator().manual_seed(4))
    x = (x + box * noise(system, 2)[:walkers].round())[:, order]
    columns = found.columns(x)
    square = columns[DISPLACEMENT]
    error, exact = float(square.std()) / math.sqrt(walkers), dim * WIDTH**2 * (1 - 1 / particles)
    assert abs(z_score(float(square.mean()), error, exact)) < 4
    if particles < 40:
        assert abs(z_score(float(square.mean()), error, dim * WIDTH**2)) > 4
    assert float(columns[AT_SITES].mean()) > 0.9999


def test_masses_and_units_do_not_matter() -> None:
    """In coordinates of unit mass, in which helium is solved, the same numbers; the twin: sites that stay in ångström."""
    system, found = crystal("fcc", 32)
    x = system.crystal_sites() + WIDTH * found.nearest * noise(system)[:50]
    own = to_unit_masses(system)
    scaled = Crystal(own.crystal_sites(), sides(own), torch.device("cpu")).columns(own.root(x) * x)
    wrong = Crystal(system.crystal_sites(), sides(own), torch.device("cpu")).columns(own.root(x) * x)
    assert torch.allclose(scaled[DISPLACEMENT], found.columns(x)[DISPLACEMENT])
    assert not torch.allclose(wrong[DISPLACEMENT], found.columns(x)[DISPLACEMENT], rtol=0.1)


def test_particles_that_leave_their_sites() -> None:
    """Two particles at one site, one of them given to a far site; of an ideal gas about 0.56 are at sites."""
    system, found = crystal("fcc", 32)
    x = system.crystal_sites() + 0.3 * WIDTH * found.nearest * noise(system)
    x[:, 1] = x[:, 0] + 0.1
    assert found.columns(x)[AT_SITES].tolist() == pytest.approx([31 / 32] * WALKERS)
    box = torch.tensor(sides(system), dtype=torch.float64)
    anywhere = torch.rand(x[:100].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * box
    assert 0.5 < float(found.columns(anywhere)[AT_SITES].mean()) < 0.65


def measured(system: System, x: torch.Tensor) -> tuple[ObservableAverages, dict]:
    """The averages of the functions of places alone, at x."""
    part = LiquidMeasurement.__new__(LiquidMeasurement)
    part.crystal = Crystal(system.crystal_sites(), sides(system), torch.device("cpu"))
    averages = ObservableAverages(system, x, part.crystal.columns)
    averages.add(x, torch.ones(len(x), dtype=torch.float64))
    return averages, averages.averages()


def liquid(averages: dict) -> Liquid:
    from fkflow.measurement.liquid import _of_crystal

    return Liquid(1.0, "", {}, _of_crystal(averages))


def test_a_melted_crystal_has_no_ratio() -> None:
    """Lindemann's ratio with its error, and a warning in its place where particles are anywhere."""
    system, _ = crystal("triangular", 12)
    spacing = 2**0.5 / 3**0.25
    solid = liquid(measured(system, system.crystal_sites() + WIDTH * spacing * noise(system))[1])
    ratio = solid.numbers["lindemann_ratio"]
    assert abs(z_score(ratio.value, ratio.error, WIDTH * math.sqrt(2 * 11 / 12))) < 4
    assert 0 < ratio.error < 0.05 * ratio.value
    assert melted(solid) == []
    gone = liquid(measured(system, 9 * noise(system))[1])
    assert "lindemann_ratio" not in gone.numbers and gone.numbers["particles_at_sites"].value < 0.7
    (warning,) = melted(gone)
    assert warning.startswith("this is no crystal")
    # the ground state has, ψ has not
    both = {
        DISPLACEMENT: [(Estimate(0.01, 1e-4), Estimate(0.5, 0.1))],
        AT_SITES: [(Estimate(1.0, 0.0), Estimate(0.5, 0.1))],
    }
    assert melted(liquid(both))


def test_a_measurement_of_an_older_version_goes_on_without_them() -> None:
    """The columns it did not have are left out; those that it had are the same."""
    system, found = crystal("triangular", 12)
    x = system.crystal_sites() + 0.1 * noise(system)
    older = ObservableAverages(system, x, lambda x: {"old": x[:, :, 0]})
    newer = ObservableAverages(system, x, lambda x: {"old": x[:, :, 0], **found.columns(x)})
    older.add(x, torch.ones(WALKERS, dtype=torch.float64))
    newer.load_state_dict(copy.deepcopy(older.state_dict()))
    for each in (older, newer):
        each.add(x.flip(0), torch.ones(WALKERS, dtype=torch.float64))
    assert newer.averages() == older.averages() and list(newer.averages()) == ["old"]


class Pair(System):
    """Two soft particles in a periodic square with sites as given."""

    particles = 2
    dimensions = 2
    box = 4.0
    places: tuple[tuple[float, float], ...] = ((0.0, 0.0), (2.0, 2.0))

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return (math.pi / 2 * (x[:, 0] - x[:, 1])).cos().sum(-1)

    def crystal_sites(self) -> torch.Tensor:
        return torch.tensor(self.places)


class Open(Pair):
    """The same in open space."""

    box = None

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().sum((1, 2))


def test_wrong_sites_are_told() -> None:
    check(Pair())
    with pytest.raises(PotentialError, match=r"crystal_sites\(\) must give finite places of the shape \(2, 2\)"):
        check(Pair(places=((0.0, 0.0),)))
    with pytest.raises(PotentialError, match="for a periodic box"):
        check(Open())
