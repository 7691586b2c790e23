"""One run of scripts/compare_peers.py: a process pinned to cores, watched until its end, its cap or its smallest accuracy."""

from __future__ import annotations

import argparse
import json
import math
import os
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from peers.catalogue import OWN, PEERS, SYSTEMS, Job
from peers.judging import scores

#: seconds between looks at the process tree, and at whether a run may end
POLL, LOOK = 0.2, 2.0


def settings_of_threads(cores: list[int]) -> dict[str, str]:
    """Environment variables that keep libraries to that many threads, on the CPU."""
    count = str(len(cores))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    eigen = "false" if len(cores) == 1 else "true"
    return {
        **{name: count for name in names},
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={count}",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
    }


@dataclass
class Tree:
    """CPU seconds and resident memory of all processes of one session, looked at again and again."""

    session: int
    samples: list[tuple[float, float]] = field(default_factory=list)
    peak: int = 0
    #: what processes had used that are gone by now and that no one waited for
    _last: dict[int, float] = field(default_factory=dict)

    def look(self, wall: float) -> None:
        """Take one sample."""
        ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        cpu, resident = 0.0, 0
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.session:
                cpu += sum(map(int, fields[11:15])) / ticks  # with the children it has waited for
                resident += int(fields[21]) * page
        if cpu:
            self.samples.append((wall, max(cpu, self.samples[-1][1] if self.samples else 0.0)))
        self.peak = max(self.peak, resident)

    def cpu(self, wall: float) -> float:
        """CPU seconds used by that time."""
        if not self.samples:
            return 0.0
        walls, cpus = zip(*self.samples, strict=True)
        return float(np.interp(wall, (0.0, *walls), (0.0, *cpus)))


def execute(job: Job, options: argparse.Namespace) -> dict:
    """Run one job to its end, its cap or its smallest accuracy; the record that is stored."""
    peer = PEERS[job.peer]
    record = {"key": job.key, "peer": job.peer, "system": job.system, "variant": job.variant, "repeat": job.repeat}
    record |= {"cap": job.cap, "load": os.getloadavg()[0], "cores": options.cores, "trace": []}
    with tempfile.TemporaryDirectory(prefix="fkflow-peers-") as name:
        folder = Path(name)
        command = peer.command(job, options, folder)
        with (folder / "errors.txt").open("w+") as errors:
            allowed = os.sched_getaffinity(0)
            os.sched_setaffinity(0, options.cores)  # of this thread; a child has it too
            begun = time.monotonic()
            try:
                process = subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    stdin=subprocess.DEVNULL,
                    cwd=folder,
                    env={**os.environ, **settings_of_threads(options.cores)},
                    start_new_session=True,
                )
            finally:
                os.sched_setaffinity(0, allowed)
            tree = Tree(process.pid)
            try:
                text = watch(process, tree, begun, job, record["trace"])
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            finally:
                stop(process)
            wall = time.monotonic() - begun
            errors.seek(0)
            messages = errors.read().strip().splitlines()
        cpu = max(usage.ru_utime + usage.ru_stime, tree.cpu(wall))
        tree.samples.append((wall, cpu))
        peak = max(tree.peak, usage.ru_maxrss * 1024)
        record |= {"wall": wall, "cpu": cpu, "peak_mib": peak / 2**20, "exit": process.returncode}
        if process.returncode and text is not None:
            record["failed"] = f"exit {process.returncode}: {messages[-1] if messages else 'no message'}"[:300]
        elif job.peer in OWN and text is not None:
            read_own(job, record, json.loads(text), folder / "run" / "result.h5")
        for line in record["trace"]:
            line["cpu"] = round(tree.cpu(line["wall"]), 3)
    return record


def watch(process: subprocess.Popen, tree: Tree, begun: float, job: Job, trace: list[dict]) -> str | None:
    """Read a process until it ends or may end: JSON lines of a driver into `trace`.

    Returns all other output, or None if the process was ended here, at its cap or its smallest accuracy.
    """
    peer, system = PEERS[job.peer], SYSTEMS[job.system]
    pipe = process.stdout
    os.set_blocking(pipe.fileno(), False)
    pending, other, looked = b"", [], 0.0
    while True:
        ready, _, _ = select.select([pipe], [], [], POLL)
        wall = time.monotonic() - begun
        if ready:
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                entry = None if job.peer in OWN else reported(text)
                if entry is None:
                    other.append(text)
                else:
                    trace.append({"wall": round(wall, 3), **entry})
        if not tree.samples or wall - tree.samples[-1][0] >= POLL:
            tree.look(wall)
        if wall > job.cap + peer.grace:
            break
        if peer.kind != "final" and wall - looked > LOOK:
            looked = wall
            smallest = min(system.levels.values())
            if any(
                found <= smallest and final for *_, found, final in scores({"trace": trace}, peer.kind, system.energy)
            ):
                break
    if ready and not chunk:  # the process closed its output: it is ending on its own
        return "\n".join([*other, pending.decode(errors="replace")])
    kill(process)
    return None


def reported(text: str) -> dict | None:
    """A driver's JSON line, or None for any other line."""
    if not text.startswith("{"):
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if "energy" in entry else None


def kill(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop(process: subprocess.Popen) -> None:
    """Leave nothing of a process behind, however it ended."""
    kill(process)
    if process.returncode is None:
        process.wait()
    process.stdout.close()


def read_own(job: Job, record: dict, result: dict, path: Path) -> None:
    """The result of fkflow as a trace: one entry, or the iterations of the training where they are what is judged."""
    record["result"] = {key: result[key] for key in ("variational", "projected", "seconds", "version", "seed")}
    if PEERS[job.peer].kind == "running":
        import h5py

        with h5py.File(path) as file:
            columns = {name: file[f"training/{name}"][()] for name in ("energy", "seconds")}
        # the rest of the wall clock, but for measuring, went by before training began
        before = record["wall"] - sum(result["seconds"].values())
        record["trace"] = [
            {"wall": round(before + float(seconds), 3), "iteration": number + 1, "energy": float(energy)}
            for number, (energy, seconds) in enumerate(zip(columns["energy"], columns["seconds"], strict=True))
        ]
        return
    best = result["projected"] or result["variational"]
    error = math.hypot(best["error"], best.get("time_step_error") or 0.0)
    record["trace"] = [{"wall": round(record["wall"], 3), "energy": best["energy"], "error": error}]
