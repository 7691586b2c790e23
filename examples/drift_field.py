"""The drift as a function: walk with it, and the walkers are distributed as |ψ|².

fkflow learns v = ∇ log ψ. The diffusion dX = v dt + dW has the stationary density |ψ|². Here NumPy takes the steps.
"""

# %% Solve the system: an anharmonic oscillator
import numpy as np

import fkflow

quartic = fkflow.make_system("quartic", a=1.0, b=1.0)
solution = fkflow.solve(quartic, target_error=1e-3, seed=1, threads=1, progress=False)

# %% The drift at some places (B, N, D): it points to the middle, and steeply from far away
x = np.linspace(-1.5, 1.5, 7).reshape(-1, 1, 1)
for place, v in zip(x.ravel(), solution.drift(x).ravel(), strict=True):
    print(f"x = {place:+.2f}  v = {v:+.3f}")

# %% Walkers that all start in one place, and step with it (Euler and Maruyama)
noise = np.random.default_rng(1)
walkers, dt = np.full((1000, 1, 1), 1.0), 0.01
for _ in range(300):
    walkers = walkers + dt * solution.drift(walkers) + np.sqrt(dt) * noise.normal(size=walkers.shape)

# %% Check it: their variance is that of the measured density, but for an error of the time step
density = solution.density
(axis,) = density.axes
measured = np.sum(axis.centres**2 * density.values * np.diff(axis.edges))
found, error = walkers.var(), walkers.var() * np.sqrt(2 / len(walkers))
print(f"variance of the walkers {found:.3f} ± {error:.3f}, of the measured density {measured:.3f}")
assert abs(found - measured) < 4 * error + 0.01
