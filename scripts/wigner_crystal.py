"""The harmonic crystal of equal charges on a plane in the box of a run: energies of a particle and Lindemann's ratio.

    python scripts/wigner_crystal.py --particles 12 30 --g 200

The energy of the sites, ½ Σ ω_i of the vibrations about them, and √⟨u²⟩ by the distance of nearest sites. The limits of many
particles are −1.106103 g/a and 0.8142 √g/a^{3/2} with a = 1/√π at the density 1: Bonsall and Maradudin, Phys. Rev. B 15, 1959
(1977).
"""

from __future__ import annotations

import argparse
import math

import torch

from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.derivatives import hessians
from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.crystal import Crystal
from fkflow.recipe.config import make_system

#: frequencies below this share of the largest are those of the crystal that moves as a whole
STILL = 1e-4


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, nargs="+", default=[12, 30])
    parser.add_argument("--g", type=float, default=200.0)
    given = parser.parse_args()
    print("| N | r_s | sites | vibrations | sum | Lindemann's ratio |\n|---|---|---|---|---|---|")
    for n in given.particles:
        system = make_system(find_system("charges2d"), {"particles": n, "g": given.g, "start": "triangular"})
        sites = system.crystal_sites()
        box = sides(system)
        assert sites is not None and box is not None
        still = float(system.potential(sites[None])) / n
        values = torch.linalg.eigvalsh(hessians(system, sites[None], 1.0)[0])
        omega = values[values > STILL**2 * values.max()].sqrt()
        assert len(omega) == 2 * n - 2, "the lattice is no minimum"
        nearest = Crystal(sites, box, torch.device("cpu")).nearest
        ratio = math.sqrt(float((0.5 / omega).sum()) / n) / nearest
        zero_point = 0.5 * float(omega.sum()) / n
        r_s = given.g / math.sqrt(math.pi)
        print(f"| {n} | {r_s:.1f} | {still:.3f} | {zero_point:.3f} | {still + zero_point:.3f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
