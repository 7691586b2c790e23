"""Are the errors at temperatures right? Distances from exact values in σ, over many seeds of training and measuring.

Wells have their levels from a grid, bosons in a trap without interaction a closed form. Every seed trains and measures anew.
Right errors hold 68 % of the truth within one σ and 95 % within two, and the root mean square of the distances is 1.

    python scripts/thermal_calibration.py [--seeds 20] [--target 5e-4] [--only quartic wells]

takes about ten seconds a seed and system, and prints the table of docs/notes/thermal.md.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import fkflow
from fkflow.statistics import z_score


def grid_levels(potential: Callable[[np.ndarray], np.ndarray], half: float, points: int = 600) -> np.ndarray:
    """Levels of a particle on a line, by sinc functions on a grid (Colbert & Miller, JCP 96, 1982 (1992))."""
    x = np.linspace(-half, half, points)
    step, i = x[1] - x[0], np.arange(points)
    apart = i[:, None] - i
    kinetic = np.where(apart == 0, math.pi**2 / 6, (-1.0) ** apart / np.where(apart == 0, 1, apart) ** 2) / step**2
    return np.linalg.eigvalsh(kinetic + np.diag(np.minimum(potential(x), 1e4)))


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
    """A system with its parameters, β, and log Z as a function of β."""

    system: str
    parameters: dict[str, float]
    beta: float
    log_z: Callable[[float], float]


CASES = {
    "quartic": Case("quartic", {}, 1.0, log_z_of_levels(grid_levels(lambda x: 0.5 * x**2 + x**4, 6.0))),
    "wells": Case("double_well", {}, 2.0, log_z_of_levels(grid_levels(lambda x: 2 * (x**2 / 4 - 1) ** 2, 9.0))),
    "cold wells": Case("double_well", {}, 10.0, log_z_of_levels(grid_levels(lambda x: 2 * (x**2 / 4 - 1) ** 2, 9.0))),
    "2 bosons": Case("bosons", {"particles": 2, "g": 0.0}, 3.0, log_z_of_bosons(2, 2)),
    "3 bosons": Case("harmonic", {"particles": 3, "dimensions": 1}, 1.0, log_z_of_bosons(3, 1)),
}
#: step of β in the exact derivatives
STEP = 1e-3


def main() -> None:
    """Run the cases and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--target", type=float, default=5e-4)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    print("| system | β | seeds | rms F | rms E | rms C | F within 1σ, 2σ | E within 1σ, 2σ | CPU s a run |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in given.only:
        case, began = CASES[name], time.process_time()
        low, middle, high = (case.log_z(case.beta * (1 + side * STEP)) for side in (-1, 0, 1))
        step = STEP * case.beta
        exact = -middle / case.beta, (low - high) / (2 * step), case.beta**2 * (low + high - 2 * middle) / step**2
        z = np.array([distances(case, exact, seed, given.target) for seed in range(given.seeds)])
        rms = np.sqrt((z**2).mean(0))
        inside = [f"{(abs(z[:, k]) < 1).mean():.0%}, {(abs(z[:, k]) < 2).mean():.0%}" for k in (0, 1)]
        took = (time.process_time() - began) / given.seeds
        numbers = " | ".join(f"{each:.2f}" for each in rms)
        print(
            f"| {name} | {case.beta:g} | {given.seeds} | {numbers} | {inside[0]} | {inside[1]} | {took:.1f} |",
            flush=True,
        )


def distances(case: Case, exact: tuple[float, float, float], seed: int, target: float) -> list[float]:
    """F, E and C of one run minus the exact values, in their errors."""
    system = fkflow.make_system(case.system, **case.parameters)
    wanted = {"beta": case.beta, "target_error": target, "seconds": 1e4}
    (state,) = fkflow.solve(system, thermal=wanted, seed=seed, threads=1, progress=False).thermal
    found = state.free_energy, state.energy, state.heat_capacity
    return [z_score(each.value, each.error, known) for each, known in zip(found, exact, strict=True)]


if __name__ == "__main__":
    main()
