"""What a measurement says beside its numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fkflow.errors import NumericalError
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.variational import VariationalEstimator
from fkflow.measurement.walkers import choose_walker_count
from fkflow.networks.choice import build
from fkflow.recipe.config import MeasureConfig
from fkflow.sampling.metropolis import draw_evenly

HELIUM, BOSONS = to_unit_masses(find_system("helium")(trap=True)), find_system("bosons")(particles=2)


def measured(system: System, landscape: Landscape) -> VariationalEstimator:
    net = build(system, landscape, "auto", 6, 1, 0)
    x = landscape.start(64, torch.Generator().manual_seed(0))
    config = MeasureConfig(walkers=64, target_error=1e9)
    measuring = VariationalEstimator(net, system, landscape, config, x, 1, dt=0.01)
    for _ in range(4):
        measuring.sweep()
    return measuring


def test_walkers_where_v_is_no_number_are_told(landscape, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in half a space of which the user says nothing."""
    measuring = measured(BOSONS, landscape(BOSONS))
    real = type(BOSONS).potential
    monkeypatch.setattr(type(BOSONS), "potential", lambda self, x: real(self, x) + 0 * (0.3 - x[:, 0, 0]).log())
    with pytest.raises(NumericalError, match=r"V is not finite at \d+ walkers: .* must be inf"):
        measuring.sweep()


def test_a_cluster_that_parted_is_seen(landscape) -> None:
    """An energy above that of free particles, here one that is moved to either side of the energy measured."""
    system = HELIUM
    land = landscape(system)
    assert land.free is not None
    measuring = measured(system, land)
    energy = measuring.estimate().value
    for shift, parted in ((-1.0, True), (1.0, False)):
        measuring.landscape = replace(land, free=energy + shift)
        warnings = measuring.result().warnings
        assert any("that of free particles" in warning for warning in warnings) == parted
    # particles in a trap cannot part
    trapped = landscape(BOSONS)
    assert trapped.free is None and not measured(BOSONS, trapped).result().warnings


@pytest.mark.parametrize(("total", "count"), [(50, 7), (50, 50), (20, 50)])
def test_walkers_are_drawn_without_repetition_as_long_as_there_are_others(total: int, count: int) -> None:
    """The twin draws each by itself, as an earlier version did: some come again while a third of the others never come."""
    drawn = draw_evenly(total, count, torch.Generator().manual_seed(1))
    times = torch.bincount(drawn, minlength=total)
    assert len(drawn) == count and times.max() - times.min() <= 1 and times.max() == -(-count // total)
    assert not torch.equal(drawn, draw_evenly(total, count, torch.Generator().manual_seed(2)))
    if count >= total:
        alone = torch.randint(total, (count,), generator=torch.Generator().manual_seed(1))
        assert torch.bincount(alone, minlength=total).min() == 0


@pytest.mark.parametrize(
    ("walkers", "spread", "wanted"),
    [(100, math.nan, 100), (0, 1.0, 512), (0, 2.0, 2048), (0, 1e300, 4096), (0, math.inf, 4096), (0, math.nan, 512)],
)
def test_walkers_that_suit_a_target_error(walkers: int, spread: float, wanted: int) -> None:
    """20 energies of each reach it: 2000 for a spread of 200 errors; bounded, whatever the spread."""
    config = MeasureConfig(walkers=walkers, target_error=0.01)
    found: list[int] = []
    for chunk in (1024, 500, 100):
        net: Any = SimpleNamespace(chunk=chunk)
        found.append(choose_walker_count(net, config, lambda: spread))
    # fewer keep a processor busy if a chunk has few of them
    assert found == [wanted, min(wanted, 2048), min(wanted, 1024)]
