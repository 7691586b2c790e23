"""The functions that slow modes are made of: gradients, symmetries, momentum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.relaxation import Relaxation, SlowModes
from fkflow.systems.bosons import Bosons, Bosons3D
from fkflow.systems.liquids import SoftDisks


def test_pair_functions_have_the_gradients_of_their_values() -> None:
    """Gradients of all functions of identical particles by automatic differentiation."""
    system = Bosons(particles=3)
    x = explore(system).start(50, torch.Generator().manual_seed(0))
    basis = SlowModes(system, x, torch.Generator().manual_seed(1)).basis
    x = x[:4].requires_grad_(True)
    values, gradients = basis.evaluate(x)
    for i in range(values.shape[1]):
        if i:
            (expected,) = torch.autograd.grad(values[:, i].sum(), x, retain_graph=True)
            assert torch.allclose(gradients[..., i], expected.flatten(1), rtol=1e-10, atol=1e-12)
    assert torch.equal(values[:, 0], torch.ones(4, dtype=torch.float64)) and not gradients[..., 0].any()


def test_a_free_cluster_has_modes_of_distances_alone() -> None:
    """They do not change with a rotation; those of a system in a trap, the twin, do."""
    cluster, generator = to_unit_masses(find_system("helium")()), torch.Generator().manual_seed(3)
    x = explore(cluster).start(500, generator)
    turned = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    basis = SlowModes(cluster, x, generator).basis
    assert torch.allclose(basis.evaluate(x)[0], basis.evaluate(x @ turned)[0], rtol=1e-10)
    trapped = Bosons3D(particles=3)
    basis = SlowModes(trapped, x, generator).basis
    assert not torch.allclose(basis.evaluate(x)[0], basis.evaluate(x @ turned)[0], rtol=1e-2)
    # gradients, by differences
    basis, step = SlowModes(cluster, x, generator).basis, 1e-6
    values, gradients = basis.evaluate(x[:20])
    moved = x[:20].clone()
    moved[:, 1, 2] += step
    slope = (basis.evaluate(moved)[0] - values) / step
    assert torch.allclose(slope, gradients[:, 5], rtol=1e-4, atol=1e-4)


class Bent(System):
    """Springs between two light particles and a heavy one, of some lengths, that say nothing of rotations."""

    species = [("light", 2), ("heavy", 1, {"mass": 9.0})]
    dimensions = 3
    free = True

    def potential(self, x: Tensor) -> Tensor:
        lengths = x.new_tensor([1.6, 1.0, 1.0])[:, None]
        return 200 * (pair_squares(x).sqrt() - lengths).square().sum(0)


def test_a_molecule_of_several_masses_has_modes_of_distances() -> None:
    """Where ψ is a function of distances; the twin, for any ψ, has functions that turn. Kinds of pairs are those of species."""
    molecule, generator = to_unit_masses(Bent()), torch.Generator().manual_seed(3)
    x = torch.randn(400, 3, 3, generator=generator, dtype=torch.float64)
    turned = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    basis = SlowModes(molecule, x, generator, of_distances=True).basis
    value, gradients = basis.evaluate(x[:20])
    assert torch.allclose(basis.evaluate(x[:20] @ turned)[0], value, rtol=1e-9)
    assert torch.allclose(basis.evaluate(x[:20, [1, 0, 2]])[0], value, rtol=1e-9)
    assert not torch.allclose(basis.evaluate(x[:20, [0, 2, 1]])[0], value, rtol=1e-2)
    moved = x[:20].clone()
    moved[:, 2, 1] += 1e-6
    slope = (basis.evaluate(moved)[0] - value) / 1e-6
    assert torch.allclose(slope, gradients[:, 7], rtol=1e-4, atol=1e-4)
    other = SlowModes(molecule, x, generator).basis
    assert not torch.allclose(other.evaluate(x)[0], other.evaluate(x @ turned)[0], rtol=1e-2)


@pytest.mark.parametrize("even", [True, False])
def test_momentum_is_conserved_in_a_box(even: bool) -> None:
    """Free particles, ψ = 1: the gap is k²/2, and nothing slower than two opposite waves, k², mixes into a state at rest.

    Twin: without the conservation the rate is the gap.
    """
    system = SoftDisks(particles=2, box=4.0, height=0.0)
    generator = torch.Generator().manual_seed(0)
    x = 4 * torch.rand(4000, 2, 2, generator=generator, dtype=torch.float64)
    slow = SlowModes(system, x, generator, even=even)
    slow.add(x, torch.zeros(4000, dtype=torch.float64), torch.ones(4000, dtype=torch.float64))
    found = slow.solve()
    half = 0.5 * (0.5 * np.pi) ** 2
    assert found is not None
    # matrix elements have noise of 1/√walkers
    assert found.gap == pytest.approx(half, rel=0.07)
    assert found.rate == pytest.approx(2 * half if even else half, rel=0.07)
    again = SlowModes(system, x, generator, even=even)
    again.load_state_dict(slow.state_dict())
    assert Relaxation.from_state_dict(found.state_dict()).rate == found.rate
    values, _ = again.basis.evaluate(x[:2])
    moved, _ = again.basis.evaluate(x[:2] + 0.3)
    if even:
        still = again.basis.at_rest(values.shape[1])
        assert torch.allclose(values[:, still], moved[:, still]) and not torch.allclose(values, moved)


def test_box_functions_have_the_gradients_of_their_values() -> None:
    """Gradients by automatic differentiation, those of the pairs of waves among them."""
    system = SoftDisks(particles=3, box=3.0, height=0.0)
    x = 3 * torch.rand(50, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = SlowModes(system, x, torch.Generator().manual_seed(1), even=True).basis
    x = x[:4].requires_grad_(True)
    values, gradients = basis.evaluate(x)
    for i in range(1, values.shape[1]):
        (wanted,) = torch.autograd.grad(values[:, i].sum(), x, retain_graph=True)
        assert torch.allclose(gradients[..., i], wanted.flatten(1), atol=1e-12)
