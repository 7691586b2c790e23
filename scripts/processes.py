"""What a second process brings: training iterations and measurement sweeps of one process against those of several.

    python scripts/processes.py [h2 bosons "bosons system.particles=16 system.g=2.0" ...] [--processes 2] [--rounds 5]

Every round times one process, then so many that share its walkers, then all cores busy with one process each that has such a
share to itself and sends no messages: the most that could be had. Milliseconds, and ratios of wall-clock times of the same
round: medians over the rounds [least to most]. As many cores as processes must be idle.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from fkflow.execution import launch, ranks
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.recipe import config
from fkflow.runs.context import RunContext
from fkflow.runs.model import prepare
from fkflow.training.loop import initial_state, train

#: iterations and sweeps before the clock starts
WARM = 5
KINDS = ("training iteration", "measurement sweep")


def timed(case: str, processes: int, share: int, iterations: int, sweeps: int) -> None:
    """Print the milliseconds of an iteration and of a sweep with 1/share of the recipe's walkers, by so many processes."""
    recipe, *overrides = case.split()
    overrides += ["train.grow=0", "train.stop_spread=0", f"train.iterations={iterations + WARM}"]
    whole = config.load(recipe, overrides).recipe
    walkers = [f"train.walkers={whole.train.walkers // share}", f"measure.walkers={whole.measure.walkers // share}"]
    loaded = config.load(recipe, [*overrides, *walkers])
    settings = loaded.recipe.train
    with launch.join_ranks(processes):
        ready = prepare(RunContext(loaded, seed=0, device="cpu", threads=1))
        net, system = ready.net, loaded.recipe.system
        assert isinstance(net, LogPsi)
        state = initial_state(net, ready.landscape, settings, 0, "cpu", system)
        steps = train(system, ready.landscape, settings, state)
        for _ in range(WARM):
            next(steps)
        begun = time.perf_counter()
        for _ in range(iterations):
            next(steps)
        trained = time.perf_counter() - begun
        dt = settings.dt * ready.landscape.length**2
        measuring = VariationalEstimator(net, system, ready.landscape, loaded.recipe.measure, state.walkers.x, 0, dt=dt)
        for _ in range(WARM):
            measuring.sweep()
        begun = time.perf_counter()
        for _ in range(sweeps):
            measuring.sweep()
        swept = time.perf_counter() - begun
        if ranks.rank() == 0:
            print(json.dumps([1e3 * trained / iterations, 1e3 * swept / sweeps]), flush=True)


def alone(case: str, processes: int, share: int, iterations: int, sweeps: int) -> list[float]:
    """What `timed` prints, from processes of their own."""
    numbers = [str(n) for n in (processes, share, iterations, sweeps)]
    command = [sys.executable, __file__, case, "--timed", *numbers]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "recipes", nargs="*", default=["h2", "bosons"], help="recipes, each with its overrides in one argument"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--timed", type=int, nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.timed:
        timed(given.recipes[0], *given.timed)
        return
    many, work = given.processes, (given.iterations, given.sweeps)
    print(
        f"| recipe | | 1 process (ms) | {many} processes (ms) | ratio | the most there is |\n|---|---|---|---|---|---|"
    )
    for case in given.recipes:
        rounds = []
        for _ in range(given.rounds):
            one, together = alone(case, 1, 1, *work), alone(case, many, 1, *work)
            with ThreadPoolExecutor(many) as pool:
                each = [task.result() for task in [pool.submit(alone, case, 1, many, *work) for _ in range(many)]]
            rounds.append((one, together, [statistics.mean(times) for times in zip(*each, strict=True)]))
        for kind, name in enumerate(KINDS):
            one_by_one = [[times[kind] for times in row] for row in rounds]
            middle = [statistics.median(column) for column in zip(*one_by_one, strict=True)]
            ratios = [sorted(row[0] / row[column] for row in one_by_one) for column in (1, 2)]
            cells = [f"{statistics.median(r):.2f} [{r[0]:.2f} to {r[-1]:.2f}]" for r in ratios]
            print(f"| {case} | {name} | {middle[0]:.1f} | {middle[1]:.1f} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
