"""Chunks: put together again, halved when memory runs out, of a size that follows from the network and the device."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fkflow.errors import NumericalError
from fkflow.execution.chunks import chunk_size, device_memory, value_and_drift
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import build
from fkflow.training.gradients import pathwise_gradient


def test_chunks_are_put_together_again(perturbed) -> None:
    system = find_system("bosons")(particles=3)
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 1, 0), 0.1)
    x = land.start(50, torch.Generator().manual_seed(1))
    value, drift = net.value_and_drift(x)
    for chunk in (1, 7, 25, 49, 50, 1000):
        net.chunk = chunk
        values, drifts = value_and_drift(net, x)
        assert torch.allclose(values, value, rtol=1e-12, atol=1e-14)
        assert torch.allclose(drifts, drift, rtol=1e-10, atol=1e-12)


class Small:
    """A device that holds `room` configurations: more raise what PyTorch raises there."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error = room, error

    def bound(self, net, monkeypatch) -> None:
        def limited(work: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
            def done(x: torch.Tensor) -> Any:
                if len(x) > self.room:
                    raise self.error
                return work(x)

            return done

        for name in ("forward", "value", "value_and_drift"):
            monkeypatch.setattr(net, name, limited(getattr(net, name)))


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["gpu", "cpu"])
def test_out_of_memory_halves_the_chunk_with_a_notice(error, perturbed, monkeypatch, caplog) -> None:
    system = find_system("bosons")(particles=3)
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 1, 0), 0.1)
    x = land.start(100, torch.Generator().manual_seed(1))
    value, drift = net.value_and_drift(x)
    Small(30, error).bound(net, monkeypatch)
    net.chunk = 100
    values, drifts = value_and_drift(net, x)
    assert torch.allclose(values, value, rtol=1e-12, atol=1e-14)
    assert torch.allclose(drifts, drift, rtol=1e-10, atol=1e-12)
    assert net.chunk == 25  # of all later work too
    assert [r.getMessage() for r in caplog.records] == [
        "out of memory: going on with 50 instead of 100 walkers at a time",
        "out of memory: going on with 25 instead of 50 walkers at a time",
    ]


def test_memory_that_never_suffices_is_an_error_and_other_errors_pass(perturbed, monkeypatch) -> None:
    system = find_system("bosons")(particles=3)
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 1, 0), 0.1)
    x = land.start(8, torch.Generator().manual_seed(1))
    with monkeypatch.context() as patch:
        Small(0, OUT_OF_MEMORY[0]).bound(net, patch)
        with pytest.raises(NumericalError, match="out of memory with one walker at a time"):
            value_and_drift(net, x)
    net.chunk = 0
    Small(0, RuntimeError("shapes do not match")).bound(net, monkeypatch)
    with pytest.raises(RuntimeError, match="shapes"):
        value_and_drift(net, x)


def test_a_pathwise_gradient_by_chunks_is_the_whole_one(perturbed) -> None:
    system = find_system("quartic")()
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 1, 0), 0.1)
    x = land.start(40, torch.Generator().manual_seed(1))
    found = []
    for chunk in (0, 40, 7):
        net.chunk = chunk
        pathwise_gradient(net, system, x, torch.Generator().manual_seed(2), steps=3, dt=0.01)
        found.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert torch.equal(found[0], found[1])
    assert torch.allclose(found[2], found[0], rtol=1e-9, atol=1e-12)
    assert float(found[0].norm()) > 0


def test_chunks_follow_the_width_of_the_network() -> None:
    sizes = []
    for particles in (2, 8, 32):
        system = find_system("bosons")(particles=particles)
        sizes.append(chunk_size(build(system, explore(system), "auto", 16, 2, 0)))
    assert sizes[0] > 10 * sizes[1] > 100 * sizes[2] > 0


def test_chunks_on_a_gpu_follow_from_its_size(monkeypatch) -> None:
    """Not from what is free: that is asked for once, and the chunks of two runs are the same."""
    asked = []

    def properties(device: object) -> SimpleNamespace:
        asked.append(device)
        return SimpleNamespace(total_memory=80 * 2**30)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    system = find_system("bosons")(particles=32)
    net = build(system, explore(system), "auto", 16, 2, 0)
    there = SimpleNamespace(is_cuda=True, device=torch.device("cuda", 0), element_size=lambda: 8)
    device_memory.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(net, "parameters", lambda: iter([there]))
        sizes = {chunk_size(net) for _ in range(3)}
    device_memory.cache_clear()
    (size,) = sizes
    assert asked == [there.device] and 64 * size * net.width * 8 < 80 * 2**30 < 256 * size * net.width * 8
    assert size > 20 * chunk_size(net)
