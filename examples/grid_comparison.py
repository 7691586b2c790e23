"""Comparison with a grid: diagonalise the same Hamiltonian in a discrete variable representation, in NumPy.

In one or two dimensions a grid is exact and quick. It is a good way to gain trust before you go where no grid can.
"""

# %% A well of two dimensions in which x and y do not separate
import numpy as np

import fkflow


class Coupled(fkflow.System):
    """V = (x² + y²)/2 + x² y²."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        return 0.5 * (u**2 + v**2) + u**2 * v**2


# %% The grid: kinetic energy of sinc functions (Colbert and Miller 1992) on each axis, V on the diagonal
count, step = 41, 0.3
places = step * (np.arange(count) - count // 2)
apart = np.subtract.outer(np.arange(count), np.arange(count))
with np.errstate(divide="ignore"):
    kinetic = np.where(apart == 0, np.pi**2 / 3, 2.0 / apart**2.0) * (-1.0) ** apart / (2 * step**2)
one = np.eye(count)
u, v = np.meshgrid(places, places, indexing="ij")
well = 0.5 * (u**2 + v**2) + u**2 * v**2
hamiltonian = np.kron(kinetic, one) + np.kron(one, kinetic) + np.diag(well.ravel())
exact = np.linalg.eigvalsh(hamiltonian)[0]

# %% The same with fkflow
solution = fkflow.solve(Coupled(), target_error=2e-3, seed=1, threads=1, progress=False)
difference = solution.energy.value - exact
print(f"energy {solution.energy}, grid {exact:.6f}: difference {difference:+.1e}")
assert abs(difference) < 4 * solution.energy.error
