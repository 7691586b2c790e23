"""How even the weights of cold bosons are: trains N bosons in 2D (g = 15, s = 0.5) at β and weighs paths, resampled or not.

    python scripts/thermal_bosons.py [--bosons 4] [--beta 3] [--iterations 60] [--seed 0]

prints rows of a table of docs/notes/thermal.md: the spread of log w and the effective share of fresh paths. Before them is said
which part of the variance of log w is that of starts.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch

import fkflow
from fkflow.execution.progress import Silent
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.thermal.estimate import Sums, batches
from fkflow.thermal.question import Level, Question
from fkflow.thermal.resampling import Resampling, learn
from fkflow.thermal.solve import ThermalSolver

#: paths of a pool, pools, and those that the resampling is learned from
PATHS, POOLS, LOOK = 128, 48, 16
#: starts, and paths from each, whose variances are compared
STARTS, EACH = 64, 16


def main() -> None:
    """Train, and print the rows."""
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
    print(f"CPU s of the training: {time.process_time():.0f}")
    parts(solver, level)
    weigh(solver, level, given.bosons, given.beta)


def parts(solver: ThermalSolver, level: Level) -> None:
    """Print the variance of log w of paths with one start and permutation, and between starts, by once and twice the steps."""
    fitted, generator = level.fitted, torch.Generator().manual_seed(5)
    one = fitted.starts.draw(fitted.start_theta, STARTS, 8192, 3)
    y, sent, log_density = (x.repeat_interleave(EACH, 0) for x in (one.y, one.sent, one.log_density))
    start = replace(one, y=y, sent=sent, log_density=log_density)
    print(f"effective share of the pool of starts: {one.effective:.3f}")
    for steps in (level.steps, 2 * level.steps):
        paths, _ = solver.bridges.draw(fitted.theta, start.y, start.sent, level.beta, steps, generator)
        log_w = solver.bridges.log_integrand(paths) - paths.log_proposal - start.log_density
        by_start = log_w.view(STARTS, EACH)
        within = float(by_start.var(1).mean())
        between = float(by_start.mean(1).var()) - within / EACH
        print(f"{steps} steps: variance of log w with one start {within:.2f}, between starts {between:.2f}", flush=True)


def weigh(solver: ThermalSolver, level: Level, bosons: int, beta: float) -> None:
    """Print rows of paths as they are and of resampled ones, of the training's steps."""
    print("| bosons | β | steps | paths | spread of log w | effective | F | CPU s of these paths |")
    print("|---|---|---|---|---|---|---|---|")
    bridges, fitted, steps = solver.bridges, level.fitted, level.steps
    generator = torch.Generator().manual_seed(77)
    resampling: Resampling | None = None
    for kind in ("as they are", "resampled"):
        began, sums = time.process_time(), Sums(level.beta, solver.problem.gain)
        pools = batches(bridges, fitted, level.beta, steps, PATHS, generator, False, resampling)
        batch = [next(pools) for _ in range(POOLS)]
        for one in batch:
            sums.add(one)
        spread = float(torch.cat([one.log_w for one in batch]).std())
        free = fkflow.Estimate(-sums.log_z().value / beta, sums.log_z().error / beta)
        print(
            f"| {bosons} | {beta:g} | {steps} | {POOLS} × {PATHS}, {kind} | {spread:.2f} | {sums.ess():.2f} | {free} | "
            f"{time.process_time() - began:.0f} |",
            flush=True,
        )
        resampling = learn(bridges, [(one.paths, one.log_w) for one in batch[:LOOK]])


if __name__ == "__main__":
    main()
