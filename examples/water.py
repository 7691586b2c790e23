"""The vibrations of water: zero-point energy and lines of three atoms that nothing holds or turns, from a surface in numpy.

V is a valence force field in hartree and bohr. ψ of a free molecule is a function of its bonds and angles (J = 0).
Other isotopes need other masses only.
"""

# %% The surface: no gradient, no torch
import numpy as np

import fkflow
from fkflow import units


class Water(fkflow.System):
    """H, H and O with stretches, a bend and their coupling."""

    species = [("H", 2, {"mass": 1837.3622}), ("O", 1, {"mass": 29156.9456})]
    dimensions = 3
    free = True
    energy_unit, length_unit = "hartree", "bohr"

    def potential(self, x):
        first, second, oxygen = np.moveaxis(np.asarray(x), 1, 0)
        a, b = first - oxygen, second - oxygen
        r1, r2 = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        theta = np.arccos(np.clip((a * b).sum(1) / (r1 * r2), -1, 1))
        stretch = sum(0.2 * (1 - np.exp(-1.2 * (r - 1.81))) ** 2 for r in (r1, r2))
        return stretch + 0.08 * (theta - 1.8239) ** 2 - 0.003 * (r1 - 1.81) * (r2 - 1.81)


# %% The ground state
solution = fkflow.solve(Water(), train={"iterations": 60}, project={"seconds": 0.0}, seed=1, threads=1, progress=False)
zero_point = solution.variational
print(f"zero-point energy {zero_point} hartree")

# %% The lines
lines = [level.gap.value * units.convert(1, "hartree", "cm-1") for level in solution.spectrum(states=3, functions=4)]
print("lines at " + ", ".join(f"{line:.1f}" for line in lines) + " cm-1")

# %% Check it: a discrete-variable calculation in Radau coordinates has all digits of these
assert abs(zero_point.value - 0.021697643) < 2e-6 + 4 * zero_point.error
assert np.abs(np.array(lines) - [1639.17, 3267.40, 3785.05]).max() < 3
