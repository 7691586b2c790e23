"""Cost of one training iteration against the number of particles: Girsanov covariance against the exact Laplacian.

    python scripts/growth.py [--bosons 2,4,...] [--chains 8,16,...] [--figure docs/growth.png] [--json FILE]

The same network, walkers and moves; only the energies differ: A/T of one-step paths in a frame (16 paths beyond 32
coordinates, see train.paths), its limit for short paths, as training takes it by default (the Laplacian that the network
knows), or the Laplacian by automatic differentiation, one backward pass for each coordinate. Every case runs in a process of
its own on one thread. Time: CPU seconds of an iteration over its walkers, median of three after one that does not count.
Memory: growth of the peak resident size when all walkers are worked on at once, over the walkers. Prints a Markdown table
with the growth exponents over the larger half of the sizes, and draws it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys

SIZES = {"bosons": "2,4,8,16,32,64,128", "chain": "8,16,32,64,128,256,512"}
#: what is compared: what it is called in the table and in the figure, and how it is drawn
KINDS = {
    "paths": ("covariance, paths", "Girsanov paths", "o-"),
    "limit": ("covariance, limit", "their short limit", "^-"),
    "laplacian": ("Laplacian", "exact Laplacian", "s--"),
}
#: coordinates beyond which part of a frame is taken, and that part
WHOLE, PART = 32, 16


def one(system: str, particles: int, kind: str, walkers: int) -> dict[str, float]:
    """Seconds and bytes per walker of a training iteration, in this process."""
    import resource
    import time

    from fkflow.recipe import config
    from fkflow.runs.context import RunContext
    from fkflow.runs.model import prepare
    from fkflow.training.loop import initial_state, train

    coordinates = particles * (2 if system == "bosons" else 1)
    overrides = [
        f"system.particles={particles}",
        f"train.estimator={'local_energy' if kind == 'laplacian' else 'covariance'}",
        f"train.walkers={walkers}",
        "train.grow=0",
        "train.equilibrate=5",
        "train.stop_spread=0",
    ]
    if kind == "paths":
        overrides.append(f"train.paths={PART if coordinates > WHOLE else coordinates}")
    loaded = config.load(system, overrides)
    ready = prepare(RunContext(loaded, seed=0, device="cpu", threads=1))
    state = initial_state(ready.net, ready.landscape, loaded.recipe.train, 0, "cpu", loaded.recipe.system)
    steps = train(loaded.recipe.system, ready.landscape, loaded.recipe.train, state)
    next(steps)
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        next(steps)
        seconds.append(time.process_time() - begun)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ready.net.chunk = 10**6
    next(steps)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": statistics.median(seconds) / walkers, "bytes": 1024 * grown / walkers}


def measured(system: str, particles: int, kind: str) -> dict[str, float] | None:
    """`one` in a process of its own; None if that fails (memory)."""
    # enough walkers for the fixed costs not to count, few enough to end
    walkers = max(8, min(256, 4096 // particles))
    call = [sys.executable, __file__, "--one", system, str(particles), kind, str(walkers)]
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        print(f"{system} {particles} {kind}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of log value against log size over the larger half."""
    pairs = [(math.log(n), math.log(v)) for n, v in zip(sizes, values, strict=True) if v > 0][len(sizes) // 2 :]
    if len(pairs) < 2:
        return math.nan
    slope, _ = statistics.linear_regression([a for a, _ in pairs], [b for _, b in pairs])
    return slope


def table(system: str, rows: list[dict]) -> str:
    """A Markdown table of one system: times, those of the others relative to the limit, memory."""
    names = [name for name, *_ in KINDS.values()]
    titles = [f"{name}, ms per walker" for name in names] + [f"Laplacian / {kind}" for kind in ("paths", "limit")]
    titles += [f"{name}, kB per walker" for name in names]
    lines = [f"| {system}, N | coordinates | {' | '.join(titles)} |", "|---" * (len(titles) + 2) + "|"]
    for row in rows:
        found = [row[kind] for kind in KINDS]
        cells = [f"{1e3 * r['seconds']:.3g}" if r else "not run" for r in found]
        last = found[-1]
        cells += [f"{last['seconds'] / r['seconds']:.1f}" if last and r else "" for r in found[:2]]
        # small networks stay within what the process held already
        cells += [f"{r['bytes'] / 1e3:.3g}" if r and r["bytes"] else "" for r in found]
        lines.append(f"| {row['particles']} | {row['coordinates']} | {' | '.join(cells)} |")
    told = []
    for kind, (name, *_) in KINDS.items():
        ran = [row for row in rows if row[kind]]
        if len(ran) > 2:
            growth = exponent([row["particles"] for row in ran], [row[kind]["seconds"] for row in ran])
            told.append(f"{name} N^{growth:.2f}")
    lines.append(f"\nTime per walker over the larger half: {', '.join(told)}.")
    return "\n".join(lines)


def draw(found: dict[str, list[dict]], path: str) -> None:
    """Time per walker against size, all estimators, both systems."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(4.2 * len(found), 3.4), squeeze=False, layout="constrained")
    for ax, (system, rows) in zip(axes[0], found.items(), strict=True):
        for kind, (_, label, style) in KINDS.items():
            points = [(r["particles"], 1e3 * r[kind]["seconds"]) for r in rows if r[kind]]
            ax.loglog(*zip(*points, strict=True), style, label=label, base=2)
        ax.set_yscale("log", base=10)
        ax.set_xlabel("particles N")
        ax.set_title({"bosons": "2D bosons", "chain": "chain of oscillators"}[system], fontsize=10)
        ax.grid(alpha=0.3, which="major")
    axes[0, 0].set_ylabel("CPU ms per walker and iteration")
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bosons", default=SIZES["bosons"], help="particle numbers, comma-separated; empty: none")
    parser.add_argument("--chains", default=SIZES["chain"], help="lengths of chains, comma-separated; empty: none")
    parser.add_argument("--laplacian-up-to", type=int, default=256, help="coordinates up to which the Laplacian runs")
    parser.add_argument("--figure", help="draw to this file")
    parser.add_argument("--json", help="write the raw numbers to this file")
    parser.add_argument("--one", nargs=4, metavar=("SYSTEM", "N", "KIND", "WALKERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        system, particles, kind, walkers = arguments.one
        print(json.dumps(one(system, int(particles), kind, int(walkers))))
        return
    found: dict[str, list[dict]] = {}
    for system, listed in (("bosons", arguments.bosons), ("chain", arguments.chains)):
        for particles in (int(n) for n in listed.split(",") if n):
            coordinates = particles * (2 if system == "bosons" else 1)
            row = {"particles": particles, "coordinates": coordinates}
            for kind in KINDS:
                wanted = kind != "laplacian" or coordinates <= arguments.laplacian_up_to
                row[kind] = measured(system, particles, kind) if wanted else None
            if row["limit"]:
                found.setdefault(system, []).append(row)
                print(row, file=sys.stderr)
    for system, rows in found.items():
        print(table(system, rows), end="\n\n")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    if arguments.figure:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
