"""Figures from a result: the only part of fkflow that imports matplotlib.

Every function takes a `Result` and draws one picture into an `Axes` that the caller owns; what a run has no data for is a
UsageError that names the command that makes it. Figures are made without pyplot: there is no global state and no display is
needed. `solution_plots` are the same pictures as methods, `animation` and `film` make films of walkers.
"""

from fkflow.plot.catalogue import FORMATS, missing_reasons, plots, save, save_all, select
from fkflow.plot.densities import density, density_map, pair
from fkflow.plot.energies import convergence, projection
from fkflow.plot.fields import conditional, drift
from fkflow.plot.paths import trajectories
from fkflow.plot.scans import save_scan, scan

__all__ = [
    "FORMATS", "conditional", "convergence", "density", "density_map", "drift", "missing_reasons", "pair", "plots",
    "projection", "save", "save_all", "save_scan", "scan", "select", "trajectories",
]  # fmt: skip
