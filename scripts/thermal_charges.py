"""Free energies of charges in a trap: hydrogen and Hooke's atom against radial levels; helium and H2.

    python scripts/thermal_charges.py [--only "hydrogen 5" …] [--target 4e-3] [--iterations 60] [--out thermal_charges.jsonl]

prints the table of docs/notes/thermal.md, with CPU seconds. Runs that are in the file are not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import fkflow
from fkflow.results.records import Doubt
from fkflow.statistics import z_score

HELIUM = [{"position": [0.0, 0.0, 0.0], "charge": 2.0}]
H2 = [{"position": [0.0, 0.0, -0.7005], "charge": 1.0}, {"position": [0.0, 0.0, 0.7005], "charge": 1.0}]
#: systems with their trap
SYSTEMS: dict[str, fkflow.System] = {
    "hydrogen": fkflow.make_system("trapped_molecule", omega=0.5),
    "hooke": fkflow.make_system("hooke", omega=0.5),
    "helium": fkflow.make_system("trapped_molecule", electrons=2, nuclei=HELIUM, omega=1.0),
    "h2": fkflow.make_system("trapped_molecule", electrons=2, nuclei=H2, omega=0.5),
}
BETAS = (1.0, 5.0, 10.0)


def run(name: str, beta: float, target: float, iterations: int) -> dict[str, Any]:
    """One run, its exact free energy where there is one."""
    began, system = time.process_time(), SYSTEMS[name]
    wanted = {"beta": beta, "target_error": target, "iterations": iterations, "seconds": 1e3}
    found = fkflow.solve(system, thermal=wanted, seed=0, threads=1, progress=False)
    (state,) = found.thermal
    known = system.free_energy(beta, "bose")
    return {
        "case": f"{name} {beta:g}",
        "exact": None if known is None else known.energy,
        "found": [[each.value, each.error] for each in (state.free_energy, state.energy)],
        "ess": state.ess,
        "paths": state.paths,
        "step": state.time_step,
        "doubts": [str(text) for text in found.warnings if isinstance(text, Doubt)],
        "seconds": time.process_time() - began,
    }


def row(one: dict[str, Any]) -> str:
    """A row of the table."""
    (f, error), exact = one["found"][0], one["exact"]
    told = ("", "") if exact is None else (f"{exact:.5f}", f"{z_score(f, error, exact):+.1f}")
    cells = [fkflow.Estimate(f, error), told[1], fkflow.Estimate(*one["found"][1]), f"{one['ess']:.2f}", one["paths"]]
    return (
        f"| {one['case']} | {told[0]} | {' | '.join(map(str, cells))} | {one['seconds']:.0f} | {len(one['doubts'])} |"
    )


def main() -> None:
    """Make the runs that the file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = [f"{name} {beta:g}" for name in SYSTEMS for beta in BETAS]
    parser.add_argument("--only", nargs="*", choices=cases, default=cases)
    parser.add_argument("--target", type=float, default=4e-3)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("thermal_charges.jsonl"))
    given = parser.parse_args()
    made = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    print("| system β | exact F | F | σ | E | effective | paths | CPU s | doubts |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in given.only:
        one = next((one for one in made if one["case"] == case), None)
        if one is None:
            name, beta = case.split(" ")
            one = run(name, float(beta), given.target, given.iterations)
            with given.out.open("a") as file:
                file.write(json.dumps(one) + "\n")
        print(row(one), *one["doubts"], flush=True)


if __name__ == "__main__":
    main()
