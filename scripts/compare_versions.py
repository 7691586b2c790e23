"""Training iterations, sweeps and weighings of this checkout against those of another, in turn on one core.

    git worktree add ../fkflow-before COMMIT
    python scripts/compare_versions.py ../fkflow-before [--rounds 5] [--cases h2 he ...]

Prints milliseconds of CPU time of each, the least of the rounds, and the ratio of the two: 1.05 means that this checkout is
5 % slower. Every case is a fresh process. A sweep is one move of the walkers, a weighing their local energies, as a
projection asks for them.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

#: system, its parameters, and walkers of a sweep and a weighing
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "h2": ("h2", {}, 1024),
    "he": ("he", {}, 1024),
    "4 bosons": ("bosons", {"particles": 4}, 512),
    "16 bosons": ("bosons", {"particles": 16, "g": 2.0}, 256),
    "chain of 64": ("chain", {"particles": 64}, 512),
    "double_well": ("double_well", {}, 1024),
}


def load(*places: str) -> Any:
    """The first of these module:name that exists: versions before the packages had other places."""
    for place in places:
        module, name = place.split(":")
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"this version has none of {places}")


def least(work: Callable[[], object], repeats: int, warm: int = 12) -> float:
    """Milliseconds of CPU time of one call, the lower quartile of so many after some that do not count."""
    found = []
    for number in range(warm + repeats):
        begun = time.process_time()
        work()
        if number >= warm:
            found.append(time.process_time() - begun)
    return 1e3 * sorted(found)[len(found) // 4]


def measure(case: str) -> dict[str, float]:
    """Milliseconds of the three of them in the version that Python finds."""
    import torch

    torch.set_num_threads(1)
    load("fkflow.execution.device:keep_freed_memory", "fkflow.device:keep_freed_memory")()  # as the command does
    find = load("fkflow.hamiltonian.registry:find_system", "fkflow.registry:find")
    explore = load("fkflow.hamiltonian.landscape:explore", "fkflow.landscape:explore")
    build = load("fkflow.networks.choice:build", "fkflow.networks:build")
    homes = "recipe.sections", "recipe.schema", "schema", "config"
    config = load(*(f"fkflow.{home}:TrainConfig" for home in homes))
    begin = load("fkflow.training.loop:initial_state", "fkflow.training:begin")
    train = load("fkflow.training.loop:train", "fkflow.training:train")
    walkers = load("fkflow.sampling.metropolis:Walkers", "fkflow.sampling:Walkers")
    metropolis = load("fkflow.sampling.metropolis:metropolis", "fkflow.sampling:metropolis")
    energy = load("fkflow.sampling.local_energy:fastest_local_energy", "fkflow.local_energy:measured_energy")
    key, parameters, count = CASES[case]
    system = find(key)(**parameters)
    landscape = explore(system)
    net = build(system, landscape, "auto", 32, 2, 0)
    settings = config(iterations=1000, stop_spread=0.0, grow=0, walkers=min(count, 512))
    # versions before walkers had a broad density did not need the system
    given = [net, landscape, settings, 0, "cpu", system][: len(inspect.signature(begin).parameters)]
    steps = train(system, landscape, settings, begin(*given))
    iteration = least(lambda: next(steps), 6, warm=2)
    generator = torch.Generator().manual_seed(0)
    moved = walkers(landscape.start(count, generator), 0.1 * landscape.length**2)
    metropolis(net, moved, generator, 5)
    sweep = least(lambda: metropolis(net, moved, generator, 1, adapt=False), 40)
    weighing = least(lambda: energy(net, system, moved.x, generator, landscape.length**2), 20)
    return {"iteration": iteration, "sweep": sweep, "weighing": weighing}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout of fkflow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    arguments = parser.parse_args()
    checkouts = [arguments.other.resolve(), Path(__file__).resolve().parents[1]]
    print("| system | part | ms before | ms now | now / before |\n|---|---|---|---|---|")
    for case in arguments.cases:
        found: list[list[dict[str, float]]] = [[], []]
        for turn in range(arguments.rounds):
            for which in (0, 1) if turn % 2 else (1, 0):
                environment = {**os.environ, "PYTHONPATH": str(checkouts[which]), "OMP_NUM_THREADS": "1"}
                command = [sys.executable, __file__, "--measure", case]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found[which].append(json.loads(done.stdout))
        for part in found[0][0]:
            before, now = (min(row[part] for row in rows) for rows in found)
            print(f"| {case} | {part} | {before:.2f} | {now:.2f} | {now / before:.2f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
