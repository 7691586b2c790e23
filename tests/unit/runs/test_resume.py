"""A measurement and a projection that continue from a saved state give the same bits as those that never stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from landscapes import explore

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.projection.project import Projector
from fkflow.recipe.config import MeasureConfig, ProjectConfig
from fkflow.results.checkpoints import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.usefixtures("few_moves")


def measuring(system: System, kind: str, perturbed, saved=None, seed: int = 3) -> VariationalEstimator:
    landscape: Landscape = explore(system)
    net = perturbed(build(system, landscape, kind, 6, 1, 0), 0.05)
    x = landscape.start(100, torch.Generator().manual_seed(0))
    config = MeasureConfig(walkers=128, target_error=1e-2)
    return VariationalEstimator(net, system, landscape, config, x, seed, dt=0.01, saved=saved)


def through_a_file(state: dict, path: Path) -> dict:
    save_checkpoint(path, state)
    return load_checkpoint(path)


def same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return first == second


def work(state: dict) -> dict:
    """A state without times."""
    return {key: value for key, value in state.items() if key not in ("seconds", "spent", "measured")}


SYSTEMS = [
    ("double_well", {}, "auto"),
    ("bosons", {"particles": 2}, "auto"),
    ("h2", {}, "auto"),
    ("bosons", {"particles": 2}, "pair_drift"),
]


@pytest.mark.parametrize(("key", "parameters", "kind"), SYSTEMS)
def test_a_measurement_continues(tmp_path: Path, perturbed, key: str, parameters: dict, kind: str) -> None:
    system = find_system(key)(**parameters)
    whole = measuring(system, kind, perturbed)
    for _ in range(3):
        whole.sweep()
    state = through_a_file(whole.state_dict(), tmp_path / "c.pt")
    # another seed: the state replaces all that it gives
    again = measuring(system, kind, perturbed, state, seed=4)
    again.seed = 3
    for each in (whole, again):
        for _ in range(4):
            each.sweep()
    assert same(work(whole.state_dict()), work(again.state_dict()))
    assert whole.estimate() == again.estimate()
    first, second = whole.result(), again.result()
    assert np.array_equal(first.samples, second.samples) and np.array_equal(
        first.variational.blocks, second.variational.blocks
    )
    assert all(np.array_equal(a.values, b.values) for a, b in zip(first.histograms, second.histograms, strict=True))
    # a wrong state of the generator fails
    del state["generator"]
    other = measuring(system, kind, perturbed, {**state, "generator": torch.Generator().get_state()})
    for _ in range(4):
        other.sweep()
    assert other.estimate() != whole.estimate()


@pytest.mark.parametrize(
    ("key", "parameters", "kind", "target", "turns"),
    [(*SYSTEMS[0], 1e-9, 1), (*SYSTEMS[0], 1e-9, 9), (*SYSTEMS[0], 10.0, 9), (*SYSTEMS[3], 1e-9, 1)],
)
def test_a_projection_continues(
    tmp_path: Path, perturbed, key: str, parameters: dict, kind: str, target: float, turns: int
) -> None:
    system = find_system(key)(**parameters)
    config = ProjectConfig(
        walkers=128, target_error=target, time=1.0, weights="girsanov" if kind != "auto" else "local_energy"
    )
    found = measuring(system, kind, perturbed)
    for _ in range(3):
        found.sweep()
    whole = Projector(found, config, 5)
    for _ in range(turns):
        whole.advance()
        whole.extrapolate()
    state = through_a_file({"measure": found.state_dict(), "project": whole.state_dict()}, tmp_path / "c.pt")
    before = measuring(system, kind, perturbed, state["measure"])
    again = Projector(before, config, 5, state["project"])
    for each in (whole, again):
        for _ in range(12):
            each.advance()
            each.extrapolate()
    assert_same_projection(whole, again)


def assert_same_projection(whole: Projector, again: Projector) -> None:
    assert whole.found is not None and whole.found == again.found
    for first, second in ((whole, again), (whole.measuring, again.measuring)):
        assert same(work(first.state_dict()), work(second.state_dict()))
    for a, b in zip(whole.densities(), again.densities(), strict=True):
        assert np.array_equal(a.values, b.values) and (a.projected is None) == (b.projected is None)
        assert a.projected is None or np.array_equal(a.projected, b.projected)


def test_a_finished_projection_does_no_more_work(perturbed) -> None:
    found = measuring(find_system("double_well")(), "auto", perturbed)
    for _ in range(3):
        found.sweep()
    config = ProjectConfig(walkers=128, target_error=10.0, time=1.0)
    whole = Projector(found, config, 5)
    whole.run(lambda *_: None)
    again = Projector(found, config, 5, whole.state_dict())
    calls: list[object] = []
    projection, _ = again.run(lambda *report: calls.append(report))
    assert not calls and projection is not None and again.turns.number == whole.turns.number


@pytest.mark.parametrize(("target", "ratio", "share"), [(10.0, 2, 0.375), (1e-4, 4, 0.75)])
def test_a_loose_target_takes_less_work(perturbed, target: float, ratio: float, share: float) -> None:
    """Time steps closer to each other, and densities of a shorter window, which has passed by the time they are read."""
    found = measuring(find_system("double_well")(), "auto", perturbed)
    for _ in range(3):
        found.sweep()
    run = Projector(found, ProjectConfig(walkers=64, target_error=target, time=2.0), 5)
    coarse, fine = run.populations
    assert coarse.mover.dt / fine.mover.dt == pytest.approx(ratio)
    assert run.hurried == (target == 10.0)
    while not run.has_densities():
        assert fine.count < share * fine.length
        which = min(range(2), key=lambda i: run.populations[i].count / run.populations[i].length)
        for _ in range(run.populations[which].length // 16):
            run.populations[which].step()
    assert fine.count == share * fine.length >= 1.5 * fine.middle
    assert fine.histograms is not None and bool(fine.histograms.weights.sum() > 0)


@pytest.mark.parametrize("kind", ["auto", "pair_drift"])
def test_observables_continue(tmp_path: Path, perturbed, kind: str) -> None:
    """Averages over ψ² and φ0², also of walkers that are resampled, and all else of a projection of two particles."""

    class Observed(find_system("bosons")):
        particles: int = 2

        def observables(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"r": x.norm(dim=2), "width": x.square().sum((1, 2))}

    system = Observed()
    config = ProjectConfig(
        walkers=64, target_error=1e-9, time=1.0, weights="girsanov" if kind != "auto" else "local_energy"
    )
    found = measuring(system, kind, perturbed)
    for _ in range(3):
        found.sweep()
    whole = Projector(found, config, 5)
    for _ in range(9):
        whole.advance()
        whole.extrapolate()
    state = through_a_file({"measure": found.state_dict(), "project": whole.state_dict()}, tmp_path / "c.pt")
    before = measuring(system, kind, perturbed, state["measure"])
    again = Projector(before, config, 5, state["project"])
    for each in (whole, again):
        for _ in range(10):
            each.advance()
            each.extrapolate()
    assert whole.observables() is not None and whole.observables() == again.observables()
    assert found.observables.results() == before.observables.results()
    assert_same_projection(whole, again)
    # a state without them, as of an earlier version, is read: they are averaged from then on
    state["measure"].pop("observables")
    late = measuring(system, kind, perturbed, state["measure"])
    late.sweep()
    assert list(late.result().observables) == ["r", "width"]
