"""Excited levels of the potentials of the zoo whose levels a deterministic solver knows: distance, σ, CPU seconds.

    python scripts/zoo_levels.py                                  all of them: an hour of one core
    python scripts/zoo_levels.py --only wells --csv levels.csv    those with "wells" in their name, added to a file

Each case is `fkflow run` with `spectrum.states=4` and else default settings, a process of its own on one thread. The table
has a line for each level: its exact gap, how far the gap found is off in units of that, and in its stated errors, and the same
for the energy. A miss is a gap that is off by more than 0.1 % (0.5 % the fourth), `!` what is off by more than four errors.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from seeds import cpu_seconds  # noqa: E402
from zoo import recipe  # noqa: E402
from zoo_cases.answers import Answer  # noqa: E402
from zoo_cases.case import Case  # noqa: E402
from zoo_cases.cases import CASES  # noqa: E402

STATES = 4
#: largest distance of a level, in units of its gap, and that of the last
CLOSE, LAST = 1e-3, 5e-3
#: errors beyond which a level is silently wrong
SILENT = 4.0
HEAD = (
    "potential",
    "level",
    "sector",
    "gap",
    "found/exact − 1",
    "σ of gap",
    "σ of energy",
    "bound",
    "CPU s",
    "status",
    "note",
)


def exact_levels(answer: Answer, sectors: list[str], dimensions: int) -> list[tuple[float, str]]:
    """The exact levels in these sectors, with as many of each as there are components where sectors are not ranks."""
    assert answer.levels is not None
    ranks = any(" = " in name for name in sectors)
    found = []
    for energy, sector in answer.levels(3 * STATES):
        rank = int(sector[-1]) if sector else 0
        several = 1 if ranks or not rank else 2 if dimensions == 2 else 2 * rank + 1
        found += [(float(energy), sector if ranks else "")] * several
    return found


def solve(case: Case, seed: int, folder: Path, limit: int) -> list[list[str]]:
    """The rows of a potential; its run stays in the folder, and is ended after `limit` CPU seconds."""
    system, answer = case.make(), case.solve()
    before = cpu_seconds()
    file = Path(folder, f"{''.join(letter if letter.isalnum() else '_' for letter in case.name)}.toml")
    file.write_text(recipe(case), encoding="utf-8")
    command = [sys.executable, "-m", "fkflow", "run", file.name, "--seed", str(seed), "--threads", "1", "--json"]
    command += ["--set", f"spectrum.states={STATES}", "--out", file.stem]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
    )
    seconds = f"{cpu_seconds() - before:.0f}"
    lines = done.stderr.strip().splitlines() or [""]

    def row(*level: str, status: str, note: str) -> list[str]:
        return [case.name, *level, *[""] * (7 - len(level)), seconds, status, note]

    if done.returncode < 0:
        return [row(status="ended", note=f"no result after {limit} CPU seconds")]
    if done.returncode:
        return [row(status=f"exit {done.returncode}", note=lines[-1][:160])]
    run = json.loads(done.stdout)
    found, status = run.get("spectrum"), run["status"]
    if found is None:
        return [row(status=status, note=next((line for line in lines if "no spectrum" in line), lines[-1])[:160])]
    exact = exact_levels(answer, found["sectors"], system.dimensions)
    rows = []
    # the ground state is the first of its sector
    seen = {exact[0][1]: 1}
    for number, level in enumerate(found["levels"], 1):
        sector = level["sector"] if exact[0][1] else ""
        place = seen.get(sector, 0)
        # a rank is listed once in `exact` too
        seen[sector] = place + (1 if sector else level["degeneracy"])
        same = [energy for energy, known in exact if known == sector]
        if place >= len(same):
            rows.append(row(str(number), level["sector"], status=status, note="not known"))
            continue
        gap = same[place] - answer.energy
        share = level["gap"] / gap - 1
        sigmas = [
            (level["gap"] - gap) / max(level["gap_error"], 1e-9 * answer.scale),
            (level["energy"] - same[place]) / max(level["error"], 1e-9 * answer.scale),
        ]
        miss = abs(share) > (LAST if number == STATES else CLOSE)
        note = " ".join((["miss"] if miss else []) + (["!"] if max(map(abs, sigmas)) > SILENT else []))
        words = [f"{gap:.6g}", f"{share:+.1e}", *(f"{sigma:+.1f}" for sigma in sigmas), level["bound"]]
        rows.append(row(str(number), level["sector"], *words, status=status, note=note))
    missing = min(STATES, len(exact) - 1) - len(rows)
    if missing > 0:
        rows.append(row(status=status, note=f"{missing} missing: {' '.join(found['warnings'])[:160]}"))
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="potentials with this in their name"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="file of rows, added to; what it has is not done again")
    parser.add_argument(
        "--limit", type=int, default=300, metavar="SECONDS", help="CPU seconds after which a run is ended"
    )
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="keep the runs in this folder")
    options = parser.parse_args()
    known = set()
    if options.csv and options.csv.exists():
        known = {line[0] for line in csv.reader(options.csv.open(encoding="utf-8"))}
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
    for case in CASES:
        if options.only and not any(each in case.name for each in options.only) or case.name in known:
            continue
        if case.solve().levels is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows = solve(case, options.seed, options.runs or Path(folder), options.limit)
        for row in rows:
            print("| " + " | ".join(row) + " |", flush=True)
            if options.csv:
                with options.csv.open("a", encoding="utf-8", newline="") as stream:
                    csv.writer(stream).writerow(row)


if __name__ == "__main__":
    main()
