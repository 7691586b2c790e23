"""Options of runs of a second, and what of them depends on the seed alone."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

SMALL = ["--threads", "1", "--device", "cpu", "--set", "train.walkers=128", "--set", "measure.walkers=256"]
#: no projection: the variational energy alone
VARIATIONAL = ["--set", "project.seconds=0"]
#: a projection of a fraction of a second
PROJECTED = ["--set", "project.walkers=256", "--set", "project.time=2", "--set", "project.target_error=0.02"]
#: ends by its target error, never by the clock: the energy depends on the seed alone
TRAINED = [*SMALL, "--set", "train.iterations=8", "--set", "measure.target_error=0.01"]
TINY = [*TRAINED, *VARIATIONAL]
#: long enough to be interrupted, the same work whatever the machine's speed
LONG = [
    *SMALL, *VARIATIONAL, "--set", "train.iterations=30", "--set", "train.stop_spread=0",
    "--set", "measure.target_error=0.01", "--seed", "7",
]  # fmt: skip


def training(path: Path) -> dict[str, np.ndarray]:
    """The training columns that depend on the seed alone."""
    with h5py.File(path) as file:
        return {name: column[()] for name, column in file["training"].items() if name != "seconds"}


def energy(path: Path) -> float:
    with h5py.File(path) as file:
        return float(file["energy/variational"].attrs["value"])


def unchanged_files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
