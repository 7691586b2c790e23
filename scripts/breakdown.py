"""Where one training iteration and one measurement sweep spend their time, and what share of the machine they use.

    python scripts/breakdown.py [h2 bosons "bosons system.particles=16 system.g=2.0" ...] [--threads 1,2] [--device cpu]

For every recipe (with overrides) and number of threads: milliseconds of each part (median of five), its floating-point
operations in matrix products, and the rate of those as a share of the machine's own, a product of two large float64
matrices timed in the same run with as many threads. What is far below it goes into exponentials, sums, memory and launching
small operations. Wall-clock times: run it on an idle machine, or compare columns of one run only.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.recipe import config
from fkflow.runs.context import RunContext
from fkflow.runs.model import prepare
from fkflow.sampling.local_energy import analytic_local_energy, fastest_local_energy, local_energy
from fkflow.sampling.metropolis import metropolis
from fkflow.sampling.path_energies import path_samples
from fkflow.training.gradients import jacobian, jacobian_and_derivatives
from fkflow.training.loop import initial_state, train

RECIPES = ["h2", "bosons", "bosons system.particles=16 system.g=2.0 train.walkers=256 measure.walkers=256"]
#: iterations before anything is timed
WARM = 3


def seconds(work: Callable[[], object], device: str, repeats: int = 5) -> float:
    """Median wall-clock seconds of `work` after one call that does not count."""
    found = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - begun)
    return statistics.median(found[1:])


def matrix_rate(device: str, size: int = 1536) -> float:
    """Operations per second of a large float64 matrix product on this device with these threads."""
    a = torch.randn(size, size, dtype=torch.float64, device=device)
    return 2 * size**3 / seconds(lambda: a @ a, device)


class Counter(TorchDispatchMode):
    """Adds up the operations of matrix products (FlopCounterMode also follows modules, which autograd.grad forbids)."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if (packet := func._overloadpacket) in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


def operations(work: Callable[[], object]) -> int:
    """Operations in the matrix products of `work`, on one thread (the counter sees its own thread only)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Counter() as counter:
            work()
        return counter.total
    finally:
        torch.set_num_threads(before)


def profiled(case: str, threads: int, device: str) -> list[tuple[str, float, int]]:
    """(part, seconds, operations) of a recipe with overrides."""
    recipe, *overrides = case.split()
    loaded = config.load(recipe, [*overrides, "train.grow=0", "train.stop_spread=0"])
    context = RunContext(loaded, seed=0, device=device, threads=threads)
    ready = prepare(context)
    net, system, settings = ready.net, loaded.recipe.system, loaded.recipe.train
    assert isinstance(net, LogPsi)
    unit = ready.landscape.length**2
    state = initial_state(net, ready.landscape, settings, 0, context.device, system)
    steps = train(system, ready.landscape, settings, state)
    for _ in range(WARM):
        next(steps)
    walkers, generator = state.walkers, state.generator
    x, d = walkers.x, walkers.x[0].numel()
    paths = settings.paths or state.paths or d
    o = jacobian(net, x)
    energies = torch.randn(len(x), dtype=torch.float64, device=x.device)
    parts: dict[str, Callable[[], object]] = {
        f"{settings.moves} moves": lambda: metropolis(net, walkers, generator, settings.moves),
        "energies in the limit": lambda: analytic_local_energy(net, system, x),
        f"(actions of {paths} paths)": lambda: path_samples(
            net, system, x, generator, paths=paths, steps=settings.steps, dt=settings.dt * unit
        ),
        "jacobian and its slopes": lambda: jacobian_and_derivatives(net, x, len(x), generator, 1e-3),
    }
    if state.spring is not None:
        # random energies must not leave their momentum to the training; an update uses its rows up
        spring = copy.deepcopy(state.spring)
        parts["natural gradient"] = lambda: spring.update(torch.cat([o, o]), energies, 0.1, 1e-3)
    parts["training iteration"] = lambda: next(steps)
    parts["(exact Laplacian)"] = lambda: local_energy(net, system, x)
    measuring = VariationalEstimator(net, system, ready.landscape, loaded.recipe.measure, x, 0, dt=settings.dt * unit)
    y = measuring.walkers.x
    parts["measuring: moves"] = lambda: metropolis(net, measuring.walkers, generator, 5, adapt=False)
    parts["measuring: local energies"] = lambda: fastest_local_energy(net, system, y, generator, unit)
    parts["measurement sweep"] = measuring.sweep
    return [(name, seconds(work, context.device), operations(work)) for name, work in parts.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, help="recipes, each with its overrides in one argument")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, comma-separated")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    counts = [int(n) for n in arguments.threads.split(",")]
    rates = {}
    for threads in counts:
        torch.set_num_threads(threads)
        rates[threads] = matrix_rate(arguments.device)
        print(f"{threads} thread(s): {rates[threads] / 1e9:.1f} GFLOP/s in a float64 matrix product")
    for case in arguments.recipes:
        columns = {threads: profiled(case, threads, arguments.device) for threads in counts}
        first = counts[0]
        print(f"\n| {case} | MFLOP | " + " | ".join(f"ms, {n} thread(s) | of the matrix rate" for n in counts), end="")
        print(f" | {first} / {counts[-1]} |\n|---|---|" + "---|---|" * len(counts) + "---|")
        for row, (name, alone, work) in enumerate(columns[first]):
            cells = [f"{1e3 * c[row][1]:.1f} | {100 * work / c[row][1] / rates[n]:.0f} %" for n, c in columns.items()]
            gain = alone / columns[counts[-1]][row][1]
            print(f"| {name} | {work / 1e6:.0f} | {' | '.join(cells)} | {gain:.2f} |")


if __name__ == "__main__":
    main()
