"""Excited levels of systems whose levels are known, as a user would compute them: distance, σ, kind of bound, CPU seconds.

    python scripts/levels.py
    python scripts/levels.py double_well water --seed 2

Each case is `fkflow run` with `spectrum.states=…` and else default settings, one process on one thread. References are
those of grids, radial equations, closed forms and the literature. All cases take about ten minutes of a free core.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

from seeds import cpu_seconds

WATER = Path(__file__).resolve().parents[1] / "examples" / "water.py"


@dataclass(frozen=True)
class Case:
    """A run with its options, keys of [spectrum], what is compared, and its levels by sector, lowest first."""

    run: str
    spectrum: str
    compared: str
    exact: dict[str, tuple[float, ...]]
    unit: float = 1.0


def chain_levels(count: int) -> dict[str, tuple[float, ...]]:
    """Gaps of the chain of the recipe by their parity, an odd or even number of quanta."""
    frequencies = [math.sqrt(1 + 4 * math.sin(j * math.pi / 16) ** 2) for j in range(8)]
    sums: dict[str, list[float]] = {"odd": [], "even": []}
    for quanta in range(1, 6):
        for each in combinations_with_replacement(frequencies, quanta):
            sums["odd" if quanta % 2 else "even"].append(sum(each))
    return {parity: tuple(sorted(some)[:count]) for parity, some in sums.items()}


CASES = {
    "harmonic": Case(
        "harmonic", "states=10", "gap", {"l = 0": (2, 2, 4), "l = 1": (1, 3, 3, 3, 3), "l = 2": (2, 2, 4)}
    ),
    "chain": Case("chain", "states=10", "gap", chain_levels(10)),
    "double_well": Case(
        "double_well", "states=4", "energy", {"odd": (0.94825269, 2.7866751), "even": (2.18523336, 3.82571251)}
    ),
    "quartic": Case(
        "quartic", "states=4", "energy", {"odd": (2.73789227, 7.94240398), "even": (5.17929169, 10.96358309)}
    ),
    "two_bosons": Case(
        "bosons --set system.particles=2",
        "states=5",
        "gap",
        {"m = 1": (1.0,), "m = 2": (1.30649, 2.0), "m = 0": (2.0, 2.13060)},
    ),
    "four_bosons": Case("bosons", "states=5", "gap", {"m = 1": (1.0,), "m = 2": (1.405, 2.0), "m = 0": (2.0, 2.149)}),
    "two_fermions": Case(
        "bosons --set system.particles=2", "states=1 statistics=fermi", "energy", {"antisymmetric": (3.14717,)}
    ),
    "two_dipoles": Case("dipoles", "states=1 statistics=fermi", "energy", {"antisymmetric": (3.84711,)}),
    "three_fermions": Case(
        "harmonic --set system.particles=3 --set system.dimensions=2",
        "states=1 statistics=fermi",
        "energy",
        {"antisymmetric": (5.0,)},
    ),
    "hooke": Case("hooke", "states=3 statistics=fermi", "energy", {"antisymmetric": (2.359657, 2.859657, 2.859657)}),
    "helium": Case(
        "he",
        "states=4",
        "energy",
        {
            "triplet S": (-2.17522938,),
            "singlet S": (-2.14597405,),
            "triplet P": (-2.13316419,),
            "singlet P": (-2.12384309,),
        },
    ),
    "water": Case(
        "WATER:Water --target-error 5e-7",
        "states=4",
        "gap",
        {"symmetric": (1639.17, 3267.40, 3785.05), "H antisymmetric": (3853.30,)},
        219474.6313632,
    ),
}


def solve(case: Case, seed: int) -> tuple[dict, float]:
    """The JSON of the spectrum, and the CPU seconds of the command."""
    before = cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        # the surface alone, without the run of the example
        source = WATER.read_text(encoding="utf-8").partition("# %% The ground state")[0]
        (Path(folder) / "water.py").write_text(source, encoding="utf-8")
        run = case.run.replace("WATER", f"{folder}/water.py").split()
        keys = [word for key in case.spectrum.split() for word in ("--set", f"spectrum.{key}")]
        options = ["--seed", str(seed), "--threads", "1", "--json", "--out", f"{folder}/run"]
        command = [sys.executable, "-m", "fkflow", "run", *run, *keys, *options]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)["spectrum"], cpu_seconds() - before


def rows(name: str, case: Case, found: dict, seconds: float) -> list[str]:
    """The lines of the table (Markdown)."""
    seen: dict[str, int] = {}
    lines = []
    for level in found["levels"]:
        sector = next((known for known in case.exact if level["sector"].startswith(known)), None)
        if sector is None:
            continue
        number = seen[sector] = seen.get(sector, -1) + 1
        if number >= len(case.exact[sector]):
            continue
        value, error = (
            case.unit * level[key] for key in (case.compared, f"{case.compared}_error".replace("energy_", ""))
        )
        off = value - case.exact[sector][number]
        lines.append(
            f"| {name} | {level['sector']} | {case.exact[sector][number]:.7g} | {value:.7g} | {error:.1g} | {off:+.1e} | "
            f"{off / max(error, 1e-300):+.1f} | {level['bound']} | {seconds:.0f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=textwrap.dedent(__doc__ or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="which cases; all if left out")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print("| system | sector | exact | found | error | found − exact | σ | bound | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.cases or CASES:
        print("\n".join(rows(name, CASES[name], *solve(CASES[name], given.seed))), flush=True)


if __name__ == "__main__":
    main()
