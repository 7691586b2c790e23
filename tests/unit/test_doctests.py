"""The examples in docstrings, in the README and on pages of the documentation do what they show."""

from __future__ import annotations

import doctest
import re
import types
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from fkflow import statistics, units
from fkflow.api import functions, propagation, solution, training_loop
from fkflow.runs import evaluation
from fkflow.thermal import formulas

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "module",
    [functions, evaluation, formulas, propagation, training_loop, solution, statistics, units],
    ids=lambda module: module.__name__,
)
def test_examples(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted or module not in (functions, statistics, units), "there are examples"


def test_a_wrong_example_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ModuleType("wrong", ">>> 1 + 1\n3\n")
    assert doctest.testmod(wrong).failed == 1
    assert "Expected" in capsys.readouterr().out


def blocks(page: str) -> list[str]:
    """The Python blocks of a page, those without a file of their own."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.S | re.M)


def test_the_page_on_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its programs run as they stand, in the folder of a new user, and print what they say; README shows the first."""
    programs = blocks("docs/how-to/python.md")
    assert len(programs) == 2 and programs[0] in blocks("README.md")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for program in programs:
        exec(compile(program, "python.md", "exec"), names)
    assert (tmp_path / "runs/wells/result.h5").is_file()
    printed = capsys.readouterr().out
    assert re.search(r"^\d\.\d+\(\d+\)$", printed, re.MULTILINE), printed


def test_hamiltonians_of_the_pages(tmp_path: Path) -> None:
    """The classes of "Your own Hamiltonian" are systems whose potentials give what their text says."""
    cations, box, tables = blocks("docs/how-to/own_hamiltonian.md")
    assert cations in blocks("README.md")
    r = np.linspace(-3, 3, 61)
    np.savetxt(tmp_path / "curve.csv", np.stack([r, r**2 / 2], 1), delimiter=",")
    code = types.SimpleNamespace(energy=harmonic)
    names: dict[str, Any] = {"__name__": "page", "__file__": str(tmp_path / "page.py"), "my_fortran": code}
    for block in (cations, box, tables):
        # a process for each point is not needed to see that the call is right
        exec(compile(block.replace("processes=8", "processes=1"), "own_hamiltonian.md", "exec"), names)
    x = torch.tensor([[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    pairs = 1 / 4.1**0.5 + 2 / 2.1**0.5
    assert names["Cations"](charge=2.0).potential(x).item() == pytest.approx(1.5 + 4 * pairs)
    inside = torch.tensor([-0.1, 0.3, 0.8, 1.1], dtype=torch.float64)[:, None, None]
    assert names["Box"]().potential(inside).tolist() == [float("inf"), 0.0, 20.0, float("inf")]
    at = torch.tensor([[[0.33]], [[-2.0]], [[4.0]]], dtype=torch.float64)
    # a cubic spline is exact between the ends of a parabola but for its end conditions; beyond the ends V goes on linearly
    expected = [0.33**2 / 2, 2.0, 7.5]
    assert names["Vibration"]().potential(at).tolist() == pytest.approx(expected, abs=2e-3)
    assert names["surface"](at)[:2].tolist() == pytest.approx(expected[:2])


def harmonic(x: np.ndarray) -> float:
    """The energy of one configuration (N, D)."""
    return float((x**2).sum() / 2)


def test_conversions_of_the_page_on_units() -> None:
    """Every number of docs/units.md follows from the functions and the classes of the page."""
    first, *classes = blocks("docs/units.md")
    text = " ".join((ROOT / "docs" / "units.md").read_text(encoding="utf-8").split())
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile("\n".join(["import fkflow", first, *classes]), "units.md", "exec"), names)
    for call, number in re.findall(r"^(units\..*?)  # ([\d.]+)", first, re.M):
        assert f"{eval(call, names):.4g}" == f"{float(number):.4g}"
    of_helium, of_hcl = 1 / names["Trapped"]().mass, 1 / names["HCl"]().mass
    assert f"= {1.5 * of_helium**0.5:.3f} K" in text and f"= {of_helium**0.5:.3f} K" in text
    rate, depth = 1.8677, 37240.0
    energy = rate * (2 * depth * of_hcl) ** 0.5 / 2 - rate**2 * of_hcl / 8
    assert f"here {energy:.1f} cm⁻¹" in text and f"= {of_hcl:.3f} cm⁻¹ Å²" in text
    dot = names["Dot"]()
    assert f"= {dot.mass:.3f}" in text
    # one electron at 10 nm and one at the origin
    x = torch.tensor([[[10.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    trap = 0.5 * dot.mass * 0.003**2 * 100
    assert dot.potential(x).item() == pytest.approx(trap + 1.439964548 / 12.4 / 10)
