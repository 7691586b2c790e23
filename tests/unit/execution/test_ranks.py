"""Several processes against one: what they share, the updates they make, what they measure, and how they end."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest

from fkflow.errors import UsageError
from fkflow.execution import launch, ranks
from fkflow.hamiltonian.registry import find_system
from fkflow.results.store import read_result
from fkflow.statistics import z_score

CHILD = Path(__file__).with_name("rank_child.py")
CODE = f"import runpy; runpy.run_path({str(CHILD)!r}, run_name='__main__')"
WAYS = ("spring", "wide spring", "some slopes", "explicit spring", "adam", "pathwise")
TRAININGS = ("spring", "some slopes", "adam", "pathwise", "growing", "scouts")


def start(folder: Path, task: str, count: int) -> list[Path]:
    """Run `count` processes of rank_child.py at once; the files with what each of them found."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(4)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [str(probe.getsockname()[1]) for probe in probes]
    outs = [folder / f"{task}-{number}-of-{count}.npz" for number in range(count)]
    place = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0], "PORTS": " ".join(ports)}
    processes = [
        commands.start(folder, out, task, code=CODE, environment=place | {"RANK": number})
        for number, out in enumerate(outs)
    ]
    said = [process.finish()[2] for process in processes]
    assert all(out.exists() for out in outs), said
    return outs


def findings(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, np.ndarray]:
    return findings(start(folder, "work", 1)[0])


def start_forks(folder: Path, count: int) -> list[Path]:
    """Run one process of rank_child.py that forks; the files with the findings of each process."""
    outs = [folder / f"fork-{number}-of-{count}.npz" for number in range(count)]
    commands.good(folder, ",".join(map(str, outs)), "children", code=CODE)
    assert all(out.exists() for out in outs)
    return outs


@pytest.fixture(scope="module")
def copies(folder: Path) -> list[dict[str, np.ndarray]]:
    """Two ranks, one a fork of the other, with shared memory."""
    found = [findings(path) for path in start_forks(folder, 2)]
    assert all(each["in memory"] for each in found)
    return found


@pytest.fixture(scope="module", params=["sockets", "memory"])
def both(folder: Path, request: pytest.FixtureRequest) -> list[dict[str, np.ndarray]]:
    """Two ranks: started by a launcher, or the copies."""
    if request.param == "memory":
        return request.getfixturevalue("copies")
    found = [findings(path) for path in start(folder, "work", 2)]
    assert not any(each["in memory"] for each in found)
    return found


def test_alone_nothing_happens(alone: dict[str, np.ndarray]) -> None:
    own = np.arange(6.0).reshape(3, 2)
    for name in ("gather", "total", "share", "own"):
        assert np.array_equal(alone[name], own), name
    assert alone["world"] == 1 and alone["seed"] == 3 and alone["lowest"] == 5
    assert np.array_equal(alone["mean"], [0, 4]) and np.array_equal(alone["either"], [False, False, True])


def test_alone_nothing_is_imported() -> None:
    code = "import sys; from fkflow.execution import launch\nwith launch.join_ranks(): pass\nsys.exit('torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_two_share_what_they_have(both: list[dict[str, np.ndarray]]) -> None:
    own = np.arange(6.0).reshape(3, 2)
    for number, found in enumerate(both):
        assert found["world"] == 2 and found["part is own"]
        assert np.array_equal(found["gather"], np.concatenate([own, own + 10]))
        assert found["bytes"].tolist() == [0, 7, 1, 7]
        assert np.array_equal(found["total"], 2 * own + 10) and np.array_equal(found["own"], own + 10 * number)
        assert np.array_equal(found["alike"], own[0]) and np.array_equal(found["share"], own)
        assert found["either"].tolist() == [True, False, True] and found["mean"].tolist() == [0.5, 4.0]
        assert found["lowest"] == 4 and found["total array"].tolist() == [2, 1]
        assert found["side by side"][0].tolist() == [[0.5, 0.5, 0.5, 1.5, 1.5, 1.5]] * 2
        assert found["side by side"][1][1].tolist() == [3, 4, 5, 103, 104, 105]
    assert both[0]["seed"] == 3 != both[1]["seed"]


@pytest.mark.parametrize("way", WAYS)
def test_two_make_the_update_of_one(way: str, alone: dict, both: list[dict]) -> None:
    """The same walkers, on one rank or shared by two, give the same network, and both ranks hold it bit for bit."""
    assert np.array_equal(both[0][way], both[1][way])
    assert np.abs(both[0][way] - alone[way]).max() < 1e-9


def test_an_update_without_a_rank_differs(alone: dict, both: list[dict]) -> None:
    """Without the rows, or the gradients, of the other rank the network is another."""
    for name in (
        "wide spring, not gathered",
        "adam, not gathered",
        "spring, not added",
        "adam, not added",
        "pathwise, not added",
    ):
        way = name.split(",")[0]
        assert np.abs(both[0][name] - alone[way]).max() > 1e-5, name
        assert np.array_equal(alone[name], alone[way]), name


@pytest.mark.parametrize("way", TRAININGS)
def test_training_keeps_two_alike_and_goes_on_to_the_same_bits(way: str, copies: list[dict]) -> None:
    first, second = copies
    for name in ("records", "parameters"):
        assert np.array_equal(first[f"{way} {name}"], second[f"{way} {name}"]), name
    # each has its own walkers
    assert not np.array_equal(first[f"{way} walkers"], second[f"{way} walkers"])
    for found in copies:
        assert len(found[f"{way} walkers"]) == (256 if way == "growing" else 32) and len(found[f"{way} records"]) == 6
        assert np.isfinite(found[f"{way} records"]).all()
        assert np.array_equal(found[f"{way} records"][3:], found[f"{way} again"])
        for name in ("parameters", "walkers"):
            assert np.array_equal(found[f"{way} {name}"], found[f"{way} {name} again"]), name


def test_two_measure_and_project_together(copies: list[dict]) -> None:
    exact = 1.6 / 4 + 1 / (4 * 1.6) + 3 / (4 * 1.6**2)
    ground = find_system("quartic")(a=1.0, b=1.0).reference().energy
    first, second = copies
    for name in ("energy", "spread", "acceptance", "sweeps", "density", "edges", "sums", "projected"):
        assert np.array_equal(first[f"measured {name}"], second[f"measured {name}"]), name
    value, error, independent = first["measured energy"]
    assert abs(z_score(value, error, exact)) < 4 and error <= 1e-2 and independent > 100
    assert first["measured density"] == pytest.approx(1.0, abs=5e-3)
    sweeps = first["measured sweeps"]
    assert sweeps.shape[1:] == (2, 512) and not np.array_equal(sweeps[0, :, :256], sweeps[0, :, 256:])
    each = [found["measured own acceptance"] for found in copies]
    assert each[0] != each[1] and first["measured acceptance"] == pytest.approx(np.mean(each), rel=1e-12)
    # the same walkers, shuffled by each
    samples = [np.sort(found["measured samples"].ravel()) for found in copies]
    assert len(samples[0]) == 512 and np.array_equal(*samples)
    # the projected energy is the exact one, and far below the Gaussian's
    projected, total = first["measured projected"]
    assert abs(z_score(projected, total, ground)) < 4 < z_score(value, np.hypot(error, total), ground)


def test_a_rank_that_samples_something_else_shifts_the_energy(copies: list[dict]) -> None:
    """Half of the walkers follow another function."""
    exact = 1.6 / 4 + 1 / (4 * 1.6) + 3 / (4 * 1.6**2)
    value, error = copies[0]["mixed energy"]
    assert z_score(value, error, exact) > 6


def test_groups_live_whole_on_one_rank(copies: list[dict]) -> None:
    assert all(found["measured groups"].tolist() == [16, 32, 1024] for found in copies)
    sums = copies[0]["measured sums"]
    assert sums.shape[1:] == (6, 3, 32) and (sums[:, 0, 1] == 32).all()  # weight 1 of 32 walkers a group
    assert not np.array_equal(sums[:, 0, 0, :16], sums[:, 0, 0, 16:])
    # weights are judged over all ranks: their (sum)^2 / (sum of squares)
    weights = np.exp(np.concatenate([found["measured log weights"] for found in copies]))
    effective = weights.sum() ** 2 / (weights**2).sum() / 1024
    for found in copies:
        assert found["measured effective"] == pytest.approx(effective, rel=1e-9) and effective < 0.75


def test_families_are_counted_over_all_ranks(alone: dict, both: list[dict]) -> None:
    """(Sum of weights)^2 / sum over families of their weights squared."""
    assert both[0]["families"] == both[1]["families"] == pytest.approx(float(alone["families"]), rel=1e-12)
    assert 1 < alone["families"] < 32


def test_the_other_learns_why(folder: Path) -> None:
    """A rank that fails ends the other with its own words; one that dies is named."""
    first, second = ({name: str(text) for name, text in findings(out).items()} for out in start(folder, "fail", 2))
    assert first == {
        "1 fails": "NumericalError: no good",
        "0 fails": "NumericalError: no good",
        "1 has a bug": "RankError: rank 1 of 2 failed: ZeroDivisionError: a bug",
    }
    assert second == first | {
        "1 has a bug": "ZeroDivisionError: a bug",
        "0 dies": "RankError: rank 0 of 2 ended",
    }


def test_a_result_of_an_older_version_is_one_process(write_run, tmp_path: Path) -> None:
    assert write_run(tmp_path / "result.h5").ranks == read_result(tmp_path).ranks == 1
    provenance = {"seed": 0, "device": "cpu", "version": "0.1.0", "ranks": 4}
    assert write_run(tmp_path / "result.h5", provenance=provenance).ranks == read_result(tmp_path).ranks == 4


def test_walkers_that_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "count", lambda: 3)
    ranks.check_divisible("train.walkers", 99)
    with pytest.raises(UsageError, match=r"^train.walkers = 100 .* 3 ranks"):
        ranks.check_divisible("train.walkers", 100)


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"RANK": "2"}, "RANK=2"),
        ({"RANK": "x"}, "RANK=x"),
        ({"RANK": "-1"}, "RANK=-1"),
        ({"WORLD_SIZE": "0"}, "SIZE=0"),
    ],
)
def test_an_environment_that_makes_no_sense(environment, word, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=word):
        launch.read_environment()
    monkeypatch.delenv("MASTER_ADDR")
    assert launch.read_environment() == (0, 1)
