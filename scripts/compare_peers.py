"""Time to a given accuracy: fkflow against packages a user could choose instead, on the same cores.

    python scripts/compare_peers.py                                    # everything, three times; hours
    python scripts/compare_peers.py --only fkflow,pyscf --systems h2 --repeats 1
    python scripts/compare_peers.py --cores 0 --out peers.json --resume

Runs with the Python that fkflow is installed in (Linux; its numpy and h5py, else the standard library). Each package is
installed from PyPI into a virtual environment of its own under --environments, and reused when it is there. Every run is a
process of its own, pinned to --cores; the clock starts before the process does, so that imports and compilation count.
Wall and CPU seconds and memory are those of its whole process tree. Each run's raw trace goes to --out as the run finishes.

Systems: H2 at R = 1.401 bohr (E0 = −1.174475930 hartree) to 10, 1.6, 0.5 and 0.1 mHa; 2, 3 and 4 bosons in a 2D trap,
H = Σ(−½Δ + ½r²) + Σ_{i<j} g/(π s²) exp(−r²/s²), g = 15, s = ½, to 1 %, 0.1 % and 0.01 % of E0.

What counts as reaching X

The exact energy, which a user would not know, decides for all, and where there is doubt the other packages have its benefit:

* netket, deepqmc, the paper's method (they show a running energy): the first time after which the mean of the latest
  20 % of the iterations (at least 10) stays within X of E0 until that window has been renewed completely, or the run
  ends. No time is counted for finding out that X was reached, and no error need be stated. (Were energies to stay within X
  for good, single bad batches late in a run would count against it.) A run ends when the smallest X is reached.
* pyqmc: the first time at which |E − E0| and the statistical error (by blocking, over all blocks after the warm-up) are
  both at most X.
* pyscf: the whole process with the smallest correlation-consistent basis whose full configuration interaction lies within
  X; and, as a row of its own, with the smallest pair of bases that does so after extrapolation. No time is counted for
  finding out which basis is enough. It has no error bar.
* fkflow's training, for comparison with the packages above by their own measure: its running energy, as theirs. fkflow
  itself never gives that energy as a result.
* fkflow: the whole command, `fkflow run RECIPE --target-error X` (without that option, train, measure and project with their
  usual budgets to that error) from start to the result file, one run for each X. Its stated error, statistical and time step
  together, must be at most X, and the projected energy within X of E0. An error of X means one standard error: a run may
  miss by chance. --fraction F asks for the error F·X instead.

A run that does not get there counts as infinitely long in the median over the repeats.

What was chosen for each package, after trials on one core

* netket 3.23: VMC with stochastic reconfiguration and SPRING momentum (`VMC_SR`), 1024 chains of Gaussian Metropolis moves,
  a Flax network that knows what fkflow's does, but for its start from the solution for two particles: Gaussian of the trap
  times exp of perceptrons of pair and particle distances relative to the centre of mass with one message pass, symmetric
  under permutations, last layers zero at first.
  Rate 0.05 after 20 iterations of warm-up, falling slowly; diagonal shift falling from 0.1 to 10⁻³; momentum 0.8; 30 moves
  between iterations. Pair distances alone stopped 0.13 % above E0 for 4 bosons. Rate 0.1 diverged in the first iterations,
  features narrower than 0.35 sooner or later; with those, no momentum and clipped steps were slower.
* deepqmc 1.2: its default sampler, KFAC and 1000 walkers, but its network made smaller for two electrons (one determinant, two
  interactions, embeddings of 64) and 20 steps of pretraining in the place of 100: less to compile, and iterations about
  three times cheaper. Its TensorBoard and HDF5 logs are turned off. It needs the old jax that is installed with it.
* pyscf 2.14: `cc.CCSD`, which for two electrons equals full configuration interaction and takes 5 s in cc-pV5Z where the
  general `fci` solver takes 164 s.
* pyqmc 0.8: its own recipe, Hartree-Fock in cc-pVTZ with a Jastrow factor with cusps, orbitals and Jastrow optimised for five
  iterations with 500 walkers (8 with 1000 gained nothing), then diffusion Monte Carlo with 4000 walkers, time step 0.02 (0.04:
  0.5(3) mHa too low), 40 blocks of warm-up. In cc-pVQZ without optimised orbitals noise and time-step error were larger.
* the paper's method (Barr, Gispen, Lamacraft, arXiv 2006.09044): fkflow's `pair_drift`: a free vector drift, 512 walkers that
  run on freely, paths of 64 steps of 0.01, Adam. Its energy is the path average of the training.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

DRIVERS = Path(__file__).resolve().parent / "peers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fkflow-peers"

#: share of the iterations so far, and fewest of them, over which a running energy is averaged
WINDOW, FEWEST = 0.2, 10
#: seconds between looks at the process tree, and at whether a run may end
POLL, LOOK = 0.2, 2.0
#: of the file of stored runs
FORMAT = 1


@dataclass(frozen=True)
class System:
    """Something to solve: its ground-state energy, the accuracies asked for, and what fkflow calls it."""

    title: str
    energy: float
    levels: dict[str, float]
    recipe: tuple[str, ...]
    #: natural time, in the units of the recipe
    unit: float


def _bosons(particles: int, energy: float) -> System:
    levels = {f"{100 * share:g} %": share * energy for share in (1e-2, 1e-3, 1e-4)}
    return System(
        f"{particles} bosons, E0 = {energy}", energy, levels, ("bosons", "--set", f"system.particles={particles}"), 1.0
    )


SYSTEMS = {
    "h2": System(
        "H2, E0 = -1.174475930 hartree",
        -1.174475930,
        {"10 mHa": 1e-2, "1.6 mHa": 1.6e-3, "0.5 mHa": 5e-4, "0.1 mHa": 1e-4},
        ("h2", "--set", "system.R=1.401"),
        3.0,
    ),
    "bosons2": _bosons(2, 2.715321216),
    "bosons3": _bosons(3, 4.945447461),
    "bosons4": _bosons(4, 7.6272098),
}


@dataclass
class Job:
    """One process to run and how to read it."""

    peer: str
    system: str
    variant: str
    repeat: int
    cap: float

    @property
    def key(self) -> str:
        """What identifies it in the stored results."""
        return f"{self.peer} {self.system} {self.variant or '-'} {self.repeat}"


@dataclass(frozen=True)
class Peer:
    """A package: what to install, what it can solve and in how many seconds, and how its output is judged.

    kind: "running" (energies of iterations), "estimate" (energy and error so far), "final" (one result of the whole
    process). variants: separate runs of each repeat, of which the best counts; levels: one run for each accuracy.
    """

    title: str
    kind: str
    caps: dict[str, float]
    command: Callable[[Job, argparse.Namespace, Path], list[str]]
    packages: tuple[str, ...] = ()
    variants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    by_level: bool = False
    #: seconds beyond the cap for a process that ends by itself and writes its result then
    grace: float = 0.0


def _own(job: Job, options: argparse.Namespace, folder: Path) -> list[str]:
    """fkflow's command to one accuracy."""
    error = options.fraction * SYSTEMS[job.system].levels[job.variant]
    if _has_target_error():
        wanted = ["--target-error", f"{error:.10g}"]
    else:
        wanted = ["--set", f"measure.target_error={error:.10g}", "--set", f"project.target_error={error:.10g}"]
    return [*_fkflow(job, options, folder), *wanted]


def _paper(job: Job, options: argparse.Namespace, folder: Path) -> list[str]:
    """The published method with fkflow's free vector drift, trained for as long as the cap says."""
    settings = {
        "network.kind": "pair_drift",
        "train.walkers": 512,
        "train.steps": 64,
        "train.dt": 0.01 / SYSTEMS[job.system].unit,
        "train.iterations": 10**6,
    }
    return _only_trained(job, options, folder, settings)


def _training(job: Job, options: argparse.Namespace, folder: Path) -> list[str]:
    """fkflow's training alone, judged by its running energy as the others are; never a result."""
    return _only_trained(job, options, folder, {"train.iterations": 800, "train.stop_spread": 0.0})


def _only_trained(job: Job, options: argparse.Namespace, folder: Path, settings: dict) -> list[str]:
    """fkflow with these settings, trained until the cap and hardly measured."""
    settings = settings | {"train.seconds": job.cap, "measure.seconds": 1.0, "project.seconds": 0.0}
    return [*_fkflow(job, options, folder), *(text for k, v in settings.items() for text in ("--set", f"{k}={v}"))]


def _fkflow(job: Job, options: argparse.Namespace, folder: Path) -> list[str]:
    common = ["--seed", str(job.repeat), "--device", "cpu", "--threads", str(len(options.cores)), "--json"]
    return [sys.executable, "-m", "fkflow", "run", *SYSTEMS[job.system].recipe, *common, "--out", str(folder / "run")]


def _driver(peer: str, script: str, *arguments: str) -> Callable[[Job, argparse.Namespace, Path], list[str]]:
    """A command that runs one of the drivers with the Python of the peer's environment."""

    def command(job: Job, options: argparse.Namespace, folder: Path) -> list[str]:
        words = {
            "seed": str(job.repeat),
            "folder": str(folder / "work"),
            "particles": job.system.removeprefix("bosons"),
        }
        filled = [words.get(argument, argument) for argument in arguments]
        python = environment(options, peer) / "bin" / "python"
        return [str(python), str(DRIVERS / script), *filled, *job.variant.split()]

    return command


_BASES = ("cc-pVDZ", "cc-pVTZ", "cc-pVQZ", "cc-pV5Z", "cc-pV6Z")
_BOSON_CAPS = {"bosons2": 60.0, "bosons3": 90.0, "bosons4": 150.0}
_CHEMISTRY = ("pyscf==2.14.0", "basis-set-exchange")

PEERS = {
    "fkflow": Peer("fkflow", "final", {"h2": 300, "bosons2": 200, "bosons3": 250, "bosons4": 300}, _own, by_level=True),
    "training": Peer("fkflow, running energy", "running", {name: 40 for name in SYSTEMS}, _training, grace=120.0),
    "paper": Peer("the paper's method", "running", {name: 300 for name in SYSTEMS}, _paper, grace=120.0),
    "netket": Peer(
        "netket VMC + SR",
        "running",
        _BOSON_CAPS,
        _driver("netket", "netket_bosons.py", "seed", "particles"),
        ("netket==3.23.0", "jax==0.10.2"),
    ),
    "deepqmc": Peer(
        "deepqmc",
        "running",
        {"h2": 400},
        _driver("deepqmc", "deepqmc_h2.py", "seed", "folder"),
        ("deepqmc==1.2.0", "jax==0.4.35", "jaxlib==0.4.35", "kfac-jax==0.0.6", "dm-haiku<0.0.14"),
    ),
    "pyscf": Peer(
        "pyscf FCI",
        "final",
        {"h2": 300},
        _driver("pyscf", "pyscf_h2.py"),
        _CHEMISTRY,
        {"h2": _BASES},
    ),
    "pyscf-cbs": Peer(
        "pyscf FCI, extrapolated",
        "final",
        {"h2": 300},
        _driver("pyscf", "pyscf_h2.py"),
        _CHEMISTRY,
        {"h2": tuple(f"{a} {b}" for a, b in zip(_BASES[:3], _BASES[1:4], strict=True))},
    ),
    "pyqmc": Peer(
        "pyqmc DMC",
        "estimate",
        {"h2": 400},
        _driver("pyqmc", "pyqmc_h2.py", "seed", "folder"),
        ("pyqmc==0.8.1", "pyscf==2.14.0"),
    ),
}

#: whose result is a file of fkflow
OWN = ("fkflow", "training", "paper")


# ---- environments ----------------------------------------------------------------------------------------------------


class InstallError(Exception):
    """A package could not be installed; one sentence."""


def environment(options: argparse.Namespace, peer: str) -> Path:
    """The virtual environment of a peer; both kinds of pyscf share one."""
    return options.environments / peer.removesuffix("-cbs")


def prepare(options: argparse.Namespace, peer: str) -> None:
    """Make and fill the environment of a peer unless that was done before. Raises InstallError."""
    packages = PEERS[peer].packages
    if not packages:
        return
    folder = environment(options, peer)
    mark, log = folder / "installed.txt", folder.with_suffix(".log")
    if mark.is_file() and mark.read_text().split("\n") == list(packages):
        return
    say(f"installing {', '.join(packages)} into {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        with log.open("w") as file:
            for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *packages]):
                subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=True)
        mark.write_text("\n".join(packages))
    except (OSError, subprocess.CalledProcessError) as error:
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        reasons = [line for line in lines if line.startswith("ERROR")] or [str(error)]
        raise InstallError(
            f"{peer} could not be installed ({reasons[-1].removeprefix('ERROR: ')[:200]}; see {log})"
        ) from None


def _has_target_error(known: list[bool] = []) -> bool:  # noqa: B006  (asked once)
    """Whether this fkflow has the option --target-error."""
    if not known:
        shown = subprocess.run([sys.executable, "-m", "fkflow", "run", "--help"], capture_output=True, text=True)
        known.append("--target-error" in shown.stdout)
    return known[0]


# ---- running ---------------------------------------------------------------------------------------------------------


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


# ---- judging ---------------------------------------------------------------------------------------------------------


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


# ---- table -----------------------------------------------------------------------------------------------------------


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


# ---- command line ----------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """A line of progress on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """All runs, the repeats outermost, so that a change in the machine's load falls on every package."""
    for repeat in range(options.repeats):
        for system in options.systems:
            for name in options.only:
                peer = PEERS[name]
                if system not in peer.caps:
                    continue
                cap = options.cap or peer.caps[system]
                variants = tuple(SYSTEMS[system].levels) if peer.by_level else peer.variants.get(system, ("",))
                for variant in variants:
                    yield Job(name, system, variant, repeat, float(cap))


def store(path: Path, runs: list[dict]) -> None:
    """Write all runs, never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps({"format": FORMAT, "runs": runs}))
    partial.replace(path)


def listed(known: dict) -> Callable[[str], list[str]]:
    """Reader of a comma-separated option."""

    def read(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in names]

    return read


def core_list(text: str) -> list[int]:
    """Reader of --cores: 0,1 or 0-3."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of cores such as 0,1 or 0-3")
    ends = [part.split("-") for part in text.split(",")]
    cores = sorted({core for part in ends for core in range(int(part[0]), int(part[-1]) + 1)})
    missing = set(cores) - os.sched_getaffinity(0)
    if missing or not cores:
        raise argparse.ArgumentTypeError(f"this process may not use core {', '.join(map(str, sorted(missing)))}")
    return cores


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = sorted(os.sched_getaffinity(0))
    parser.add_argument(
        "--only", type=listed(PEERS), default=list(PEERS), metavar="LIST", help=f"of {','.join(PEERS)} (default: all)"
    )
    parser.add_argument(
        "--systems",
        type=listed(SYSTEMS),
        default=list(SYSTEMS),
        metavar="LIST",
        help=f"of {','.join(SYSTEMS)} (default: all)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of everything, with seeds 0, 1, … (default 3)")
    parser.add_argument("--cap", type=float, metavar="SECONDS", help="of each run (default: what suits each package)")
    parser.add_argument(
        "--cores", type=core_list, default=everything, metavar="LIST", help="cores of every run (default: all)"
    )
    parser.add_argument(
        "--fraction", type=float, default=1.0, metavar="F", help="fkflow is asked for the error F X (default 1)"
    )
    parser.add_argument(
        "--environments", type=Path, default=CACHE, metavar="FOLDER", help=f"virtual environments (default {CACHE})"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="raw traces (default: runs.json beside the above)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with what --out holds; failed runs are run again")
    parser.add_argument("--table", action="store_true", help="only print the tables of what --out holds")
    parser.add_argument("--install", action="store_true", help="only make the environments")
    options = parser.parse_args()
    options.environments = options.environments.expanduser().resolve()
    options.out = (options.out or options.environments / "runs.json").expanduser().resolve()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    if options.out.exists() and not (options.resume or options.table or options.install):
        parser.error(f"{options.out} exists: --resume goes on with it, or choose another --out")
    return options


def load(path: Path) -> list[dict]:
    """The runs of an earlier go. SystemExit if the file is none of ours."""
    try:
        stored = json.loads(path.read_text())
        if stored["format"] != FORMAT:
            raise ValueError
        return stored["runs"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        raise SystemExit(f"compare_peers: {path} does not hold the runs of this script") from None


def main() -> None:
    """Install, run, print."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("compare_peers: needs Linux, for pinning processes to cores and reading what they use")
    options = parsed()
    runs = load(options.out) if options.resume or options.table else []
    if options.table:
        print(tables(runs, {}))
        return
    unavailable: dict[str, str] = {}
    for peer in options.only:
        try:
            prepare(options, peer)
        except InstallError as error:
            unavailable[peer] = str(error)
            say(str(error))
    if options.install:
        raise SystemExit(1 if unavailable else 0)
    runs = [run for run in runs if "failed" not in run]
    done = {run["key"] for run in runs}
    wanted = [job for job in jobs(options) if job.peer not in unavailable and job.key not in done]
    say(f"{len(wanted)} runs, at most {sum(job.cap for job in wanted) / 60:.0f} min, on cores {options.cores}")
    try:
        for number, job in enumerate(wanted, 1):
            record = execute(job, options)
            runs.append(record)
            store(options.out, runs)
            reached = [name for name, level in SYSTEMS[job.system].levels.items() if first(record, level)]
            end = (
                record.get("failed") or f"{record['peak_mib']:.0f} MiB, within {reached[-1] if reached else 'nothing'}"
            )
            say(f"{number}/{len(wanted)} {job.key}: {record['wall']:.1f} s, CPU {record['cpu']:.1f} s, {end}")
    except KeyboardInterrupt:
        raise SystemExit(f"\ncompare_peers: interrupted; --resume goes on with {options.out}") from None
    print(tables(runs, unavailable))


if __name__ == "__main__":
    main()
