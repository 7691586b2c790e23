"""A potential of one's own: two particles on a spring in a round trap, with the energy known in closed form.

Write a class with the number of particles, the dimensions and V(x) for a whole batch of configurations. `fkflow.solve` does the
rest: it finds the scale, trains a network, measures its energy and projects to the exact ground state.
"""

# %% The system: x has the shape (B, N, D), and V has the shape (B,)
import math

import fkflow


class Pair(fkflow.System):
    """Two identical particles in a trap of frequency 1, held together by a spring of strength k."""

    particles = 2
    dimensions = 2
    isotropic = True
    k: float = 1.5

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + 0.5 * self.k * fkflow.pair_squares(x).sum(0)


# %% Solve it
solution = fkflow.solve(Pair(k=2.0), target_error=2e-3, seed=1, threads=1, progress=False)
print(solution)

# %% Check it: the centre of mass has the frequency 1, the distance √(1 + 2k), each in two dimensions
exact = 0.5 * 2 * (1 + math.sqrt(1 + 2 * 2.0))
sigmas = (solution.energy.value - exact) / max(solution.energy.error, 1e-9)
print(f"energy {solution.energy}, exact {exact:.6f}: {sigmas:+.1f} sigma")
assert abs(solution.energy.value - exact) < 5 * solution.energy.error + 1e-6
