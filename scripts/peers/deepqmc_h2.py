"""H2 with deepqmc: prints one JSON line {"iteration", "energy"} per training step, until it is stopped.

    python deepqmc_h2.py SEED WORKDIR [HYDRA_OVERRIDE...]

Run by scripts/compare_peers.py in an environment with deepqmc; further arguments override the settings below.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import deepqmc.app  # noqa: F401  (before jax, as it asks for; registers what the configuration refers to)
import numpy as np
from deepqmc.conf import custom_resolvers  # noqa: F401
from hydra import compose, initialize_config_module
from hydra.utils import call
from omegaconf import OmegaConf

#: distance of the protons (bohr)
DISTANCE = 1.401
#: what differs from deepqmc's defaults; scripts/compare_peers.py says why
SETTINGS = [
    "hamil/mol=H2",
    f"hamil.mol.coords=[[0,0,0],[{DISTANCE},0,0]]",
    "hamil.mol.unit=bohr",
    "task.steps=1000000",
    "task.pretrain_steps=20",
    "ansatz.n_determinants=1",
    "ansatz.omni_factory.embedding_dim=64",
    "ansatz.omni_factory.gnn_factory.n_interactions=2",
]


class Reporter:
    """In the place of deepqmc's TensorBoard writer: prints the energy of each training step."""

    def __init__(self, workdir, n_mol):
        pass

    def update(self, step, single_device_stats, multi_device_stats, mol_idxs, prefix=None):
        if prefix is None:
            energy = float(np.mean(single_device_stats["local_energy/mean"]))
            print(json.dumps({"iteration": int(step) + 1, "energy": energy}), flush=True)

    def close(self):
        pass


class NoFile:
    """In the place of deepqmc's HDF5 log: keeps nothing."""

    def __init__(self, workdir, **options):
        pass

    def update(self, values):
        pass

    def close(self):
        pass


def main() -> None:
    """Train until killed."""
    seed, workdir, *overrides = sys.argv[1:]
    Path(workdir).mkdir(parents=True, exist_ok=True)
    with initialize_config_module("deepqmc.conf", version_base=None):
        config = compose("config", [*SETTINGS, f"task.seed={seed}", f"task.workdir={workdir}", *overrides])
    task = OmegaConf.to_object(config)["task"]
    task.pop("metric_logger_constructor")
    task.pop("h5_logger_constructor")
    call(task, _convert_="all", metric_logger_constructor=Reporter, h5_logger_constructor=NoFile)


if __name__ == "__main__":
    main()
