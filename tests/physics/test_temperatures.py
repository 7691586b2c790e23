"""Free energies and energies at temperatures against grids and closed forms, in errors; the same files as from the command."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fkflow
from fkflow.cli.entry import main
from fkflow.errors import UsageError
from fkflow.statistics import z_score


@pytest.fixture(autouse=True)
def few_paths(monkeypatch) -> None:
    """Less of everything: errors are larger, and stated."""
    for name, value in (("fit.PATHS", 96), ("fit.POOL", 1024), ("measure.POOLS", 8), ("density_matrix.BINS", 6)):
        monkeypatch.setattr(f"fkflow.thermal.{name}", value)


def grid_levels(potential, half: float, points: int = 500) -> np.ndarray:
    """Levels of a particle on a line by sinc functions on a grid (Colbert & Miller 1992)."""
    x = np.linspace(-half, half, points)
    step, i = x[1] - x[0], np.arange(points)
    apart = i[:, None] - i
    kinetic = np.where(apart == 0, math.pi**2 / 6, (-1.0) ** apart / np.where(apart == 0, 1, apart) ** 2) / step**2
    return np.linalg.eigvalsh(kinetic + np.diag(np.minimum(potential(x), 1e4)))


def thermal(levels: np.ndarray, beta: float) -> tuple[float, float, float]:
    """F, E and C of levels."""
    weights = np.exp(-beta * (levels - levels[0]))
    z = weights.sum()
    energy, square = (weights @ levels) / z, (weights @ levels**2) / z
    return levels[0] - math.log(z) / beta, energy, beta**2 * (square - energy**2)


def solved(name: str, beta: float, seed: int = 1, target: float = 1e-3, parameters=None, **keys):
    return fkflow.solve(
        fkflow.make_system(name, **(parameters or {})),
        thermal={"beta": beta, "target_error": target, "iterations": 25, "seconds": 1e3, **keys},
        seed=seed,
        threads=1,
        progress=False,
    )


WELLS = {
    "quartic": (lambda x: 0.5 * x**2 + x**4, 1.0, 5.0),
    "double_well": (lambda x: 2 * ((x / 2) ** 2 - 1) ** 2, 2.0, 9.0),
}


@pytest.mark.parametrize("name", WELLS)
def test_one_particle_in_a_well(name: str) -> None:
    potential, beta, half = WELLS[name]
    exact = thermal(grid_levels(potential, half), beta)
    (state,) = solved(name, beta, target=2e-3).thermal
    entropy = beta * (exact[1] - exact[0])
    for found, known in zip(
        (state.free_energy, state.energy, state.heat_capacity, state.entropy), (*exact, entropy), strict=True
    ):
        assert abs(z_score(found.value, found.error, known)) < 3.5
    # a missed well would be ln 2/β off, a wrong β 1 % in the energy
    assert state.free_energy.error < 4e-3 and state.energy.error < 0.02
    assert state.ess > 0.9
    density = state.histograms[0]
    assert density.values @ np.diff(density.axes[0].edges) == pytest.approx(1.0, abs=0.01)
    mean = density.values * np.diff(density.axes[0].edges) @ density.axes[0].centres ** 2
    assert 0.1 < mean < 6


@pytest.mark.parametrize(("statistics", "beta", "target"), [("bose", 3.0, 6e-3), ("boltzmann", 1.0, 2e-2)])
def test_two_free_particles_in_a_trap(statistics: str, beta: float, target: float) -> None:
    """Z = ½ (z(β)² + z(2β)) for bosons, z² for particles that can be told apart; β = 3 was off in the first trial."""
    wanted = {"statistics": statistics, "iterations": 12, "target": target}
    state = solved("bosons", beta, parameters={"particles": 2, "g": 0.0}, **wanted).thermal[0]
    one, both = ((2 * math.sinh(0.5 * k * beta)) ** -2 for k in (1, 2))
    z = {"bose": 0.5 * (one**2 + both), "boltzmann": one**2}
    other = "boltzmann" if statistics == "bose" else "bose"
    f = {kind: -math.log(z[kind]) / beta for kind in z}
    harmonic = fkflow.make_system("harmonic", particles=2, dimensions=2)
    assert harmonic.free_energy(beta, statistics).energy == pytest.approx(f[statistics], rel=1e-12)
    found = state.free_energy
    assert abs(z_score(found.value, found.error, f[statistics])) < 3.5
    assert abs(z_score(found.value, found.error, f[other])) > 5


def test_a_heavy_particle_and_its_units() -> None:
    """A mass of 4 halves the frequency: F = T log(2 sinh(ω/2T)) along each axis."""

    class Heavy(fkflow.System):
        particles: int = 1
        dimensions: int = 2
        mass: float = 4.0

        def potential(self, x):
            return 0.5 * (9 * x[:, 0, 0].square() + x[:, 0, 1].square()) + 3.0

    wanted = {"temperature": 0.7, "iterations": 12, "target_error": 1e-2}
    found = fkflow.solve(Heavy(), thermal=wanted, seed=1, threads=1, progress=False)
    exact, light = (
        3 + 0.7 * sum(math.log(2 * math.sinh(0.5 * omega / 0.7)) for omega in pair) for pair in ((1.5, 0.5), (3.0, 1.0))
    )
    assert isinstance(found.free_energy, fkflow.Estimate)
    assert found.free_energy.value == pytest.approx(exact, abs=3.5 * found.free_energy.error)
    # the twin: the mass 1
    assert abs(found.free_energy.value - light) > 20 * found.free_energy.error


def test_the_command_and_its_files(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["--set", "thermal.target_error=1e-2", "--set", "thermal.iterations=12", "--threads", "1", "--seed", "3"]
    assert main(["run", "quartic", "--temperature", "2", "--temperature", "1", "--json", "-q", *quick]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [entry["temperature"] for entry in printed["thermal"]] == [2.0, 1.0]
    assert main(["show", "quartic", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
    solution = fkflow.load("runs/quartic")
    assert [estimate.value for estimate in solution.free_energy] == [e["free_energy"] for e in printed["thermal"]]
    assert "free energy" in str(solution)
    with pytest.raises(UsageError, match="no ground state"):
        _ = solution.energy
    assert main(["compare", "quartic", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [row["parameters"]["T"] for row in rows] == [2.0, 1.0] and all(abs(row["z"]) < 3.5 for row in rows)
    assert rows[1]["reference"]["energy"] == pytest.approx(0.6571049, abs=1e-6)
    assert main(["compare", "quartic"]) == 0 and "free energy" in capsys.readouterr().out
    assert main(["compare", "quartic", "--sigma", "0"]) == 4
    capsys.readouterr()
    assert main(["plot", "quartic"]) == 0
    capsys.readouterr()
    drawn = {"thermal_energies", "thermal_heat_capacity", "thermal_density", "thermal_matrix_1", "thermal_matrix_2"}
    assert {path.stem for path in (tmp_path / "runs" / "quartic").rglob("*.png")} == drawn
    # a finished run is given back, one of another temperature is not
    again = ["run", "quartic", "--resume", "-q", "--json", *quick]
    assert main([*again, "--temperature", "2", "--temperature", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
    for wrong, word in (
        ([*again, "--temperature", "3"], "another recipe"),
        (["run", "quartic", "--temperature", "-1"], "above 0"),
        (["run", "quartic", "--temperature", "0"], "above 0"),
        (["run", "quartic", "--temperature", "1", "--set", "thermal.beta=2"], "leave one out"),
        (["run", "quartic", "--set", "thermal.beta=[]"], "list of different"),
        (["run", "h2", "--temperature", "1"], "no free energy"),
        (["run", "bosons", "--set", "system.particles=11", "--temperature", "1"], "at most 10"),
        (["scan", "quartic", "--over", "thermal.temperature=[[1.0, 2.0], [3.0]]"], "one temperature"),
        (["measure", "quartic"], "no ground state"),
    ):
        assert main(wrong) == 2, wrong
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert word in error, (wrong, error)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["quartic"]


QUICK = ["--set", "thermal.target_error=2e-2", "--set", "thermal.iterations=12", "--threads", "1", "--seed", "3", "-q"]


def test_two_species_and_their_permutations() -> None:
    """Springs between two bosons a and one heavy b in different traps: bosons of each species, not all, and not none."""
    parameters = {"dimensions": 1, "count_a": 2, "count_b": 1, "omega_b": 1.3, "interaction": "spring", "g_ab": 0.6}
    found = solved("mixture", 1.0, parameters=parameters, target=2e-2, iterations=12)
    (state,), system = found.thermal, fkflow.make_system("mixture", **parameters)
    exact, apart = (system.free_energy(1.0, statistics).energy for statistics in ("bose", "boltzmann"))
    assert abs(z_score(state.free_energy.value, state.free_energy.error, exact)) < 3.5
    assert abs(z_score(state.free_energy.value, state.free_energy.error, apart)) > 5
    assert state.free_energy.error < 0.04
    steps = [system.free_energy(1.0 + side * 1e-3, "bose").energy * (1.0 + side * 1e-3) for side in (1, -1)]
    assert abs(z_score(state.energy.value, state.energy.error, (steps[0] - steps[1]) / 2e-3)) < 3.5
    assert {(h.group, h.name) for h in state.histograms} >= {("density", "x_a"), ("density", "x_b")}


def test_two_electrons_that_repel_each_other() -> None:
    """The exact kernel of 1/r and one exchange, against levels of the relative motion."""
    found = solved("hooke", 1.0, parameters={"omega": 1.0}, target=5e-2, iterations=12)
    (state,), system = found.thermal, fkflow.make_system("hooke", omega=1.0)
    exact, apart = (system.free_energy(1.0, statistics).energy for statistics in ("bose", "boltzmann"))
    free = fkflow.make_system("harmonic", particles=2, dimensions=3).free_energy(1.0, "bose").energy
    assert abs(z_score(state.free_energy.value, state.free_energy.error, exact)) < 3.5 and state.free_energy.error < 0.1
    for wrong in (apart, free):
        assert abs(z_score(state.free_energy.value, state.free_energy.error, wrong)) > 5
    energies = [system.free_energy(1.0 + side * 1e-3, "bose").energy * (1.0 + side * 1e-3) for side in (1, -1)]
    assert abs(z_score(state.energy.value, state.energy.error, (energies[0] - energies[1]) / 2e-3)) < 3.5


def test_a_run_goes_on_from_its_checkpoint_with_the_same_bits(tmp_path, monkeypatch, capsys) -> None:
    """Stopped before the second temperature is measured: what was trained and measured before is not done again."""
    from fkflow.thermal.measure import Measurement
    from fkflow.thermal.solve import ThermalSolver

    monkeypatch.chdir(tmp_path)
    call = ["run", "quartic", "--temperature", "9", "--temperature", "4", *QUICK]
    assert main([*call, "--out", "whole", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)["thermal"]
    measure, seen = Measurement.state, []

    def stop(self):
        seen.append(self.beta)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return measure(self)

    monkeypatch.setattr(Measurement, "state", stop)
    assert main([*call, "--out", "broken"]) == 130
    assert "checkpoint.pt" in capsys.readouterr().err
    assert main(["show", "broken"]) == 2 and "unfinished" in capsys.readouterr().err
    monkeypatch.setattr(Measurement, "state", measure)
    # nothing is trained again, or at other temperatures
    monkeypatch.setattr(ThermalSolver, "train", None)
    other = ["run", "quartic", "--temperature", "9", *QUICK, "--out", "broken", "--resume"]
    assert main(other) == 2 and "another recipe" in capsys.readouterr().err
    assert main(["run", "quartic", "--out", "broken", "--resume", "-q"]) == 2
    capsys.readouterr()
    assert main([*call, "--out", "broken", "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["thermal"] == whole
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == ["result.h5"]
    # the classical limit at T = 9, by a sum
    x = np.linspace(-6, 6, 4001)
    value = 0.5 * x**2 + x**4
    z = np.exp(-value / 9).sum() * (x[1] - x[0]) / math.sqrt(2 * math.pi / 9)
    assert whole[0]["classical_free_energy"] == pytest.approx(-9 * math.log(z), abs=0.01)
    mean = (value * np.exp(-value / 9)).sum() / np.exp(-value / 9).sum()
    assert whole[0]["classical_energy"] == pytest.approx(4.5 + mean, abs=0.02)
    assert whole[0]["free_energy"] > whole[0]["classical_free_energy"]


def test_a_scan_over_temperatures_trains_its_drift_once(tmp_path, monkeypatch, capsys) -> None:
    from fkflow.thermal.solve import ThermalSolver

    monkeypatch.chdir(tmp_path)
    train, kept = ThermalSolver.train, []

    def count(self, beta, last, frozen=False):
        kept.append(frozen)
        return train(self, beta, last, frozen)

    monkeypatch.setattr(ThermalSolver, "train", count)
    assert main(["scan", "quartic", "--over", "thermal.temperature=[9, 4]", "--json", *QUICK]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert kept.count(True) == 2 and not any(kept[: kept.index(True)])
    levels = grid_levels(WELLS["quartic"][0], 5.0)
    for point in points:
        exact = thermal(levels, 1 / point["values"]["thermal.temperature"])
        assert abs(z_score(point["energy"], point["error"], exact[0])) < 3.5 and point["kind"] == "free"
        energy = point["observables"]["energy"]["variational"]
        assert abs(z_score(energy["value"], energy["error"], exact[1])) < 3.5
    assert (tmp_path / "runs/quartic/scan.png").is_file()
    assert main(["show", "quartic"]) == 0 and "free energy" in capsys.readouterr().out
