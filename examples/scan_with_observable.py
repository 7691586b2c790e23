"""A scan with an observable: the slope of the energy against a parameter is an average over the ground state.

By the theorem of Hellmann and Feynman dE/dk = ⟨∂V/∂k⟩. The class names ∂V/∂k as an observable. A loop solves the system for
some values of k, and the measured slope is compared with the differences of the energies. `fkflow scan` does such loops from a
recipe.
"""

# %% The system: a quartic well of strength k, with ∂V/∂k = x⁴
import math

import fkflow


class Quartic(fkflow.System):
    """One particle in V = x²/2 + k x⁴."""

    particles = 1
    dimensions = 1
    k: float = 1.0

    def potential(self, x):
        return 0.5 * x[:, 0, 0] ** 2 + self.k * x[:, 0, 0] ** 4

    def observables(self, x):
        return {"slope": x[:, 0, 0] ** 4}


# %% The scan
strengths = [0.9, 1.0, 1.1]
found = [fkflow.solve(Quartic(k=k), target_error=2e-4, seed=1, threads=1, progress=False) for k in strengths]
for k, solution in zip(strengths, found, strict=True):
    print(f"k = {k}  energy {solution.energy}  dE/dk {solution.observables['slope']}")

# %% Check it: the difference of the outer energies, whose error from the third derivative is far below the noise
first, middle, last = found
step = strengths[2] - strengths[0]
slope = (last.energy.value - first.energy.value) / step
error = math.hypot(last.energy.error, first.energy.error) / step
observed = middle.observables["slope"]
print(f"differences {slope:.4f} ± {error:.4f}, observable {observed}")
assert abs(slope - observed.value) < 4 * math.hypot(error, observed.error) + 1e-3
