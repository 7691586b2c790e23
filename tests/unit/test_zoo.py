"""The zoo's references hold: closed forms, two ways to one energy, grids that converge; and its verdicts are strict."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import zoo  # noqa: E402
from zoo_cases import grids  # noqa: E402
from zoo_cases.answers import ball, everywhere, line, section  # noqa: E402
from zoo_cases.case import Case  # noqa: E402
from zoo_cases.cases import CASES  # noqa: E402
from zoo_cases.closed_forms import calogero, rods  # noqa: E402
from zoo_cases.runs import Run, append, read, row, verdict  # noqa: E402

BY_NAME = {case.name: case for case in CASES}


def other(name: str, solver, **parameters) -> float:
    """The energy of a case by another solver, perhaps at other parameters; its own error must be small."""
    case = BY_NAME[name]
    found = replace(case, answer=solver, parameters=case.parameters | parameters).solve()
    assert found.error < 1e-6 * max(abs(found.energy), 1)
    return found.energy


def test_there_are_sixty_potentials_in_one_to_twelve_coordinates() -> None:
    systems = [case.make() for case in CASES]
    sizes = {system.particles * system.dimensions for system in systems}
    assert len(BY_NAME) == len(CASES) >= 60
    assert {1, 2, 3, 4, 6, 8, 9, 12} <= sizes
    assert all(system.reference() is None and getattr(system, "length", None) is None for system in systems)


@pytest.mark.parametrize(
    ("name", "solver", "parameters", "energy"),
    [
        ("sech", line(-60, 60, parts=40), {"strength": 1.0}, -0.5),
        ("bond near threshold", line(-6, 60, parts=50), {"depth": 2.0}, -1.125),
        ("bouncer", line(0, 12), {}, None),
        ("isotonic", line(1e-3, 12, parts=30), {}, None),
        ("box in 3", line(0, 1, dimensions=1, parts=2), {"dimensions": 1, "L": 1.0}, np.pi**2 / 2),
        ("ball", ball(1.3), {}, None),
        ("disc", ball(1.3), {}, None),
        ("-1/r in 2", ball(30.0, scale=1.0), {}, -2.0),
        ("-1/r in 3", ball(30.0, scale=1.0), {}, -1.125),
        ("Calogero, 2, 1.3", ball(9.0, 1e-7, rest=0.5, pair=True), {"lam": 2.0}, calogero),
        ("rods in a trap", BY_NAME["rods in a trap"].answer, {}, 3.0),
        # Taut, PRA 48 3561 (1993) and its form in the plane
        ("electrons, 3", ball(14.0, rest=0.75, pair=True), {"omega": 0.5}, 2.0),
        ("electrons, 2", BY_NAME["electrons, 2"].answer, {}, 3.0),
        ("slanted, 2", everywhere(7.0, 40), {}, None),
        ("shell in 9", everywhere(5.0, 50), {"particles": 1, "dimensions": 2}, "line"),
        ("two plains", line(-25, 0, 25, parts=20), {}, None),
        # sin(k w) with k from tan(k w) = k (a + b)/(k² − a b), see test_walls.py
        ("two steps", line(-20, 0, 1.4, 50, parts=20), {}, -0.3234003793),
        # the first excited state of hydrogen has its node at 2
        ("hydrogen in a sphere", line(0, 2, dimensions=3, parts=40), {}, -0.125),
        ("image charge", line(*grids.graded(90.0, parts=40), parts=1), {}, -1 / 32),
        ("two hard discs, in V alone", ball(8.0, 1 / np.sqrt(2), rest=1.5, pair=True), {"dimensions": 3}, 4.0),
        ("attraction, 3", ball(8.0, rest=0.5, pair=True), {"particles": 2}, "grid"),
        ("quartic pairs, 3", everywhere(4.0, 20), {}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_two_ways_give_one_energy(name: str, solver, parameters: dict, energy) -> None:
    known = {
        "line": lambda: other(name, line(0, 5, dimensions=2), **parameters),
        "grid": lambda: other(name, everywhere(7.0, 60), **parameters),
    }
    case = replace(BY_NAME[name], parameters=BY_NAME[name].parameters | parameters)
    if energy is None:
        energy = case.solve().energy
    elif energy in known:
        energy = known[energy]()
    elif callable(energy):
        energy = energy(case.make())
    assert other(name, solver, **parameters) == pytest.approx(energy, abs=2e-7)


def test_the_half_disc_and_the_triangle() -> None:
    """A radial equation with one unit of angular momentum; and the known eigenfunction, which vanishes on the sides."""
    energy, _ = grids.radius(lambda r: 0.5 / r**2, np.linspace(0, 1.6, 9), dimensions=2)
    assert energy == pytest.approx(BY_NAME["half a disc"].solve().energy, abs=1e-6)
    corner = BY_NAME["corner"]
    side, height = corner.make().L, corner.make().L * 3**0.5 / 2

    def wave(u, v):
        a, b = 2 * np.pi * v / height, np.pi * 2 * u / side
        return np.sin(a) - 2 * np.cos(b) * np.sin(a / 2)

    # in the triangle with corners (0, 0), (side, 0): shifted so that the sides are v = 0, v = √3 u and v = √3 (side − u)
    u, v, h = 1.4, 0.9, 1e-3
    around = wave(u + h, v) + wave(u - h, v) + wave(u, v + h) + wave(u, v - h) - 4 * wave(u, v)
    assert -0.5 * around / h**2 / wave(u, v) == pytest.approx(corner.solve().energy, rel=1e-5)
    assert abs(wave(np.linspace(0, 1.5, 5), 3**0.5 * np.linspace(0, 1.5, 5))).max() < 1e-12


def test_hard_rods_in_a_box_on_a_grid() -> None:
    """Walls that lie near points of the grid: the error falls with the spacing, or the formula is wrong."""
    system = BY_NAME["two rods"].make()
    rough = [grids.box(section(system), [(0, system.L)] * 2, [n, n]) - rods(system) for n in (40, 80)]
    assert abs(rough[1]) < 0.6 * abs(rough[0]) < 0.06


def test_masses_count() -> None:
    """Two masses on a spring each, coupled: the closed form of normal modes."""
    masses, springs = np.array([1.0, 25.0]), np.array([[2.0, -0.7], [-0.7, 3.0]])
    root = np.sqrt(masses)
    exact = 0.5 * np.sqrt(np.linalg.eigvalsh(springs / np.outer(root, root))).sum()

    def potential(q):
        return 0.5 * np.einsum("ni,ij,nj->n", q, springs, q)

    energy, error = grids.grid(potential, [(-5, 5)] * 2, 40, list(masses))
    assert abs(energy - exact) < error + 1e-9 and abs(grids.grid(potential, [(-5, 5)] * 2, 40)[0] - exact) > 0.1


@pytest.mark.parametrize(
    "name", ["wells, gap 0.005", "triangle", "log r in 2", "argon dimer", "layers", "nanometres", "dimple in a box"]
)
def test_references_are_converged(name: str) -> None:
    found = BY_NAME[name].solve()
    assert found.error < 1e-6 * found.scale


def test_a_grid_that_is_too_coarse_is_noticed() -> None:
    case = BY_NAME["clover"]
    coarse = replace(case, answer=everywhere(5.0, 9)).solve()
    assert coarse.error > 1e-3
    assert abs(coarse.energy - case.solve().energy) < 3 * coarse.error


def made_up(z: float, status: str = "converged", seed: int = 0) -> Run:
    value = math.nan if status == "failed" else 1 + 1e-3 * z
    return Run("a, b", seed, status, value, 1e-3, 1.0, z, 2.0, 1.0, 1e-3, "abc", "a note")


def test_verdicts() -> None:
    good = [made_up(0.5, seed=seed) for seed in range(97)]
    assert verdict(good)[1] and verdict([*good, made_up(-3.5)])[1]
    assert not verdict([*good, made_up(-4.1)])[1]
    assert not verdict([*good, *(made_up(3.5) for _ in range(3))])[1]
    assert not verdict([*good, made_up(math.nan)])[1] and not verdict([made_up(math.nan, "failed")])[1]
    # a doubt is no claim
    assert verdict([*good, made_up(9.0, "doubtful"), made_up(math.nan, "failed")])[1]
    assert "97 (98.0 %), doubtful: 1, failed: 1" in verdict([*good, made_up(9, "doubtful"), made_up(9, "failed")])[0][1]


def test_runs_are_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "zoo.csv"
    for run in (made_up(9.0), made_up(1.0), made_up(2.0, seed=1)):
        append(file, run)
    found = read(file)
    assert list(found) == [("a, b", 0), ("a, b", 1)] and found["a, b", 0] == made_up(1.0)
    assert row(found["a, b", 1]) == "| a, b | 1 | 1.0020 | 1.0e-03 | 1.00000 | +2.0 | converged | 2 | 1 |"


def test_the_script_does_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All runs are in the file: the table comes at once, and a wrong one makes the exit code 1."""
    for z, code in ((1.0, 0), (5.0, 1)):
        file = tmp_path / f"{code}.csv"
        append(file, replace(made_up(z), name="quarks"))
        command = ["zoo.py", "--only", "quarks", "--seeds", "1", "--csv", str(file)]
        monkeypatch.setattr(sys, "argv", command)
        assert zoo.main() == code and "| quarks | 0 |" in capsys.readouterr().out


def test_a_run_is_judged_by_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command prints becomes energy, whole error, z and status."""
    case = Case("one", "walls.py:HalfLine", BY_NAME["half-line"].answer)

    def command(given, **_):
        assert given[given.index("--target-error") + 1] == "0.0018"
        text = (
            '{"variational": {"energy": 1.9, "error": 1e-3}, "projected": %s, "status": "doubtful", "doubts": ["why"]}'
        )
        inner = '{"energy": 1.86, "error": 3e-3, "time_step_error": 4e-3, "slow_mode_error": 0.012}'
        return subprocess.CompletedProcess(given, 0, text % inner, "")

    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda given, **k: command(given) if "fkflow" in given else real(given, **k))
    run = zoo.solve(case, 3, 1e-3, 60.0)
    assert (run.status, run.note, run.seed) == ("doubtful", "why", 3)
    assert run.error == pytest.approx(0.013) and run.z == pytest.approx(0.06 / 0.013)


def test_a_page_of_runs(tmp_path: Path) -> None:
    """Every run is in the table of its kind, doubts are told, and the summary counts them."""
    good = Run("box", 0, "converged", 1.2337, 1e-4, 1.23370055, -0.0, 3.0, 1.23, 1.2e-3, "abc", "")
    doubt = replace(good, seed=1, status="doubtful", note="slow modes may leave 0.1")
    file = tmp_path / "zoo.csv"
    for run in (good, doubt, replace(good, name="|x|", z=4.5)):
        append(file, run)
    command = [sys.executable, str(SCRIPTS / "zoo.py"), "--csv", str(file), "--markdown", str(tmp_path / "zoo.md")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent)})
    text = (tmp_path / "zoo.md").read_text("utf-8")
    assert "| Walls | 2 | 1 | 1 | 0 | 1 | 0 | 3 |" in text and "| all | 3 | 2 | 1 | 0 | 1 | 1 | 3 |" in text
    assert "* box, seed 1, doubtful: slow modes may leave 0.1" in text
    walls = text[text.index("## Walls") : text.index("## No gradient")]
    assert walls.count("| box |") == 2 and walls.count("| abc |") == 2 and "|x" not in walls
