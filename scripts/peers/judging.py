"""When a run of scripts/compare_peers.py reached an accuracy, and the tables of that."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from peers.catalogue import PEERS, SYSTEMS

#: share of the iterations so far, and fewest of them, over which a running energy is averaged
WINDOW, FEWEST = 0.2, 10


def scores(record: dict, kind: str, exact: float) -> Iterator[tuple[float, float, float, bool]]:
    """(wall, CPU, X, surely): at that time, X was reached. Not surely: the run ended before that could be confirmed."""
    trace = record["trace"]
    if kind == "final":
        for entry in trace[-1:]:
            found = max(abs(entry["energy"] - exact), entry.get("error") or 0.0)
            # the whole process: results are written, and interpreters end
            yield record["wall"], record["cpu"], found if math.isfinite(found) else math.inf, True
        return
    if kind == "estimate":
        for entry in trace:
            found = max(abs(entry["energy"] - exact), entry.get("error") or 0.0)
            yield entry["wall"], entry.get("cpu", 0.0), found if math.isfinite(found) else math.inf, True
        return
    energies = np.array([entry["energy"] for entry in trace], dtype=float)
    count = len(energies)
    sums = np.concatenate([[0.0], np.cumsum(energies)])
    number = np.arange(1, count + 1)
    length = np.minimum(number, np.maximum(FEWEST, np.ceil(WINDOW * number).astype(int)))
    away = np.abs((sums[number] - sums[number - length]) / length - exact)
    away[~np.isfinite(away)] = math.inf
    renewed = np.ceil(number / (1 - WINDOW)).astype(int)
    for index in range(FEWEST - 1, count):
        until = max(int(renewed[index]), index + 1 + FEWEST)
        entry = trace[index]
        yield entry["wall"], entry.get("cpu", 0.0), float(away[index:until].max()), until <= count


def first(record: dict, level: float) -> tuple[float, float, float] | None:
    """(wall, CPU, X found) when the run reached `level`, or None."""
    peer, system = PEERS[record["peer"]], SYSTEMS[record["system"]]
    for wall, cpu, found, _ in scores(record, peer.kind, system.energy):
        if found <= level:
            return wall, cpu, found
    return None


def best(record: dict) -> float:
    """The smallest X the run reached."""
    peer, system = PEERS[record["peer"]], SYSTEMS[record["system"]]
    return min((found for _, _, found, _ in scores(record, peer.kind, system.energy)), default=math.inf)


@dataclass
class Outcome:
    """What the repeats of one peer at one accuracy came to; not reached is infinite."""

    walls: list[float]
    cpus: list[float]
    peaks: list[float]
    best: float
    cap: float
    failed: str = ""


def outcome(runs: list[dict], peer: str, system: str, name: str) -> Outcome | None:
    """From the stored runs, or None if there are none."""
    runs = [run for run in runs if run["peer"] == peer and run["system"] == system]
    if PEERS[peer].by_level:
        runs = [run for run in runs if run["variant"] == name]
    if not runs:
        return None
    level = SYSTEMS[system].levels[name]
    walls, cpus, peaks = [], [], []
    order = list(PEERS[peer].variants.get(system, ("",)))
    for repeat in sorted({run["repeat"] for run in runs}):
        tried = [run for run in runs if run["repeat"] == repeat and "failed" not in run]
        tried.sort(key=lambda run: order.index(run["variant"]) if run["variant"] in order else 0)
        reached = next(((run, found) for run in tried if (found := first(run, level))), None)
        if reached:
            run, (wall, cpu, _) = reached
            walls.append(wall), cpus.append(cpu), peaks.append(run["peak_mib"])
        else:
            walls.append(math.inf), cpus.append(math.inf)
            peaks += [max(run["peak_mib"] for run in tried)] if tried else []
    failures = [run["failed"] for run in runs if "failed" in run]
    closest = min((best(run) for run in runs if "failed" not in run), default=math.inf)
    longest = max(run["trace"][-1]["wall"] if run["trace"] else run["wall"] for run in runs)
    return Outcome(walls, cpus, peaks, closest, longest, failures[-1] if len(failures) == len(runs) else "")


def spread(values: list[float], digits: str) -> str:
    """Median [least–most]."""
    words = [format(value, digits) if math.isfinite(value) else "∞" for value in sorted(values)]
    median = statistics.median_high(values)
    text = format(median, digits) if math.isfinite(median) else "∞"
    return text if len(values) == 1 else f"{text} [{words[0]}–{words[-1]}]"


def ratio(theirs: list[float], ours: list[float], at_least: float | None = None) -> str:
    """Of the medians; a lower bound if theirs is infinite but known to be more than `at_least`."""
    a, b = statistics.median_high(theirs), statistics.median_high(ours)
    if not math.isfinite(b) or b == 0:
        return ""
    if math.isfinite(a):
        return f"{a / b:.2g}"
    return f"> {at_least / b:.2g}" if at_least else ""


def tables(runs: list[dict], unavailable: dict[str, str]) -> str:
    """Markdown: a table for each system, a row for each accuracy and peer."""
    lines: list[str] = []
    for system, about in SYSTEMS.items():
        if not any(run["system"] == system for run in runs):
            continue
        unit, scale = ("mHa", 1e3) if system == "h2" else ("%", 100 / abs(about.energy))
        lines += [f"### {about.title}", ""]
        lines += [
            "| within | package | wall clock (s) | CPU (s) | peak memory (MiB) | wall ÷ fkflow | CPU ÷ fkflow | "
            "memory ÷ fkflow |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name in about.levels:
            ours = outcome(runs, "fkflow", system, name)
            for peer, description in PEERS.items():
                if system not in description.caps:
                    continue
                found = outcome(runs, peer, system, name)
                start = f"| {name} | {description.title} "
                if found is None:
                    if peer in unavailable:
                        lines.append(f"{start}| not installed | | | | | |")
                    continue
                if found.failed:
                    lines.append(f"{start}| failed ({found.failed}) | | | | | |")
                    continue
                reached = math.isfinite(statistics.median_high(found.walls))
                wall, cpu = spread(found.walls, ".1f"), spread(found.cpus, ".1f")
                bound = None
                if not reached:
                    closest = f"best {found.best * scale:.2g} {unit}" if math.isfinite(found.best) else "no energy"
                    times = sum(map(math.isfinite, found.walls))
                    some = f"; {times} of {len(found.walls)} did" if times else ""
                    within = f"in {found.cap:.0f} s " if description.kind != "final" else ""
                    wall, cpu = f"not reached {within}({closest}{some})", ""
                    bound = found.cap if description.kind != "final" else None
                peak = spread(found.peaks, ".0f") if found.peaks else ""
                ratios = ["", "", ""]
                if ours and peer != "fkflow":
                    ratios = [
                        ratio(found.walls, ours.walls, bound),
                        ratio(found.cpus, ours.cpus),
                        ratio(found.peaks, ours.peaks) if found.peaks and ours.peaks else "",
                    ]
                lines.append(f"{start}| {wall} | {cpu} | {peak} | {' | '.join(ratios)} |")
        lines.append("")
    repeats = len({run["repeat"] for run in runs})
    cores = sorted({len(run["cores"]) for run in runs})
    lines.append(
        f"Median [least–most] of {repeats} repeats, {' or '.join(map(str, cores))} core(s); ∞: not reached in that repeat. "
        "Ratios are of medians, above 1 where fkflow takes less."
    )
    return "\n".join(lines)
