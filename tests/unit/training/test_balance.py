"""Wells that are alike have the same part of ψ, whatever a training made of them."""

from __future__ import annotations

import math

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, build
from fkflow.recipe.config import TrainConfig
from fkflow.training.balance import LOST, balance, missing
from fkflow.training.loop import initial_state


class Wells(System):
    """Two wells, tilted."""

    key = "two_wells"
    particles: int = 1
    dimensions = 2
    tilt: float = 0.0

    def potential(self, x: Tensor) -> Tensor:
        u, v = x[:, 0].unbind(1)
        return 3.0 * ((u / 1.5).square() - 1).square() + 0.5 * v.square() + self.tilt * u


class Leaning(LogPsi):
    """A network times e^(lean · u/1.5)."""

    def __init__(self, base: LogPsi, lean: float) -> None:
        super().__init__()
        self.base = base
        self.lean = torch.nn.Parameter(torch.tensor(lean, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.lean * x[:, 0, 0] / 1.5


def prepared(tilt: float, lean: float) -> tuple[System, object, LogPsi, object]:
    system = Wells(tilt=tilt)
    land = explore(system)
    net = Leaning(build(system, land, "auto", 8, 2, 0), lean)
    config = TrainConfig(walkers=512)
    return system, land, net, initial_state(net, land, config, 0, "cpu", system)


def test_a_lost_well_gets_its_part_back() -> None:
    """log ψ of the two wells differs by 2 · 1.2 before, by little after; walkers are in both."""
    system, land, net, state = prepared(0.0, 1.2)
    before = missing(net, land, system)
    assert float(before.max()) == pytest.approx(2.4, abs=0.3) and float(before.min()) == 0.0
    state.walkers.x = state.walkers.x[state.walkers.x[:, 0, 0] > 0][:200]
    assert balance(net, land, system, state)
    assert float(missing(net, land, system).max()) < 0.2
    share = float((state.walkers.x[:, 0, 0] > 0).double().mean())
    assert 0.3 < share < 0.7


@pytest.mark.parametrize(("tilt", "lean"), [(0.0, 0.4 * LOST), (0.05, 1.2)], ids=["little", "wells differ"])
def test_wells_that_differ_or_are_nearly_equal_stay(tilt: float, lean: float) -> None:
    """A tilt makes one well lower: how much of ψ is in it, the training must find."""
    system, land, net, state = prepared(tilt, lean)
    assert len(land.wells(system)) == 2
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert not balance(net, land, system, state)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in net.state_dict().items())


class Rows(System):
    """Five wells in a row, the outer ones higher."""

    key = "five_wells"
    particles: int = 1
    dimensions = 1

    def potential(self, x: Tensor) -> Tensor:
        q = x[:, 0, 0]
        return 6.0 * (1.5 * q).sin().square() + 0.1 * q.square()


@pytest.mark.parametrize(("low", "lacks", "seen"), [(0.06, 3.0, True), (0.06, 0.9, False), (0.02, 5.0, False)])
def test_a_low_well_that_lost_nearly_all_counts(low: float, lacks: float, seen: bool) -> None:
    """ψ of the outermost wells is `low` of that in the middle, and e^(−lacks) of that in one of the two.

    What is lost of ψ decides: half of a well of a tenth counts, all of one of a fiftieth does not.
    """
    system = Rows()
    land = explore(system)
    outer = float(land.wells(system).abs().max())

    class Made(LogPsi):
        def __init__(self) -> None:
            super().__init__()
            self.fall = torch.nn.Parameter(torch.tensor(-math.log(low) / outer**2, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            q = x[:, 0, 0]
            return -self.fall * q.square() - lacks * (q < -0.8 * outer)

    found = missing(Made(), land, system)
    assert float(found.max()) == pytest.approx(lacks if seen else 0.0, abs=1e-6)
