"""Cost of liquid helium against the number of atoms at a fixed density: log ψ, drift, local energy and V of one configuration.

    python scripts/box_cost.py [--atoms 32,64,128,256] [--walkers 16]

The network as it starts. Time: CPU seconds of one thread, the least of three, over the walkers. Memory: growth of the peak
resident size. Each size runs in a process of its own. Prints a Markdown table with the growth exponents between sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys

#: what is timed
PARTS = ("log psi", "drift", "local energy", "V")


def one(atoms: int, walkers: int) -> dict[str, float]:
    """CPU milliseconds of each part for a walker and kilobytes a walker, in this process."""
    import resource
    import time

    import torch

    from fkflow.hamiltonian.landscape import explore
    from fkflow.hamiltonian.masses import to_unit_masses
    from fkflow.networks.choice import build
    from fkflow.recipe.config import load
    from fkflow.sampling.local_energy import fastest_local_energy

    torch.set_num_threads(1)
    recipe = load("liquid_helium", [f"system.particles={atoms}"]).recipe
    system = to_unit_masses(recipe.system)
    land = explore(system)
    net = build(system, land, "auto", recipe.network.hidden, recipe.network.layers, 0)
    generator = torch.Generator().manual_seed(0)
    x = land.start(walkers, generator)
    calls = {
        "log psi": lambda: net.value(x),
        "drift": lambda: net.value_and_drift(x),
        "local energy": lambda: fastest_local_energy(net, system, x, generator, land.length**2),
        "V": lambda: system.potential(x),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {}
    for name, call in calls.items():
        taken = []
        for _ in range(4):
            begun = time.process_time()
            call()
            taken.append(time.process_time() - begun)
        found[name] = 1e3 * min(taken[1:]) / walkers
    found["memory"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / walkers
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", default="32,64,128,256")
    parser.add_argument("--walkers", type=int, default=16)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.walkers)))
        return
    sizes = [int(text) for text in args.atoms.split(",")]
    rows = []
    print("| N | " + ", ms | ".join(PARTS) + ", ms | memory, kB | exponent of the local energy |")
    print("|" + "---|" * (len(PARTS) + 3))
    for n in sizes:
        command = [sys.executable, __file__, "--one", str(n), "--walkers", str(args.walkers)]
        rows.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        grown = ""
        if len(rows) > 1:
            ratio = rows[-1]["local energy"] / rows[-2]["local energy"]
            grown = f"{math.log(ratio) / math.log(n / sizes[len(rows) - 2]):.2f}"
        cells = [f"{rows[-1][name]:.3g}" for name in (*PARTS, "memory")]
        print(f"| {n} | " + " | ".join(cells) + f" | {grown} |", flush=True)


if __name__ == "__main__":
    main()
