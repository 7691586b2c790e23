"""Free energies by default settings, of shipped systems and of potentials that fkflow was not made for, against exact values.

References of the latter are levels of sinc functions on product grids, of which far points are left out; identical particles
have the symmetric ones alone, and three of them those of their relative motion. `--references` makes them anew, in minutes.

    python scripts/thermal_zoo.py [--only "wells 0.3" …] [--shipped] [--seeds 1] [--out thermal_zoo.jsonl] [--references]

takes ten to sixty seconds a run, and prints the tables of docs/notes/thermal.md and, with `--shipped`, docs/results.md. Runs
that are in the file are not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import torch
from zoo_cases.thermal import Coupled, Holes, Morse, Narrow, Rings, Skew, Soft, Three, Wells

import fkflow
from fkflow.results.records import Doubt
from fkflow.statistics import z_score

#: system, its β, half width and spacing of the grid, largest V on it
GRIDS: dict[str, tuple[fkflow.System, tuple[float, ...], float | tuple[float, ...], Any, float]] = {
    "skew": (Skew(), (0.3, 5.0), 6.0, 0.06, 150.0),
    "wells": (Wells(), (0.3, 3.0, 20.0), 6.0, 0.05, 200.0),
    "even wells": (Wells(tilt=0.0), (8.0,), 6.0, 0.05, 200.0),
    "morse": (Morse(), (0.5, 2.0, 10.0), 14.0, 0.08, 120.0),
    "holes": (Holes(), (1.0, 6.0), 8.0, 0.22, 14.0),
    "coupled": (Coupled(), (1.0, 6.0), 5.0, 0.45, 16.0),
    "soft pair": (Soft(), (1.0, 5.0), 5.5, 0.13, 40.0),
    "narrow": (Narrow(), (1.0, 5.0), (7.0, 2.5), (0.3, 0.05), 60.0),
    "rings": (Rings(), (4.0,), 4.5, 0.22, 30.0),
}
#: three bosons and their β
THREE: dict[str, tuple[Three, tuple[float, ...]]] = {
    "weak three": (Three(height=1.0), (1.0, 5.0)),
    "strong three": (Three(height=20.0), (1.0, 5.0)),
}
#: shipped systems and their β
SHIPPED: dict[str, tuple[fkflow.System, tuple[float, ...]]] = {
    "quartic": (fkflow.make_system("quartic"), (1.0, 5.0, 10.0)),
    "double_well": (fkflow.make_system("double_well"), (2.0, 10.0)),
    "2 bosons": (fkflow.make_system("bosons", particles=2), (0.5, 1.0, 3.0)),
    "4 bosons": (fkflow.make_system("bosons"), (1.0, 3.0)),
}
#: F, E and C of "name β", by `--references`; those of shipped systems by grids and the levels of the relative motion
EXACT: dict[str, tuple[float, float, float]] = {
    "skew 0.3": (-3.4095450, 2.462054, 0.70271),
    "skew 5": (0.3931996, 0.410868, 0.28195),
    "wells 0.3": (-2.8914282, 3.465445, 0.73575),
    "wells 3": (1.2345732, 1.464770, 0.03907),
    "wells 20": (1.4201028, 1.443683, 0.33916),
    "even wells 8": (1.3822735, 1.468886, 0.00049),
    "morse 0.5": (-0.1398650, 3.658625, 1.44846),
    "morse 2": (1.4483983, 1.492776, 0.36303),
    "morse 10": (1.4561389, 1.456139, 0.00000),
    "holes 1": (-4.3150444, -2.922639, 2.68887),
    "holes 6": (-3.8944440, -3.894190, 0.01198),
    "coupled 1": (1.4675701, 3.373539, 2.26372),
    "coupled 6": (2.1810603, 2.181872, 0.03590),
    "weak three 1": (1.9308707, 3.801615, 2.20868),
    "weak three 5": (2.6560849, 2.664547, 0.18368),
    "strong three 1": (6.1031950, 7.700371, 2.05414),
    "strong three 5": (6.7149169, 6.723094, 0.17281),
    "soft pair 1": (2.7698825, 4.217269, 1.54005),
    "soft pair 5": (3.3470761, 3.352528, 0.13413),
    "narrow 1": (10.1812383, 11.184039, 0.91496),
    "narrow 5": (10.6155953, 10.622518, 0.15149),
    "rings 4": (1.8760711, 2.066163, 0.74240),
    "quartic 1": (0.6571049, 1.098003, 0.62705),
    "quartic 5": (0.8037580, 0.803893, 0.00590),
    "quartic 10": (0.8037707, 0.803771, 0.00000),
    "double_well 2": (0.5509663, 0.997341, 0.44077),
    "double_well 10": (0.8521802, 0.918715, 0.05434),
    "2 bosons 0.5": (-3.8565637, 8.510057, math.nan),
    "2 bosons 1": (1.1775130, 4.8089458, 3.4781137),
    "2 bosons 3": (2.6676962, 2.8739784, math.nan),
}


def levels(system: fkflow.System, half: float | tuple[float, ...], step: Any, top: float) -> np.ndarray:
    """Levels of a system with N·D coordinates by sinc functions on a grid (Colbert & Miller, JCP 96, 1982 (1992))."""
    count = system.particles * system.dimensions
    halves, steps = (np.broadcast_to(each, count) for each in (half, step))
    axes = [h * np.arange(-round(w / h), round(w / h) + 1) for w, h in zip(halves, steps, strict=True)]
    index = np.stack(np.meshgrid(*(np.arange(len(axis)) for axis in axes), indexing="ij"), -1).reshape(-1, count)
    bosons = system.identical and system.particles > 1
    if bosons:
        index = index[(np.diff(index, axis=1) >= 0).all(1)]
    places = np.stack([axis[index[:, k]] for k, axis in enumerate(axes)], -1)
    value = system.potential(torch.tensor(places).view(-1, system.particles, system.dimensions)).numpy()
    index, value = index[value < top], value[value < top]
    kinetic = []
    for axis, h in zip(axes, steps, strict=True):
        apart = np.arange(len(axis))[:, None] - np.arange(len(axis))
        off = np.where(apart == 0, 1, apart)
        kinetic.append(np.where(apart == 0, math.pi**2 / 6, (-1.0) ** apart / off**2) / h**2)
    orders = list(itertools.permutations(range(count))) if bosons else [tuple(range(count))]
    matrix, same = np.zeros((len(index), len(index))), np.zeros(len(index))
    for order in orders:
        other = index[:, order]
        same += (other == index).all(1)
        equal = [index[:, k, None] == other[None, :, k] for k in range(count)]
        for k in range(count):
            rest = np.logical_and.reduce([equal[j] for j in range(count) if j != k]) if count > 1 else True
            matrix += np.where(rest, kinetic[k][index[:, k, None], other[None, :, k]], 0.0)
    matrix /= np.sqrt(same[:, None] * same)
    return np.linalg.eigvalsh(matrix + np.diag(value))


def levels_of_three(system: Three, quanta: int = 60) -> np.ndarray:
    """Levels of the relative motion of three bosons on a line, in oscillator functions of the plane with their symmetry."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    r, weights = 7 * (nodes + 1), 7 * weights
    angle = (np.arange(90) + 0.5) * math.pi / 270
    rows, energies = [], []
    for m in range(0, quanta + 1, 3):
        for n in range((quanta - m) // 2 + 1):
            log = 0.5 * (math.log(2) + math.lgamma(n + 1) - math.lgamma(n + m + 1)) + m * np.log(r) - r**2 / 2
            radial = np.exp(log) * scipy.special.eval_genlaguerre(n, m, r**2)
            rows.append(np.outer(radial, np.cos(m * angle)).ravel() / math.sqrt(math.pi * (1 + (m == 0))))
            energies.append(2 * n + m + 1)
    functions = np.array(rows) * np.sqrt(np.outer(weights * r, np.full(90, math.pi / 45)).ravel())
    pairs = [math.sqrt(2) * np.outer(r, np.sin(angle + k * math.pi / 3)).ravel() for k in (-1, 0, 1)]
    value = sum(system.height * np.exp(-0.5 * (pair / 0.5) ** 2) for pair in pairs)
    return np.linalg.eigvalsh((functions * value) @ functions.T + np.diag(energies))


def thermal(found: np.ndarray, beta: float) -> tuple[float, float, float]:
    """F, E and C of levels."""
    weights = np.exp(-beta * (found - found[0]))
    energy, square = (weights @ found) / weights.sum(), (weights @ found**2) / weights.sum()
    return float(found[0] - math.log(weights.sum()) / beta), float(energy), float(beta**2 * (square - energy**2))


def run(name: str, beta: float, seed: int) -> dict[str, Any]:
    """One run with default settings."""
    began = time.process_time()
    system = {**GRIDS, **THREE, **SHIPPED}[name][0]
    found = fkflow.solve(system, thermal={"beta": beta}, seed=seed, threads=1, progress=False)
    (state,) = found.thermal
    return {
        "case": f"{name} {beta:g}",
        "seed": seed,
        "found": [[each.value, each.error] for each in (state.free_energy, state.energy, state.heat_capacity)],
        "ess": state.ess,
        "doubts": [str(text) for text in found.warnings if isinstance(text, Doubt)],
        "seconds": time.process_time() - began,
    }


def row(one: dict[str, Any]) -> str:
    """A row of the table; what is not known exactly is left empty."""
    name, beta = one["case"].rsplit(" ", 1)
    cells = []
    for known, each in zip(EXACT.get(one["case"], (math.nan, math.nan)), one["found"], strict=False):
        told = ("", "") if math.isnan(known) else (f"{known:.5f}", f"{z_score(*each, known):+.1f}")
        cells.append(f"{told[0]} | {fkflow.Estimate(*each)} | {told[1]}")
    doubts = str(len(one["doubts"])) if one["doubts"] else ""
    return f"| {name} | {beta} | {' | '.join(cells[:2])} | {one['ess']:.2f} | {doubts} | {one['seconds']:.0f} |"


def main() -> None:
    """Make references, or the runs that the file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = [f"{name} {beta:g}" for name, grid in {**GRIDS, **THREE}.items() for beta in grid[1]]
    parser.add_argument("--seeds", type=int, default=1)
    shipped = [f"{name} {beta:g}" for name, (_, betas) in SHIPPED.items() for beta in betas]
    parser.add_argument("--only", nargs="*", choices=[*cases, *shipped])
    parser.add_argument("--shipped", action="store_true", help="the shipped systems instead")
    parser.add_argument("--out", type=Path, default=Path("thermal_zoo.jsonl"))
    parser.add_argument("--references", action="store_true")
    given = parser.parse_args()
    wanted = given.only or (shipped if given.shipped else cases)
    if given.references:
        for name, (system, betas, *rest) in {**GRIDS, **THREE}.items():
            if any(f"{name} {beta:g}" in wanted for beta in betas):
                found = levels(system, *rest) if rest else levels_of_three(system)
                # the centre of mass of three bosons has the levels of the trap
                found = found if rest else np.sort((found[:, None] + np.arange(120) + 0.5).ravel())
                for beta in betas:
                    f, e, c = thermal(found, beta)
                    print(f'    "{name} {beta:g}": ({f:.7f}, {e:.6f}, {c:.5f}),', flush=True)
        return
    made = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {(one["case"], one["seed"]) for one in made}
    print("| potential | β | F exact | F | σ | E exact | E | σ | effective | doubts | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for one in made:
        if one["case"] in wanted:
            print(row(one))
    for seed, case in itertools.product(range(given.seeds), wanted):
        if (case, seed) in done:
            continue
        name, beta = case.rsplit(" ", 1)
        one = run(name, float(beta), seed)
        with given.out.open("a") as file:
            file.write(json.dumps(one) + "\n")
        print(row(one), *one["doubts"], flush=True)


if __name__ == "__main__":
    main()
