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
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from peers.catalogue import PEERS, SYSTEMS, Job, environment
from peers.judging import first, tables
from peers.running import execute

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fkflow-peers"

#: of the file of stored runs
FORMAT = 1


class InstallError(Exception):
    """A package could not be installed; one sentence."""


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
