"""Ions in a trap: the crystal that strong repulsion makes, seen in the distances of pairs.

Three ions of one charge in a round trap in a plane. The larger the charge, the closer the ground state comes to the classical
one: an equilateral triangle, whose energy and size are known.
"""

# %% The classical triangle of side a: 3/2 · a²/3 in the trap, since each ion is at a/√3, and 3 q²/a of repulsion
import numpy as np

import fkflow

charge = 20.0
side = (3 * charge**2) ** (1 / 3)
classical = 0.5 * side**2 + 3 * charge**2 / side

# %% Solve it, and keep the angles of the triangle as observables
solution = fkflow.solve(
    fkflow.make_system("ions", particles=3, dimensions=2, charge=charge),
    target_error=0.02,
    seed=1,
    threads=1,
    progress=False,
)
print(f"energy {solution.energy}, classical {classical:.3f}")

# %% Zero-point motion: the modes of the triangle have the frequencies 1 (twice), 0, √3 and √(3/2) (twice)
harmonic = classical + 0.5 * (2 + np.sqrt(3) + 2 * np.sqrt(1.5))
print(f"with zero-point motion of the modes {harmonic:.3f}")

# %% Distances of pairs: near the side of the triangle, and hardly spread
x = solution.samples
distances = np.linalg.norm(x[:, [0, 1, 2]] - x[:, [1, 2, 0]], axis=2)
print(f"distance of pairs {distances.mean():.2f} ± {distances.std():.2f}, classical {side:.2f}")

# %% Check it: what is left of the energy is the motion beyond small oscillations, of order 1/q^(2/3)
assert classical < solution.energy.value and abs(solution.energy.value - harmonic) < 0.15
assert abs(distances.mean() - side) < 0.05 * side and distances.std() < 0.15 * side
