"""Directions along which V becomes flat, the threshold there, and the exponential tails and natural lengths they lead to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.errors import NumericalError
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.scale import binding_length
from fkflow.networks.choice import LogPsi, build


def system(potential: Callable[[Tensor], Tensor], dimensions: int = 1) -> fkflow.System:
    """One particle in this potential of its coordinates (B, D)."""
    names: dict[str, Any] = {"particles": 1, "dimensions": dimensions}
    body = {
        "__annotations__": dict.fromkeys(names, ClassVar[int]),
        "__module__": __name__,
        "potential": lambda self, x: potential(x[:, 0]),
        **names,
    }
    return type("Test", (fkflow.System,), body)()


def network(one: fkflow.System, landscape: Landscape) -> LogPsi:
    net = build(one, landscape, "auto", 8, 2, 0)
    assert isinstance(net, LogPsi)
    return net


def guide(x: Tensor) -> Tensor:
    """A trap along (0.6, 0.8), and a well along the direction across, 2 below V far away in it."""
    along, across = 0.6 * x[:, 0] + 0.8 * x[:, 1], 0.8 * x[:, 0] - 0.6 * x[:, 1]
    return along.square() - 2 * torch.exp(-across.square())


BOND = system(lambda x: 0.4 * ((-x[:, 0]).exp() - 1) ** 2 + 0.3)
GUIDE = system(guide, 2)
TRAP = system(lambda x: x.square().sum(1), 2)


def test_flat_directions() -> None:
    bond, across, trap = (explore(one) for one in (BOND, GUIDE, TRAP))
    assert bond.flat is not None and torch.allclose(bond.flat, torch.ones(1, 1, dtype=torch.float64))
    assert bond.threshold == pytest.approx(0.7)
    direction = torch.tensor([0.8, -0.6], dtype=torch.float64)
    assert across.flat is not None and torch.allclose(across.flat, direction[:, None] * direction, atol=1e-6)
    # a particle far away still has its zero-point energy in the trap
    assert across.threshold is None
    assert trap.flat is None and trap.threshold is None


def test_natural_length_of_a_binding() -> None:
    found = explore(BOND)
    assert binding_length(found, 0.5) == pytest.approx(1 / math.sqrt(0.4))
    assert binding_length(found, 0.8) == 0.0 and binding_length(explore(TRAP), 0.5) == 0.0


@pytest.mark.parametrize("one", [BOND, GUIDE], ids=["bond", "guide"])
def test_tails_are_exponential_where_v_is_flat(one: fkflow.System) -> None:
    """The drift far out is the same at two distances along a flat direction, whatever the weights; across it grows."""
    net = network(one, explore(one))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    flat = [[1.0]] if one is BOND else [[0.8, -0.6]]
    direction = torch.tensor([flat], dtype=torch.float64).view(1, 1, -1)
    near, far = (float((net.drift(scale * direction) * direction).sum()) for scale in (1e3, 1e4))
    assert near < -0.1 and far == pytest.approx(near, rel=1e-2)
    if one is GUIDE:
        direction = torch.tensor([[[0.6, 0.8]]], dtype=torch.float64)
        near, far = (float((net.drift(scale * direction) * direction).sum()) for scale in (1e3, 1e4))
        assert far < 5 * near < 0


def test_a_state_with_a_gaussian_in_a_flat_direction_is_read() -> None:
    """Files of earlier versions: without the projector the Gaussian confines again."""
    net, old = (network(BOND, explore(BOND)) for _ in range(2))
    state = {name: value for name, value in net.state_dict().items() if name != "closed"}
    old.load_state_dict(state)
    net.load_state_dict(net.state_dict())
    x = torch.full((1, 1, 1), 1e4, dtype=torch.float64)
    assert float(old(x)[0]) < 100 * float(net(x)[0]) < 0


def test_a_norm_at_its_minimum_has_a_curvature() -> None:
    """torch knows no second derivative of a norm at 0; that of a function of its square is found by differences."""
    one = system(lambda x: -6 / x.norm(dim=1).cosh() ** 2, 3)
    found = explore(one)
    assert found.flat is not None and found.threshold == pytest.approx(0.0, abs=1e-9)
    # V'' = 12 in each direction
    widths = torch.linalg.eigvalsh(found.widths[0])
    assert torch.allclose(widths, torch.full((3,), (2 * math.sqrt(12)) ** -0.5, dtype=torch.float64), rtol=1e-3)


def test_a_particle_that_has_left_is_a_failure() -> None:
    """A Gaussian pit in space that is too shallow to bind: no energy is given, with the reason."""
    pit = system(lambda x: -0.5 * torch.exp(-x.square().sum(1)), 3)
    few = {"iterations": 3, "walkers": 64}
    run = {"target_error": 0.1, "seconds": 1.0, "walkers": 256}
    with pytest.raises(NumericalError, match="not below 0, that of a particle far away"):
        fkflow.solve(pit, train=few, measure=run, project={"seconds": 0.0}, seed=0, threads=1, progress=False)
