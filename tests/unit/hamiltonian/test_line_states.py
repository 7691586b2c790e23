"""States along one coordinate of potentials that jump: energies in closed form, the same local energy everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fkflow.hamiltonian.line_states import find_jumps, line_state
from fkflow.networks.line_factor import LineFactor, LineState

DOUBLE = torch.float64


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign between two numbers."""
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if function(low) * function(middle) <= 0 else (middle, high)
    return low


def square_well(height: float) -> float:
    """The energy in a well of width 1 between walls of this height: k tan(k/2) = κ."""

    def mismatch(energy: float) -> float:
        k, kappa = math.sqrt(2 * energy), math.sqrt(2 * (height - energy))
        return k * math.sin(0.5 * k) - kappa * math.cos(0.5 * k)

    return root(mismatch, 1e-9, min(height, 0.5 * math.pi**2) * (1 - 1e-12))


def step_in_a_box(height: float) -> float:
    """The energy in a box of width 1 whose right half is higher: k cot(k/2) + κ coth(κ/2) = 0."""

    def mismatch(energy: float) -> float:
        k, kappa = math.sqrt(2 * energy), math.sqrt(2 * (height - energy))
        return k * math.cos(0.5 * k) / math.sin(0.5 * k) + kappa / math.tanh(0.5 * kappa)

    return root(mismatch, 6.0, 0.9 * height)


def well(height: float) -> Callable[[Tensor], Tensor]:
    return lambda at: torch.where(at.abs() > 0.5, height, 0.0).to(DOUBLE)


def local_energies(
    potential: Callable[[Tensor], Tensor], ends: tuple[float, float], walls: tuple[bool, bool], peak: float
) -> Tensor:
    """−½ψ''/ψ + V inside all pieces of the table."""
    state = line_state(potential, ends, walls, find_jumps(potential, *ends, 1.0), peak)
    assert state is not None
    nodes = state[0]
    at = torch.cat([nodes[:-1] + share * nodes.diff() for share in (0.15, 0.5, 0.8)])
    factor = LineFactor([LineState(0, 0, *state)], torch.zeros(1, 1, dtype=DOUBLE), 1.0)
    _, (gradient, laplacian) = factor.evaluate(at[None, None], derivatives=True)
    slope = gradient[0, 0]
    if all(walls):
        k = math.pi / (ends[1] - ends[0])
        cot = k / torch.tan(k * (at - ends[0]))
        slope, laplacian = slope + cot, laplacian - k**2 - cot.square()
    return potential(at) - 0.5 * (laplacian + slope.square())


@pytest.mark.parametrize("height", [50.0, 1e3, 1e6, 1e12])
def test_a_square_well_of_any_height(height: float) -> None:
    energies = local_energies(well(height), (-1.0, 1.0), (False, False), 0.0)
    assert math.isclose(float(energies.median()), square_well(height), rel_tol=max(1e-8, 1e-18 * height))
    # next to the highest walls a few millionths of the height are left
    assert float((energies - energies.median()).abs().max()) < 1e-5 * height + 1e-4
    # a wall a thousandth farther out is another well
    assert not math.isclose(square_well(height) * 0.998, square_well(height), rel_tol=1e-4)


def test_a_step_between_hard_walls() -> None:
    energies = local_energies(lambda at: torch.where(at > 0.5, 20.0, 0.0).to(DOUBLE), (0.0, 1.0), (True, True), 0.3)
    assert torch.allclose(energies, torch.full_like(energies, step_in_a_box(20.0)), atol=1e-5)
    assert abs(step_in_a_box(20.1) - step_in_a_box(20.0)) > 1e-3


def test_jumps_are_placed_and_slopes_are_none() -> None:
    def potential(at: Tensor) -> Tensor:
        return torch.where(at > 1 / 3, 7.0, 0.0).to(DOUBLE) + 40 * at.square() + (30 * at).tanh()

    (jump,) = find_jumps(potential, -2.0, 2.0, 1.0)
    assert math.isclose(jump.place, 1 / 3, rel_tol=1e-12) and math.isclose(jump.height, 7.0, rel_tol=1e-6)
    assert not find_jumps(lambda at: 40 * at.square() + (300 * at).tanh(), -2.0, 2.0, 1.0)


def test_the_second_derivative_jumps_with_the_potential() -> None:
    state = line_state(well(50.0), (-1.0, 1.0), (False, False), find_jumps(well(50.0), -1.0, 1.0, 1.0), 0.0)
    assert state is not None
    factor = LineFactor([LineState(None, 0, *state)], torch.zeros(1, 1, dtype=DOUBLE), 1.0)
    y = torch.tensor([[[0.5 - 1e-7, 0.5 + 1e-7, 3.0, 4.0]]], dtype=DOUBLE)
    value, (gradient, laplacian) = factor.evaluate(y, derivatives=True)
    assert math.isclose(float(laplacian[1] - laplacian[0]), 100.0, rel_tol=1e-3)
    # beyond the table ψ falls as it does at its end
    kappa = math.sqrt(2 * (50 - square_well(50.0)))
    assert math.isclose(float(value[3] - value[2]), -kappa, rel_tol=1e-6) and float(laplacian[3]) == 0
    assert torch.allclose(gradient[0, 0, 2:], gradient.new_full((2,), -kappa), rtol=1e-6)
