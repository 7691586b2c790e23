"""The layout of result.h5 that writer and reader share: format, columns and datasets with their units and long names.

A unit "energy" or "time" stands for the system's energy unit and its inverse. docs/file-format.md describes the whole layout.
"""

from __future__ import annotations

FORMAT = "fkflow"
FORMAT_VERSION = 1

#: training columns: name -> (unit, long name)
COLUMNS = {
    "iteration": ("", "training iteration"),
    "energy": ("energy", "mean energy of the batch"),
    "error": ("energy", "standard error of the batch energy"),
    "spread": ("energy", "standard deviation of the energy over the batch"),
    "seconds": ("s", "wall-clock time since training began"),
    "rate": ("", "learning rate"),
    "damping": ("", "damping of the natural gradient"),
    "acceptance": ("", "acceptance of the Metropolis steps"),
    "undone": ("", "the step was rejected"),
}
#: the stages of a run in their order, which HDF5 attributes do not keep
STAGES = ("train", "measure", "project")
#: names of histograms in the order in which they are made
HISTOGRAMS = ("x", "r", "y", "z", "rho", "xy", "zrho")

#: numbers of `records.Energy`, stored as attributes
ENERGY = ("local_energy_std", "autocorrelation", "acceptance", "rhat")
#: numbers of `records.Projection`, stored as attributes
PROJECTION = ("time_step_error", "window", "autocorrelation", "rhat", "seconds")
#: arrays of `records.Projection` with one entry a time step: field -> (dataset, unit, long name); the first is their scale
STEPS = {
    "time_steps": ("time_step", "time", "time step of the moves"),
    "energies": ("energy", "energy", "projected energy at each time step"),
    "errors": ("energy_error", "energy", "statistical error of the projected energy at each time step"),
    "acceptances": ("acceptance", "", "acceptance of the moves"),
    "effective_walkers": ("effective_walkers", "", "effective share of the walkers"),
    "population_biases": ("population_bias", "energy", "bias that a population of fixed size would have"),
    "resampled": ("resampled", "", "walkers had to be resampled"),
}
#: columns of `records.Projection.curve`: dataset -> (unit, long name); the first is their scale
CURVE = {
    "imaginary_time": ("time", "imaginary time of the projection"),
    "energy_by_time": ("energy", "energy at the smallest time step against imaginary time"),
    "energy_by_time_error": ("energy", "its statistical error"),
    "fall_error": ("energy", "statistical error of its distance from the variational energy"),
}
