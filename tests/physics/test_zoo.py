"""Twenty potentials of the zoo, of every kind, one seed each: whoever claims to have converged is right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fkflow
from fkflow.statistics import z_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from zoo import CONVERGED, SILENT, rounded  # noqa: E402
from zoo_cases.cases import CASES  # noqa: E402

BY_NAME = {case.name: case for case in CASES}
#: error to reach in units of the energy scale: a loose one where a tighter one takes more than a few seconds
TARGETS = {
    "wells, tilted little": 1e-2,
    "wells, gap 0.1": 2e-3,
    "three wells": 2e-3,
    "tunnel in 6": 1e-2,
    "x^6": 1e-2,
    "|x|": 1e-2,
    "-1/r in 2": 1e-2,
    "log r in 2": 1e-2,
    "box": 1e-2,
    "ball": 1e-2,
    "half-line": 1e-2,
    "rods in a trap": 1e-2,
    "numpy": 1e-2,
    "point by point": 1e-2,
    "slanted, 2": 1e-2,
    "Hénon–Heiles": 1e-2,
    "electrons, 2": 1e-2,
    "Calogero, 2, 1.3": 1e-2,
    "soft atom": 1e-2,
    "argon dimer": 1e-2,
}


@pytest.mark.parametrize("name", TARGETS)
def test_energies_are_right(name: str) -> None:
    """Within four errors, which are at most three times what was asked; an energy off by 0.15 scales is wrong."""
    case, target = BY_NAME[name], TARGETS[name]
    known = case.solve()
    target = rounded(target * known.scale)
    solution = fkflow.solve(case.make(), target_error=target, seed=1, threads=1, progress=False)
    found = solution.energy
    assert solution.status == CONVERGED, solution.doubts
    assert abs(z_score(found.value, found.error, known.energy, known.error)) <= SILENT
    assert found.error <= 3 * target
    assert abs(z_score(found.value, found.error, known.energy + 0.15 * known.scale, known.error)) > SILENT
