"""fkflow from Python: solve, load and train give the results of the commands; errors name the arguments of a call."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fkflow
from fkflow.cli.entry import main
from fkflow.errors import RecipeError, StoreError
from fkflow.execution import threads
from fkflow.execution.progress import Silent
from fkflow.results.store import read_result

#: small enough for a second in all
QUICK: dict[str, Any] = {
    "network": {"hidden": 4},
    "train": {"iterations": 4, "walkers": 64},
    "measure": {"walkers": 128, "target_error": 1e-3, "seconds": 60.0},
    "project": {"seconds": 0},
    "seed": 1,
    "threads": 1,
}
#: for what does not look at the energy: the shortest measurement
SHORT: dict[str, Any] = {**QUICK, "measure": {"walkers": 64, "target_error": 1.0, "seconds": 60.0}}
OPTIONS = [
    f"--set={section}.{key}={value}"
    for section, table in SHORT.items()
    if isinstance(table, dict)
    for key, value in table.items()
]


class Pair(fkflow.System):
    """Masses 1 and 3 in a trap of frequency 1, tied by a spring."""

    particles = 2
    dimensions = 1
    identical = False
    mass = [1.0, 3.0]  # noqa: RUF012
    k: float = 1.5

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x[:, 0, 0], x[:, 1, 0]
        return 0.5 * first**2 + 1.5 * second**2 + 0.5 * self.k * (first - second) ** 2


#: the centre of mass has the frequency 1, the distance that of its reduced mass 3/4
EXACT = 0.5 + 0.5 * math.sqrt(1 + 1.5 / 0.75)


pytestmark = pytest.mark.usefixtures("few_moves")


@pytest.fixture(scope="module")
def pair() -> fkflow.Solution:
    """A finished run of a class that is in no file."""
    return fkflow.solve(Pair(), **QUICK, progress=False)


@pytest.fixture(scope="module")
def short() -> fkflow.Solution:
    """The same, measured shortly."""
    return fkflow.solve(Pair(), **SHORT, progress=False)


def same(first: fkflow.Solution, second: fkflow.Solution) -> bool:
    """Whether two solutions have the same bits in energy, samples, densities and weights."""
    return (
        first.energy == second.energy
        and np.array_equal(first.samples, second.samples)
        and all(np.array_equal(first.densities[name].values, h.values) for name, h in second.densities.items())
        and first.result.model.keys() == second.result.model.keys()
        and all(np.array_equal(first.result.model[name], weights) for name, weights in second.result.model.items())
    )


def test_a_class_of_the_program_is_solved(pair: fkflow.Solution) -> None:
    assert abs(pair.energy.value - EXACT) < 5 * pair.energy.error + 1e-6
    assert pair.energy == pair.variational and pair.projected is None and pair.reference is None
    assert pair.samples.shape[1:] == (2, 1) and pair.path is None
    assert pair.density.name == "x" and pair.pair.name == "r" and list(pair.densities) == ["x"]
    widths = np.diff(pair.density.axes[0].edges)
    assert pair.density.values @ widths == pytest.approx(1.0, abs=0.02)
    assert len(pair.training["energy"]) == len(pair.training["iteration"]) <= 4
    assert pair.recipe["train"]["iterations"] == 4 and pair.recipe["system"] == {"file": "Pair", "k": 1.5}
    assert pair.system == Pair()
    # it has no folder to show
    assert pair.summary()["run"] is None and "result" not in str(pair)


def test_drift_and_log_psi_are_those_of_the_users_coordinates(pair: fkflow.Solution) -> None:
    x = np.array([[[0.3], [-0.2]], [[1.0], [0.5]], [[-0.7], [0.1]]])
    v, step = pair.drift(x), 1e-5
    assert v.shape == x.shape and v.dtype == np.float64
    for particle, mass in enumerate(Pair.mass):
        moved = np.zeros_like(x)
        moved[:, particle] = step
        slope = (pair.log_psi(x + moved) - pair.log_psi(x - moved)) / (2 * step)
        np.testing.assert_allclose(v[:, particle, 0], slope / mass, atol=1e-8)
    # ψ = exp(−½ (M ω_com R² + μ ω_rel r²)): the drift of the first is that of both parts
    centre, apart = (x[:, 0] + 3 * x[:, 1]) / 4, x[:, 0] - x[:, 1]
    expected = -centre - 0.75 * math.sqrt(3) * apart
    np.testing.assert_allclose(v[:, 0], expected, atol=0.01)
    single = pair.drift(x[0])
    assert single.shape == (2, 1) and np.allclose(single, v[0])
    assert pair.log_psi(x).shape == (3,) and pair.log_psi(x[0]).shape == ()
    tensor = pair.drift(torch.tensor(x, dtype=torch.float32))
    assert tensor.dtype == torch.float32 and np.allclose(tensor.numpy(), v, atol=1e-5)


def test_any_number_of_configurations_in_any_mode(pair: fkflow.Solution) -> None:
    assert pair.drift(np.zeros((0, 2, 1))).shape == (0, 2, 1) and pair.log_psi(np.zeros((0, 2, 1))).shape == (0,)
    assert pair.drift(np.ones((3, 5, 2, 1))).shape == (3, 5, 2, 1) and pair.log_psi(np.ones((3, 5, 2, 1))).shape == (
        3,
        5,
    )
    expected = pair.drift(np.ones((2, 1)))
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert np.array_equal(pair.drift(torch.ones(2, 1, dtype=torch.float64)).numpy(), expected)
    assert np.array_equal(pair.drift(np.ones((2, 1), dtype=int)), expected)
    x = torch.ones(2, 1, requires_grad=True)
    assert not pair.drift(x).requires_grad and not pair.log_psi(x).requires_grad


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((4, 1, 2)), [[0.0], [0.0]], torch.zeros(2)])
def test_positions_of_another_shape(pair: fkflow.Solution, x: Any) -> None:
    with pytest.raises(fkflow.UsageError, match=r"must be an array or tensor \(B, 2, 1\) or \(2, 1\)"):
        pair.drift(x)
    with pytest.raises(fkflow.UsageError, match=r"must be an array or tensor"):
        pair.log_psi(x)


def test_the_same_bits_as_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "double_well", *OPTIONS, "--seed=1", "--threads=1", "--out=run"]) == 0
    written = fkflow.load("run")
    # the recipe has one key of its own
    system = fkflow.make_system("double_well", height=2.0, a=2.0)
    assert same(written, fkflow.solve(system, **SHORT, progress=False))
    # a finished run is repeated with its seed and threads
    assert same(written, fkflow.solve("run", progress=False))
    # by hand, one iteration after the other
    training = fkflow.train("double_well", **SHORT)
    steps = list(training)
    assert [step.iteration for step in steps] == list(range(1, len(steps) + 1))
    assert same(written, training.solution(progress=False))


def test_the_same_seed_is_recorded(short: fkflow.Solution) -> None:
    drawn = fkflow.solve(Pair(), **{**SHORT, "seed": None}, progress=False)
    again = fkflow.solve(Pair(), **{**SHORT, "seed": drawn.result.provenance["seed"]}, progress=False)
    assert same(drawn, again) and not same(drawn, short)


def test_a_run_is_saved_and_loaded(pair: fkflow.Solution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    solution = fkflow.Solution(pair.result)
    with pytest.warns(UserWarning, match=r"Pair is a class of this program.*fkflow.load\('kept', system=Pair\)"):
        assert solution.save("kept") == Path("kept/result.h5")
    assert solution.path == Path("kept/result.h5") and pair.path is None
    loaded = fkflow.load("kept")
    assert same(loaded, pair) and str(loaded) == str(solution) and "kept/result.h5" in str(loaded)
    with pytest.raises(StoreError, match=r"Pair, a class that is in no file: give it with system=Pair"):
        loaded.drift(np.zeros((2, 1)))
    x = pair.samples[:5].astype(float)
    for given in (Pair, Pair()):
        assert np.array_equal(fkflow.load("kept", system=given).drift(x), pair.drift(x))
    with pytest.raises(fkflow.UsageError, match=r"a run of Pair  k = 1.5, not of Pair  k = 2"):
        fkflow.load("kept/result.h5", system=Pair(k=2.0))
    with pytest.raises(fkflow.UsageError, match="choose another out"):
        solution.save("kept")
    with pytest.warns(UserWarning, match="no file"):
        solution.save("new/other.h5")
    with pytest.raises(fkflow.UsageError, match="exists already"):
        solution.save("new/other.h5")
    assert not list(Path("kept").glob(".*")), "nothing but the result is left"


def test_the_command_names_the_missing_class(
    pair: fkflow.Solution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning):
        fkflow.Solution(pair.result).save("kept")
    assert main(["show", "kept"]) == 0
    assert main(["measure", "kept"]) == 2
    told = capsys.readouterr().err
    assert "Pair, a class that is in no file: give it with --set system.file=FILE.py:Pair" in told


def test_measuring_again(pair: fkflow.Solution) -> None:
    again = pair.measure(target_error=5e-4, seed=3, progress=False, project={"seconds": 0})
    assert abs(again.energy.value - EXACT) < 5 * again.energy.error + 1e-6
    assert again.energy != pair.energy and again.recipe["measure"]["target_error"] == 5e-4
    assert all(again.recipe[section] == pair.recipe[section] for section in ("system", "network", "train"))
    assert all(np.array_equal(again.result.model[name], weights) for name, weights in pair.result.model.items())
    assert again.result.provenance["seed"] == 1 and again.result.provenance["measure_seed"] == 3


def test_a_system_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class is found again from the run's folder."""
    monkeypatch.chdir(tmp_path)
    Path("trap.py").write_text(
        "import fkflow\n\n\nclass Trap(fkflow.System):\n    particles = 1\n    dimensions = 2\n    w: float = 1.0\n\n"
        "    def potential(self, x):\n        return 0.5 * self.w**2 * x.square().sum((1, 2))\n"
    )
    solution = fkflow.solve(fkflow.make_system("trap.py:Trap", w=2.0), **QUICK, progress=False, out="runs/trap")
    assert solution.recipe["system"]["file"] == "../../trap.py:Trap"
    x = np.ones((3, 1, 2))
    np.testing.assert_allclose(fkflow.load("runs/trap").drift(x), -2.0 * x, atol=0.01)
    monkeypatch.chdir(tmp_path / "runs")
    np.testing.assert_allclose(fkflow.load("trap").drift(x), -2.0 * x, atol=0.01)
    assert read_result("trap").definition == fkflow.load("trap").result.definition


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"train": {"iterations": "many"}}, 'train.iterations = "many" is not allowed: it must be a whole number'),
        ({"train": {"iters": 3}}, r"train.iters is not a key of \[train\] \(did you mean iterations\?\)"),
        ({"network": {"kind": "symmetric"}}, "network.kind = .* with the system Pair"),
        ({"train": 3}, "train = 3 is not allowed: it must be a dictionary"),
        ({"measure": {"a.b": 1}}, "measure"),
        ({"device": "tpu"}, "device='tpu' is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed: it must be a whole number from 0 to 4294967295"),
        ({"seed": True}, "seed=True is not allowed"),
        ({"threads": 0}, "threads=0 is not allowed"),
        ({"target_error": -1.0}, "target_error=-1: an energy above 0"),
        ({"target_error": "small"}, "target_error='small' is not allowed"),
        ({"resume": True}, "resume=True goes on from the checkpoint of a folder: give it as out"),
        ({"force": True}, "force=True replaces the run in a folder: give it as out"),
        ({"force": True, "resume": True, "out": "x"}, "force=True replaces what resume=True goes on with"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], told: str) -> None:
    with pytest.raises(fkflow.UsageError, match=told) as caught:
        fkflow.solve(Pair(), progress=False, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("system", "told"),
    [
        (Pair, r"Pair'> is a class: give an instance of fkflow.System, such as MyTrap\(\), or the name of a recipe"),
        (3, "3 is no system: give an instance of fkflow.System"),
        ("h3", '"h3" is no file .* nor a shipped recipe or a system'),
        ("scan_h2", r"scan_h2.toml has a section \[scan\]"),
    ],
)
def test_wrong_systems(system: Any, told: str) -> None:
    for call in (fkflow.solve, fkflow.train):
        with pytest.raises(fkflow.UsageError, match=told):
            call(system)


def test_ranks_are_for_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(fkflow.UsageError, match="start it without torchrun, or use torchrun -m fkflow run"):
        fkflow.solve(Pair(), **QUICK, progress=False)


def test_numbers_of_any_library() -> None:
    given = {"iterations": np.int64(3), "rate": torch.tensor(0.25), "walkers": 64}
    training = fkflow.train(Pair(), train=given, project={"time_steps": np.array([0.1, 0.05])}, seed=np.int64(1))
    assert training.seed == 1
    recipe = training._session.recipe.resolved()
    assert recipe["train"]["iterations"] == 3 and recipe["train"]["rate"] == 0.25
    assert recipe["project"]["time_steps"] == [0.1, 0.05]


def test_systems_by_name() -> None:
    # a system has no recipe of its own, but is one with the defaults
    assert fkflow.train("quartic").system == fkflow.make_system("quartic")
    system = fkflow.make_system("bosons", particles=3, g=np.float64(2.0))
    assert system.parameters()["particles"] == 3 and system.parameters()["g"] == 2.0
    with pytest.raises(RecipeError, match=r"system.gg is not a key of \[system\] for bosons"):
        fkflow.make_system("bosons", gg=1)
    with pytest.raises(RecipeError, match="'bozons' is not allowed: it must be one of .*did you mean bosons"):
        fkflow.make_system("bozons")
    with pytest.raises(RecipeError, match="there is no file nowhere.py"):
        fkflow.make_system("nowhere.py:Trap")


class Touching(fkflow.System):
    """1/r between particles on a plane, of which the checks warn."""

    particles = 2
    dimensions = 2

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x.square().sum((1, 2)) + 1 / (x[:, 0] - x[:, 1]).norm(dim=-1)


def test_warnings_of_the_checks() -> None:
    with pytest.warns(UserWarning, match="V grows without bound where two particles meet"):
        fkflow.train(Touching(), **QUICK)


def test_a_vector_drift_has_no_log_psi() -> None:
    training = fkflow.train(
        fkflow.make_system("harmonic", particles=2, dimensions=1),
        network={"kind": "pair_drift", "hidden": 4},
        train={"walkers": 32, "iterations": 1, "steps": 4},
    )
    x = np.ones((3, 2, 1))
    assert training.drift(x).shape == x.shape
    with pytest.raises(fkflow.UsageError, match="a vector drift has no log ψ"):
        training.log_psi(x)


class Interrupting(Silent):
    """Presses Ctrl-C at the n-th update of a stage."""

    def __init__(self, stage: str, after: int) -> None:
        self.wanted, self.left, self.now = stage, after, ""
        self.lines: list[str] = []

    def stage(self, name: str, total: float | None) -> None:
        self.now = name

    def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
        self.left -= self.now == self.wanted
        if self.left == 0 and self.now == self.wanted:
            os.kill(os.getpid(), signal.SIGINT)

    def log(self, line: str) -> None:
        self.lines.append(line)


SLOW = {**SHORT, "train": {"iterations": 12, "walkers": 64}}


@pytest.fixture(scope="module")
def uninterrupted() -> fkflow.Solution:
    """A longer training that nobody stops."""
    return fkflow.solve(fkflow.make_system("quartic"), **SLOW, progress=False)


def test_ctrl_c_keeps_a_checkpoint(uninterrupted: fkflow.Solution, tmp_path: Path) -> None:
    out, before = tmp_path / "run", signal.getsignal(signal.SIGINT)
    well = fkflow.make_system("quartic")
    with pytest.raises(
        KeyboardInterrupt, match=r"iteration 5; .*checkpoint.pt holds iteration 5: go on with resume=True"
    ):
        fkflow.solve(well, **SLOW, out=out, progress=Interrupting("train", 5))
    assert [path.name for path in out.iterdir()] == ["checkpoint.pt"]
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(
        fkflow.UsageError, match=r"unfinished run: continue it with resume=True, replace it with force=True"
    ):
        fkflow.solve(well, **SLOW, out=out, progress=False)
    with pytest.raises(fkflow.UsageError, match="belongs to another recipe"):
        fkflow.solve(well, **{**SLOW, "network": {"hidden": 5}}, out=out, resume=True, progress=False)
    watching = Interrupting("never", 0)
    finished = fkflow.solve(well, **SLOW, out=out, resume=True, progress=watching)
    assert watching.lines[0] == "resumed at iteration 5"
    assert same(finished, uninterrupted)
    # finished: resume=True gives the result again; more iterations are another budget, not another recipe
    before = (out / "result.h5").read_bytes()
    with pytest.raises(fkflow.UsageError, match="finished run .*resume=True gives its result"):
        fkflow.solve(well, **SLOW, out=out, progress=False)
    watching = Interrupting("never", 0)
    assert same(finished, fkflow.solve(well, **SLOW, out=out, resume=True, progress=watching))
    assert "nothing is left to do" in watching.lines[-1] and (out / "result.h5").read_bytes() == before
    longer = {**SLOW, "train": {"iterations": 14, "walkers": 64}}
    more = fkflow.solve(well, **longer, out=out, resume=True, progress=False)
    assert len(more.training["energy"]) == 14
    assert list(more.training["energy"][:12]) == list(finished.training["energy"])


@pytest.mark.parametrize("stage", ["train", "measure"])
def test_ctrl_c_without_a_folder(stage: str) -> None:
    with pytest.raises(KeyboardInterrupt, match="nothing is saved of a run without a folder"):
        fkflow.solve(fkflow.make_system("quartic"), **SLOW, progress=Interrupting(stage, 1))


def test_another_thread_can_solve(short: fkflow.Solution) -> None:
    """Signals belong to the main thread; the others do without."""
    found: list[fkflow.Solution] = []
    thread = threading.Thread(target=lambda: found.append(fkflow.solve(Pair(), **SHORT, progress=False)))
    thread.start()
    thread.join()
    assert same(found[0], short)


def test_pytorch_keeps_its_threads(pair: fkflow.Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do the threads among which walkers are shared."""
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "_count", 3)
    given = {**SHORT, "train": {"iterations": 1, "walkers": 64}, "threads": 2}
    training = fkflow.train(Pair(), **given)
    next(training)
    fkflow.solve(Pair(), **given, progress=False)
    pair.measure(measure=SHORT["measure"], threads=2, progress=False)
    assert torch.get_num_threads() == 1 and threads.thread_count() == 3


def test_your_own_loop(uninterrupted: fkflow.Solution) -> None:
    training = fkflow.train(fkflow.make_system("quartic"), **SLOW)
    assert training.iteration == 0 and training.seed == 1
    x = np.array([[[0.5]], [[-0.5]]])
    before = training.drift(x)
    for step in training:
        if step.iteration == 3:
            break
    assert training.iteration == 3 == len(training.records) and not np.array_equal(training.drift(x), before)
    assert training.net is training._session.model.net
    early = training.solution(progress=False)
    # the measurement changed nothing: the loop goes on to the same end
    rest = [step.iteration for step in training]
    assert rest[0] == 4
    assert uninterrupted.training["iteration"].tolist()[3:] == rest
    late = training.solution(progress=False)
    assert same(late, uninterrupted) and not same(late, early)
    assert len(early.training["energy"]) == 3
    np.testing.assert_allclose(late.drift(x), training.drift(x), rtol=1e-12)


def test_a_loop_goes_on_after_an_interrupt(uninterrupted: fkflow.Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration that is broken off leaves the training as it was before it."""
    from fkflow.training import loop as module

    training = fkflow.train(fkflow.make_system("quartic"), **SLOW)
    next(training)
    step, calls = module.update_network, []

    def interrupted(*given: Any) -> Any:
        told = step(*given)
        calls.append(told)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return told

    monkeypatch.setattr(module, "update_network", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(training)
    # an iteration whose step is rejected makes no step
    rejected = sum(record["undone"] for record in training.records)
    assert training.iteration == 2 + rejected == len(training.records)
    monkeypatch.undo()
    list(training)
    assert same(training.solution(progress=False), uninterrupted)


def test_texts(pair: fkflow.Solution) -> None:
    assert str(pair).startswith("Pair  k = 1.5\n") and repr(pair) == str(pair)
    table = pair._repr_html_()
    assert table.startswith("<table><caption>Pair  k = 1.5</caption>") and str(pair.energy) in table
    text = repr(pair.density)
    assert "density/x" in text and "normalised over dx" in text and "100 bins" in text and len(text) < 250
    assert repr(fkflow.train(Pair(), **QUICK)) == "<Training of Pair: 0 of at most 4 iterations, seed 1>"


def test_a_single_particle_has_no_pairs() -> None:
    solution = fkflow.solve(fkflow.make_system("quartic"), **SHORT, progress=False)
    with pytest.raises(
        fkflow.UsageError, match="this run of quartic has no pair distribution: it is a single particle"
    ):
        solution.pair  # noqa: B018


def test_public_names() -> None:
    assert set(fkflow.__all__) <= set(dir(fkflow))
    assert all(getattr(fkflow, name) for name in fkflow.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'solv'"):
        fkflow.solv  # noqa: B018


def test_a_callback_sees_each_iteration() -> None:
    seen: list[Any] = []
    options = {**SHORT, "train": {"iterations": 3, "walkers": 64}}
    solution = fkflow.solve(Pair(), **options, progress=False, callback=seen.append)
    assert [step.iteration for step in seen] == [1, 2, 3] == solution.training["iteration"].tolist()
    assert [step.energy for step in seen] == solution.training["energy"].tolist()

    def fails(step: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fkflow.solve(Pair(), **options, progress=False, callback=fails)
    with pytest.raises(fkflow.UsageError, match="callback=3 is not allowed: it must be a function"):
        fkflow.solve(Pair(), **options, callback=3)


def test_tables_without_their_libraries(pair: fkflow.Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "xarray", "h5netcdf"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(fkflow.UsageError, match=r"to_pandas needs pandas, .* pip install 'fkflow\[data\]'"):
        pair.to_pandas()
    with pytest.raises(fkflow.UsageError, match="to_xarray needs h5netcdf, which is not installed"):
        pair.to_xarray()


def test_tables_of_pandas(pair: fkflow.Solution) -> None:
    pytest.importorskip("pandas")
    training = pair.to_pandas()
    assert training.index.name == "iteration" and training["energy"].to_list() == pair.training["energy"].tolist()
    density = pair.to_pandas("density/x")
    assert np.array_equal(density.index, pair.density.axes[0].centres) and density.index.name == "x"
    assert np.array_equal(density["variational_error"], pair.density.errors) and "projected" not in density
    with pytest.raises(fkflow.UsageError, match="has no table 'density': it has training, density/x"):
        pair.to_pandas("density")


def test_a_tree_of_xarray(pair: fkflow.Solution) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    tree = pair.to_xarray()
    density = tree["density/x/variational"]
    assert density.dims == ("x",) and np.array_equal(density.x, pair.density.axes[0].centres)
    assert np.array_equal(density, pair.density.values) and density.attrs["units"] == "1/a"
    assert (
        tree["samples"].shape == pair.samples.shape and tree["energy/variational"].attrs["value"] == pair.energy.value
    )
