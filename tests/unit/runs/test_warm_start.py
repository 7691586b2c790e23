"""Warm starts: which weights fit, what is copied, schedules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fkflow.errors import UsageError
from fkflow.recipe import config
from fkflow.runs import warm_start
from fkflow.runs.model import build_model
from fkflow.training.loop import initial_state
from fkflow.training.schedule import HEAD_START, schedule_position, walker_count


def net(name: str, *sets: str) -> Any:
    return build_model(config.load(name, sets).recipe, 0).net


def test_which_weights_fit() -> None:
    layouts = {r: warm_start.layout(net("h2", f"system.R={r}")) for r in (1.4, 1.6)}
    assert warm_start.difference(layouts[1.4], layouts[1.6]) is None
    # identical particles share their weights, whatever their number
    bosons = warm_start.layout(net("bosons", "system.particles=2"))
    assert warm_start.difference(bosons, warm_start.layout(net("bosons", "system.particles=3"))) is None
    wide = warm_start.layout(net("h2", "network.hidden=8"))
    assert "parameter net.0.weight is of shape (8" in str(warm_start.difference(layouts[1.4], wide))
    assert "network is SymmetricNet there and MolecularNet here" in str(warm_start.difference(layouts[1.4], bosons))
    # with another natural length the same weights are another function
    longer = warm_start.layout(net("bosons", "system.particles=2", "system.omega=0.1"))
    assert "natural length is" in str(warm_start.difference(bosons, longer))


def test_only_parameters_are_copied(perturbed: Any) -> None:
    there, here = perturbed(net("h2", "system.R=1.4")), net("h2", "system.R=1.6")
    bonds = here.features.of_bonds.clone()
    warm_start.copy_weights(here, dict(there.named_parameters()))
    assert all(torch.equal(p, dict(there.named_parameters())[name]) for name, p in here.named_parameters())
    of_bonds = here.features.of_bonds
    assert torch.equal(of_bonds, bonds) and not torch.equal(of_bonds, there.features.of_bonds)
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    assert not torch.equal(here(x), there(x))
    # the networks share no memory
    with torch.no_grad():
        here.log_beta += 1
    assert not torch.equal(here.log_beta, there.log_beta)


@pytest.mark.parametrize("given", ["nowhere", "."])
def test_the_error_names_a_missing_run(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"^train.from = {given}: "):
        warm_start.read_weights(given, {})


def test_a_warm_start_has_a_head_start_in_all_schedules() -> None:
    from fkflow.hamiltonian.landscape import explore

    cold, started = (config.load("h2", sets).recipe for sets in ((), ("train.from=runs/h2",)))
    assert schedule_position(cold.train, 3) == 3 and schedule_position(started.train, 3) == 3 + HEAD_START
    assert walker_count(cold.train, 0) < walker_count(started.train, 0) == walker_count(cold.train, HEAD_START)
    state = initial_state(net("h2"), explore(cold.system), started.train, 0, "cpu", cold.system)
    assert len(state.walkers.x) == walker_count(started.train, 0)
