"""Choice of the time steps of a projection and of the time between two weighings."""

from __future__ import annotations

import math

import numpy as np
import torch

from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.projection.population import LARGEST_CHANGE
from fkflow.sampling.local_energy import fastest_local_energy
from fkflow.sampling.metropolis import Walkers, langevin_move

#: acceptance at the largest time step
ACCEPTANCE = 0.97
#: largest time step in natural times; that of Girsanov weights
LARGEST_STEP, GIRSANOV_STEP = 0.1, 0.02
#: walkers that measure the acceptance, and the relative error that a time step may have
PROBES, TOLERANCE = 256, 0.15
#: largest change of a log weight in one weighing (one σ), and largest time between two weighings in natural times
CHANGE, LARGEST_INTERVAL = 0.1, 0.1
#: share of the walkers whose local energies may lie so far off that their change of weight is cut
OUTLYING = 2e-3
#: ratio of the two time steps; a smaller one makes the extrapolation noisier, but its finer step takes less work
RATIO, SMALL_RATIO = 4.0, 2.0


def longest_interval(measuring: VariationalEstimator, natural: float, generator: torch.Generator) -> float:
    """Longest time between two weighings for which weights change little, in the units of the system."""
    net, spread = measuring.net, measuring.spread()
    interval = min(LARGEST_INTERVAL * natural, CHANGE / spread if spread > 0 else math.inf)
    if isinstance(net, LogPsi):
        local = fastest_local_energy(net, measuring.system, measuring.walkers.x, generator, natural)
        outlying = float((local - measuring.estimate().value).abs().quantile(1 - OUTLYING))
        interval = min(interval, LARGEST_CHANGE / outlying if outlying > 0 else math.inf)
    return interval


def largest_step(net: LogPsi, walkers: Walkers, generator: torch.Generator, natural: float) -> float:
    """The time step at which ACCEPTANCE of the moves are accepted, found by moving copies of some walkers.

    The search starts at the step that the walkers' own step and acceptance suggest.
    """
    guess = walkers.step * ((1 - ACCEPTANCE) / max(1 - walkers.acceptance, 1 - ACCEPTANCE)) ** (2 / 3)
    walkers = Walkers(walkers.x[:PROBES].clone(), min(guess, LARGEST_STEP * natural))
    walkers.refresh(net)
    for _ in range(12):
        rejected = 1 - np.mean([float(langevin_move(net, walkers, generator)[0].double().mean()) for _ in range(5)])
        # rejections grow as dt^(3/2)
        change = ((1 - ACCEPTANCE) / max(float(rejected), 1e-4)) ** (2 / 3)
        before = walkers.step
        walkers.step = min(walkers.step * min(max(change, 0.25), 4.0), LARGEST_STEP * natural)
        if abs(walkers.step - before) <= TOLERANCE * before:
            break
    return walkers.step
