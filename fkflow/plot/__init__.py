"""Figures from a result: the only part of fkflow that imports matplotlib.

Every function draws one picture into an `Axes` that the caller owns. Figures are made without pyplot, so
there is no global state, no window and no display needed. Colours tell apart under the common colour-vision
deficiencies.
"""

from fkflow.plot.catalogue import FORMATS, plots, save_all, select
from fkflow.plot.densities import density, pair
from fkflow.plot.energies import convergence, projection
from fkflow.plot.fields import drift
from fkflow.plot.scans import save_scan, scan

__all__ = [
    "FORMATS",
    "convergence",
    "density",
    "drift",
    "pair",
    "plots",
    "projection",
    "save_all",
    "save_scan",
    "scan",
    "select",
]
