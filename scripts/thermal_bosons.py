"""How even the weights of cold bosons are: trains N bosons in 2D (g = 15, s = 0.5) at β and weighs paths of two time steps.

    python scripts/thermal_bosons.py [--bosons 4] [--beta 3] [--iterations 60] [--seed 0]

prints rows of a table of docs/notes/thermal.md: the spread and the effective share of 640 fresh paths.
"""

from __future__ import annotations

import argparse
import time

import torch

import fkflow
from fkflow.execution.progress import Silent
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.thermal.estimate import Sums, batches
from fkflow.thermal.question import Question
from fkflow.thermal.solve import ThermalSolver

#: paths of a pool, and pools
PATHS, POOLS = 320, 2


def main() -> None:
    """Train, and print a row for the time step of the training and one for half of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bosons", type=int, default=4)
    parser.add_argument("--beta", type=float, default=3.0)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    unit = to_unit_masses(fkflow.make_system("bosons", particles=given.bosons, g=15.0, s=0.5))
    solver = ThermalSolver(
        unit, explore(unit), Question((given.beta,), "bose", given.iterations, 1e-4, 1e3, None, given.seed), Silent()
    )
    longest = given.beta / solver.problem.length**2
    for number, rung in enumerate(solver.ladder(0.0, longest), 1):
        solver.begin(number)
        level = solver.train(rung, last=rung == longest)
    trained = time.process_time()
    print("| bosons | β | steps | spread of log w | effective | F | CPU s of the training, of these paths |")
    print("|---|---|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(77)
    for steps in (level.steps, 2 * level.steps):
        began, sums = time.process_time(), Sums(level.beta, solver.problem.gain)
        pools = batches(solver.bridges, level.fitted, level.beta, steps, PATHS, generator, False)
        batch = [next(pools) for _ in range(POOLS)]
        for one in batch:
            sums.add(one)
        spread = float(torch.cat([one.log_w for one in batch]).std())
        free = fkflow.Estimate(-sums.log_z().value / given.beta, sums.log_z().error / given.beta)
        cost = f"{trained:.0f}, {time.process_time() - began:.0f}"
        print(
            f"| {given.bosons} | {given.beta:g} | {steps} | {spread:.2f} | {sums.ess():.2f} | {free} | {cost} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
