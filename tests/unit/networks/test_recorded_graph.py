"""Recorded networks: the same bits as what was recorded, whatever the batch, the parameters and the thread; or no recording."""

from __future__ import annotations

import copy
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks import recorded_graph
from fkflow.networks.choice import LogPsi, MolecularNet, SymmetricNet, build
from fkflow.networks.recorded_graph import WORTH, Recording

#: every kind of network, few and many particles, with and without singular pairs
SYSTEMS: dict[str, System] = {
    "h2": find_system("h2")(),
    "he": find_system("he")(),
    "h2+": find_system("h2plus")(),
    "4 bosons": find_system("bosons")(particles=4),
    "6 bosons": find_system("bosons")(particles=6),
    "8 bosons": find_system("bosons")(particles=8),
    "dipoles": find_system("dipoles")(),
    "moshinsky": find_system("moshinsky")(),
    "10 bosons": find_system("bosons")(particles=10, g=2.0),
    "calogero": find_system("calogero")(particles=3),
    "oval": find_system("harmonic")(particles=3, dimensions=2, omega=[1.0, 2.0]),
    "chain": find_system("chain")(particles=4),
    "morse": find_system("morse")(),
    "double well": find_system("double_well")(),
    "one in a round trap": find_system("harmonic")(particles=1, dimensions=3),
}
each_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


def network(system: System) -> LogPsi:
    net = build(system, explore(system), "auto", 8, 2, seed=0)
    assert isinstance(net, LogPsi)
    disturb(net)
    return net


def disturb(net: LogPsi, size: float = 0.1) -> None:
    """Other parameters, in place."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p += size * torch.randn(p.shape, generator=generator, dtype=p.dtype)


def configurations(system: System, batch: int) -> Tensor:
    return explore(system).start(batch, torch.Generator().manual_seed(batch))


def recordings(net: LogPsi) -> dict[str, Any]:
    """What there is for a network, by the name of the method."""
    return {kind[0]: found for kind, found in recorded_graph._known.get(net, {}).items()}  # type: ignore[index]


def call_often(net: LogPsi, x: Tensor) -> None:
    for _ in range(WORTH + 1):
        net.value(x)
        net.value_and_drift(x)


def assert_same_bits(net: LogPsi, x: Tensor) -> None:
    value, drift = net.value_and_drift(x)
    expected, expected_drift = net._value_and_drift(x)
    assert torch.equal(value, expected) and torch.equal(drift, expected_drift)
    assert torch.equal(net.value(x), net._value(x))


@each_system
def test_a_recording_gives_the_same_bits_for_any_batch_and_parameters(system: System) -> None:
    net = network(system)
    call_often(net, configurations(system, 5))
    found = recordings(net)
    assert set(found) == {"_value", "_value_and_drift"}
    assert all(isinstance(recording, Recording) for recording in found.values())
    for batch in (1, 2, 5, 64, 700):
        assert_same_bits(net, configurations(system, batch))
    before = net.value(configurations(system, 5))
    disturb(net)
    assert_same_bits(net, configurations(system, 5))
    assert not torch.equal(net.value(configurations(system, 5)), before)
    assert recordings(net) == found, "parameters that change need no new recording"


def test_what_is_given_is_left_alone_and_nothing_hangs_on_a_graph() -> None:
    system = SYSTEMS["4 bosons"]
    net, x = network(system), configurations(system, 5)
    call_often(net, x)
    given = x.clone().requires_grad_(True)
    for out in (net.value(given), *net.value_and_drift(given)):
        assert not out.requires_grad
    assert torch.equal(given, x)
    first, _ = net.value_and_drift(x)
    kept = first.clone()
    net.value_and_drift(2 * x)
    assert torch.equal(first, kept), "results must not be overwritten by the next call"


def test_a_network_that_is_not_finite_somewhere_is_recorded_all_the_same() -> None:
    system = SYSTEMS["h2"]
    net, x = network(system), configurations(system, 5)
    x[3, 0, 0] = torch.nan
    call_often(net, x)
    assert isinstance(recordings(net)["_value_and_drift"], Recording)
    value, _ = net.value_and_drift(x)
    assert value.isnan().tolist() == [False, False, False, True, False]


def test_few_calls_are_not_worth_a_recording() -> None:
    system = SYSTEMS["4 bosons"]
    net, x = network(system), configurations(system, 5)
    for _ in range(WORTH - 1):
        net.value(x)
    assert recordings(net) == {"_value": WORTH - 1}


def test_a_number_that_is_loaded_makes_a_new_recording() -> None:
    system = SYSTEMS["4 bosons"]
    net, x = network(system), configurations(system, 5)
    assert isinstance(net, SymmetricNet)
    call_often(net, x)
    before = net.value(x)
    net.load_state_dict({**net.state_dict(), "length": torch.tensor(2 * net.length)})
    assert_same_bits(net, x)
    assert not torch.equal(net.value(x), before)
    call_often(net, x)
    assert isinstance(recordings(net)["_value"], Recording)
    assert_same_bits(net, x)


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_a_tensor_that_is_replaced_makes_a_new_recording(kind: str) -> None:
    system = SYSTEMS["4 bosons"]
    net, x = network(system), configurations(system, 5)
    assert isinstance(net, SymmetricNet)
    call_often(net, x)
    before = net.value(x)
    if kind == "parameter":
        net.jastrow = torch.nn.Parameter(net.jastrow.detach() + 1)
    else:
        gaussians = net.pair_features.functions[0]
        gaussians.exponents = 2 * gaussians.exponents
    assert_same_bits(net, x)
    assert not torch.equal(net.value(x), before)


def test_copies_have_recordings_of_their_own() -> None:
    system = SYSTEMS["4 bosons"]
    net, x = network(system), configurations(system, 5)
    call_often(net, x)
    twin = copy.deepcopy(net)
    assert not recordings(twin)
    disturb(twin)
    call_often(twin, x)
    assert_same_bits(twin, x)
    assert_same_bits(net, x)


def test_a_recording_goes_with_its_network() -> None:
    system = SYSTEMS["4 bosons"]
    net = network(system)
    call_often(net, configurations(system, 5))
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_threads_may_ask_for_the_same_recording() -> None:
    system = SYSTEMS["4 bosons"]
    net = network(system)
    parts = [configurations(system, batch) for batch in range(3, 43)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(net.value_and_drift, parts))
    for x, (value, drift) in zip(parts, found, strict=True):
        expected, expected_drift = net._value_and_drift(x)
        assert torch.equal(value, expected) and torch.equal(drift, expected_drift)


class Branching(MolecularNet):
    """Asks for numbers, which a recording would take for constants."""

    def _value(self, x: Tensor) -> Tensor:
        return super()._value(x) + float(x.detach().sum())


class Counting(MolecularNet):
    """Takes the number of walkers for a constant."""

    def _value(self, x: Tensor) -> Tensor:
        return super()._value(x) + int(x.shape[0])


class Confusing(MolecularNet):
    """Has two constants that the tracer takes for one."""

    def _value(self, x: Tensor) -> Tensor:
        value = super()._value(x)
        return 0.3 * value + (0.3 + 1e-10) * value


class Refusing(MolecularNet):
    """Cannot be recorded at all."""

    def _value(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("no recording here")
        return super()._value(x)


class Learning(MolecularNet):
    """Has a `forward` of its own, and so a drift by automatic differentiation, which no recording would see."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1.0


@pytest.mark.parametrize("kind", [Branching, Counting, Confusing, Refusing])
def test_what_cannot_be_recorded_is_computed_as_before(kind: type[MolecularNet]) -> None:
    system = SYSTEMS["h2"]
    net = network(system)
    net.__class__ = kind
    x = configurations(system, 5)
    for _ in range(2 * WORTH):
        net.value(x)
    assert recordings(net) == {"_value": None}
    for batch in (1, 5, 64):
        assert_same_bits(net, configurations(system, batch))


def test_automatic_differentiation_is_never_recorded() -> None:
    system = SYSTEMS["h2"]
    net = network(system)
    net.__class__ = Learning
    x = configurations(system, 5)
    call_often(net, x)
    assert not recordings(net)
    assert_same_bits(net, configurations(system, 7))


def test_other_recordings_of_the_process_are_optimised_as_ever() -> None:
    before = torch._C._jit_set_profiling_mode(True)
    try:
        system = SYSTEMS["4 bosons"]
        call_often(network(system), configurations(system, 5))
        assert torch._C._jit_set_profiling_mode(True)
    finally:
        torch._C._jit_set_profiling_mode(before)
