"""Files that an earlier version wrote (format 1) are still read: results, their networks, and checkpoints.

Each folder of tests/data/format1 holds a short run, made with ``fkflow run recipe.toml --seed 1 --threads 1`` by the version
before the packages: its recipe, result.h5, some with the checkpoint that Ctrl-C left after four of six iterations.
expected.json has what that version computed: log ψ, drift and local energy at the first samples, the order of the parameters,
and the energies of the training that went on from the checkpoint.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fkflow.cli.entry import main
from fkflow.networks.log_psi import LogPsi
from fkflow.results.checkpoints import load_checkpoint
from fkflow.results.store import read_result
from fkflow.runs import evaluation, session
from fkflow.runs.model import restore_model
from fkflow.sampling.broad import sampling_power
from fkflow.sampling.local_energy import local_energy
from fkflow.training import loop

DATA = Path(__file__).resolve().parents[2] / "data" / "format1"
RUNS = sorted(folder.name for folder in DATA.iterdir() if folder.is_dir())
STOPPED = [name for name in RUNS if (DATA / name / "checkpoint.pt").exists()]


pytestmark = pytest.mark.usefixtures("few_moves")


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / name / "expected.json").read_text())
    return found


def assert_same(found: np.ndarray, known: list[Any]) -> None:
    """Equal to rounding, relative to the largest of the numbers."""
    values = np.array(known)
    assert found.shape == values.shape
    assert np.abs(found - values).max() <= 1e-12 * np.abs(values).max()


@pytest.mark.parametrize("name", RUNS)
def test_network_computes_the_same(name: str) -> None:
    """Its parameters have the same order, too: the momentum in a checkpoint is one vector over all of them."""
    result, known = read_result(DATA / name), expected(name)
    model = restore_model(result)
    x = torch.from_numpy(result.measurement.samples[:8]).double()
    assert_same(evaluation.drift(model, x).numpy(), known["drift"])
    if name != "pair_drift":
        assert_same(evaluation.log_psi(model, x).numpy(), known["log_psi"])
        assert_same(local_energy(model.net, model.system, x).numpy(), known["local_energy"])  # type: ignore[arg-type]
    stored = np.concatenate([result.model[key].ravel() for key in known["parameters"]])
    assert np.array_equal(torch.cat([p.detach().flatten() for p in model.net.parameters()]).numpy(), stored)


@pytest.mark.parametrize("name", RUNS)
def test_show(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(DATA / name), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    result = read_result(DATA / name)
    assert shown["variational"]["energy"] == result.measurement.variational.estimate.value
    assert shown["seed"] == 1 and len(result.records) == 6
    assert result.measurement.projection is not None
    assert shown["projected"]["energy"] == result.measurement.projection.estimate.value


def test_show_scan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(DATA / "scan.h5"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [point["values"] for point in shown["points"]] == [{"system.omega": 0.5}, {"system.omega": 0.7}]
    assert [point["energy"] for point in shown["points"]] == [2.000446887758213, 2.7009886262385674]


@pytest.mark.parametrize("name", ["bosons", "h2", "pair_drift"])
def test_measure(name: str, tmp_path: Path) -> None:
    run = shutil.copytree(DATA / name, tmp_path / name)
    (run / "checkpoint.pt").unlink()
    before = read_result(run)
    assert main(["measure", str(run), "--seed", "2", "--threads", "1", "--set", "project.seconds=0"]) == 0
    after = read_result(run)
    assert after.provenance["measure_seed"] == 2
    # names of the earlier version that are still stored, under the names of this one
    net = restore_model(after).net
    known = net.current_names(before.model) if isinstance(net, LogPsi) else before.model
    assert known.keys() == after.model.keys()
    assert all(np.array_equal(after.model[key], weights) for key, weights in known.items())
    old, new = before.measurement.variational.estimate, after.measurement.variational.estimate
    assert 0 < abs(new.value - old.value) < 5 * np.hypot(old.error, new.error)


@pytest.mark.parametrize("name", STOPPED)
def test_resume(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the version that wrote them did not bound the influence of a walker on a step, and drew all walkers from one power of ψ
    monkeypatch.setattr(loop, "INFLUENCE", math.inf)

    def with_one_power(net: Any, *given: Any) -> Any:
        state = loop.initial_state(net, *given)
        state.walkers.broad = None
        if isinstance(net, LogPsi) and not net.knows_tails:
            state.walkers.power = sampling_power(state.walkers.x[0].numel(), 1.3)
        return state

    monkeypatch.setattr(session, "initial_state", with_one_power)
    (run := tmp_path / name).mkdir()
    shutil.copy(DATA / name / "checkpoint.pt", run)
    written = load_checkpoint(run / "checkpoint.pt")["records"]
    assert len(written) == 4
    recipe = str(DATA / name / "recipe.toml")
    assert main(["run", "--resume", recipe, "--threads", "1", "--device", "cpu", "--out", str(run)]) == 0
    result = read_result(run)
    assert [record["energy"] for record in result.records[:4]] == [record["energy"] for record in written]
    # where none is added to explore, the same walkers go on to the same energies
    known = expected(name)["resumed_energies"]
    assert len(result.records) == len(known) == 6
    if name != "bosons":
        assert result.training["energy"] == pytest.approx(known, rel=1e-6)
