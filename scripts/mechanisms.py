"""What a whole run gains by one mechanism: the command with it and without it, in turn, from the same seeds.

    python scripts/mechanisms.py shared_memory --pairs 7 [--cases "h2 --target-error 1e-3" "bosons --target-error 5e-2" ...]

Mechanisms are switched off by replacing a function in the child process. Prints seconds without over seconds with, the median
[least to most] of the pairs: 1.10 means that the mechanism saves a tenth of the run. CPU seconds are those of the command and
its children; wall-clock seconds matter where several threads or processes work at once, and need an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

CASES = ["h2 --target-error 1e-3", "bosons --target-error 5e-2", "double_well --target-error 5e-4"]


def without_shared_memory() -> None:
    """Messages between local processes go through the sockets of gloo."""
    from fkflow.execution import processes

    def refuse(world: int) -> None:
        raise OSError

    processes.SharedMemory = refuse


def with_garbage_collection() -> None:
    """The garbage collector works during imports."""
    import contextlib

    from fkflow.execution import startup

    startup.heavy_imports = contextlib.nullcontext


def without_memory_reuse() -> None:
    """The C library hands freed memory back to the system."""
    from fkflow.execution import device

    device.MALLOPT = {}


def without_recorded_graphs() -> None:
    """Networks run their operations from Python each time."""
    from fkflow.networks import log_psi

    log_psi.run_recorded = lambda net, method, x: method(x)


def without_single_precision() -> None:
    """Walkers move by the network in double precision."""
    from fkflow.execution import chunks
    from fkflow.sampling import metropolis

    metropolis.value_and_drift = chunks.value_and_drift


def with_one_group() -> None:
    """Walkers are one group: resampled together, with errors from blocks of time only."""
    from fkflow.execution import ranks

    ranks.GROUPS = 1


#: how to switch it off, and the arguments of both commands
MECHANISMS = {
    "shared_memory": (without_shared_memory, ["--threads", "1", "--processes", "2"]),
    "imports": (with_garbage_collection, ["--threads", "1"]),
    "memory_reuse": (without_memory_reuse, ["--threads", "1"]),
    "recorded_graphs": (without_recorded_graphs, ["--threads", "1"]),
    "single_precision": (without_single_precision, ["--threads", "1"]),
    "groups": (with_one_group, ["--threads", "1"]),
    "scouts": (lambda: sys.argv.extend(["--set", "train.scouts=0"]), ["--threads", "1"]),
}


def seconds(name: str, off: bool, case: str, seed: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one run, its children included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", name, "off" if off else "on", "run", *case.split()]
        command += [*MECHANISMS[name][1], "--seed", str(seed), "--device", "cpu", "--out", f"{folder}/out"]
        environment = {key: text for key, text in os.environ.items() if key != "OMP_NUM_THREADS"}
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    if status:
        print(f"{case}, seed {seed}, {'without' if off else 'with'}: {said.splitlines()[-1:]}", file=sys.stderr)
    return wall, usage.ru_utime + usage.ru_stime


def child(name: str, variant: str, arguments: list[str]) -> None:
    """Run the command in this process."""
    sys.argv = ["fkflow", *arguments]
    if variant == "off":
        MECHANISMS[name][0]()
    from fkflow.__main__ import command

    command()


def main() -> None:
    """Print a row of a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mechanism", choices=MECHANISMS)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--cases", nargs="+", default=CASES, help="a recipe with options of fkflow run, in one argument"
    )
    arguments = parser.parse_args()
    print(
        "| mechanism | run | wall s with | without / with: wall | CPU s with | without / with: CPU |\n|---|---|---|---|---|---|"
    )
    for case in arguments.cases:
        pairs = []
        for seed in range(arguments.pairs):
            # the first of a pair is the one with it and the one without in turn
            order = (False, True) if seed % 2 else (True, False)
            found = {off: seconds(arguments.mechanism, off, case, seed) for off in order}
            pairs.append((found[False], found[True]))
        cells = []
        for which in (0, 1):
            ratios = [off[which] / on[which] for on, off in pairs]
            cells.append(f"{statistics.median(on[which] for on, _ in pairs):.2f}")
            cells.append(f"{statistics.median(ratios):.2f} [{min(ratios):.2f}–{max(ratios):.2f}]")
        print(f"| {arguments.mechanism} | {case} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        main()
