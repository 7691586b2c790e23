"""Run recipes over seeds and parameters as a user would, and print a table: energy, σ from the reference, seconds, memory.

    python scripts/seeds.py --seeds 10 h2 bosons
    python scripts/seeds.py "h2 system.R=0.8" "bosons system.g=50.0 --target-error 1e-3" --threads 2

Each case is a recipe followed by key=value overrides and options of `fkflow run`. Each run is the installed command in a
process of its own, in a temporary folder; wall clock and CPU seconds are those of the whole command.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run_case(case: str, seed: int, threads: int | None) -> dict:
    """One run of the command; its JSON, wall clock and CPU time (s) and the tail of its messages if it failed."""
    recipe, *words = case.split()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "fkflow",
            "run",
            recipe,
            "--seed",
            str(seed),
            "--json",
            "--out",
            f"{folder}/run",
        ]
        for word in words:
            command += ["--set", word] if "." in word.partition("=")[0] and "=" in word else [word]
        if threads:
            command += ["--threads", str(threads)]
        begun, used = time.perf_counter(), cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(recipe).parent)
        times = {"wall": time.perf_counter() - begun, "cpu": cpu_seconds() - used}
    if done.returncode:
        return {**times, "failed": f"exit {done.returncode}: {done.stderr.strip().splitlines()[-1]}"}
    return {**times, **json.loads(done.stdout)}


def cpu_seconds() -> float:
    """CPU time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(case: str, seed: int, result: dict) -> str:
    """One line of the table (Markdown)."""
    if "failed" in result:
        return f"| {case} | {seed} | {result['failed']} | | | | | | | {result['wall']:.0f} | {result['cpu']:.1f} |"
    measured, reference = result["variational"], result["reference"]
    best = result["projected"] or measured
    step = best.get("time_step_error") or 0.0
    total = (best["error"] ** 2 + step**2) ** 0.5
    difference = z = ""
    if reference:
        gap = best["energy"] - reference["energy"]
        difference = f"{gap:+.1e}"
        z = f"{gap / max((total**2 + reference['error'] ** 2) ** 0.5, 1e-12):+.1f}"
    return (
        f"| {case} | {seed} | {best['energy']:.8g} | {best['error']:.1e} | {step:.1e} | {difference} | {z} | "
        f"{measured['energy']:.8g} ± {measured['error']:.1g} | {measured['local_energy_std']:.2g} | {result['wall']:.0f} | "
        f"{result['cpu']:.1f} |"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "cases", nargs="+", metavar="CASE", help="a recipe, key=value overrides, options, in one argument"
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds of each case, from 0")
    parser.add_argument("--threads", type=int, help="CPU threads of each run (default: fkflow's own choice)")
    options = parser.parse_args()
    print(
        "| case | seed | projected energy | statistical error | time-step error | − reference | σ | variational energy | "
        "local-energy spread | wall clock (s) | CPU (s) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for case in options.cases:
        for seed in range(options.seeds):
            print(row(case, seed, run_case(case, seed, options.threads)), flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\nlargest peak memory of a run: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
