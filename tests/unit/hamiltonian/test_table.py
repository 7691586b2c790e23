"""Tables: splines with two continuous derivatives, rules beyond the ends, CSV files as systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

import fkflow
from fkflow import System, Table
from fkflow.errors import PotentialError, RecipeError
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.conversion import share_outside
from fkflow.recipe import config

R = np.array([0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0])
MORSE = 0.1744 * (1 - np.exp(-1.0298 * (R - 1.401))) ** 2 - 0.1744


def test_a_curve_is_the_spline_of_scipy_with_its_derivatives() -> None:
    """The same piecewise cubic, to rounding; a shifted value fails."""
    table, spline = Table(R, MORSE), CubicSpline(R, MORSE)
    x = torch.linspace(0.8, 10.0, 400, dtype=torch.float64, requires_grad=True)
    value = table(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    for order, found in enumerate((value, first, second)):
        exact = spline(x.detach().numpy(), order)
        assert found.detach().numpy() == pytest.approx(exact, rel=1e-9, abs=1e-11)
        assert found.detach().numpy() != pytest.approx(1.001 * exact, rel=1e-9, abs=1e-11)
    assert isinstance(table(R), np.ndarray) and table(R) == pytest.approx(MORSE, abs=1e-15)
    assert isinstance(table(1.4), float)


def test_grids_of_two_and_three_axes_are_exact_for_cubics() -> None:
    axes = [np.linspace(-2, 2, 9), np.array([-1.0, -0.2, 0.1, 0.7, 1.5, 3.0]), np.linspace(0, 1, 5)]

    def cubic(x, y, z=0.5):
        return x**3 * y**2 - z**3 * x + y

    rng = np.random.default_rng(0)
    inside = [rng.uniform(axis[0], axis[-1], 50) for axis in axes]
    plane = Table(axes[:2], cubic(axes[0][:, None], axes[1]))
    space = Table(axes, cubic(axes[0][:, None, None], axes[1][:, None], axes[2]))
    assert plane(*inside[:2]) == pytest.approx(cubic(*inside[:2]), abs=1e-12)
    assert space(*inside) == pytest.approx(cubic(*inside), abs=1e-12)


def test_rules_beyond_the_ends() -> None:
    spline = CubicSpline(R, MORSE)
    linear = Table(R, MORSE, "linear")
    assert linear(11.0) == pytest.approx(spline(10.0) + spline(10.0, 1), abs=1e-14)
    assert linear(0.3) == pytest.approx(spline(0.8) - 0.5 * spline(0.8, 1), abs=1e-14)
    mixed = Table(R, MORSE, ("linear", 0.25))
    assert mixed(11.0) == 0.25 and mixed(0.3) == linear(0.3)
    assert Table(R, MORSE, float("inf"))(11.0) == float("inf")
    with pytest.raises(ValueError, match=r'ends at 0.8 and 10, and V is asked for at 10.5: .*outside="linear"'):
        Table(R, MORSE)(torch.tensor([5.0, 10.5]))
    with pytest.raises(ValueError, match="not allowed"):
        Table(R, MORSE, "mirror")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("r,V\n1,2\n2,3\n", "2 points: from 4"),
        ("1,2\n2,x\n", "no numbers: '2,x'"),
        ("1,2\n2,3,4\n", "same two to four numbers"),
        ("1,2\n1,3\n2,2\n3,3\n4,4", "not the full grid"),
        ("1,2\n2,nan\n3,2\n4,3", "full grid"),
        ("0,0,1\n0,1,1\n1,0,1\n", "3 points, which are not the full grid of 2 x 2"),
        ("", "two to four numbers"),
    ],
)
def test_wrong_files_are_told(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("curve.csv").write_text(text)
    with pytest.raises(RecipeError, match=words) as caught:
        config.parse('[system]\nfile = "curve.csv:Particle"', "curve.toml")
    assert "curve.csv" in str(caught.value)


def test_a_file_is_a_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A curve of one particle, a pair energy of three, and a curve that ends where the walkers are."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{r},{v:.17g}\n" for r, v in zip(R, MORSE, strict=True))
    Path("curve.csv").write_text("r,V\n" + rows)
    recipe = config.parse('[system]\nfile = "curve.csv:Particle"\nmass = 918.076', "curve.toml").recipe
    assert recipe.definition is not None and recipe.definition.text.startswith("r,V")
    found = check(recipe.system)
    assert found.warnings == found.notes == ()
    assert float(found.landscape.minima[0]) / 918.076**0.5 == pytest.approx(1.401, abs=2e-3)
    x = torch.tensor([[[1.4]], [[11.0]], [[2.0]], [[3.0]]], dtype=torch.float64)
    assert share_outside(found.system, x) == 0.25 and share_outside(found.system, x[:1]) == 0.0
    three = config.parse('[system]\nfile = "curve.csv:Particles"\nparticles = 3\noutside = 0.0', "c.toml").recipe.system
    x = torch.tensor([[[0.0, 0, 0], [1.4, 0, 0], [0, 2.0, 0]]], dtype=torch.float64)
    pairs = CubicSpline(R, MORSE)(np.array([1.4, 2.0, np.hypot(1.4, 2.0)])).sum()
    assert float(three.potential(x)) == pytest.approx(0.5 * (1.4**2 + 2.0**2) + pairs)
    Path("short.csv").write_text("".join(f"{x / 10} {x**2}\n" for x in range(-3, 4)))
    short = config.parse('[system]\nfile = "short.csv:Particle"\nmass = 0.1', "short.toml").recipe.system
    with pytest.raises(PotentialError, match="lies beyond their ends: a longer table is needed"):
        check(short)


def test_the_ground_state_of_a_curve_through_numpy() -> None:
    """The spline of scipy, which torch does not differentiate; the energy on a grid is −0.164513."""
    spline = CubicSpline(R, MORSE)

    class Curve(System):
        particles = 1
        dimensions = 1
        mass = 918.076

        def potential(self, x):
            return torch.from_numpy(spline(x[:, 0, 0].numpy()))

    found = fkflow.solve(Curve(), target_error=2e-5, seed=1, threads=1, progress=False).energy
    assert found.error <= 2e-5 and abs(found.value + 0.164513) < 4 * found.error + 1e-6
    assert abs(found.value + 1.003 * 0.164513) > 5 * found.error
    pathwise = {"estimator": "pathwise", "optimiser": "adam"}
    with pytest.raises(PotentialError, match="V has no gradient of torch .*pathwise.* needs: leave it out"):
        fkflow.solve(Curve(), train=pathwise, progress=False)
