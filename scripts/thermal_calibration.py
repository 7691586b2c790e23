"""Are the errors at temperatures right? Distances from exact values in σ, over many seeds of training and measuring.

Wells have their levels from a grid, bosons in a trap without interaction a closed form, two that repel each other the levels of
their relative motion. Every seed trains and measures anew. Right errors hold 68 % of the truth within one σ and 95 % within
two, and the root mean square of the distances is 1.

    python scripts/thermal_calibration.py [--seeds 20] [--only quartic wells] [--out thermal_calibration.jsonl]

takes two to ten seconds a seed and system, and prints the table of docs/notes/thermal.md. Runs that are in the
file are not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from line_grid import line_states

import fkflow
from fkflow.statistics import z_score


def log_z_of_levels(levels: np.ndarray) -> Callable[[float], float]:
    """log Z as a function of β."""
    return lambda beta: -beta * levels[0] + math.log(np.exp(-beta * (levels - levels[0])).sum())


def log_z_of_bosons(bosons: int, dimensions: int) -> Callable[[float], float]:
    """log Z of bosons in a round trap of frequency 1, by Z_N = 1/N Σ_k z(kβ) Z_(N−k)."""

    def log_z(beta: float) -> float:
        z = [(2 * math.sinh(0.5 * k * beta)) ** -dimensions for k in range(1, bosons + 1)]
        found = [1.0]
        for n in range(1, bosons + 1):
            found.append(sum(z[k - 1] * found[n - k] for k in range(1, n + 1)) / n)
        return math.log(found[bosons])

    return log_z


@dataclass(frozen=True)
class Case:
    """A system with its parameters, β, the error of F that is asked for, and log Z as a function of β or exact F, E and C."""

    system: str
    parameters: dict[str, float]
    beta: float
    target: float
    log_z: Callable[[float], float] | None
    known: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def exact(self) -> tuple[float, float, float]:
        """F, E and C."""
        if self.log_z is None:
            return self.known
        low, middle, high = (self.log_z(self.beta * (1 + side * STEP)) for side in (-1, 0, 1))
        step = STEP * self.beta
        return -middle / self.beta, (low - high) / (2 * step), self.beta**2 * (low + high - 2 * middle) / step**2


#: step of β in the exact derivatives
STEP = 1e-3
QUARTIC = log_z_of_levels(line_states(lambda x: 0.5 * x**2 + x**4, 6.0)[1])
WELLS = log_z_of_levels(line_states(lambda x: 2 * (x**2 / 4 - 1) ** 2, 9.0)[1])
CASES = {
    "quartic": Case("quartic", {}, 1.0, 2e-3, QUARTIC),
    "cold quartic": Case("quartic", {}, 5.0, 1e-3, QUARTIC),
    "wells": Case("double_well", {}, 2.0, 2e-3, WELLS),
    "cold wells": Case("double_well", {}, 10.0, 1.5e-3, WELLS),
    "2 free bosons": Case("bosons", {"particles": 2, "g": 0.0}, 3.0, 3e-3, log_z_of_bosons(2, 2)),
    "3 free bosons": Case("harmonic", {"particles": 3, "dimensions": 1}, 1.0, 5e-3, log_z_of_bosons(3, 1)),
    # from the levels of the relative motion in a basis of Laguerre functions
    "2 bosons": Case("bosons", {"particles": 2}, 1.0, 4e-3, None, (1.1775130, 4.8089458, 3.4781137)),
}


def main() -> None:
    """Make the runs that the file lacks, and print a row for each case and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--out", type=Path, default=Path("thermal_calibration.jsonl"))
    given = parser.parse_args()
    made = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {(one["case"], one["seed"]) for one in made}
    # seeds outside, so that a run that is stopped has some of each case
    for seed, name in itertools.product(range(given.seeds), given.only):
        if (name, seed) not in done:
            began = time.process_time()
            z = distances(CASES[name], seed)
            made.append({"case": name, "seed": seed, "z": z, "seconds": time.process_time() - began})
            with given.out.open("a") as file:
                file.write(json.dumps(made[-1]) + "\n")
    print(
        "| system | β | target error | seeds | rms F, E, C | F within 1σ, 2σ | E within 1σ, 2σ | C within 1σ, 2σ | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in given.only:
        if runs := [one for one in made if one["case"] == name]:
            row(name, f"{CASES[name].beta:g} | {CASES[name].target:g}", runs)
    row("all", " | ", [one for one in made if one["case"] in given.only])


def row(name: str, what: str, runs: list[dict[str, Any]]) -> None:
    """A row of the table."""
    z, took = np.array([one["z"] for one in runs]), np.mean([one["seconds"] for one in runs])
    rms = ", ".join(f"{each:.2f}" for each in np.sqrt((z**2).mean(0)))
    inside = " | ".join(f"{(abs(z[:, k]) < 1).mean():.0%}, {(abs(z[:, k]) < 2).mean():.0%}" for k in range(3))
    print(f"| {name} | {what} | {len(z)} | {rms} | {inside} | {took:.1f} |")


def distances(case: Case, seed: int) -> list[float]:
    """F, E and C of one run minus the exact values, in their errors."""
    system = fkflow.make_system(case.system, **case.parameters)
    wanted = {"beta": case.beta, "target_error": case.target, "seconds": 1e4}
    (state,) = fkflow.solve(system, thermal=wanted, seed=seed, threads=1, progress=False).thermal
    found = state.free_energy, state.energy, state.heat_capacity
    return [z_score(each.value, each.error, known) for each, known in zip(found, case.exact(), strict=True)]


if __name__ == "__main__":
    main()
