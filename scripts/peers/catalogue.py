"""What scripts/compare_peers.py compares: systems with their accuracies, packages with their commands."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

DRIVERS = Path(__file__).resolve().parent


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


def environment(options: argparse.Namespace, peer: str) -> Path:
    """The virtual environment of a peer; both kinds of pyscf share one."""
    return options.environments / peer.removesuffix("-cbs")


def _has_target_error(known: list[bool] = []) -> bool:  # noqa: B006  (asked once)
    """Whether this fkflow has the option --target-error."""
    if not known:
        shown = subprocess.run([sys.executable, "-m", "fkflow", "run", "--help"], capture_output=True, text=True)
        known.append("--target-error" in shown.stdout)
    return known[0]
