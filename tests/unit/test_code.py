"""The code is checked as it is tested: style, layout and types, as pyproject.toml sets them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def checked(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python module run on the checkout as it stands."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["check", "format"])
def test_style(command: tuple[str, ...]) -> None:
    done = checked("ruff", *command, "--no-cache", ".")
    assert done.returncode == 0, f"ruff {' '.join(command)} finds:\n{done.stdout}{done.stderr}"


#: what a user writes; the comments name the errors of wrong lines
PROGRAM = """from typing import ClassVar

import numpy as np
import torch
from matplotlib.axes import Axes

import fkflow


class Trap(fkflow.System):
    particles: int = 2
    dimensions: ClassVar[int] = 1

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().sum((1, 2))


solution: fkflow.Solution = fkflow.solve(Trap(particles=3), train={"iterations": 10}, out="run", progress=False)
value: float = solution.energy.value
drift: np.ndarray = solution.drift(np.zeros((3, 1)))
slope: torch.Tensor = solution.log_psi(torch.zeros(4, 3, 1))
ax: Axes = solution.plot.density("x")
densities: list[np.ndarray] = [histogram.values for histogram in solution.densities.values()]
reference: fkflow.Reference | None = solution.reference
for step in fkflow.train("h2", seed=1):
    spread: float = step.spread
    number: int = step.iteration
again: fkflow.Solution = fkflow.load("run", system=Trap).measure(target_error=1e-3)
wrong: str = solution.energy.value  # assignment
mixed: torch.Tensor = solution.drift(np.zeros((3, 1)))  # assignment
fkflow.solve(Trap(), iterations=10)  # call-arg
fkflow.solve(Trap(), train=10)  # arg-type
fkflow.train(3)  # arg-type
solution.plot.densities()  # attr-defined
print(solution.reference.energy)  # union-attr
"""


def test_types(tmp_path: Path) -> None:
    """The package has no error, and declares its types: of a user's program right lines pass, and every wrong one is found."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    # in one go: most of the time goes to the libraries
    done = checked("mypy", "fkflow", program)
    expected = {
        ("program.py", number, line.rpartition("# ")[2])
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "  # " in line
    }
    found = re.findall(r"^(.+?):(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.M)
    assert {(Path(file).name, int(number), code) for file, number, code in found} == expected, done.stdout + done.stderr
    assert f"Found {len(expected)} errors in 1 file" in done.stdout
