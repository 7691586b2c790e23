"""Traps that are much stiffer along some directions than along others."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.stiffness import Stiffness, find_stiffness
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.metropolis import Walkers, metropolis


class Valley(System):
    """A valley along (cos a, sin a), `stiff` times as stiff across as along."""

    particles: int = 1
    dimensions = 2
    stiff: float = 100.0
    angle: float = 0.0

    def potential(self, x: Tensor) -> Tensor:
        c, s = math.cos(self.angle), math.sin(self.angle)
        along, across = c * x[..., 0] + s * x[..., 1], c * x[..., 1] - s * x[..., 0]
        return (0.5 * along**2 + 0.1 * along**4 + 0.5 * self.stiff**2 * across**2).sum(1)


def found(**keys: float) -> Stiffness | None:
    system = Valley(**keys)
    return find_stiffness(system, explore(system))


def test_the_ratio_is_that_of_the_frequencies_and_the_shape_that_of_the_well() -> None:
    straight = found()
    assert straight is not None
    assert straight.ratio == pytest.approx(100.0, rel=0.2)
    # widths go as the roots of the frequencies
    assert float(straight.shape[0, 0] / straight.shape[1, 1]) == pytest.approx(10.0, rel=0.1)
    turned = found(angle=0.7)
    assert turned is not None
    c, s = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    assert torch.allclose(turn.T @ straight.shape @ turn, turned.shape, rtol=0, atol=1e-3)


def test_a_trap_that_is_nearly_round_is_not_stiff() -> None:
    assert found(stiff=10.0) is None


def test_identical_particles_step_alike() -> None:
    several = found(particles=3)
    assert several is not None
    one = several.shape[:2, :2]
    assert torch.allclose(several.shape, torch.block_diag(one, one, one))
    assert float(one[0, 0] / one[1, 1]) == pytest.approx(10.0, rel=0.1)


def test_walkers_in_a_valley_come_round_along_it() -> None:
    """Started at one end of a tilted valley; twin: moves of one length in all directions leave them there."""
    system = Valley(angle=0.7)
    means = []
    for shaped in (True, False):
        net = build(system, explore(system), "generic", 8, 1, 0)
        assert isinstance(net, LogPsi) and net.step_shape is not None
        if not shaped:
            net.step_shape = None
        along = torch.tensor([math.cos(0.7), math.sin(0.7)], dtype=torch.float64)
        walkers = Walkers((1.0 * along).repeat(500, 1, 1), 0.1 * net.length**2)
        for _ in range(15):
            metropolis(net, walkers, torch.Generator().manual_seed(1), 5)
        means.append(abs(float((walkers.x[:, 0] @ along).mean())))
    assert means[0] < 0.15 < 0.4 < means[1], means
