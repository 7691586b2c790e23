"""Scans of a few seconds, and the energies of their points."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from commands import COUNTED

#: ends by its target error, never by the clock
TINY = [
    *("--threads", "1", "--device", "cpu"),
    *("--set", "train.walkers=64", "--set", "train.iterations=6", "--set", "train.stop_spread=0"),
    *("--set", "measure.walkers=128", "--set", "measure.target_error=0.05", "--set", "project.seconds=0"),
]
#: three points of a third of a second
OVER = ["--over", "system.b=[1.0, 2.0, 3.0]"]
NAMES = ["b=1", "b=2", "b=3"]
SCAN = ["scan", "quartic", *OVER, *TINY]
#: the command without the picture after every point, which takes longer than the point
NO_PICTURE = "import fkflow.runs.scan\nfkflow.runs.scan.save_scan = lambda *_: None\n" + COUNTED
#: the same, each long enough to be stopped
LONG = ["scan", "quartic", *OVER, *TINY, "--set", "train.iterations=16", "--seed", "7"]


def energies(path: Path) -> np.ndarray:
    """Of every iteration of the training, and of the measurement."""
    with h5py.File(path / "result.h5") as file:
        return np.append(file["training/energy"][()], file["energy/variational"].attrs["value"])
