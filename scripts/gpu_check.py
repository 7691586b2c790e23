"""Check fkflow on a GPU: the same physics as on the CPU, where the time goes, and how fast it is.

    python scripts/gpu_check.py --minutes 12 --out DIR [--device cpu --tiny] [--only speed,growth]

The steps run in order of importance, each in a process of its own that ends after its share of the minutes. A step that
fails or runs out of time is a row of the table, and the next one begins. After every step DIR holds the table
`gpu_check.md` and all numbers `gpu_check.json`; the output of each step is in DIR/STEP.log. Energies are compared on both
sides: a row is wrong when two of them differ by more than four standard deviations, in either direction. No network is
needed. With `--tiny` all sizes are small: that checks this script on a CPU, and its numbers say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gpu.steps import CASES, ROOT, Steps

#: seconds below which no step begins
LEAST = 8.0


@dataclass(frozen=True)
class Step:
    """A step: its name, its largest share of all minutes, and its command, which gets the device and seconds appended."""

    name: str
    share: float
    command: list[str]


def own(name: str, share: float, *words: str) -> Step:
    """A step of this file."""
    return Step(name, share, [sys.executable, str(Path(__file__).resolve()), "--step", *words])


STEPS = [
    own("tests", 0.12, "tests"),
    *(own(f"same-{case}", 0.06, "same", case) for case in CASES),
    own("resume", 0.06, "resume"),
    own("memory", 0.06, "memory"),
    own("breakdown", 0.12, "breakdown"),
    own("speed", 0.15, "speed"),
    own("h2-1e-4", 0.06, "energy", "h2", "1e-4"),
    own("h2-1e-6", 0.2, "energy", "h2", "1e-6"),
    own("bosons16", 0.12, "energy", "bosons16"),
    own("bosons32", 0.15, "energy", "bosons32"),
    # before the two that take whatever is left
    own("growth", 0.12, "growth"),
    own("bosons64", 0.4, "energy", "bosons64"),
    own("bosons100", 0.4, "energy", "bosons100"),
]


def run_step(step: Step, out: Path, limit: float, more: list[str]) -> list[dict[str, Any]]:
    """The rows of a step, which ends after `limit` seconds; the last one says how it failed, if it did."""
    log, begun = out / f"{step.name}.log", time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    failed = ""
    with log.open("w", encoding="utf-8") as file:
        call = [*step.command, "--seconds", f"{limit:.1f}", *more]
        child = subprocess.Popen(
            call, stdout=file, stderr=subprocess.STDOUT, cwd=out, env=environment, start_new_session=True
        )
        try:
            if child.wait(limit):
                failed = f"failed with exit status {child.returncode}"
        except subprocess.TimeoutExpired:
            failed = f"stopped after {limit:.0f} s"
        finally:
            if child.poll() is None:
                # the step and what it started
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [json.loads(line[4:]) for line in lines if line.startswith("ROW {") and line.endswith("}")]
    if failed:
        rows.append({"what": "the step", "value": failed, "ok": False, "note": (lines or [""])[-1][:200]})
    return [{"step": step.name, "step_seconds": time.monotonic() - begun, **found} for found in rows]


def write(out: Path, machine: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The table and the raw numbers, replaced as a whole."""
    lines = [" · ".join(f"{key}: {value}" for key, value in machine.items()), ""]
    lines += ["| step | what | value | error | σ | right | seconds | note |", "|---" * 8 + "|"]
    for found in rows:
        cells = [found["step"], found["what"]]
        for key, form in (("value", ".9g"), ("error", ".2g"), ("sigma", "+.1f")):
            cell = found.get(key, "")
            cells.append(format(cell, form) if isinstance(cell, float) else str(cell))
        cells.append({True: "yes", False: "NO"}.get(found.get("ok"), ""))  # type: ignore[arg-type]
        cells += [f"{found['seconds']:.1f}" if "seconds" in found else "", found.get("note", "")]
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    for name, text in (
        ("gpu_check.md", "\n".join(lines) + "\n"),
        ("gpu_check.json", json.dumps({"machine": machine, "rows": rows}, indent=1)),
    ):
        (out / f"{name}.part").write_text(text, encoding="utf-8")
        (out / f"{name}.part").replace(out / name)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument(
        "--out", type=Path, default=Path("gpu_check"), help="folder of the table, the numbers and the logs"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to check this script")
    parser.add_argument("--only", default="", help="names of steps, comma-separated; left out: all")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.step:
        name, *rest = given.step
        getattr(Steps(given.device, given.tiny, given.seconds), name)(*rest)
        return
    end = time.monotonic() + 60 * given.minutes
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name() if given.device == "cuda" else platform.processor() or platform.machine()
    machine = {"device": given.device, "name": name, "torch": torch.__version__, "CUDA": torch.version.cuda or "none"}
    machine |= {"Python": platform.python_version(), "tiny": given.tiny}
    rows: list[dict[str, Any]] = []
    more = ["--device", given.device, *(["--tiny"] if given.tiny else [])]
    wanted = given.only.split(",") if given.only else [step.name for step in STEPS]
    for step in STEPS:
        if step.name not in wanted:
            continue
        left = end - time.monotonic()
        if left < LEAST:
            rows.append({"step": step.name, "what": "the step", "value": "not run: no time left"})
        else:
            rows += run_step(step, out, min(60 * given.minutes * step.share, left), more)
        write(out, machine, rows)
        for found in rows:
            if found["step"] == step.name:
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    # a step must not outlive this script
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
