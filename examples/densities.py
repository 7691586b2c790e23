"""Densities and pair distributions: of the network and, projected, of the exact ground state.

Two bosons with a Gaussian repulsion in a round trap. Their densities are known, so the errors can be checked.
"""

# %% Solve the system
import numpy as np

import fkflow

bosons = fkflow.make_system("bosons", particles=2)
solution = fkflow.solve(bosons, target_error=3e-3, seed=1, threads=1, progress=False)

# %% A density is an array on an axis, with errors; it integrates to 1 over its measure
pair = solution.pair
radius = pair.axes[0]
rings = np.pi * np.diff(radius.edges**2)
print(f"{pair.long_name}: {len(radius.centres)} bins, measure {pair.measure}, integral {rings @ pair.values:.4f}")
print("most likely distance:", radius.centres[np.argmax(pair.values * radius.centres)])

# %% Pictures: matplotlib's axes, to be changed as you like; `save` writes all of them
axes = solution.plot.pair()
axes.set_title("two bosons that repel each other")
axes.figure.savefig("pair.png")

# %% Check it: deviations from the exact distribution, in errors, where the density is not small
seen = pair.exact > 0.1 * pair.exact.max()
for words, values, errors in (
    ("variational", pair.values, pair.errors),
    ("projected", pair.projected, pair.projected_errors),
):
    sigmas = ((values - pair.exact) / errors)[seen]
    print(f"{words}: root mean square deviation {np.sqrt(np.mean(sigmas**2)):.2f} sigma in {seen.sum()} bins")
    assert np.sqrt(np.mean(sigmas**2)) < 1.6
