"""Measuring with a frozen network.

`variational` gives the energy with its error, `histograms` densities and pair distributions of the `views` that suit a system,
`drift_field` the drift on a line or plane and paths that follow it.
"""

from fkflow.measurement.histograms import Histograms
from fkflow.measurement.variational import VariationalEstimator
from fkflow.measurement.walkers import choose_walker_count

__all__ = ["Histograms", "VariationalEstimator", "choose_walker_count"]
