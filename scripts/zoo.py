"""Energies of the potentials of a zoo, which fkflow was not made for, against references of deterministic solvers.

    python scripts/zoo.py                                        all of them, five seeds each: some hours on one core
    python scripts/zoo.py --only wells --seeds 1 --csv zoo.csv   those with "wells" in their name or file, one seed
    python scripts/zoo.py --csv zoo.csv --markdown zoo.md        a page of the runs of zoo.csv, none is made

Each run is the installed command with a class in a file, as a user's: a process of its own, one thread, default settings, and
a target error of a thousandth of the energy scale, which is the ground-state energy above the lowest V or, where V has no
lowest value, a typical energy. References come from grids and closed forms (scripts/zoo_cases). With --csv each finished run
is a line of that file, and the same command later does only what is missing.

The table has a line for each run: energy, stated error, reference, z (distance from the reference in errors), status, seconds
and the energy scale. Exit code 1: a converged run is more than 4 errors from the truth, or more than 2 % of them are more
than 3.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from zoo_cases.answers import Answer  # noqa: E402
from zoo_cases.case import FOLDER, Case  # noqa: E402
from zoo_cases.cases import CASES  # noqa: E402
from zoo_cases.runs import HEAD, Run, append, page, read, row, verdict  # noqa: E402

#: exit codes of the command without a result
OUTCOMES = {2: "refused", 3: "failed"}


@cache
def answer(case: Case) -> Answer:
    """The reference of a potential, computed once."""
    return case.solve()


def rounded(target: float) -> float:
    """A target error as a user would write it, two digits."""
    return float(f"{target:.2g}")


def recipe(case: Case) -> str:
    """The recipe of a potential."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in case.parameters.items()]
    return "\n".join(["[system]", f"file = {json.dumps(f'{FOLDER / case.system}')}", *lines, ""])


def solve(case: Case, seed: int, target: float, limit: float) -> Run:
    """Run the command; `target` is the error to reach, in energy scales, and `limit` the seconds after which it is ended."""
    known, commit = answer(case), current_commit()
    aim = rounded(target * known.scale)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "zoo.toml")
        file.write_text(recipe(case), encoding="utf-8")
        command = [sys.executable, "-m", "fkflow", "run", str(file), "--seed", str(seed), "--threads", "1", "--json"]
        command += ["--target-error", str(aim), "--out", f"{folder}/run"]
        begun = time.perf_counter()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=folder)
            outcome = OUTCOMES.get(done.returncode, f"exit {done.returncode}")
            last = (done.stderr.strip().splitlines() or [""])[-1]
        except subprocess.TimeoutExpired:
            done, outcome, last = None, "ended", f"no result after {limit:.0f} s"
        seconds = time.perf_counter() - begun
    value = error = z = math.nan
    if done is not None and done.returncode == 0:
        found = json.loads(done.stdout)
        outcome, last = found["status"], " ".join(found["doubts"])
        value, error = energy(found)
        z = (value - known.energy) / max(math.hypot(error, known.error), 1e-9 * known.scale)
    note = last.replace(f"{folder}/", "")[:300]
    return Run(case.name, seed, outcome, value, error, known.energy, z, seconds, known.scale, aim, commit, note)


def energy(found: dict[str, Any]) -> tuple[float, float]:
    """The best energy of a result and its whole error, as the summary prints it."""
    best = found["projected"] or found["variational"]
    return best["energy"], math.hypot(
        *(best.get(part) or 0.0 for part in ("error", "time_step_error", "slow_mode_error"))
    )


def current_commit() -> str:
    """The commit of this checkout, or "" where there is none."""
    command = ["git", "-C", str(FOLDER), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def chosen(patterns: Iterable[str]) -> list[Case]:
    """The potentials whose name or FILE.py:CLASS contains or matches one of the patterns; all without a pattern."""
    wanted = [f"*{pattern}*" for pattern in patterns] or ["*"]
    return [case for case in CASES if any(fnmatch.fnmatch(f"{case.name} {case.system}", each) for each in wanted)]


def do_all(todo: list[tuple[Case, int]], options: argparse.Namespace) -> Iterator[Run]:
    """All runs in turn, `processes` at a time."""
    with ThreadPoolExecutor(options.processes) as pool:
        yield from pool.map(lambda one: solve(*one, options.target_error, options.seconds), todo)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each potential, from 0")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="potentials with this in their name"
    )
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--target-error", type=float, default=1e-3, help="error to reach, in units of the energy scale")
    parser.add_argument("--seconds", type=float, default=300.0, help="time after which a run is ended")
    parser.add_argument("--csv", type=Path, help="file of finished runs: read first, then added to")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the runs of --csv to this page, run nothing"
    )
    parser.add_argument("--remark", default="", metavar="TEXT", help="a paragraph of that page: the machine, the date")
    parser.add_argument("--again", action="store_true", help="repeat runs that the file has")
    options = parser.parse_args()
    cases = chosen(options.only)
    if not cases:
        parser.error("no potential has that name")
    done = read(options.csv)
    if options.markdown:
        known = {case.name for case in cases}
        text = page([run for run in done.values() if run.name in known], options.remark)
        options.markdown.write_text(text, encoding="utf-8")
        return 0
    wanted = [(case, seed) for seed in range(options.seeds) for case in cases]
    todo = [(case, seed) for case, seed in wanted if options.again or (case.name, seed) not in done]
    print(*HEAD[: 2 * bool(todo)], sep="\n", flush=True)
    for run in do_all(todo, options):
        if options.csv:
            append(options.csv, run)
        done[run.name, run.seed] = run
        print(row(run), flush=True)
    runs = [done[case.name, seed] for case, seed in wanted]
    if len(todo) < len(wanted):
        print("", *HEAD, *map(row, runs), sep="\n")
    lines, good = verdict(runs)
    print("", *lines, sep="\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
