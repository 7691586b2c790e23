"""e^(−tH) against Mehler's kernel, grids and the ground state, in errors; the command and its file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fkflow
from fkflow.cli.entry import main
from fkflow.errors import UsageError
from tests.physics.test_temperatures import WELLS
from tests.unit.thermal.test_bridges import kernel

QUICK = {"seed": 2, "threads": 1, "progress": False, "iterations": 20}


def grid(potential, half: float, points: int = 400):
    """Places, levels and states of a particle on a line by sinc functions."""
    x = np.linspace(-half, half, points)
    step, i = x[1] - x[0], np.arange(points)
    apart = i[:, None] - i
    kinetic = np.where(apart == 0, math.pi**2 / 6, (-1.0) ** apart / np.where(apart == 0, 1, apart) ** 2) / step**2
    levels, states = np.linalg.eigh(kinetic + np.diag(np.minimum(potential(x), 1e4)))
    return x, levels, states


def test_a_double_well() -> None:
    """ψ(x, t), survival and v(x, t) of a packet in one well, which tunnels into the other."""
    potential, _, half = WELLS["double_well"]
    x, levels, states = grid(potential, half)
    psi, time = np.exp(-2 * (x - 1.5) ** 2), 1.5
    evolved = states @ (np.exp(-time * levels) * (states.T @ psi))
    places = np.array([-2.5, -1.0, 0.0, 1.2, 2.0, 2.7])
    well = fkflow.make_system("double_well")
    found = fkflow.propagate(
        well, "exp(-2*(x-1.5)**2)", times=time, grid=places, survival=True, drift=1, paths=3000, **QUICK
    )
    assert found.psi is not None and found.survival is not None and found.share is not None and found.drift is not None
    z = (found.psi.values[0] - np.interp(places, x, evolved)) / found.psi.errors[0]
    assert np.abs(z).max() < 3.5 and (z**2).mean() < 3.0
    assert (found.psi.errors[0] < 0.03 * found.psi.values[0]).all() and np.median(found.psi.ess) > 0.6
    # a time that is 3 % longer, or no drift of the centre, would be seen
    late = states @ (np.exp(-1.05 * time * levels) * (states.T @ psi))
    assert (((found.psi.values[0] - np.interp(places, x, late)) / found.psi.errors[0]) ** 2).mean() > 9
    step = x[1] - x[0]
    amplitude, norm = psi @ evolved * step, psi @ psi * step
    for column, exact in ((found.survival, amplitude), (found.share, amplitude / norm)):
        assert abs(column.values[0, 0] - exact) < 3.5 * column.errors[0, 0] < 0.1 * exact
        assert abs(column.values[0, 0] - 1.1 * exact) > 3.5 * column.errors[0, 0]
    slope = np.interp(places, x, np.gradient(np.log(np.maximum(evolved, 1e-300)), x))
    z = (found.drift.vectors[0, :, 0, 0] - slope) / found.drift.errors[0, :, 0, 0]
    assert np.abs(z).max() < 3.5 and (found.drift.errors < 0.3).all()
    assert found.status == "converged"


def test_a_kernel_of_a_heavy_particle_in_a_plane() -> None:
    """Mehler's kernel in the user's coordinates: z = √m x, and one factor √m a coordinate."""

    class Heavy(fkflow.System):
        particles: int = 1
        dimensions: int = 2
        mass: float = 4.0

        def potential(self, x):
            return 0.5 * (9 * x[:, 0, 0].square() + x[:, 0, 1].square()) + 3.0

    ends = np.array([[[0.3, -0.5], [-0.2, 0.4]]])
    found = fkflow.propagate(Heavy(), times=0.7, kernels=ends, paths=2000, **QUICK)
    exact = math.exp(-3 * 0.7)
    for (a, b), omega in zip(ends[0].T, (1.5, 0.5), strict=True):
        exact *= 2 * kernel(2 * a, 2 * b, omega, 0.7)
    assert found.kernel is not None
    assert found.kernel.values[0, 0] == pytest.approx(exact, abs=3.5 * found.kernel.errors[0, 0] + 1e-9 * exact)
    assert found.kernel.errors[0, 0] < 0.02 * exact


def test_a_long_time_leaves_the_ground_state() -> None:
    """ψ(x, t) becomes φ0(x) e^(−E0 t): its shape is that of a run, its fall the energy of the run."""
    well = fkflow.make_system("quartic")
    run = fkflow.solve(
        well, train={"iterations": 30, "walkers": 256}, measure={"seconds": 1.0}, project={"seconds": 0}, seed=1,
        threads=1, progress=False,
    )  # fmt: skip
    places = np.array([-1.0, 0.0, 0.6, 1.2])
    found = fkflow.propagate(well, "1/(1 + (x-1)**2)", times=(3.0, 5.0), points=places, paths=1200, **QUICK)
    assert found.psi is not None
    log, error = np.log(found.psi.values), found.psi.errors / found.psi.values
    energy = (log[0] - log[1]) / 2
    assert (np.abs(energy - run.energy.value) < 3.5 * np.hypot(*error) / 2 + 2e-3).all() and (error < 0.02).all()
    apart = log[1] - run.log_psi(places[:, None, None])
    assert (np.abs(apart - apart.mean()) < 3.5 * error[1] + 0.01).all()
    assert not (np.abs(energy - 1.05 * run.energy.value) < 3.5 * np.hypot(*error) / 2 + 2e-3).all()


def test_a_function_with_a_node_keeps_its_sign_and_has_no_drift() -> None:
    """x e^(−x²/2) is the first excited state of the trap: it falls as e^(−3t/2)."""
    trap = fkflow.make_system("harmonic", particles=1, dimensions=1)
    found = fkflow.propagate(trap, "x*exp(-x**2/2)", times=0.5, points=[[-1.2], [0.7]], paths=4000, **QUICK)
    assert found.psi is not None
    exact = np.array([x * math.exp(-0.5 * x * x - 0.75) for x in (-1.2, 0.7)])
    assert (np.abs(found.psi.values[0] - exact) < 3.5 * found.psi.errors[0]).all()
    assert (found.psi.errors[0] < 0.05 * np.abs(exact)).all()
    with pytest.raises(UsageError, match="changes its sign"):
        fkflow.propagate(trap, "x*exp(-x**2/2)", times=0.5, points=[[0.0]], drift=2, paths=200, **QUICK)


def test_the_command_and_its_file(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--threads", "1", "--seed", "3", "-q"]
    asked = ["--gaussian", "0.5:0.8", "--time", "0.4", "--time", "0.8", "--grid=-2:2:0.5", "--paths", "60"]
    call = ["propagate", "harmonic", "--set", "system.particles=1", "--set", "system.dimensions=1", *asked, *common]
    assert main([*call, "--survival", "--drift", "3", "--kernel", "0:0.5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [entry["time"] for entry in printed["propagated"]] == [0.4, 0.8] and len(printed["survival"]) == 2
    assert printed["kernels"][0]["value"] == pytest.approx(kernel(0, 0.5, 1, 0.4), rel=0.02)
    name = "harmonic-propagated"
    assert main(["show", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
    assert main(["show", name]) == 0 and "e^-tH" in capsys.readouterr().out
    assert main(["plot", name]) == 0
    assert {path.stem for path in (tmp_path / "runs" / name / "plots").glob("*.png")} == {"psi", "survival", "drift"}
    assert main(["animate", name, "--format", "gif", "--seconds", "0.2", "--fps", "10", "--size", "160"]) == 0
    assert (tmp_path / "runs" / name / "plots" / "drift.gif").is_file()
    capsys.readouterr()
    # nothing is written over, and a folder of another kind is not taken
    assert main(call) == 2 and "--force" in capsys.readouterr().err
    assert main(["measure", name]) == 2 and "propagation" in capsys.readouterr().err
    assert main(["run", "quartic", "--out", f"runs/{name}"]) == 2 and "propagation" in capsys.readouterr().err


BAD = [
    (["--time", "1"], "nothing to propagate"),
    (["--psi", "exp(-x**2)"], "no time"),
    (["--psi", "exp(-x**2)", "--time", "0"], "--time 0"),
    (["--psi", "exp(-x**2)", "--time=-1"], "--time -1"),
    (["--psi", "exp(-x**2)", "--time", "nan"], "--time nan"),
    (["--psi", "exp(-x**2)", "--time", "1", "--time", "1"], "twice"),
    (["--psi", "exp(-q**2)", "--time", "1"], "unknown name q"),
    (["--psi", "sqrt(x)", "--time", "1"], "not a number"),
    (["--psi", "0*x", "--time", "1"], "0 everywhere"),
    (["--psi", "exp(-x**2)", "--gaussian", "0:1", "--time", "1"], "twice"),
    (["--psi", "exp(-x**2)", "--time", "1", "--point", "1,2"], "--point 1,2"),
    (["--psi", "exp(-x**2)", "--time", "1", "--point", "one"], "--point one"),
    (["--psi", "exp(-x**2)", "--time", "1", "--point", "nan"], "finite"),
    (["--psi", "exp(-x**2)", "--time", "1", "--grid", "1:0:0.1"], "--grid 1:0:0.1"),
    (["--psi", "exp(-x**2)", "--time", "1", "--grid", "0:1:0.1", "--grid", "0:1:0.1"], "grid"),
    (["--gaussian", "0", "--time", "1"], "CENTRE:WIDTH"),
    (["--gaussian", "0:0", "--time", "1"], "width"),
    (["--kernel", "0", "--time", "1"], "X:Y"),
    (["--kernel", "0:1", "--time", "1", "--survival"], "need a function"),
    (["--psi-run", "runs/none", "--time", "1"], "runs/none"),
]


@pytest.mark.parametrize("arguments, word", BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_requests(arguments, word, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["propagate", "quartic", "-q", *arguments]) == 2
    printed = capsys.readouterr()
    assert word in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("system, word", [("h2", "nothing confines"), ("hard_rods", "hard")])
def test_systems_that_are_refused(system, word, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["propagate", system, "-q", "--psi", "exp(-r1)", "--time", "1"]) == 2
    assert word in capsys.readouterr().err
    assert not list(tmp_path.rglob("*"))
