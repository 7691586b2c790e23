"""Charges that leave each other in a measurement: training begins anew with another network, once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fkflow.api.arguments import Quiet
from fkflow.recipe import config
from fkflow.runs import renewal
from fkflow.runs.context import RunContext
from fkflow.runs.session import Session
from fkflow.statistics import Estimate


def measured(energy: float, spread: float) -> SimpleNamespace:
    """Stands in for a measurement."""
    return SimpleNamespace(estimate=lambda: Estimate(energy, 1e-4), spread=lambda: spread)


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
