"""Chunks on threads: the same results in the same order as one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from fkflow.execution import threads as module
from fkflow.execution.chunks import value, value_and_drift
from fkflow.execution.threads import each, use_threads
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import build
from fkflow.sampling.local_energy import analytic_local_energy, derivatives, local_energy
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.training.gradients import jacobian


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """What sets the number of threads, which is put back afterwards."""
    before, inside = module._count, torch.get_num_threads()
    yield use_threads
    use_threads(before)
    torch.set_num_threads(inside)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_keep_the_order_of_the_items(threads: Callable[[int], None], count: int) -> None:
    threads(count)

    def work(item: int) -> tuple[int, str]:
        time.sleep(0.002 * (5 - item % 5))  # the first would end last
        return item**2, threading.current_thread().name

    found = each(work, range(20))
    assert [square for square, _ in found] == [item**2 for item in range(20)]
    others = {name for _, name in found} - {threading.current_thread().name}
    # one thread needs no other; more share the work among as many others
    assert len(others) == (0 if count == 1 else count) and all(name.startswith("fkflow") for name in others)
    assert each(work, []) == []


def test_one_thread_inside_operations(threads: Callable[[int], None]) -> None:
    """Of the caller and of each worker, whatever number PyTorch is given meanwhile."""
    threads(2)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(3)
    assert each(lambda _: (time.sleep(0.01), torch.get_num_threads())[1], range(6)) == [1] * 6


def test_workers_keep_graphs_as_the_caller_does(threads: Callable[[int], None]) -> None:
    threads(2)
    leaf = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        assert not any(one.requires_grad for one in each(lambda k: k * leaf, range(4)))
    assert all(one.requires_grad for one in each(lambda k: k * leaf, range(4)))


def test_what_goes_wrong_is_told(threads: Callable[[int], None]) -> None:
    threads(2)

    def work(item: int) -> int:
        if item == 3:
            raise ZeroDivisionError(f"item {item}")
        return item

    with pytest.raises(ZeroDivisionError, match="item 3"):
        each(work, range(6))
    assert each(work, range(3)) == [0, 1, 2]  # the threads are still good


@pytest.mark.parametrize("name", ["bosons", "he"])
def test_the_numbers_do_not_depend_on_the_threads(threads: Callable[[int], None], name: str, perturbed) -> None:
    """Walks, drifts, energies and gradients: the same bits on one, two and three threads."""
    system = find_system(name)()
    land = explore(system)
    net = perturbed(build(system, land, "auto", 6, 1, 0), 0.1)
    x = land.start(300, torch.Generator().manual_seed(1))
    net.chunk = 50
    callers: set[str] = set()

    def asked(y: Tensor) -> Tensor:
        callers.add(threading.current_thread().name)
        found: Tensor = type(system).potential(system, y)
        return found

    object.__setattr__(system, "potential", asked)

    def everything(seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        walkers = Walkers(x.clone(), 0.1 * land.length**2)
        metropolis(net, walkers, generator, 3)
        return [
            walkers.x,
            value(net, x),
            *value_and_drift(net, x),
            *derivatives(net, x),
            analytic_local_energy(net, system, x),
            local_energy(net, system, x[:100]),
            jacobian(net, x),
        ]

    runs: list[list[Tensor]] = []
    for count in (1, 2, 3):
        threads(count)
        runs.append(everything(5))
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))
    # V, which may be a user's, was asked by one thread
    assert callers == {threading.current_thread().name}
    # the twin: another seed changes what draws from the generator
    assert not torch.equal(runs[0][0], everything(6)[0])
