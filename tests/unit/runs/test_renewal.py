"""What is made of a measurement: another network where charges left each other, a doubt where a slow mode made ψ worse."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fkflow.api.arguments import Quiet
from fkflow.measurement.relaxation import Relaxation
from fkflow.recipe import config
from fkflow.results.records import Doubt
from fkflow.runs import renewal
from fkflow.runs.context import RunContext
from fkflow.runs.session import Session
from fkflow.statistics import Estimate


def measured(energy: float, spread: float) -> SimpleNamespace:
    """Stands in for a measurement."""
    sampler = SimpleNamespace(warnings=[])
    return SimpleNamespace(estimate=lambda: Estimate(energy, 1e-4), spread=lambda: spread, sampler=sampler)


def trained(recipe: str, *changes: str) -> Session:
    context = RunContext(
        config.load(recipe, ["train.iterations=2", "train.walkers=32", *changes]), Quiet(), seed=3, device="cpu"
    )
    session = Session(context)
    while renewal.step(session) is not None:
        pass
    return session


def test_charges_that_came_apart_are_trained_anew() -> None:
    """Ps- breaks up at -1/4: an energy that spreads beyond is not that of a bound state, whatever the training showed."""
    session = trained("ps_minus")
    before = {name: tensor.clone() for name, tensor in session.model.net.state_dict().items()}
    assert not renewal.begin_anew(session, measured(-0.262, 0.001))  # type: ignore[arg-type]
    assert renewal.begin_anew(session, measured(-0.2482, 0.06))  # type: ignore[arg-type]
    assert session.records == [] and session.state.iteration == 0
    after = session.model.net.state_dict()
    assert not all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert renewal.step(session) is not None
    # and once only, also after a resume
    assert not renewal.begin_anew(session, measured(-0.2482, 0.06))  # type: ignore[arg-type]
    assert session.checkpoint()["renewed"] == 1


@pytest.mark.parametrize("recipe", ["hooke", "helium"])
def test_others_are_not(recipe: str) -> None:
    """What cannot break up, and clusters, whose energies spread far beyond their binding."""
    assert not renewal.begin_anew(trained(recipe), measured(10.0, 10.0))  # type: ignore[arg-type]


def test_a_slow_mode_that_made_the_energy_higher_is_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a resume; a lower energy, or one that is the same within the errors, is none."""
    session, before = trained("hooke"), measured(2.0, 0.1)
    before.walkers = session.state.walkers
    before.ground_factor = lambda: torch.ones(len(before.walkers.x), dtype=torch.float64)
    before.find_relaxation = lambda: Relaxation(
        1e-3, np.array([1.9, 1.901]), np.array([0.7, 0.3]), np.ones(2), 0.1, 0.1
    )
    monkeypatch.setattr(renewal, "absorb", lambda *given: True)
    assert renewal.absorb_slow_modes(session, before)  # type: ignore[arg-type]
    context = RunContext(session.context.loaded, Quiet(), seed=3, device="cpu")
    context.saved = session.checkpoint()
    resumed = Session(context)
    for each in (session, resumed):  # the recipe's iterations are used up, and the mode is trained all the same
        while renewal.step(each) is not None:
            pass
        assert each.state.iteration == 3
    for each, energy, doubts in ((session, 2.01, 1), (resumed, 2.01, 1), (session, 2.0005, 0), (session, 1.9, 0)):
        after = measured(energy, 0.1)
        renewal.judge_absorbed(each, after)  # type: ignore[arg-type]
        assert len(after.sampler.warnings) == doubts
        assert all(isinstance(doubt, Doubt) and "worse now" in doubt for doubt in after.sampler.warnings)
