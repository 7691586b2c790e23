"""Functions of distances for slow modes: derivatives, symmetry, scales."""

from __future__ import annotations

import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.measurement.distance_basis import DistanceBasis
from fkflow.recipe.config import load


@pytest.mark.parametrize("name", ["ps2", "hps", "h2plus_moving", "trion"])
def test_gradients_are_those_of_the_values_and_exchanges_change_nothing(name: str) -> None:
    system = load(name).recipe.system
    places = explore(to_unit_masses(system)).places[:200]
    basis = DistanceBasis(system.point_charges(), places)
    x = places[:4].clone().requires_grad_()
    values, gradients = basis.evaluate(x)
    assert values[:, 0].eq(1).all() and gradients[..., 0].eq(0).all()
    for i in range(1, values.shape[1]):
        (expected,) = torch.autograd.grad(values[:, i].sum(), x, retain_graph=True)
        assert torch.allclose(expected.flatten(1), gradients[..., i], rtol=1e-9, atol=1e-9)
        assert not torch.allclose(1.01 * expected.flatten(1), gradients[..., i], rtol=1e-4)
    for order in system.point_charges().exchanges:
        moved = x[:, [i for i in order if i < system.particles]]
        assert torch.allclose(basis.evaluate(moved)[0], values)
    turn, _ = torch.linalg.qr(torch.randn(x.shape[2], x.shape[2], dtype=x.dtype))
    assert torch.allclose(basis.evaluate(x @ turn)[0], values)
