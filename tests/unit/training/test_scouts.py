"""Exploring walkers: where they go, their weights, and that they remove a maximum that no walker finds."""

from __future__ import annotations

import pytest
import torch
from landscapes import explore
from torch import Tensor, nn

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, build
from fkflow.recipe.config import TrainConfig
from fkflow.sampling.broad import BroadDensity
from fkflow.sampling.metropolis import Walkers
from fkflow.training import scouts
from fkflow.training.loop import initial_state, train

BOSONS = find_system("bosons")(particles=3)


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        (BOSONS, True),
        (find_system("bosons")(particles=2, g=0.0), True),
        (find_system("harmonic")(particles=2), True),
        (find_system("bosons")(particles=1), False),
        (find_system("chain")(particles=4), False),
        (find_system("ions")(), False),
        (find_system("dipoles")(), False),
        (find_system("helium")(), False),
        (find_system("h2")(), False),
        (find_system("quartic")(), False),
    ],
    ids=lambda value: value.key if isinstance(value, System) else None,
)
def test_systems_with_exploring_walkers(system: System, wanted: bool) -> None:
    assert scouts.useful(system) is wanted


@pytest.mark.parametrize("particles", [2, 4, 12])
def test_contracted_particles(particles: int) -> None:
    """Some follow one that stays, all by the same share of the way; the others stay."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, particles, 2, generator=generator, dtype=torch.float64)
    contracted = scouts.contract(x, generator)
    moved = (contracted != x).any(-1)
    share = min(0.75, 3 / particles) * (particles - 1) / particles
    assert abs(float(moved.double().mean()) - share) < 0.01
    for before, after, who in zip(x[:200], contracted[:200], moved[:200], strict=True):
        if not who.any():
            continue
        left = [(after[who] - centre).norm(dim=1) / (before[who] - centre).norm(dim=1) for centre in before[~who]]
        assert min(float(shares.max() - shares.min()) for shares in left) < 1e-12
        assert min(float(shares.max()) for shares in left) < 1


def test_they_count_for_little_or_not_at_all() -> None:
    x = explore(BOSONS).start(6, torch.Generator().manual_seed(0))
    log_psi = torch.tensor([0.0, 1.0, 50.0, -torch.inf, torch.nan, 0.0], dtype=torch.float64)
    energies = torch.tensor([7.0, 7.0, 8.0, 7.0, 7.0, torch.inf], dtype=torch.float64)
    found = scouts.evaluate(Walkers(x, 0.1, log_psi=log_psi, drift=torch.zeros_like(x)), energies, log_psi[:2], 2, 4)
    assert found.weights.tolist() == [scouts.WEIGHT, 0.0, 0.0, 0.0] and torch.equal(found.x, x[2:])


class Peaked(LogPsi):
    """A good network with a peak of learnable height where all particles are in one place."""

    def __init__(self, base: LogPsi) -> None:
        super().__init__()
        self.base = base
        self.height = nn.Parameter(torch.tensor(10.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        apart = (x - x.mean(1, keepdim=True)).square().sum((1, 2))
        return self.base(x) + self.height * (-apart / 0.05).exp()


@pytest.mark.parametrize(
    ("share", "reach", "iterations", "lowest", "highest"),
    [(0.125, scouts.REACH, 30, -5.0, 5.0), (0.125, 0.0, 15, 9.0, 11.5), (0.0, scouts.REACH, 15, 9.5, 10.5)],
    ids=["as shipped", "no higher than walkers", "no scouts"],
)
def test_a_peak_that_no_walker_finds_goes(
    share: float, reach: float, iterations: int, lowest: float, highest: float, monkeypatch
) -> None:
    """Without exploring walkers the peak stays, except where a walker strays there, in one seed of five or so; with energies
    clamped to those of the walkers it stays too. No walker looks for crowds here."""
    monkeypatch.setattr(scouts, "REACH", reach)
    monkeypatch.setattr(BroadDensity, "log_crowding", lambda density, x: 0.0)
    land = explore(BOSONS)
    config = TrainConfig(walkers=256, iterations=iterations, scouts=share, stop_spread=0.0)
    heights = []
    for seed in range(3):
        net = Peaked(build(BOSONS, land, "auto", 4, 1, seed))
        for _ in train(BOSONS, land, config, initial_state(net, land, config, seed, "cpu", BOSONS)):
            pass
        heights.append(float(net.height.detach()))
    assert lowest < sorted(heights)[1] < highest, heights


def test_bound_of_the_energy_of_an_exploring_walker() -> None:
    """In proportion to |psi|^2 over its median, constant where that is larger, 0 where it is unknown."""
    walkers = torch.tensor([-9.0, -2.0, 1.0], dtype=torch.float64)
    places = torch.tensor([4.0, -2.0, -3.0, -20.0, -torch.inf, torch.nan], dtype=torch.float64)
    found = (scouts.reach(places, walkers) / scouts.REACH).tolist()
    assert found == pytest.approx([1.0, 1.0, 0.1353352832, 2.3195e-16, 0.0, 0.0], rel=1e-4, abs=1e-20)


def test_walkers_taken_to_wells_keep_their_place_in_the_well() -> None:
    """Each is as far from the well it comes to as from the one it was in, and comes to every well as often."""
    wells = torch.tensor([[-2.0, 0.0], [2.0, 0.5], [0.0, 3.0]], dtype=torch.float64)[:, None]
    generator = torch.Generator().manual_seed(0)
    home = torch.arange(3000) % 3
    inside = 0.2 * torch.randn(3000, 1, 2, generator=generator, dtype=torch.float64)
    carried = scouts.carry(wells[home] + inside, wells, generator)
    reached = torch.cdist(carried.flatten(1), wells.flatten(1)).argmin(1)
    torch.testing.assert_close(carried - wells[reached], inside)
    shares = torch.bincount(3 * home + reached, minlength=9) / 3000
    assert float((shares - 1 / 9).abs().max()) < 4 * (1 / 9 / 3000) ** 0.5
