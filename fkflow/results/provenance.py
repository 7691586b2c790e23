"""Where a result comes from; nothing that names a person or a machine."""

from __future__ import annotations

import datetime
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fkflow
from fkflow.execution import ranks


def collect_provenance(*, seed: int, device: str, threads: int, started: float) -> dict[str, Any]:
    """Versions, device, threads, commit, seed, arguments and times of a run."""
    commit, dirty = _commit()
    return {
        "version": fkflow.__version__,
        "commit": commit,
        "dirty": dirty,
        "seed": seed,
        "device": device,
        "ranks": ranks.count(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "argv": _command(),
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _command() -> str:
    """The command with its arguments; for a script or a notebook that uses fkflow, its name alone."""
    program = Path(sys.argv[0]).name
    ours = program in ("fkflow", "fkflow.exe", "__main__.py")
    return " ".join(["fkflow", *sys.argv[1:]]) if ours else program or "python"


def _commit() -> tuple[str, bool]:
    """Commit of the source tree and whether it is modified; ("", False) for an installed wheel or without git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return "", False
    try:

        def git(*arguments: str) -> str:
            # read only: an interrupted status that refreshes the index would leave it locked
            command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
            return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", False
