"""What every network promises for any parameters: symmetry, cusps, decay, exactness at the start, seeds."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from networks_at_hand import MOLECULES, SMOOTH, SYSTEMS, configurations, each_system, network, rotation

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, MolecularNet, PairDrift


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.particles > 1])
def test_exchange(name: str, perturbed) -> None:
    system = SYSTEMS[name]
    net, x = perturbed(network(system)), configurations(system)
    value = net(x)
    assert value.std() > 1e-3
    for order in permutations(range(system.particles)):
        if system.identical:
            assert torch.allclose(net(x[:, order]), value, rtol=0, atol=1e-10)
        elif order == (1, 0, 2, 3):
            assert (net(x[:, order]) - value).abs().max() > 1e-2


@each_system
def test_isotropic_systems_have_no_direction(system: System, perturbed) -> None:
    net, x = perturbed(network(system)), configurations(system)
    turned = x @ rotation(system.dimensions)
    difference = (net(turned) - net(x)).abs().max()
    if system.isotropic:
        assert difference < 1e-10
    elif system.dimensions > 1:
        assert difference > 1e-3  # the twin: where V has directions, ψ may have them


@pytest.mark.parametrize("name", ["h2", "h2+", "heh+"])
def test_molecules_on_an_axis_may_be_turned_about_it(name: str, perturbed) -> None:
    net, x = perturbed(network(MOLECULES[name])), configurations(MOLECULES[name])
    turn = torch.eye(3, dtype=torch.float64)
    turn[:2, :2] = rotation(2)
    assert torch.allclose(net(x @ turn), net(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["h2", "h2+"])
def test_equal_nuclei_may_be_exchanged(name: str, perturbed) -> None:
    net, x = perturbed(network(MOLECULES[name])), configurations(MOLECULES[name])
    assert torch.allclose(net(-x), net(x), rtol=0, atol=1e-10)


def test_different_nuclei_may_not_be_exchanged(perturbed) -> None:
    net, x = perturbed(network(MOLECULES["heh+"])), configurations(MOLECULES["heh+"])
    assert (net(-x) - net(x)).abs().max() > 0.1


@pytest.mark.parametrize("name", ["round", "oval", "bosons", "h2", "he", "quartic"])
def test_pair_drift_is_equivariant(name: str, perturbed) -> None:
    system = SYSTEMS[name]
    net, x = perturbed(network(system, "pair_drift")), configurations(system)
    assert isinstance(net, PairDrift)
    v = net(x)
    assert v.shape == x.shape and v.isfinite().all()
    for order in permutations(range(system.particles)):
        assert torch.allclose(net(x[:, order]), v[:, order], rtol=1e-10, atol=1e-10)
    assert torch.equal(net.drift(x), v.detach())


@each_system
@pytest.mark.parametrize("layers", [1, 3])
def test_shapes_and_types(system: System, layers: int) -> None:
    net, x = network(system, layers=layers), configurations(system)
    assert isinstance(net, LogPsi)
    value, drift = net.value_and_drift(x)
    assert value.shape == (len(x),) and drift.shape == x.shape
    assert value.isfinite().all() and drift.isfinite().all()
    assert value.dtype == drift.dtype == torch.float64
    assert not value.requires_grad and not drift.requires_grad and not x.requires_grad
    tensors = dict(net.named_parameters()) | dict(net.named_buffers())
    floating = {name: t.dtype for name, t in tensors.items() if t.is_floating_point()}
    assert set(floating.values()) == {torch.float64}
    assert torch.equal(net.drift(x), drift)


@each_system
def test_the_drift_is_the_gradient(system: System, perturbed) -> None:
    net, x, h = perturbed(network(system)), configurations(system), 1e-5
    value, drift = net.value_and_drift(x)
    assert torch.allclose(value, net(x), rtol=1e-14)
    for i in range(system.particles):
        for a in range(system.dimensions):
            shift = torch.zeros_like(x)
            shift[:, i, a] = h
            slope = (net(x + shift) - net(x - shift)) / (2 * h)
            assert torch.allclose(drift[:, i, a], slope.detach(), rtol=1e-6, atol=1e-6)


@each_system
@pytest.mark.parametrize("kind", ["auto", "pair_drift"])
def test_built_from_the_seed_alone(system: System, kind: str) -> None:
    before = torch.get_rng_state()
    first = network(system, kind, 3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    same, other = network(system, kind, 3).state_dict(), network(system, kind, 4).state_dict()
    torch.set_rng_state(before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@each_system
def test_batches_are_independent(system: System, perturbed) -> None:
    net, x = perturbed(network(system)), configurations(system)
    alone = torch.cat([net(row[None]) for row in x])
    assert torch.allclose(net(x), alone, rtol=1e-12, atol=1e-12)


def test_unit_systems_give_the_same_network(perturbed) -> None:
    """Lengths times 2, energies by 4: the same ψ, stretched."""
    small, large = (
        perturbed(network(find_system("bosons")(particles=3, s=s, omega=w))) for s, w in ((0.5, 1.0), (1.0, 0.25))
    )
    x = configurations(SMOOTH["bosons"])
    assert torch.allclose(large(2 * x), small(x), rtol=1e-10, atol=1e-10)


def test_kinds() -> None:
    assert isinstance(network(MOLECULES["h2"]), MolecularNet)
    names = {key: type(network(SMOOTH[key])).__name__ for key in ("bosons", "chain", "double_well", "morse")}
    assert names == {
        "bosons": "SymmetricNet",
        "chain": "GenericNet",
        "double_well": "SymmetricNet",
        "morse": "GenericNet",
    }
    assert type(network(SMOOTH["round"], "generic")).__name__ == "GenericNet"


def test_pair_drift_starts_at_the_gaussian_drift() -> None:
    """Its perceptrons begin at a hundredth: v = −ωx up to a few percent."""
    system = find_system("harmonic")(particles=3, dimensions=2, omega=2.0)
    x = configurations(system, 64)
    error = (network(system, "pair_drift")(x) + 2 * x).norm() / (2 * x).norm()
    assert error < 0.1
