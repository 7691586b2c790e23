"""Twenty potentials of the zoo, of every kind, one seed each: whoever claims to have converged is right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fkflow
from fkflow.statistics import z_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from zoo import rounded  # noqa: E402
from zoo_cases.cases import CASES  # noqa: E402
from zoo_cases.runs import CONVERGED, SILENT  # noqa: E402

BY_NAME = {case.name: case for case in CASES}
#: those of each kind that are done soonest: slow modes, odd scales, walls, no gradient, coupled oscillators, pairs
NAMES = [
    *("wells, tilted little", "wells, gap 0.1", "three wells", "leaning wells"),
    *("x^6", "|x|", "-1/r in 2", "finite well"),
    *("box", "ball", "half-line", "rods in a trap"),
    *("numpy", "point by point"),
    *("slanted, 2", "Hénon–Heiles"),
    *("electrons, 2", "Gaussian bosons, 2", "soft atom", "soft molecule"),
]
#: error to reach in units of the energy scale
TARGET = 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_energies_are_right(name: str) -> None:
    """Within four errors, which are at most three times what was asked; an energy off by 0.15 scales is wrong."""
    case = BY_NAME[name]
    known = case.solve()
    target = rounded(TARGET * known.scale)
    solution = fkflow.solve(case.make(), target_error=target, seed=1, threads=1, progress=False)
    found = solution.energy
    assert solution.status == CONVERGED, solution.doubts
    assert abs(z_score(found.value, found.error, known.energy, known.error)) <= SILENT
    assert found.error <= 3 * target
    assert abs(z_score(found.value, found.error, known.energy + 0.15 * known.scale, known.error)) > SILENT
