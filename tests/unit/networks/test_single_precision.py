"""log ψ and drift in single precision, by which walkers move."""

from __future__ import annotations

import copy

import pytest
import torch
from landscapes import explore

from fkflow.execution import chunks
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.networks import single_precision
from fkflow.networks.choice import LogPsi, build
from fkflow.networks.single_precision import value_and_drift
from fkflow.recipe.config import load
from fkflow.sampling.metropolis import Walkers, metropolis


def case(name: str, perturbed, count: int = 50):
    system = to_unit_masses(load(name).recipe.system)
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 2, 0), 0.1)
    return system, net, land.start(count, torch.Generator().manual_seed(0))


def close(net: LogPsi, x: torch.Tensor, digits: float = 1e-5) -> bool:
    value, drift = chunks.value_and_drift(net, x)
    rough, toward = value_and_drift(net, x)
    assert rough.dtype == toward.dtype == torch.float64
    scale = float(drift.abs().max())
    return bool(
        torch.allclose(rough, value, rtol=0, atol=digits * float(1 + value.abs().max()))
        and torch.allclose(toward, drift, rtol=digits, atol=digits * scale)
    )


@pytest.mark.parametrize(
    "name", ["h2", "he", "bosons", "bosons3d", "calogero", "dipoles", "helium", "chain", "double_well"]
)
def test_it_differs_by_rounding_alone(name: str, perturbed) -> None:
    _, net, x = case(name, perturbed)
    assert close(net, x)
    value, _ = chunks.value_and_drift(net, x)
    rough, _ = value_and_drift(net, x)
    # the twin: it is another precision, not the same one
    assert not torch.equal(rough, value) and not close(net, x, 1e-9)


def test_it_follows_the_network(perturbed) -> None:
    _, net, x = case("bosons", perturbed)
    assert close(net, x)
    rounded = single_precision._known[net].copy
    for _ in range(20):  # until it is replayed, and beyond
        with torch.no_grad():
            for p in net.parameters():
                p += 0.01
        assert close(net, x)
    assert single_precision._known[net].copy is rounded
    other = perturbed(copy.deepcopy(net), 0.3, seed=5)
    net.load_state_dict(other.state_dict())
    assert close(net, x)
    # numbers and tensors that are exchanged
    net.length = 1.1 * net.length
    assert close(net, x)
    net.readout[0].weight = torch.nn.Parameter(2 * net.readout[0].weight.detach())
    assert close(net, x)
    # a part that is taken away
    before = value_and_drift(net, x)[0]
    net.two_body_factor = None
    assert close(net, x) and not torch.allclose(value_and_drift(net, x)[0], before)
    # the twin: one that does not follow is seen
    known = single_precision._known[net]
    known.follow = lambda: None
    with torch.no_grad():
        net.jastrow += 0.1
    assert known.holds and not close(net, x)


@pytest.mark.parametrize("name", ["bosons", "chain", "h2"])
def test_places_far_from_the_origin_lose_no_digits(name: str, perturbed) -> None:
    """A trap or a molecule may stand anywhere: places are rounded after the differences that matter."""
    _, net, x = case(name, perturbed)
    expected = value_and_drift(net, x)
    buffer = "sites" if name == "h2" else "centre"
    far = 1e6
    with torch.no_grad():
        getattr(net, buffer).add_(far)
    for found, wanted in zip(value_and_drift(net, x + far), expected, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
    # the twin: 10⁶ and a fraction have no room in single precision
    for found, wanted in zip(value_and_drift(net, (x + far).float().double()), expected, strict=True):
        assert not torch.allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_network_of_its_own_kind_keeps_its_precision(gaussian) -> None:
    psi = gaussian(2.0)
    x = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for found, expected in zip(value_and_drift(psi, x), psi.value_and_drift(x), strict=True):
        assert torch.equal(found, expected)


def test_chunks_are_those_of_the_network(perturbed, monkeypatch) -> None:
    """A limit that memory sets while walkers move holds for the network itself, and the other way round."""
    _, net, x = case("bosons", perturbed)
    net.chunk = 16
    seen = []

    def full(self: LogPsi, y: torch.Tensor):
        seen.append(len(y))
        if len(y) > 8:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, y)

    original = type(net).value_and_drift
    monkeypatch.setattr(type(net), "value_and_drift", full)
    value_and_drift(net, x)
    assert net.chunk == 8 and max(seen) == 16 and seen.count(8) == 6


def test_walkers_are_distributed_as_in_double_precision(perturbed, monkeypatch) -> None:
    """The same moves with the same noise: places differ in the sixth digit, until one proposal is judged otherwise."""
    system, net, x = case("bosons", perturbed, count=64)

    def moved(moves: int) -> Walkers:
        walkers = Walkers(x.clone(), 0.02)
        metropolis(net, walkers, torch.Generator().manual_seed(3), moves, adapt=False)
        return walkers

    rough = moved(5)
    monkeypatch.setattr("fkflow.sampling.metropolis.value_and_drift", chunks.value_and_drift)
    exact = moved(5)
    apart = (rough.x - exact.x).abs().amax((1, 2))
    assert float(apart.median()) < 1e-5 and float(apart.max()) > 0
    # the twin: with a wrong drift they go elsewhere
    monkeypatch.setattr(
        "fkflow.sampling.metropolis.value_and_drift",
        lambda psi, y: (psi.value(y), 1.01 * chunks.value_and_drift(psi, y)[1]),
    )
    assert float((moved(5).x - exact.x).abs().amax((1, 2)).median()) > 1e-4
