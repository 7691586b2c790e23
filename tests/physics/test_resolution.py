"""Local energies that change within a fraction of a move: projected without bias, and with one where nothing is done."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from landscapes import explore

from fkflow.execution.pulse import Pulse
from fkflow.hamiltonian.registry import find_system
from fkflow.measurement import variational
from fkflow.networks.choice import LogPsi
from fkflow.projection import plan, project
from fkflow.projection.resolution import Unresolved, find_limit, left_out
from fkflow.recipe.sections import MeasureConfig, ProjectConfig
from fkflow.results.records import Projection
from fkflow.sampling.metropolis import Walkers
from fkflow.statistics import z_score

WELL = find_system("harmonic")(particles=1, dimensions=1)


class Rippled(LogPsi):
    """log ψ = −½x² + a cos kx: a ripple that is gone after the time 2/k², with local energies ½ a k² cos kx."""

    width = 4

    def __init__(self, height: float = 0.02, number: float = 20.0) -> None:
        super().__init__()
        self.height, self.number = height, number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -0.5 * x[:, 0, 0].square() + self.height * (self.number * x[:, 0, 0]).cos()

    def value_and_drift(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self(x), -x - self.height * self.number * (self.number * x).sin()


@pytest.fixture(autouse=True)
def work_for_time(monkeypatch) -> None:
    """Budgets of seconds become amounts of work."""
    for module in (project, variational):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=itertools.count(step=0.02).__next__))
    monkeypatch.setattr(Pulse, "late", lambda *_: False)


def ripple(seconds: float = 20.0) -> tuple[Projection, float]:
    """The projection of a ripple in a well, and the limit of local energies in its weights."""
    start = 0.5**0.5 * torch.randn(2048, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = MeasureConfig(walkers=2048, target_error=6e-3, seconds=5.0)
    measuring = variational.VariationalEstimator(Rippled(), WELL, explore(WELL), settings, start, 0, dt=1e-8)
    measuring.run(6e-3, 5.0, lambda *_: None)
    config = ProjectConfig(walkers=2048, time=0.1, target_error=8e-3, seconds=seconds)
    projector = project.Projector(measuring, config, 0)
    found, _ = projector.run(lambda *_: None)
    assert found is not None
    return found, projector.limit


def test_a_ripple_is_projected_without_bias(monkeypatch) -> None:
    """The exact energy at each time step; the twin, which takes each local energy for one that lasts, is far below."""
    found, limit = ripple()
    deviations = (found.energies - 0.5) / found.errors
    assert limit < math.inf and abs(deviations).max() < 4
    assert abs(z_score(found.total.value, found.total.error, 0.5)) < 4 and found.total.error < 1e-2
    monkeypatch.setattr(
        plan,
        "find_limit",
        lambda net, system, walkers, generator, natural, stride, *_: (math.inf, walkers.step, stride),
    )
    twin, limit = ripple(4.0)
    assert limit == math.inf and ((twin.energies - 0.5) / twin.errors).max() < -4


def test_what_a_limit_leaves_out_is_measured(monkeypatch) -> None:
    """Weights that take an eighth of the ripple give too high an energy at each time step; with N it is exact."""
    monkeypatch.setattr(plan, "find_limit", lambda *_: (0.5, 0.004, 1))
    found, _ = ripple(2.5)
    assert ((found.energies - 0.5) / found.errors).min() > 4
    assert abs(z_score(found.total.value, found.total.error, 0.5)) < 4 and found.total.error < 1.5e-2


def test_a_smooth_energy_is_resolved() -> None:
    """A long ripple changes little from one weighing to the next; one that is short and faint does no harm."""

    def never() -> bool:
        return False

    for psi, target in ((Rippled(0.5, 1.0), 1e-6), (Rippled(1e-4, 20.0), 1e-2)):
        generator = torch.Generator().manual_seed(0)
        x = 0.5**0.5 * torch.randn(1024, 1, 1, generator=generator, dtype=torch.float64)
        assert find_limit(psi, WELL, Walkers(x.clone(), 0.01), generator, 1.0, 2, target, never) == (math.inf, 0.01, 2)
    # gone after 0.08: resolved where walkers are weighed after so few moves
    limit, step, stride = find_limit(Rippled(0.1, 5.0), WELL, Walkers(x, 0.01), generator, 1.0, 16, 1e-6, never)
    assert (limit, step) == (math.inf, 0.01) and 1 < stride <= 4
    # the twin: both together
    limit, step, stride = find_limit(Rippled(0.1, 20.0), WELL, Walkers(x, 0.01), generator, 1.0, 2, 1e-2, never)
    assert limit < math.inf and step < 0.01 and stride == 1


def test_what_a_limit_counts_too_much() -> None:
    """Values ±1 up to a limit of ½ that are independent at successive times: h/4, and nothing of values that last."""
    signs = torch.randn(400, 500, generator=torch.Generator().manual_seed(0)).sign().double()
    found, lasting, x = Unresolved(0.5, 0.2), Unresolved(0.5, 0.2), torch.zeros(500, 1, 1)
    for before, after in pairwise(signs):
        assert bool((found.weigh(x, before, after) == 0.25 * (before + after)).all())
        lasting.weigh(x, before, before)
    assert found.excess(0.2) == pytest.approx(0.05, abs=0.4 / math.sqrt(signs.numel())) and lasting.excess(0.2) == 0
    again = Unresolved(0.5, 0.2)
    again.load(found.state())
    assert again.excess(0.2) == found.excess(0.2) and len(found.beyond) == 399


def test_walkers_far_above_lose_all_of_their_weight_and_no_more() -> None:
    """R (1 − exp(−c t)) of a local energy c that lasts for the time t. Twin: second order, R c t, is all there is if that is
    small, and a hundred times too much if it is not."""
    x = torch.zeros(5, 1, 1, dtype=torch.float64)
    for limit, energy in ((0.5, 60.0), (1e-5, 1e-3)):
        found, steps = Unresolved(limit, 0.2), []
        mover = SimpleNamespace(
            net=Rippled(),
            langevin=lambda walkers, taken=steps: taken.append(walkers.step),
            local_energy=lambda walkers, value=energy: torch.full((len(walkers.x),), value, dtype=torch.float64),
        )
        found.beyond, found.walkers = [(x, torch.full((5,), energy, dtype=torch.float64))], 5
        found.follow(mover, 0.0)
        second = (energy - limit) * energy * sum(steps)
        assert left_out([found]).value == pytest.approx(min(energy - limit, second), rel=1e-3)
        assert (second > 50 * energy) == (energy > 1)
