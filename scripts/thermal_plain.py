"""What the learned drift brings: free energies with it and without it (u = 0), by the same code in the same CPU time.

Without a drift paths are bridges of the harmonic reference, from starts about where walkers annealed in V are: plain
path-integral sampling with independent paths. The time with the drift includes its training.

    python scripts/thermal_plain.py [--seconds 20] [--only quartic "2 bosons"]

takes twice the seconds a system, and prints the table of docs/notes/thermal.md.
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
from fkflow.thermal.fit import Fitted
from fkflow.thermal.question import Question
from fkflow.thermal.solve import ThermalSolver

#: system, parameters, β
CASES = {
    "quartic": ("quartic", {}, 1.0),
    "cold quartic": ("quartic", {}, 10.0),
    "wells": ("double_well", {}, 2.0),
    "cold wells": ("double_well", {}, 10.0),
    "2 bosons": ("bosons", {"particles": 2}, 1.0),
    "cold 2 bosons": ("bosons", {"particles": 2}, 3.0),
    "4 bosons": ("bosons", {"particles": 4}, 1.0),
}
#: most iterations of a training, and paths of a pool
ITERATIONS, PATHS = 40, 512


def main() -> None:
    """Print a row for each system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| system | β | u = 0: effective, of paths | F | learned: effective, of paths | F |")
    print("|---|---|---|---|---|---|")
    for name in given.only:
        beta = CASES[name][2]
        both = [measured(*CASES[name], given.seconds, learned) for learned in (False, True)]
        cells = [
            f"{sums.ess():.3f}, {sums.paths} | {fkflow.Estimate(-sums.log_z().value / beta, sums.log_z().error / beta)}"
            for sums in both
        ]
        print(f"| {name} | {beta:g} | {cells[0]} | {cells[1]} |", flush=True)


def measured(name: str, parameters: dict[str, float], beta: float, seconds: float, learned: bool) -> Sums:
    """The weights of all paths that `seconds` of CPU time allow."""
    began = time.process_time()
    unit = to_unit_masses(fkflow.make_system(name, **parameters))
    # the error that is asked for is out of reach: no training ends before its iterations
    question = Question((beta,), "bose", ITERATIONS, 1e-9, seconds, None, 0)
    solver = ThermalSolver(unit, explore(unit), question, Silent())
    natural = beta / solver.problem.length**2
    if learned:
        for rung in solver.ladder(0.0, natural):
            level = solver.train(rung, last=rung == natural)
        fitted = level.fitted
    else:
        level = solver.fresh(natural)
        fitted = Fitted(None, level.fitted.starts, level.fitted.start_theta)
    sums = Sums(natural, solver.problem.gain)
    for batch in batches(solver.bridges, fitted, natural, level.steps, PATHS, solver.generator, False):
        sums.add(batch)
        if sums.pools > 1 and time.process_time() - began > seconds:
            break
    return sums


if __name__ == "__main__":
    main()
