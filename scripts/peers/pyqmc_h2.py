"""H2 with pyqmc's diffusion Monte Carlo: prints JSON lines {"iteration", "energy", "error"}, until it is stopped.

    python pyqmc_h2.py SEED WORKDIR [KEY=NUMBER...]

Run by scripts/compare_peers.py in an environment with pyqmc; further arguments override SETTINGS. The energy is the mean
of all blocks after the warm-up, its error by blocking (so that correlated blocks do not make it too small).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pyqmc.recipes as recipes
from pyqmc.method.dmc import rundmc
from pyscf import gto, scf

#: distance of the protons (bohr)
DISTANCE = 1.401
#: what was found best for pyqmc; scripts/compare_peers.py says how
SETTINGS = {
    "optimise": 5,
    "optimise_walkers": 500,
    "walkers": 4000,
    "time_step": 0.02,
    "block": 5,
    "warm_up": 40,
    "orbitals": 1,
    "zeta": 3,
}


def blocking_error(values: np.ndarray, fewest: int = 16) -> float:
    """Largest standard error of the mean over successive pairings of the series."""
    error = np.inf
    while len(values) >= fewest:
        found = values.std(ddof=1) / len(values) ** 0.5
        error = found if error == np.inf else max(error, found)
        values = values[: len(values) // 2 * 2].reshape(-1, 2).mean(1)
    return float(error)


def main() -> None:
    """Mean field, optimisation of the trial function, then diffusion Monte Carlo until killed."""
    seed, folder = int(sys.argv[1]), Path(sys.argv[2])
    wanted = SETTINGS | {key: float(value) for key, value in (text.split("=") for text in sys.argv[3:])}
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    np.random.seed(seed)
    molecule = gto.M(
        atom=f"H 0 0 0; H 0 0 {DISTANCE}", unit="bohr", basis=f"cc-pv{'?sdtq'[int(wanted['zeta'])]}z", verbose=0
    )
    field = scf.RHF(molecule)
    field.chkfile = "field.hdf5"
    field.kernel()
    slater = {"optimize_orbitals": bool(wanted["orbitals"])}
    recipes.OPTIMIZE(
        "field.hdf5",
        "trial.hdf5",
        nconfig=int(wanted["optimise_walkers"]),
        max_iterations=int(wanted["optimise"]),
        slater_kws=slater,
    )
    print(recipes.read_opt("trial.hdf5"), file=sys.stderr)
    wave, walkers, observables = recipes.initialize_qmc_objects(
        "field.hdf5", nconfig=int(wanted["walkers"]), load_parameters="trial.hdf5", slater_kws=slater
    )
    warm_up, blocks = int(wanted["warm_up"]), int(wanted["warm_up"])
    while True:
        blocks += 20
        rundmc(
            wave,
            walkers,
            tstep=wanted["time_step"],
            nsteps_per_block=int(wanted["block"]),
            nblocks=blocks,
            accumulators=observables,
            hdf_file="dmc.hdf5",
        )
        with h5py.File("dmc.hdf5") as file:
            energies, weights = file["energytotal"][warm_up:], file["weight"][warm_up:]
        error = blocking_error(energies)
        if np.isfinite(error):
            energy = float(np.average(energies, weights=weights))
            print(json.dumps({"iteration": blocks, "energy": energy, "error": error}), flush=True)


if __name__ == "__main__":
    main()
