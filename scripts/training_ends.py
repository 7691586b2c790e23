"""How trainings end over many seeds: spread of the frozen network, excursions in the last third, steps rejected.

    python scripts/training_ends.py ends.csv h2 --seeds 0:200
    python scripts/training_ends.py ends.csv bosons --seeds 0:100 --processes 2
    python scripts/training_ends.py ends.csv

Each seed is trained alone, with one thread; the frozen network is then measured on 81 920 unseen configurations. Rows are
appended to the CSV as they come, and seeds that it has already are left out, so that a table can be made in parts. The last
form only prints the table, in Markdown: a run ends badly where its measured spread is more than twice the median over the
seeds, and has an excursion where in the last third of its iterations the spread over the walkers is more than five times its
median in the last ten. Some trainings end while their spread falls tenfold in that third: only those excursions are rises in
which it is also more than five times the median of the ten iterations before. h2 takes 6 s a seed, bosons 16 s, the others 3
to 10 s, on one core.
"""

from __future__ import annotations

import argparse
import csv
import logging
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from fkflow.api.arguments import Quiet
from fkflow.errors import NumericalError
from fkflow.measurement.variational import VariationalEstimator
from fkflow.recipe import config
from fkflow.runs import renewal
from fkflow.runs.context import RunContext
from fkflow.runs.session import Session

#: walkers and sweeps of the measurement; iterations whose median spread is that at the end of training, and that before
WALKERS, SWEEPS, LAST = 2048, 40, 10
#: what is too much: of the median over seeds at the end, and in the last third
TWICE, FIVE = 2.0, 5.0
COLUMNS = (
    "case",
    "seed",
    "iterations",
    "seconds",
    "rejected",
    "rejected_late",
    "last_ten",
    "largest",
    "rise",
    "energy",
    "spread",
    "failed",
)
HEADINGS = (
    "case",
    "seeds",
    "CPU s",
    "spread, median",
    "worst",
    "ends above twice the median",
    "spread in the last ten iterations, median",
    "largest in the last third, median",
    "worst",
    "excursions above five times",
    "of these rises",
    "runs with rejected steps",
    "in the last third",
    "failed",
)


def trained(case: str, seed: int) -> dict[str, Any]:
    """The row of one training."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    recipe, *overrides = case.split()
    session = Session(RunContext(config.load(recipe, overrides), Quiet(), seed=seed, device="cpu", threads=1))
    began, failed = time.process_time(), ""
    try:
        while renewal.step(session) is not None:
            pass
    except NumericalError as error:
        failed = str(error)
    seconds, records = time.process_time() - began, session.records
    third, ten = records[-(len(records) // 3) :], records[-LAST:]
    wanted = session.recipe.measure.model_copy(update={"walkers": WALKERS})
    model = session.model
    measuring = VariationalEstimator(
        model.net, model.system, model.landscape, wanted, session.state.walkers.x, seed, dt=1.0
    )
    for _ in range(SWEEPS):
        measuring.sweep()
    return {
        "case": case,
        "seed": seed,
        "iterations": len(records),
        "seconds": round(seconds, 2),
        "rejected": sum(record["undone"] for record in records),
        "rejected_late": sum(record["undone"] for record in third),
        "last_ten": f"{statistics.median(record['spread'] for record in ten):.5g}",
        "largest": f"{max(record['spread'] for record in third):.5g}",
        "rise": f"{rise([record['spread'] for record in records]):.3g}",
        "energy": f"{measuring.estimate().value:.9g}",
        "spread": f"{measuring.spread():.5g}",
        "failed": failed,
    }


def rise(spreads: list[float]) -> float:
    """The largest spread in the last third of a training, in medians of the ten before it."""
    first = max(len(spreads) - len(spreads) // 3, LAST)
    return max((spreads[i] / statistics.median(spreads[i - LAST : i]) for i in range(first, len(spreads))), default=0.0)


def rows_of(cases: list[str], seeds: list[int], done: set[tuple[str, int]], processes: int) -> Iterator[dict[str, Any]]:
    """The rows that are not `done`, as they come."""
    wanted = [(case, seed) for case in cases for seed in seeds if (case, seed) not in done]
    if processes == 1:
        yield from (trained(*pair) for pair in wanted)
        return
    with ProcessPoolExecutor(processes) as pool:
        for future in as_completed([pool.submit(trained, *pair) for pair in wanted]):
            yield future.result()


def table(rows: list[dict[str, str]]) -> Iterator[str]:
    """The table (Markdown), a line for each case."""
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "|---" * len(HEADINGS) + "|"
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        number = {key: [float(row[key]) for row in own] for key in COLUMNS[2:-1]}
        middle = {key: statistics.median(values) for key, values in number.items()}
        bad = [row["seed"] for row in own if float(row["spread"]) > TWICE * middle["spread"]]
        away = [row["seed"] for row in own if float(row["largest"]) > FIVE * middle["last_ten"]]
        rises = [row["seed"] for row in own if row["seed"] in away and float(row["rise"]) > FIVE]
        yield (
            f"| {case} | {len(own)} | {middle['seconds']:.1f} | {middle['spread']:.3g} | {max(number['spread']):.3g} "
            f"| {len(bad)}{': ' * bool(bad)}{', '.join(bad)} | {middle['last_ten']:.3g} | {middle['largest']:.3g} "
            f"| {max(number['largest']):.3g} | {len(away)}{': ' * bool(away)}{', '.join(away)} "
            f"| {len(rises)}{': ' * bool(rises)}{', '.join(rises)} "
            f"| {sum(n > 0 for n in number['rejected'])} | {sum(n > 0 for n in number['rejected_late'])} "
            f"| {sum(bool(row['failed']) for row in own)} |"
        )


def read(path: Path) -> list[dict[str, str]]:
    """The rows of the CSV, none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or COLUMNS) != COLUMNS:
            raise SystemExit(f"{path} has other columns than those that this version writes: begin another file")
        return list(reader)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CSV file that rows are appended to")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a recipe, then key=value overrides, in one argument")
    parser.add_argument("--seeds", default="0:10", help="first seed and the one after the last, such as 0:200")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    first, last = (int(number) for number in options.seeds.split(":"))
    done = {(row["case"], int(row["seed"])) for row in read(options.file)}
    new = not options.file.exists()
    with options.file.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        for row in rows_of(options.cases, list(range(first, last)), done, options.processes):
            writer.writerow(row)
            file.flush()
    print("\n".join(table(read(options.file))))


if __name__ == "__main__":
    main()
