"""Drifts and Laplacians that networks know analytically, against automatic differentiation."""

from __future__ import annotations

import copy

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks import layers, pair_sum_tangents, tangents
from fkflow.networks.choice import LogPsi, SymmetricNet, build, default_float64
from fkflow.recipe.config import TrainConfig, load
from fkflow.sampling import local_energy as energies
from fkflow.sampling.local_energy import fastest_local_energy, laplacian, local_energy, path_local_energy
from fkflow.training.loop import initial_state, train

RECIPES = ["helium", "calogero", "dipoles", "bosons3d", "ions3d", "moshinsky"]


def same(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-12, atol=1e-12 * float(expected.detach().abs().max()))


def test_the_analytic_drift(random_case, monkeypatch) -> None:
    """The chain rule that a network writes out gives what automatic differentiation gives."""
    net, x = random_case
    value, drift = net.differentiated(x)
    analytic_value, written = net.value_and_drift(x)
    assert same(analytic_value, value) and same(written, drift)
    alone = net.value(x)
    assert same(alone, value)
    assert not any(tensor.requires_grad for tensor in (written, analytic_value, alone))
    # the twin: a wrong derivative of the layers is seen, wherever there are such and they are written out
    right = layers.silu_derivative
    monkeypatch.setattr(layers, "silu_derivative", lambda *arguments: 1.001 * right(*arguments))
    wrong = net.value_and_drift(x)[1]
    assert not same(wrong, drift)


@pytest.mark.parametrize("name", RECIPES)
def test_the_analytic_drift_for_the_shipped_recipes(name: str, perturbed) -> None:
    """Soft tails, tables of two particles, three dimensions; also where two particles are close, or all far out."""
    system = to_unit_masses(load(name).recipe.system)
    land = explore(system)
    net = perturbed(build(system, land, "auto", 5, 2, 0), 0.1)
    x = land.start(20, torch.Generator().manual_seed(0))
    x[5:10, 0] = x[5:10, 1] + 1e-3 * (x[5:10, 0] - x[5:10, 1])
    x[10:15] *= 30
    for part in x.split(5):
        value, drift = net.differentiated(part)
        analytic_value, written = net.value_and_drift(part)
        assert same(analytic_value, value) and same(written, drift) and same(net.value(part), value)


def test_a_subclass_does_not_inherit_the_analytic_drift(perturbed) -> None:
    class Squeezed(SymmetricNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) - 0.1 * x.square().sum((1, 2))

    land = explore(find_system("bosons")(particles=3))
    with default_float64():
        net = perturbed(Squeezed(land, 5, 1, isotropic=True, separable=False))
    x = land.start(9, torch.Generator().manual_seed(0))
    assert same(net.value_and_drift(x)[1], net.differentiated(x)[1])
    assert same(net.value(x), net(x)) and not same(net.value(x), SymmetricNet.value(as_base(net), x))
    assert not same(net.value_and_drift(x)[1], SymmetricNet.value_and_drift(as_base(net), x)[1])


def as_base(net: LogPsi) -> SymmetricNet:
    """The same parameters with the forward pass of SymmetricNet."""
    other = copy.deepcopy(net)
    other.__class__ = SymmetricNet
    assert isinstance(other, SymmetricNet)
    return other


@pytest.fixture
def exactly(monkeypatch) -> None:
    """Tangents in double precision."""
    monkeypatch.setattr(tangents, "PRECISION", torch.float64)


def test_the_analytic_laplacian(random_case, monkeypatch) -> None:
    net, x = random_case
    expected, drift = laplacian(net, x)
    assert net.analytic
    value, written_drift, written = net.value_drift_and_laplacian(x)
    assert same(value, net(x)) and same(written_drift, drift)
    assert torch.allclose(written, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))
    assert not written.requires_grad and written.dtype == torch.float64
    # single precision is all that is missing
    monkeypatch.setattr(tangents, "PRECISION", torch.float64)
    assert torch.allclose(net.value_drift_and_laplacian(x)[2], expected, rtol=1e-11, atol=1e-11)
    # the twin: a wrong second derivative of the layers is seen, wherever there are such
    right = layers.silu_second_derivative
    monkeypatch.setattr(layers, "silu_second_derivative", lambda *arguments: 1.001 * right(*arguments))
    wrong = net.value_drift_and_laplacian(x)[2]
    assert not torch.allclose(wrong, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", [*RECIPES, "he", "h2", "hooke", "double_well"])
def test_the_analytic_laplacian_for_the_shipped_recipes(name: str, perturbed, exactly) -> None:
    """Soft tails, tables of two particles, three dimensions; also where two particles are close, or all far out."""
    system = to_unit_masses(load(name).recipe.system)
    land = explore(system)
    net = perturbed(build(system, land, "auto", 5, 2, 0), 0.1)
    x = land.start(20, torch.Generator().manual_seed(0))
    if system.particles > 1:
        x[5:10, 0] = x[5:10, 1] + 1e-2 * (x[5:10, 0] - x[5:10, 1])
    x[10:15] *= 30
    for part in x.split(5):
        expected = laplacian(net, part)[0]
        found = net.value_drift_and_laplacian(part)[2]
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9 / land.length**2)


@pytest.mark.parametrize("particles", [8, 9, 12])
@pytest.mark.parametrize("separable", [True, False])
def test_the_laplacian_of_many_particles(particles: int, separable: bool, perturbed, exactly, monkeypatch) -> None:
    """From nine particles on products of matrices take the place of the tangents of all pairs."""
    land = explore(find_system("bosons")(particles=particles, g=1.0))
    with torch.random.fork_rng(devices=[]), default_float64():
        torch.manual_seed(0)
        net = perturbed(SymmetricNet(land, 6, 2, isotropic=True, separable=separable), 0.2)
    x = land.start(7, torch.Generator().manual_seed(0))
    assert torch.allclose(net.value_drift_and_laplacian(x)[2], laplacian(net, x)[0], rtol=1e-10, atol=1e-10)
    # the twin: wrong products are seen
    right = pair_sum_tangents._products
    monkeypatch.setattr(pair_sum_tangents, "_products", lambda *arguments: 1.001 * right(*arguments))
    assert not torch.allclose(net.value_drift_and_laplacian(x)[2], laplacian(net, x)[0], rtol=1e-8, atol=1e-8)


def test_the_laplacian_of_a_long_chain(perturbed, exactly) -> None:
    """With more coordinates than the first layer is wide only scalar products of its rows are kept."""
    net = perturbed(
        build(find_system("chain")(particles=40), explore(find_system("chain")(particles=40)), "auto", 7, 3, 0), 0.1
    )
    x = torch.randn(6, 40, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(net.value_drift_and_laplacian(x)[2], laplacian(net, x)[0], rtol=1e-10, atol=1e-10)


def test_a_subclass_does_not_inherit_the_laplacian(perturbed) -> None:
    class Squeezed(SymmetricNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) - 0.1 * x.square().sum((1, 2))

    system = find_system("bosons")(particles=3)
    land = explore(system)
    with default_float64():
        net = perturbed(Squeezed(land, 5, 1, isotropic=True, separable=False))
    assert not net.analytic
    x, generator = land.start(9, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1)
    found = fastest_local_energy(net, system, x, generator, land.length**2)
    # A/T of a frame of paths has noise of order √dt = 3e-5 times third derivatives of log ψ: up to 2.5e-4 for these walkers
    assert (found - local_energy(net, system, x)).abs().max() < 2e-3
    # the twin: the Laplacian of the base class is off by tenths
    assert (found - local_energy(as_base(net), system, x)).abs().max() > 0.2


@pytest.mark.parametrize("name", ["bosons", "h2", "chain"])
def test_paths_and_the_laplacian_agree(name: str, perturbed) -> None:
    """E_L with the Laplacian that a network knows, and A/T of whole frames of short paths, whose noise goes as √dt = 3e-5."""
    system = find_system(name)()
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 2, 0), 0.1)
    x = land.start(40, torch.Generator().manual_seed(0))
    if system.nuclei() is not None:
        x = 2 * x
    generator = torch.Generator().manual_seed(1)
    written = fastest_local_energy(net, system, x, generator, land.length**2)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(1).get_state())
    paths = path_local_energy(net, system, x, generator, land.length**2)
    assert (written - paths).abs().median() < 1e-4 * written.abs().median()
    # the twin: with the Laplacian left out they would not
    no_laplacian = written + 0.5 * laplacian(net, x)[0]
    assert (no_laplacian - paths).abs().median() > 1e-2 * written.abs().median()


def counted(monkeypatch, system: System, **options) -> dict[str, int]:
    """How often a training of one iteration asked for a Laplacian, and how often for paths."""
    calls = {"laplacian": 0, "paths": 0}

    def count(module: str, name: str, kind: str) -> None:
        whole = __import__(f"fkflow.{module}", fromlist=[name])
        original = getattr(whole, name)

        def counting(*arguments, **keywords):
            calls[kind] += 1
            return original(*arguments, **keywords)

        monkeypatch.setattr(whole, name, counting)

    count("training.observation", "analytic_local_energy", "laplacian")
    count("training.observation", "path_samples", "paths")
    config = TrainConfig(iterations=1, walkers=32, scouts=0.0, equilibrate=2, **options)
    land = explore(system)
    state = initial_state(build(system, land, "auto", 4, 1, 0), land, config, 0, "cpu", system)
    (record,) = train(system, land, config, state)
    assert record.spread > 0
    return calls


@pytest.mark.parametrize(
    "options",
    [{"dt": 1e-6}, {"paths": 4}, {"steps": 2}, {"antithetic": True}],
    ids=["dt", "paths", "steps", "antithetic"],
)
def test_training_sends_paths_where_the_recipe_says_which(options: dict[str, object], monkeypatch) -> None:
    system = find_system("bosons")(particles=3)
    assert counted(monkeypatch, system, **options) == {"laplacian": 0, "paths": 1}


@pytest.mark.parametrize(
    ("name", "particles", "laplacian", "paths"),
    [("chain", 5, 1, 0), ("chain", 4, 0, 1), ("bosons", 2, 1, 0)],
)
def test_training_takes_the_limit_of_short_paths_where_it_is_cheaper(
    name: str, particles: int, laplacian: int, paths: int, monkeypatch
) -> None:
    """From five coordinates on; a network with a two-body factor takes the Laplacian also with two."""
    system = find_system(name)(particles=particles)
    assert counted(monkeypatch, system) == {"laplacian": laplacian, "paths": paths}
    assert energies.LAPLACIAN_COST == 4
